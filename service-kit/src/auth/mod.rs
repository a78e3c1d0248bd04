//! Who is asking and what he may do: roles, the caller, and routes that cannot exist without a rule.

mod access;
mod caller;
mod described;

pub use access::{Access, ApiRouter, RouteRule};
pub(crate) use caller::Authentication;
pub use caller::{Caller, Role};

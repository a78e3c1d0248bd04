//! The installation's signing key and the tokens signed with it.

mod key_file;
mod tokens;

pub use key_file::{KeyFileError, SigningKey};
pub use tokens::{AuthError, ISSUER, IssueError, MAX_TOKEN_BYTES, Tokens};

//! Doors for machines: callbacks that prove themselves by a signature instead of a token.

mod callback;
mod partner_message;
mod partners;
mod payments;
mod signature;

use service_kit::{Access, ApiRouter, routes};

use crate::door::Door;

pub(crate) use callback::CallbackError;
pub use callback::PAYMENT_EVENTS;
pub(crate) use partner_message::PartnerMessageError;
pub(crate) use signature::SignatureError;

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(Access::Signed, routes!(payments::payment_callback))
        .routes(Access::Signed, routes!(partners::partner_message))
}

//! Messages to partners' systems, sent once more because somebody asks for it. The work is the notifier's; this passes it
//! on over the broker's service `notifications`.

mod desk;
mod replay;
mod replay_webhooks;

use serde::{Deserialize, Serialize};
use service_kit::{Access, ApiRouter, Role, routes};
use utoipa::ToSchema;

use crate::door::Door;

const ADMIN: Access = Access::Roles(&[Role::Admin]);
/// Where what becomes of them can be seen.
const LIST: &str = "/v1/notification-deliveries";

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN, routes!(replay::replay_notification_delivery))
        .routes(ADMIN, routes!(replay_webhooks::replay_partner_webhooks))
}

/// What is sent once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Replayed {
    /// How many messages.
    replayed: u64,
    /// Whether there are more in the period than one command sends; ask again for the later part of it.
    #[serde(default)]
    more: bool,
}

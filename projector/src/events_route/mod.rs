//! The log itself over HTTP, for admins: `GET /v1/events` page by page, `GET /v1/events/live` as it happens. Read from
//! the log and never from rows, so it shows what is in no read model, and shows it at once.

mod feed;
mod list;
mod live;
mod pattern;
mod rows;
mod shown;
#[cfg(test)]
mod tests;

use service_kit::{Access, ApiRouter, Role, routes};

use crate::http::ReadSide;

pub(crate) use feed::{Feed, Limits};
pub(crate) use rows::{CHANGES_AT_ONCE, Changing, follow, message, resumed};

use list::beyond;
use live::{endless, last_event_id, one_line};

const ALLOWED: Access = Access::Roles(&[Role::Admin]);

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ALLOWED, routes!(list::list))
        .routes(ALLOWED, routes!(live::live))
}

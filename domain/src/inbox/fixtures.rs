//! What the tests of an inbox begin with.

use event_schema::Position;
use event_schema::ids::NotificationId;
use event_schema::inbox::{self as event, Event};
use uuid::Uuid;

pub(super) fn it(n: u128) -> NotificationId {
    NotificationId(Uuid::from_u128(n))
}

pub(super) fn was_read(n: u128, at: u64) -> Event {
    event::Read {
        notification_id: it(n),
        at: Position(at),
    }
    .into()
}

pub(super) fn was_cleared(n: u128, at: u64) -> Event {
    event::Cleared {
        notification_id: it(n),
        at: Position(at),
    }
    .into()
}

pub(super) fn all_were_cleared(through: u64) -> Event {
    event::AllCleared {
        through: Position(through),
    }
    .into()
}

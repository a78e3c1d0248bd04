//! What somebody does with the notifications in his inbox. The history's id is the person's: a notification that is for
//! several people (all admins, everybody who acts for a partner) is read and cleared by each of them for himself.

use serde::{Deserialize, Serialize};

use crate::envelope::Position;
use crate::event_set::event_set;
use crate::ids::NotificationId;

/// The person has read a notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Which.
    pub notification_id: NotificationId,
    /// Where in the log the event is that it tells of; what is cleared up to a position is cleared by this.
    pub at: Position,
}

/// The person has taken a notification out of his inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    /// Which.
    pub notification_id: NotificationId,
    /// Where in the log the event is that it tells of.
    pub at: Position,
}

/// The person has taken everything out of his inbox that he could have seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllCleared {
    /// Notifications of events up to here, this one included; later ones stay.
    pub through: Position,
}

event_set! {
    /// An inbox's events.
    pub enum Event of "inbox" {
        /// A notification was read.
        "inbox.read" 1 => Read(Read),
        /// A notification was taken out.
        "inbox.cleared" 1 => Cleared(Cleared),
        /// Everything up to a position was taken out.
        "inbox.all_cleared" 1 => AllCleared(AllCleared),
    }
    upcasts []
}

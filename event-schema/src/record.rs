//! Histories that guard a rule instead of an aggregate: a command that has happened, a unique value that is held.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_set::event_set;

/// An additive command has happened; first message of its group, expecting nothing before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// How many messages of the group follow this one; its last event is at this record's position plus `following`.
    pub following: u32,
}

event_set! {
    /// What the history `done.<command id>` can hold.
    pub enum DoneEvent of "done" {
        /// The command has happened.
        "done.recorded" 1 => Recorded(Done),
    }
    upcasts []
}

/// A unique value is held by an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The aggregate that holds it.
    pub owner: Uuid,
}

/// A unique value is free again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The aggregate that held it.
    pub owner: Uuid,
}

event_set! {
    /// What the history `uniq.<rule>.<key>` can hold.
    pub enum UniqEvent of "uniq" {
        /// Somebody holds the value.
        "uniq.claimed" 1 => Claimed(Claimed),
        /// The value is free again.
        "uniq.released" 1 => Released(Released),
    }
    upcasts []
}

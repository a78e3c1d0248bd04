//! What can happen to a cloud resource in the catalogue: a machine, a database, a store that customers are given.

use serde::{Deserialize, Serialize};

use crate::event_set::event_set;

/// What a resource is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Name.
    pub name: String,
    /// What kind of thing, such as `vm`, `database`, `storage`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it runs.
    pub region: String,
}

/// A resource exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// What it is.
    pub details: Details,
}

/// The resource is described anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What it is from now on.
    pub details: Details,
}

/// The resource is not in the catalogue any more; nobody new gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {}

event_set! {
    /// A resource's events.
    pub enum Event of "resource" {
        /// A resource exists.
        "resource.added" 1 => Added(Added),
        /// The resource is described anew.
        "resource.changed" 1 => Changed(Changed),
        /// The resource is not in the catalogue any more.
        "resource.removed" 1 => Removed(Removed),
    }
    upcasts []
}

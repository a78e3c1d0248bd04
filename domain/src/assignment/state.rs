//! What decisions about an assignment remember.

use serde::{Deserialize, Serialize};

/// Whether the customer has the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// He never had it, or has it no more.
    Unassigned,
    /// He has it.
    Assigned,
}

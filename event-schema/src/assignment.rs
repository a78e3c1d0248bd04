//! What can happen between one customer and one cloud resource. The pair is an aggregate of its own, so it exists once.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_set::event_set;
use crate::ids::{CustomerId, ResourceId, derived};

/// The id of the assignment of a resource to a customer: a pair has one.
pub fn id(customer: CustomerId, resource: ResourceId) -> Uuid {
    derived(&["assignment", &customer.to_string(), &resource.to_string()])
}

/// The customer has the resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Who.
    pub customer_id: CustomerId,
    /// What.
    pub resource_id: ResourceId,
}

/// The customer does not have the resource any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unassigned {
    /// Who had it.
    pub customer_id: CustomerId,
    /// What.
    pub resource_id: ResourceId,
}

event_set! {
    /// An assignment's events.
    pub enum Event of "assignment" {
        /// The customer has the resource.
        "assignment.assigned" 1 => Assigned(Assigned),
        /// The customer does not have it any more.
        "assignment.unassigned" 1 => Unassigned(Unassigned),
    }
    upcasts []
}

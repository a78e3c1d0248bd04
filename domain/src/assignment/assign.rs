//! The customer gets the resource.

use event_schema::assignment::{self as event, Event};
use event_schema::ids::{CustomerId, ResourceId};

use super::State;

/// The customer gets the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assign {
    /// Who.
    pub customer_id: CustomerId,
    /// What.
    pub resource_id: ResourceId,
}

impl Assign {
    pub(super) fn decide(self, state: State) -> Vec<Event> {
        let Self {
            customer_id,
            resource_id,
        } = self;
        match state {
            State::Assigned => vec![],
            State::Unassigned => vec![
                event::Assigned {
                    customer_id,
                    resource_id,
                }
                .into(),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::assignment::Assignment;
    use crate::assignment::fixtures::{assigned, machine, unassigned};
    use crate::fixtures::customer_id;

    fn assign() -> Assign {
        Assign {
            customer_id: customer_id(),
            resource_id: machine(),
        }
    }

    #[test]
    fn a_pair_is_assigned_once() {
        let state = given::<Assignment>([]).when(assign()).then([assigned()]);
        assert_eq!(state, State::Assigned);
        given::<Assignment>([assigned()])
            .when(assign())
            .then_nothing();
    }

    #[test]
    fn what_was_taken_away_can_be_given_again() {
        given::<Assignment>([assigned(), unassigned()])
            .when(assign())
            .then([assigned()]);
    }
}

//! The customer does not have the resource any more.

use event_schema::assignment::{self as event, Event};
use event_schema::ids::{CustomerId, ResourceId};

use super::State;

/// The customer does not have the resource any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unassign {
    /// Who.
    pub customer_id: CustomerId,
    /// What.
    pub resource_id: ResourceId,
}

impl Unassign {
    pub(super) fn decide(self, state: State) -> Vec<Event> {
        let Self {
            customer_id,
            resource_id,
        } = self;
        match state {
            State::Unassigned => vec![],
            State::Assigned => vec![
                event::Unassigned {
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

    fn unassign() -> Unassign {
        Unassign {
            customer_id: customer_id(),
            resource_id: machine(),
        }
    }

    #[test]
    fn what_was_given_is_taken_away() {
        let state = given::<Assignment>([assigned()])
            .when(unassign())
            .then([unassigned()]);
        assert_eq!(state, State::Unassigned);
    }

    #[test]
    fn what_the_customer_does_not_have_is_not_taken_away() {
        given::<Assignment>([]).when(unassign()).then_nothing();
        given::<Assignment>([assigned(), unassigned()])
            .when(unassign())
            .then_nothing();
    }
}

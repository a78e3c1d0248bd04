//! Somebody is to be told something; once, however often it is worked out.

use event_schema::notification::{Event, Intended};

use super::State;

/// This is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intend(pub Intended);

impl Intend {
    pub(super) fn decide(self, state: &State) -> Vec<Event> {
        if state.delivery(self.0.delivery_id).is_some() {
            return vec![];
        }
        vec![self.0.into()]
    }
}

#[cfg(test)]
mod tests {
    use event_schema::notification::Status;
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::at;
    use crate::notification::fixtures::{FIRST, id, intent, settled};
    use crate::notification::{Notification, Stage};

    #[test]
    fn what_is_intended_waits_for_its_first_provider() {
        let held = Intended {
            not_before: Some(at(500)),
            ..intent()
        };
        let state = given::<Notification>([])
            .when(Intend(held.clone()))
            .then([held.into()]);
        let waiting = Stage::Waiting {
            not_before: Some(at(500)),
            provider: Some(FIRST.into()),
        };
        assert_eq!(state.delivery(id()).unwrap().stage, waiting);
    }

    #[test]
    fn intending_the_same_again_changes_nothing_not_even_when_it_is_over() {
        given::<Notification>([intent().into()])
            .when(Intend(intent()))
            .then_nothing();
        given::<Notification>([intent().into(), settled(Status::Sent)])
            .when(Intend(intent()))
            .then_nothing();
    }
}

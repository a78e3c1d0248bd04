//! A partner starts to sell, and its system is told of orders again; verification is asked for separately.

use event_schema::partner::{self as event, Event};

use super::{Rejection, State};

/// It sells from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enable;

impl Enable {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotAdded => Err(Rejection::NotAdded),
            State::Added {
                enabled: true,
                webhook_disabled: None,
                ..
            } => Ok(vec![]),
            State::Added { .. } => Ok(vec![event::Enabled {}.into()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::partner::Partner;
    use crate::partner::fixtures::added;

    #[test]
    fn an_enabled_partner_that_nobody_verified_sells_nothing_yet() {
        let state = given::<Partner>([added()])
            .when(Enable)
            .then([event::Enabled {}.into()]);
        assert!(!state.buyable());
    }

    #[test]
    fn enabling_again_changes_nothing() {
        given::<Partner>([added(), event::Enabled {}.into()])
            .when(Enable)
            .then_nothing();
    }

    #[test]
    fn an_unknown_partner_cannot_be_enabled() {
        given::<Partner>([])
            .when(Enable)
            .then_rejected(Rejection::NotAdded);
    }
}

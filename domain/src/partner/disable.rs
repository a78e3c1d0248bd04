//! A partner stops selling for now; what was ordered goes on.

use event_schema::partner::{self as event, Event};

use super::{Rejection, State};

/// It does not sell for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disable;

impl Disable {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotAdded => Err(Rejection::NotAdded),
            State::Added { enabled: false, .. } => Ok(vec![]),
            State::Added { .. } => Ok(vec![event::Disabled {}.into()]),
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
    fn a_disabled_partner_sells_nothing() {
        let past = [added(), event::Verified {}.into(), event::Enabled {}.into()];
        let state = given::<Partner>(past)
            .when(Disable)
            .then([event::Disabled {}.into()]);
        assert!(!state.buyable());
    }

    #[test]
    fn disabling_a_partner_that_does_not_sell_changes_nothing() {
        given::<Partner>([added()]).when(Disable).then_nothing();
    }

    #[test]
    fn an_unknown_partner_cannot_be_disabled() {
        given::<Partner>([])
            .when(Disable)
            .then_rejected(Rejection::NotAdded);
    }
}

//! Somebody looked at the business; verified once, for good.

use event_schema::partner::{self as event, Event};

use super::{Rejection, State};

/// The business was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verify;

impl Verify {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotAdded => Err(Rejection::NotAdded),
            State::Added { verified: true, .. } => Ok(vec![]),
            State::Added { .. } => Ok(vec![event::Verified {}.into()]),
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
    fn a_verified_and_enabled_partner_sells() {
        let state = given::<Partner>([added(), event::Enabled {}.into()])
            .when(Verify)
            .then([event::Verified {}.into()]);
        assert!(state.buyable());
    }

    #[test]
    fn verifying_again_changes_nothing() {
        given::<Partner>([added(), event::Verified {}.into()])
            .when(Verify)
            .then_nothing();
    }

    #[test]
    fn an_unknown_partner_cannot_be_verified() {
        given::<Partner>([])
            .when(Verify)
            .then_rejected(Rejection::NotAdded);
    }
}

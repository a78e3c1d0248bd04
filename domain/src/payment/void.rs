//! What is set aside, or may still be, is let go: intended first, then done or refused for good.

use event_schema::ids::EffectId;
use event_schema::payment::{self as event, Event};

use super::{Rejection, State, Status};

/// What is or may be set aside is about to be let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestVoid {
    /// The provider's idempotency key of the call.
    pub effect_id: EffectId,
}

impl RequestVoid {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { effect_id } = self;
        if state.requested.is_none() {
            return Err(Rejection::UnknownPayment);
        }
        if state.void_effect == Some(effect_id) {
            return Ok(vec![]);
        }
        if state.has_refundable() {
            return Err(Rejection::AlreadyCaptured);
        }
        Ok(vec![event::VoidRequested { effect_id }.into()])
    }
}

/// Nothing is set aside any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Void;

impl Void {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if state.requested.is_none() {
            return Err(Rejection::UnknownPayment);
        }
        if state.has_refundable() {
            return Err(Rejection::AlreadyCaptured);
        }
        if state.status == Status::Voided {
            return Ok(vec![]);
        }
        Ok(vec![event::Voided {}.into()])
    }
}

/// The provider refused to let the money go, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefuseVoid {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

impl RefuseVoid {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if state.requested.is_none() {
            return Err(Rejection::UnknownPayment);
        }
        Ok(vec![
            event::VoidRefused {
                code: self.code,
                message: self.message,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::fixtures::eur;
    use crate::payment::Payment;
    use crate::payment::fixtures::{
        authorised, captured, effect, requested, void_requested, voided,
    };

    fn request() -> RequestVoid {
        RequestVoid {
            effect_id: effect("void", 1),
        }
    }

    fn refuse() -> RefuseVoid {
        RefuseVoid {
            code: "no".into(),
            message: "never".into(),
        }
    }

    #[test]
    fn the_intent_to_let_the_money_go_is_recorded_once() {
        given::<Payment>([requested(1), authorised()])
            .when(request())
            .then([void_requested()]);
        given::<Payment>([requested(1), authorised(), void_requested()])
            .when(request())
            .then_nothing();
    }

    #[test]
    fn money_that_may_still_land_is_let_go_too() {
        given::<Payment>([requested(1)])
            .when(request())
            .then([void_requested()]);
        let state = given::<Payment>([requested(1), void_requested()])
            .when(Void)
            .then([voided()]);
        assert_eq!(state.status, Status::Voided);
    }

    #[test]
    fn money_that_is_let_go_cannot_be_taken() {
        let state = given::<Payment>([requested(1), authorised(), void_requested()])
            .when(Void)
            .then([voided()]);
        assert_eq!(state.capturable(), Some(eur(0)));
        given::<Payment>([requested(1), authorised(), voided()])
            .when(Void)
            .then_nothing();
    }

    #[test]
    fn money_that_was_taken_cannot_be_let_go() {
        let past = [requested(1), authorised(), captured()];
        given::<Payment>(past.clone())
            .when(request())
            .then_rejected(Rejection::AlreadyCaptured);
        given::<Payment>(past)
            .when(Void)
            .then_rejected(Rejection::AlreadyCaptured);
    }

    #[test]
    fn a_refusal_to_let_go_leaves_the_money_where_it_is() {
        let refused = event::VoidRefused {
            code: "no".into(),
            message: "never".into(),
        };
        let state = given::<Payment>([requested(1), authorised()])
            .when(refuse())
            .then([refused.into()]);
        assert_eq!(state.status, Status::Authorised);
    }

    #[test]
    fn nothing_is_let_go_that_nobody_asked_for() {
        given::<Payment>([])
            .when(request())
            .then_rejected(Rejection::UnknownPayment);
        given::<Payment>([])
            .when(Void)
            .then_rejected(Rejection::UnknownPayment);
        given::<Payment>([])
            .when(refuse())
            .then_rejected(Rejection::UnknownPayment);
    }
}

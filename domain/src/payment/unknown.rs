//! A call had no answer that can be used: recorded once per step, until its outcome is known.

use event_schema::payment::{self as event, Event};

use super::{Rejection, State};

/// A call had no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkUnknown {
    /// Which step.
    pub step: String,
    /// What was seen instead of an answer.
    pub detail: String,
}

impl MarkUnknown {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { step, detail } = self;
        if state.requested.is_none() {
            return Err(Rejection::UnknownPayment);
        }
        if state.unknown_step.as_ref() == Some(&step) {
            return Ok(vec![]);
        }
        Ok(vec![event::OutcomeUnknown { step, detail }.into()])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::payment::fixtures::{
        authorised, captured, outcome_unknown, refund_requested, requested,
    };
    use crate::payment::{Payment, Status};

    fn mark(step: &str) -> MarkUnknown {
        MarkUnknown {
            step: step.into(),
            detail: "no answer".into(),
        }
    }

    #[test]
    fn an_unknown_outcome_is_recorded_once_until_it_is_known() {
        let state = given::<Payment>([requested(1)])
            .when(mark("authorise"))
            .then([outcome_unknown("authorise")]);
        assert_eq!(state.status, Status::Unknown);
        given::<Payment>([requested(1), outcome_unknown("authorise")])
            .when(mark("authorise"))
            .then_nothing();
    }

    #[test]
    fn another_step_may_become_unknown_in_its_turn() {
        given::<Payment>([requested(1), outcome_unknown("authorise"), authorised()])
            .when(mark("capture"))
            .then([outcome_unknown("capture")]);
    }

    #[test]
    fn a_customer_who_waits_for_a_refund_keeps_reading_that() {
        let state = given::<Payment>([requested(1), authorised(), captured(), refund_requested()])
            .when(mark("refund"))
            .then([outcome_unknown("refund")]);
        assert_eq!(state.status, Status::RefundPending);
    }

    #[test]
    fn nothing_is_unknown_of_money_nobody_asked_for() {
        given::<Payment>([])
            .when(mark("authorise"))
            .then_rejected(Rejection::UnknownPayment);
    }
}

//! A signed callback is recorded when it tells something new or contradicts what we know; the saga then looks the
//! truth up at the provider. Whatever it says, it moves no money here.

use event_schema::payment::{self as event, Event};
use event_schema::{Money, Timestamp};

use super::{Rejection, State, Status};

/// How many recorded callbacks are told from a repeat by their id alone; older repeats tell nothing new anyway.
pub const REMEMBERED_CALLBACKS: usize = 64;

/// A signed callback arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordCallback {
    /// Who called.
    pub provider: String,
    /// The provider's id of the event; a repeat has the same.
    pub provider_event_id: String,
    /// The provider's type of the event.
    pub kind: String,
    /// The payment it is about, when named.
    pub provider_payment_id: Option<String>,
    /// The checkout session it is about, when named.
    pub session_id: Option<String>,
    /// The amount it names.
    pub amount: Option<Money>,
    /// The provider's status of the payment or session, as it says.
    pub status: Option<String>,
    /// When the provider made the event.
    pub created_at: Timestamp,
}

/// What a callback says has happened.
#[derive(Clone, Copy)]
enum Said {
    Authorised,
    Captured,
    Failed,
    StillOpen,
    Cancelled,
    CustomerActed,
    SessionExpired,
    Refunded,
    /// What became of a refund: given back, or returned by the customer's bank.
    RefundSucceeded,
    RefundFailed,
}

impl Said {
    /// What is acted on; every other kind is accepted and tells us nothing.
    fn by(kind: &str, status: Option<&str>) -> Option<Self> {
        Some(match kind {
            "payment_intent.amount_capturable_updated" => Self::Authorised,
            "payment_intent.succeeded" => Self::Captured,
            "payment_intent.payment_failed" => Self::Failed,
            "payment_intent.processing" => Self::StillOpen,
            "payment_intent.canceled" => Self::Cancelled,
            "checkout.session.completed" => Self::CustomerActed,
            "checkout.session.expired" => Self::SessionExpired,
            "charge.refunded" => Self::Refunded,
            "refund.updated" | "refund.failed" | "charge.refund.updated" => match status {
                Some("succeeded") => Self::RefundSucceeded,
                Some("failed" | "canceled") => Self::RefundFailed,
                // Still on its way.
                Some(_) | None => return None,
            },
            _ => return None,
        })
    }
}

impl RecordCallback {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Some(asked) = &state.requested else {
            return Err(Rejection::UnknownPayment);
        };
        // Another provider never got this order from us.
        if asked.provider != self.provider {
            return Err(Rejection::UnknownPayment);
        }
        if state.has_seen(&self.provider_event_id) {
            return Ok(vec![]);
        }
        let Some(said) = Said::by(&self.kind, self.status.as_deref()) else {
            return Ok(vec![]);
        };
        if !self.contradicts(state, asked.amount, said) && is_known(state, said) {
            return Ok(vec![]);
        }
        Ok(vec![
            event::CallbackRecorded {
                provider: self.provider,
                provider_event_id: self.provider_event_id,
                kind: self.kind,
                provider_payment_id: self.provider_payment_id,
                session_id: self.session_id,
                amount: self.amount,
                status: self.status,
                created_at: self.created_at,
            }
            .into(),
        ])
    }

    /// Another payment, another session or another amount than ours.
    fn contradicts(&self, state: &State, asked: Money, said: Said) -> bool {
        let other = |told: &Option<String>, ours: &Option<String>| {
            told.is_some() && ours.is_some() && told != ours
        };
        let names_sum = match said {
            Said::Authorised
            | Said::Captured
            | Said::CustomerActed
            | Said::Refunded
            | Said::RefundSucceeded => true,
            Said::Failed
            | Said::StillOpen
            | Said::Cancelled
            | Said::SessionExpired
            | Said::RefundFailed => false,
        };
        other(&self.provider_payment_id, &state.provider_payment_id)
            || other(&self.session_id, &state.session_id)
            || (names_sum && self.amount.is_some_and(|told| told != asked))
    }
}

/// Whether our own answers have told us that already, or told us more.
fn is_known(state: &State, said: Said) -> bool {
    let voided = state.status == Status::Voided;
    let ended_without_money = voided || state.status == Status::Declined;
    let landed = state.has_capturable() || state.was_captured();
    match said {
        // A payment that we let go had been authorised; one that we never heard of may have landed just now.
        Said::Authorised | Said::CustomerActed => {
            landed || (voided && state.provider_payment_id.is_some())
        }
        Said::Captured => state.was_captured(),
        Said::Failed | Said::Cancelled => ended_without_money,
        Said::StillOpen => !ended_without_money,
        Said::SessionExpired => ended_without_money || landed,
        Said::Refunded | Said::RefundSucceeded => state.status == Status::Refunded,
        // Whatever we know of it, the money came back to the shop since: each one is looked up.
        Said::RefundFailed => false,
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;
    use event_schema::{Currency, Decider};

    use super::*;
    use crate::fixtures::{at, eur};
    use crate::payment::Payment;
    use crate::payment::fixtures::{
        action_required, authorised, captured, declined, outcome_unknown, refund_requested,
        refunded, requested, voided,
    };

    fn callback(kind: &str) -> RecordCallback {
        RecordCallback {
            provider: "sandbox".into(),
            provider_event_id: "evt_1".into(),
            kind: kind.into(),
            provider_payment_id: Some("pi_1".into()),
            session_id: None,
            amount: Some(eur(4200)),
            status: None,
            created_at: at(0),
        }
    }

    fn recorded(callback: RecordCallback) -> Event {
        let RecordCallback {
            provider,
            provider_event_id,
            kind,
            provider_payment_id,
            session_id,
            amount,
            status,
            created_at,
        } = callback;
        event::CallbackRecorded {
            provider,
            provider_event_id,
            kind,
            provider_payment_id,
            session_id,
            amount,
            status,
            created_at,
        }
        .into()
    }

    /// Kinds that are news and kinds that are known after a past.
    #[track_caller]
    fn after(past: impl IntoIterator<Item = Event> + Clone, news: &[&str]) {
        for kind in [
            "payment_intent.amount_capturable_updated",
            "payment_intent.succeeded",
            "payment_intent.payment_failed",
            "payment_intent.processing",
            "payment_intent.canceled",
            "checkout.session.completed",
            "checkout.session.expired",
            "charge.refunded",
        ] {
            let expected = if news.contains(&kind) {
                vec![recorded(callback(kind))]
            } else {
                vec![]
            };
            given::<Payment>(past.clone())
                .when(callback(kind))
                .then(expected);
        }
    }

    #[test]
    fn while_the_payment_is_open_everything_but_still_open_is_news() {
        let news = [
            "payment_intent.amount_capturable_updated",
            "payment_intent.succeeded",
            "payment_intent.payment_failed",
            "payment_intent.canceled",
            "checkout.session.completed",
            "checkout.session.expired",
            "charge.refunded",
        ];
        after([requested(1)], &news);
        after([requested(1), action_required()], &news);
        after([requested(1), outcome_unknown("authorise")], &news);
    }

    #[test]
    fn what_our_own_answers_have_told_is_no_news() {
        after(
            [requested(1), authorised()],
            &[
                "payment_intent.succeeded",
                "payment_intent.payment_failed",
                "payment_intent.canceled",
                "charge.refunded",
            ],
        );
        after(
            [requested(1), authorised(), captured()],
            &[
                "payment_intent.payment_failed",
                "payment_intent.canceled",
                "charge.refunded",
            ],
        );
        after(
            [requested(1), authorised(), captured(), refund_requested()],
            &[
                "payment_intent.payment_failed",
                "payment_intent.canceled",
                "charge.refunded",
            ],
        );
        after(
            [
                requested(1),
                authorised(),
                captured(),
                refund_requested(),
                refunded(),
            ],
            &["payment_intent.payment_failed", "payment_intent.canceled"],
        );
    }

    #[test]
    fn a_success_after_the_end_is_news() {
        let landed = [
            "payment_intent.amount_capturable_updated",
            "payment_intent.succeeded",
            "payment_intent.processing",
            "checkout.session.completed",
            "charge.refunded",
        ];
        after([requested(1), declined()], &landed);
        after([requested(1), voided()], &landed);
        // A payment that we let go ourselves was authorised before: that callback is only late.
        after(
            [requested(1), authorised(), voided()],
            &[
                "payment_intent.succeeded",
                "payment_intent.processing",
                "charge.refunded",
            ],
        );
    }

    #[test]
    fn what_became_of_a_refund_is_news_until_we_know_it_and_a_failure_always_is() {
        let on_its_way = || [requested(1), authorised(), captured(), refund_requested()];
        let told = |kind: &str, status: &str| RecordCallback {
            status: Some(status.into()),
            ..callback(kind)
        };
        for kind in ["refund.updated", "charge.refund.updated"] {
            let succeeded = told(kind, "succeeded");
            given::<Payment>(on_its_way())
                .when(succeeded.clone())
                .then([recorded(succeeded.clone())]);
            given::<Payment>(on_its_way().into_iter().chain([refunded()]))
                .when(succeeded)
                .then_nothing();
            given::<Payment>(on_its_way())
                .when(told(kind, "pending"))
                .then_nothing();
        }
        for kind in ["refund.failed", "refund.updated", "charge.refund.updated"] {
            let failed = told(kind, "failed");
            given::<Payment>(on_its_way().into_iter().chain([refunded()]))
                .when(failed.clone())
                .then([recorded(failed)]);
        }
    }

    #[test]
    fn a_repeat_is_recorded_once() {
        let first = recorded(callback("payment_intent.succeeded"));
        given::<Payment>([requested(1), first])
            .when(callback("payment_intent.succeeded"))
            .then_nothing();
    }

    #[test]
    fn another_amount_another_currency_another_payment_or_session_is_looked_into() {
        let ours = || [requested(1), action_required(), authorised(), captured()];
        let kind = "payment_intent.succeeded";
        given::<Payment>(ours()).when(callback(kind)).then_nothing();
        for wrong in [
            RecordCallback {
                amount: Some(eur(1)),
                ..callback(kind)
            },
            RecordCallback {
                amount: Some(Money::new(4200, Currency::USD)),
                ..callback(kind)
            },
            RecordCallback {
                provider_payment_id: Some("pi_2".into()),
                ..callback(kind)
            },
            RecordCallback {
                session_id: Some("cs_2".into()),
                ..callback(kind)
            },
        ] {
            given::<Payment>(ours())
                .when(wrong.clone())
                .then([recorded(wrong)]);
        }
    }

    #[test]
    fn a_kind_that_is_not_acted_on_is_accepted_and_tells_nothing() {
        given::<Payment>([requested(1)])
            .when(callback("payment_method.attached"))
            .then_nothing();
    }

    #[test]
    fn a_callback_about_money_nobody_asked_for_is_a_stray() {
        given::<Payment>([])
            .when(callback("payment_intent.succeeded"))
            .then_rejected(Rejection::UnknownPayment);
        given::<Payment>([requested(1)])
            .when(RecordCallback {
                provider: "other".into(),
                ..callback("payment_intent.succeeded")
            })
            .then_rejected(Rejection::UnknownPayment);
    }

    #[test]
    fn a_callback_moves_no_money_and_no_status() {
        let before = given::<Payment>([requested(1)]).then_state();
        let after = Payment::evolve(
            before.clone(),
            &recorded(callback("payment_intent.succeeded")),
        );
        assert_eq!(
            (after.status, after.ledger()),
            (before.status, before.ledger())
        );
    }

    #[test]
    fn the_memory_of_callbacks_is_bounded() {
        let many = (0..=REMEMBERED_CALLBACKS).map(|n| {
            recorded(RecordCallback {
                provider_event_id: format!("evt_{n}"),
                ..callback("payment_intent.succeeded")
            })
        });
        let state = given::<Payment>([requested(1)].into_iter().chain(many)).then_state();
        assert!(!state.has_seen("evt_0"), "the oldest is forgotten");
        assert!(state.has_seen("evt_1"));
    }
}

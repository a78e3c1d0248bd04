//! Whatever is asked of a payment in whatever order, 0 ≤ refunded ≤ captured ≤ authorised, and asking again at once
//! adds nothing.

use event_schema::order::PaymentMethod;
use event_schema::{Currency, Decider, Money};
use proptest::prelude::*;

use super::fixtures::{effect, require_action};
use super::{
    Authorise, Capture, Command, Decline, FailRefund, MarkUnknown, Payment, RecordCallback, Refund,
    RefuseCapture, RefuseRefund, RefuseVoid, Request, RequestCapture, RequestRefund, RequestVoid,
    SettleOutside, Void,
};
use crate::fixtures::at;

fn any_command() -> impl Strategy<Value = Command> {
    let currency = prop_oneof![9 => Just(Currency::EUR), 1 => Just(Currency::USD)];
    let amount = (
        prop_oneof![8 => Just(4200i64), 1 => -2..5000i64, 1 => any::<i64>()],
        currency,
    )
        .prop_map(|(amount, currency)| Money::new(amount, currency));
    let opening = 1..4u32;
    let text = || ("no".to_owned(), "never".to_owned());
    let id = 1..4u8;
    prop_oneof![
        (opening.clone(), amount.clone()).prop_map(|(opening, amount)| Request {
            provider: "sandbox".into(),
            amount,
            method: PaymentMethod::Checkout,
            effect_id: effect("authorise", opening),
        }
        .into()),
        Just(require_action().into()),
        (id.clone(), amount.clone()).prop_map(|(id, amount)| Authorise {
            provider_payment_id: format!("pi_{id}"),
            amount
        }
        .into()),
        Just(
            Decline {
                code: text().0,
                message: text().1
            }
            .into()
        ),
        opening.clone().prop_map(|n| RequestCapture {
            effect_id: effect("capture", n)
        }
        .into()),
        amount.clone().prop_map(|amount| Capture { amount }.into()),
        Just(
            RefuseCapture {
                code: text().0,
                message: text().1
            }
            .into()
        ),
        opening.clone().prop_map(|n| RequestVoid {
            effect_id: effect("void", n)
        }
        .into()),
        Just(Void.into()),
        Just(
            RefuseVoid {
                code: text().0,
                message: text().1
            }
            .into()
        ),
        (opening, amount.clone()).prop_map(|(n, amount)| RequestRefund {
            effect_id: effect("refund", n),
            amount
        }
        .into()),
        (id.clone(), amount.clone()).prop_map(|(id, amount)| Refund {
            refund_id: format!("re_{id}"),
            amount
        }
        .into()),
        (id.clone(), amount.clone()).prop_map(|(id, amount)| FailRefund {
            refund_id: format!("re_{id}"),
            amount,
            code: "no".into(),
            message: "never".into(),
        }
        .into()),
        Just(
            RefuseRefund {
                code: text().0,
                message: text().1
            }
            .into()
        ),
        prop_oneof![Just("authorise"), Just("capture")].prop_map(|step| MarkUnknown {
            step: step.into(),
            detail: "no answer".into()
        }
        .into()),
        (prop_oneof![Just("capture"), Just("refund")], amount.clone()).prop_map(
            |(step, amount)| {
                SettleOutside {
                    step: step.into(),
                    amount,
                    reason: "bank transfer".into(),
                }
                .into()
            }
        ),
        (id, amount).prop_map(|(id, amount)| RecordCallback {
            provider: "sandbox".into(),
            provider_event_id: format!("evt_{id}"),
            kind: "payment_intent.succeeded".into(),
            provider_payment_id: Some(format!("pi_{id}")),
            session_id: None,
            amount: Some(amount),
            status: None,
            created_at: at(0),
        }
        .into()),
    ]
}

proptest! {
    #[test]
    fn the_ledger_never_lies_and_a_repeat_adds_nothing(commands in prop::collection::vec(any_command(), 0..60)) {
        let mut state = Payment::initial();
        for command in commands {
            let Ok(events) = Payment::decide(&state, command.clone()) else { continue };
            state = events.iter().fold(state, Payment::evolve);
            if let Some(ledger) = state.ledger() {
                prop_assert!(0 <= ledger.refunded.amount);
                prop_assert!(ledger.refunded.amount <= ledger.captured.amount);
                prop_assert!(ledger.captured.amount <= ledger.authorised.amount);
            }
            match command {
                // A refusal is a fact each time it is heard, and what a person settles each time it is said; the saga
                // hears either once.
                Command::RefuseCapture(_)
                | Command::RefuseVoid(_)
                | Command::RefuseRefund(_)
                | Command::SettleOutside(_) => {}
                again @ (Command::Request(_)
                | Command::RequireAction(_)
                | Command::Authorise(_)
                | Command::Decline(_)
                | Command::RequestCapture(_)
                | Command::Capture(_)
                | Command::RequestVoid(_)
                | Command::Void(_)
                | Command::RequestRefund(_)
                | Command::Refund(_)
                | Command::FailRefund(_)
                | Command::MarkUnknown(_)
                | Command::RecordCallback(_)) => {
                    prop_assert_eq!(Payment::decide(&state, again), Ok(vec![]));
                }
            }
        }
    }
}

//! No answer, or "later": looked up, asked again under the same id, within a budget that knows outages from silence.

use std::time::Duration;

use crate::fixtures::at;
use crate::fulfilment::fixtures::{
    Shop, action_required, already_captured, authorised, captured, later, refunded, refused, types,
    unknown, unreachable_provider,
};
use crate::fulfilment::{Answer, Cause, Decision, Input, Outcome, Phase, Status, Step};
use crate::payment;

/// A shop that waits for the provider at each step outside.
pub(super) fn waiting_at(step: Step) -> Shop {
    let mut shop = Shop::open();
    match step {
        Step::Authorise | Step::Hold => {}
        Step::Capture | Step::Commit => {
            shop.answer(authorised());
        }
        Step::Void | Step::Release => {
            shop.answer(authorised());
            shop.answer(refused());
        }
        Step::Refund => {
            shop.answer(authorised());
            shop.answer(refused());
            shop.answer(already_captured());
        }
    }
    assert_eq!(shop.saga.pending().unwrap().step, step);
    shop
}

/// What each step waits for.
pub(super) fn success(step: Step) -> Answer {
    match step {
        Step::Authorise | Step::Hold => authorised(),
        Step::Capture | Step::Commit => captured(),
        Step::Void | Step::Release => Answer::Voided,
        Step::Refund => refunded(),
    }
}

pub(super) const OUTSIDE: [Step; 4] = [Step::Authorise, Step::Capture, Step::Void, Step::Refund];

#[test]
fn an_unknown_outcome_is_recorded_once_and_looked_up_under_the_same_id_until_it_is_found() {
    for step in OUTSIDE {
        let mut shop = waiting_at(step);
        let effect = shop.effect(step);
        let batch = shop.answer(unknown());
        assert_eq!(
            types(&batch),
            ["fulfilment.attempt_ended", "payment.outcome_unknown"],
            "{step}"
        );
        let again = shop.until_due().answer(unknown());
        assert_eq!(types(&again), ["fulfilment.attempt_ended"], "{step}");
        let open = shop.saga.pending().unwrap();
        assert_eq!((open.effect_id, open.attempt), (effect, 3), "{step}");
        shop.answer(success(step));
        let record = shop.saga().step(step).unwrap();
        assert_eq!(
            (record.outcome, record.tries, record.effect_id),
            (Some(Outcome::Ok), 3, Some(effect)),
            "{step}"
        );
        assert_eq!(shop.payment.unknown_step, None, "{step}");
    }
}

#[test]
fn while_nobody_knows_the_payment_says_so() {
    let mut shop = Shop::open();
    shop.answer(unknown());
    assert_eq!(shop.payment.status, payment::Status::Unknown);
    shop.answer(authorised());
    assert_eq!(shop.payment.status, payment::Status::Authorised);
    shop.answer(unknown());
    assert_eq!(
        shop.payment.status,
        payment::Status::Unknown,
        "another step, another time of not knowing"
    );
}

#[test]
fn a_provider_that_says_later_is_asked_again_without_any_doubt_about_the_outcome() {
    for step in OUTSIDE {
        let mut shop = waiting_at(step);
        let before = shop.payment.status;
        let batch = shop.answer(later());
        assert_eq!(types(&batch), ["fulfilment.attempt_ended"], "{step}");
        assert_eq!(shop.payment.status, before, "{step}");
        shop.until_due().answer(success(step));
        assert_eq!(shop.saga().step(step).unwrap().tries, 2, "{step}");
    }
}

#[test]
fn a_refusal_for_good_after_an_unknown_outcome_counts() {
    let mut shop = Shop::open();
    shop.answer(unknown());
    shop.until_due().answer(refused());
    assert_eq!(shop.status(), Status::Compensated);
    assert_eq!(shop.payment.status, payment::Status::Declined);
}

#[test]
fn pauses_double_and_a_longer_wish_of_the_provider_is_honoured() {
    let mut shop = Shop::open();
    let mut pauses = vec![];
    for _ in 0..5 {
        let before = shop.now();
        shop.answer(later());
        pauses.push(
            shop.saga
                .deadline()
                .unwrap()
                .duration_since(before)
                .as_millis(),
        );
        shop.until_due();
    }
    assert_eq!(pauses, [250, 500, 1000, 2000, 4000]);
    let wish = Answer::Retry {
        after: Some(Duration::from_secs(90)),
        detail: "429".into(),
        reachable: true,
    };
    let before = shop.now();
    shop.answer(wish);
    assert_eq!(
        shop.saga
            .deadline()
            .unwrap()
            .duration_since(before)
            .as_secs(),
        90
    );
}

#[test]
fn a_call_that_nobody_answered_in_time_is_unknown() {
    let mut shop = Shop::open();
    let batch = shop.wake();
    assert_eq!(
        types(&batch),
        ["fulfilment.attempt_ended", "payment.outcome_unknown"]
    );
    assert_eq!(
        shop.saga.pending().unwrap().phase,
        Phase::Backoff { until: at(5_250) }
    );
    assert_eq!(
        shop.saga.pending().unwrap().budget_used_ms,
        0,
        "whether the provider could be reached is not known"
    );
}

#[test]
fn the_answer_that_comes_during_the_pause_counts_and_one_that_says_nothing_does_not() {
    let mut shop = Shop::open();
    shop.wake();
    assert_eq!(shop.pass(100).answer(unknown()), Decision::default());
    assert_eq!(shop.answer(later()), Decision::default());
    shop.answer(authorised());
    assert_eq!(shop.saga.pending().unwrap().step, Step::Capture);
}

#[test]
fn a_due_try_is_the_owners_business_and_no_event() {
    let mut shop = Shop::open();
    shop.wake();
    assert_eq!(shop.wake(), Decision::default());
}

/// Answers the open effect the same way until nothing more happens by itself; how long that took.
pub(super) fn exhaust(shop: &mut Shop, answer: &Answer) -> Duration {
    let began = shop.now();
    for _ in 0..10_000 {
        shop.answer(answer.clone());
        if shop.status() == Status::NeedsOperator {
            return Duration::try_from(shop.now().duration_since(began)).unwrap();
        }
        shop.until_due();
    }
    panic!("the budget never ends");
}

#[test]
fn a_reachable_provider_that_never_tells_ends_with_a_person_after_the_budget() {
    for step in OUTSIDE {
        let mut shop = waiting_at(step);
        let took = exhaust(&mut shop, &unknown());
        let budget = shop.policy.unknown_budget;
        assert!(
            budget <= took && took <= budget + Duration::from_secs(60),
            "{step}: {took:?}"
        );
        let stuck = shop.saga().stuck.as_ref().unwrap();
        assert_eq!((stuck.step, stuck.cause), (step, Cause::PaymentUnknown));
        assert_eq!(
            (shop.saga.pending(), shop.saga.deadline()),
            (None, None),
            "{step}: nothing happens by itself"
        );
    }
}

#[test]
fn a_provider_that_keeps_saying_later_ends_with_a_person_and_going_back_has_its_own_patience() {
    for (step, budget) in [
        (Step::Authorise, Duration::from_secs(15 * 60)),
        (Step::Capture, Duration::from_secs(15 * 60)),
        (Step::Void, Duration::from_secs(60 * 60)),
        (Step::Refund, Duration::from_secs(60 * 60)),
    ] {
        let mut shop = waiting_at(step);
        let took = exhaust(&mut shop, &later());
        assert!(
            budget <= took && took <= budget + Duration::from_secs(60),
            "{step}: {took:?}"
        );
        assert_eq!(
            shop.saga().stuck.as_ref().unwrap().cause,
            Cause::RetriesExhausted
        );
    }
}

#[test]
fn a_budget_used_going_forward_leaves_the_one_for_going_back_untouched() {
    let mut shop = Shop::open();
    for _ in 0..30 {
        shop.answer(unknown());
        shop.until_due();
    }
    assert!(shop.saga.pending().unwrap().budget_used_ms > 600_000);
    shop.cancel();
    assert_eq!(shop.saga.pending().unwrap().budget_used_ms, 0);
}

#[test]
fn an_outage_alone_sends_nobody_to_a_person() {
    for step in OUTSIDE {
        let mut shop = waiting_at(step);
        let day = 24 * 60 * 60_000;
        let began = shop.now_ms;
        while shop.now_ms - began < day {
            shop.answer(unreachable_provider());
            shop.until_due();
        }
        assert_ne!(shop.status(), Status::NeedsOperator, "{step}");
        assert_eq!(shop.saga.pending().unwrap().budget_used_ms, 0, "{step}");
        shop.answer(success(step));
        assert_eq!(
            shop.saga().step(step).unwrap().outcome,
            Some(Outcome::Ok),
            "{step}"
        );
    }
}

#[test]
fn time_in_which_nobody_was_here_does_not_count() {
    let mut shop = Shop::open();
    shop.answer(unknown());
    let day = 24 * 60 * 60_000;
    shop.pass(day).answer(unknown());
    assert_ne!(shop.status(), Status::NeedsOperator);
    assert!(shop.saga.pending().unwrap().budget_used_ms < 10_000);
}

#[test]
fn a_definite_answer_still_counts_after_a_person_was_told() {
    for step in OUTSIDE {
        let mut shop = waiting_at(step);
        let open = shop.answered(success(step));
        exhaust(&mut shop, &unknown());
        let Input::Answered {
            step, effect_id, ..
        } = open.clone()
        else {
            unreachable!()
        };
        for says_nothing in [unknown(), later()] {
            let input = Input::Answered {
                step,
                effect_id,
                answer: says_nothing,
            };
            assert_eq!(shop.input(input), Decision::default(), "{step}");
        }
        shop.input(open);
        assert_eq!(
            shop.saga().step(step).unwrap().outcome,
            Some(Outcome::Ok),
            "{step}"
        );
        assert_ne!(shop.status(), Status::NeedsOperator, "{step}");
    }
}

#[test]
fn an_order_that_a_person_is_asked_about_before_the_capture_can_be_called_off() {
    let mut shop = Shop::open();
    exhaust(&mut shop, &unknown());
    shop.cancel();
    assert_eq!(
        (shop.status(), shop.saga.pending().unwrap().step),
        (Status::Unwinding, Step::Void)
    );
    shop.answer(Answer::Voided);
    assert_eq!(shop.status(), Status::Compensated);
}

#[test]
fn a_customers_page_is_waited_for_again_when_a_look_up_found_nothing_out() {
    let mut shop = Shop::at_checkout();
    let batch = shop.pass(60_000).answer(unreachable_provider());
    assert_eq!(
        types(&batch),
        ["fulfilment.attempt_ended", "payment.outcome_unknown"]
    );
    let batch = shop.until_due().answer(action_required());
    assert_eq!(
        types(&batch),
        ["fulfilment.customer_awaited", "payment.action_required"]
    );
    assert_eq!(
        shop.saga.deadline(),
        Some(at(15 * 60_000)),
        "the customer does not get more time by that"
    );
    assert_eq!(shop.payment.status, payment::Status::Pending);
}

#[test]
fn a_page_that_is_still_open_after_its_time_is_called_off_when_the_provider_is_back() {
    let mut shop = Shop::at_checkout();
    shop.pass(60_000).answer(unreachable_provider());
    shop.pass(60 * 60_000).answer(action_required());
    assert_eq!(
        (shop.status(), shop.saga.pending().unwrap().step),
        (Status::Unwinding, Step::Void)
    );
}

#[test]
fn a_customer_who_paid_while_the_provider_was_away_gets_the_order() {
    let mut shop = Shop::at_checkout();
    shop.pass(60_000).answer(unreachable_provider());
    shop.pass(60 * 60_000).answer(authorised());
    assert_eq!(shop.saga.pending().unwrap().step, Step::Capture);
}

#[test]
fn a_call_that_provably_never_happened_is_opened_under_a_new_id_that_is_recorded_first() {
    let never = || Answer::NeverHappened {
        detail: "500 replayed, nothing listed".into(),
    };
    for step in OUTSIDE {
        let mut shop = waiting_at(step);
        let first = shop.effect(step);
        let old_answer = shop.answered(success(step));
        let batch = shop.answer(never());
        assert_eq!(types(&batch)[0], "fulfilment.intended", "{step}");
        assert_eq!(
            batch.payment.len(),
            1,
            "{step}: the payment records the new id too"
        );
        let open = shop.saga.pending().unwrap();
        assert_eq!((open.opening, open.attempt), (2, 2), "{step}");
        assert_ne!(open.effect_id, first, "{step}");
        assert_eq!(shop.input(old_answer), Decision::default(), "{step}");
        shop.answer(success(step));
        assert_eq!(
            shop.saga().step(step).unwrap().outcome,
            Some(Outcome::Ok),
            "{step}"
        );
    }
}

#[test]
fn a_step_is_opened_five_times_at_most() {
    let mut shop = Shop::open();
    for _ in 0..4 {
        shop.answer(Answer::NeverHappened {
            detail: "500 replayed".into(),
        });
    }
    assert_eq!(shop.status(), Status::Running);
    shop.answer(Answer::NeverHappened {
        detail: "500 replayed".into(),
    });
    let stuck = shop.saga().stuck.as_ref().unwrap();
    assert_eq!(
        (stuck.step, stuck.cause),
        (Step::Authorise, Cause::RetriesExhausted)
    );
}

#[test]
fn what_outsiders_say_is_kept_within_a_limit() {
    let mut shop = Shop::open();
    shop.answer(Answer::Unknown {
        after: None,
        detail: "ä".repeat(100_000),
        reachable: true,
    });
    let record = shop.saga().step(Step::Authorise).unwrap();
    assert_eq!(record.detail.as_ref().unwrap().chars().count(), 500);
}

#[test]
fn a_pause_that_the_provider_asks_for_while_nobody_knows_is_recorded_and_costs_nothing_of_the_budget()
 {
    let (mut shop, mut asked) = (Shop::open(), Shop::open());
    let unknown = |after| Answer::Unknown {
        after,
        detail: "503".into(),
        reachable: true,
    };
    shop.answer(unknown(None));
    let before = asked.now();
    asked.answer(unknown(Some(Duration::from_secs(90))));
    let pause = asked.saga.deadline().unwrap().duration_since(before);
    assert_eq!(pause.as_secs(), 90);
    let used = |shop: &Shop| shop.saga.pending().unwrap().budget_used_ms;
    assert_eq!(used(&asked), used(&shop));
}

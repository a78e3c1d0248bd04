//! A saga in sentences: what happened, what it waits for, since when, and what comes next by itself.

use super::unsettled::{exhaust, waiting_at};
use crate::fulfilment::fixtures::{Shop, authorised, captured, later, ordered, refused, unknown};
use crate::fulfilment::{Action, Answer, Input, State, Step, Truth, explain, you_may};

/// The sentences, as they stand so many seconds after the last event.
fn told(shop: &Shop, seconds: i64) -> Vec<String> {
    let since = shop.now();
    let now = crate::fixtures::at(shop.now_ms + seconds * 1_000);
    explain(&shop.saga, &shop.payment, since, now, &shop.policy)
}

fn choices(shop: &Shop) -> Vec<String> {
    you_may(&shop.saga)
        .into_iter()
        .map(|choice| {
            let step = choice
                .step
                .map_or_else(String::new, |step| format!(" {step}"));
            format!("{}{step}: {}", choice.command, choice.would)
        })
        .collect()
}

#[test]
fn a_call_that_is_under_way_is_explained_with_what_follows() {
    assert_eq!(
        told(&Shop::open(), 3),
        [
            "The order asks for 42.00 EUR by card at sandbox and for 2 products; its saga runs as 1:4ce32901.",
            "authorise is under way, no try has ended.",
            "No money is set aside or taken.",
            "It waits for the provider's answer to authorise (try 1), since 2025-06-15T15:06:40Z (3 s ago). If none is recorded by 2025-06-15T15:06:45Z, the outcome counts as unknown and is looked up; it is never taken for a failure.",
            "Then its units are held, all or none, and the money is taken; if that is not possible, the money is let go and the order is cancelled.",
        ]
    );
}

#[test]
fn a_doubt_is_explained_with_when_it_is_looked_up_and_when_a_person_is_told() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    shop.answer(unknown());
    let told = told(&shop, 0);
    assert_eq!(
        told[1..4],
        [
            "authorise is done after 1 try.",
            "hold is done.",
            "capture is under way, 1 try, the last with an unknown outcome: no answer.",
        ]
    );
    assert!(told.contains(&"It is past the point of no return: it goes forward unless the provider refuses the money for good.".into()));
    assert!(told.contains(&"Its units are held for it.".into()));
    assert!(told.contains(&"It waits to look capture up again (try 2), since 2025-06-15T15:06:40Z (just now); that happens by itself at 2025-06-15T15:06:40Z (now).".into()), "{told:#?}");
    assert!(told.contains(&"A person is told after 14 min 59 s more in which the provider can be reached and does not tell; an outage does not count.".into()), "{told:#?}");

    let mut shop = waiting_at(Step::Void);
    shop.answer(later());
    let told = self::told(&shop, 0);
    assert!(
        told.iter()
            .any(|sentence| sentence.contains("told to come back later")),
        "{told:#?}"
    );
    assert!(
        told.iter()
            .any(|sentence| sentence.starts_with("A person is told after 59 min 59 s")),
        "the way back has a patience of its own: {told:#?}"
    );
}

#[test]
fn a_customer_on_the_providers_page_is_explained_with_the_end_of_his_time() {
    let told = told(&Shop::at_checkout(), 60);
    assert!(
        told.contains(&"It waits for the customer to pay on the provider's page, since 2025-06-15T15:06:40Z (1 min ago). At 2025-06-15T15:21:40Z (in 14 min) the order is called off by itself.".into()),
        "{told:#?}"
    );
}

#[test]
fn going_back_is_explained_with_its_plan_and_what_is_left() {
    let mut shop = waiting_at(Step::Capture);
    shop.answer(refused());
    let told = told(&shop, 1);
    for sentence in [
        "capture was refused for good after 1 try: refused: never.",
        "release is done.",
        "It puts everything back, because the payment was declined. The plan was frozen then: release and void.",
        "42.00 EUR are set aside and not taken.",
        "Then the order is cancelled and the saga is compensated; if it is refused for good, a person is told.",
    ] {
        assert!(told.contains(&sentence.to_owned()), "{sentence}: {told:#?}");
    }
}

#[test]
fn a_stuck_refund_is_explained_with_what_is_owed_and_what_a_person_may_do() {
    let mut shop = waiting_at(Step::Refund);
    shop.answer(Answer::Refused {
        code: "account_closed".into(),
        message: "final".into(),
    });
    let told = told(&shop, 760);
    for sentence in [
        "42.00 EUR were taken and 0.00 EUR given back: 42.00 EUR are owed to the customer.",
        "It needs a person since 2025-06-15T15:06:40Z (12 min 40 s ago), for refund: refund_refused (account_closed: final). Nothing happens by itself.",
    ] {
        assert!(told.contains(&sentence.to_owned()), "{sentence}: {told:#?}");
    }
    assert_eq!(
        choices(&shop),
        [
            "retry refund: ask the provider for refund again under the same effect id, with a fresh budget",
            "resolve refund: with outcome ok: cancel the order with everything put back",
            "skip refund: count the money as settled by other means, cancel the order and end the saga as closed",
            "close: put back what needs no provider and end the saga as closed, with refund left due",
        ]
    );
}

#[test]
fn a_stuck_authorisation_may_also_be_turned_back() {
    let mut shop = Shop::open();
    exhaust(&mut shop, &unknown());
    let commands: Vec<String> = choices(&shop)
        .iter()
        .map(|choice| choice.split(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        commands,
        [
            "retry authorise",
            "resolve authorise",
            "resolve authorise",
            "skip authorise",
            "abort",
            "close",
        ]
    );
    let told = told(&shop, 0);
    assert!(
        told.last()
            .unwrap()
            .ends_with("Nothing is asked any more; a callback about it is still looked into."),
        "{told:#?}"
    );
}

#[test]
fn every_end_is_explained() {
    let mut completed = waiting_at(Step::Capture);
    completed.answer(captured());
    let mut compensated = waiting_at(Step::Refund);
    compensated.answer(crate::fulfilment::fixtures::refunded());
    let mut skipped = waiting_at(Step::Refund);
    skipped.answer(refused());
    skipped.order_by_operator(ordered(1, Action::Skip { step: Step::Refund }));
    let mut closed = waiting_at(Step::Refund);
    closed.answer(refused());
    closed.order_by_operator(ordered(1, Action::Close));
    let late = Input::Answered {
        step: Step::Refund,
        effect_id: closed.effect(Step::Refund),
        answer: crate::fulfilment::fixtures::refunded(),
    };
    closed.input(late);
    for (shop, sentences) in [
        (
            completed,
            &[
                "It is completed: everything was done.",
                "Its units are sold to it.",
                "42.00 EUR were taken and 0.00 EUR given back.",
            ][..],
        ),
        (
            compensated,
            &[
                "It is compensated, because the payment was declined: everything was put back.",
                "42.00 EUR were taken and given back.",
            ],
        ),
        (
            skipped,
            &[
                "refund was settled outside, by an operator's word.",
                "An operator ordered: skip refund, because \"the customer called\".",
                "An operator closed it, because \"the customer called\". Nothing is left due.",
                "42.00 EUR were taken and 0.00 EUR given back; 42.00 EUR went back by other means.",
            ],
        ),
        (
            closed,
            &[
                "An operator closed it, because \"the customer called\". Left due, for people to see to: refund.",
                "After it was closed the provider told: 42.00 EUR were given back (re_1). That is in the books and changed nothing else.",
            ],
        ),
    ] {
        let told = told(&shop, 0);
        for sentence in sentences {
            assert!(
                told.contains(&(*sentence).to_owned()),
                "{sentence}: {told:#?}"
            );
        }
        assert_eq!(
            choices(&shop),
            [""; 0],
            "nothing can be ordered after the end"
        );
    }
}

#[test]
fn what_an_operator_stated_is_explained_with_its_evidence() {
    let mut shop = waiting_at(Step::Refund);
    shop.answer(refused());
    let resolve = Action::Resolve {
        step: Step::Refund,
        truth: Truth::Ok,
        evidence: "re_7".into(),
    };
    shop.order_by_operator(ordered(1, resolve));
    assert!(told(&shop, 0).contains(
        &"An operator ordered: resolve refund, because \"the customer called\" (evidence: re_7)."
            .into()
    ));
}

#[test]
fn a_saga_that_was_never_started_has_no_story() {
    let shop = Shop::open();
    let none = State::NotStarted;
    assert_eq!(
        explain(&none, &shop.payment, shop.now(), shop.now(), &shop.policy),
        [""; 0]
    );
    assert_eq!(you_may(&none), []);
}

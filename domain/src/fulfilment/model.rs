//! The saga against a provider with a memory of its own, calls that get lost, answers that come late or again,
//! operators who meddle, and a clock. Whatever happens in whatever order: the laws of `fixtures` and of the audit hold at
//! every position, every story ends, what a person has closed stays closed, and at the end the provider's own books
//! agree with the order.

use std::time::Duration;

use event_schema::order::PaymentMethod;
use proptest::prelude::*;

use super::fixtures::{Shop, cancel, ordered};
use super::provider::{Books, Card, Provider};
use super::{
    Action, Answer, Ending, Input, Rejection, Stage, Status, Step, StepState, Truth, you_may,
};

/// What may happen next.
#[derive(Debug, Clone)]
enum Happening {
    Called,
    CalledAndAnswerLost,
    NeverReached,
    SaysLater,
    OldAnswerComesAgain(usize),
    LookedUp,
    CustomerPays,
    CustomerGivesUp,
    TakenByHand,
    LandsAfterTheEnd,
    CalledOff,
    TimePasses(i64),
    Woken,
    HoldExpires,
    OperatorOrders(Ordered),
    OperatorOrdersAgain(usize),
}

/// What an operator orders about whatever is stuck.
#[derive(Debug, Clone, Copy)]
enum Ordered {
    Retry,
    Skip,
    /// What the provider's books say.
    ResolveTruly,
    /// Whatever comes to mind.
    Claim(Truth),
    Abort,
    Close,
}

fn any_order() -> impl Strategy<Value = Ordered> {
    prop_oneof![
        3 => Just(Ordered::Retry),
        2 => Just(Ordered::Skip),
        3 => Just(Ordered::ResolveTruly),
        1 => prop_oneof![Just(Truth::Ok), Just(Truth::Refused)].prop_map(Ordered::Claim),
        1 => Just(Ordered::Abort),
        1 => Just(Ordered::Close),
    ]
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => Just(Happening::Called),
        4 => Just(Happening::CalledAndAnswerLost),
        1 => Just(Happening::NeverReached),
        1 => Just(Happening::SaysLater),
        2 => (0..20usize).prop_map(Happening::OldAnswerComesAgain),
        1 => Just(Happening::LookedUp),
        1 => Just(Happening::CustomerPays),
        1 => Just(Happening::CustomerGivesUp),
        1 => Just(Happening::TakenByHand),
        2 => Just(Happening::LandsAfterTheEnd),
        1 => Just(Happening::CalledOff),
        2 => (0..400_000i64).prop_map(Happening::TimePasses),
        2 => Just(Happening::Woken),
        1 => Just(Happening::HoldExpires),
        4 => any_order().prop_map(Happening::OperatorOrders),
        1 => (0..8usize).prop_map(Happening::OperatorOrdersAgain),
    ]
}

struct Run {
    shop: Shop,
    provider: Provider,
    delivered: Vec<Input>,
    /// Whether operators may state what is not so.
    believes_anything: bool,
    commands: Vec<Input>,
    /// How a person has ended it.
    closed: Option<Ending>,
}

impl Run {
    fn deliver(&mut self, answer: Answer) {
        if self.shop.saga.pending().is_some() {
            let input = self.shop.answered(answer);
            self.delivered.push(input.clone());
            self.shop.input(input);
        }
    }

    fn looked_up(&mut self) {
        let answer = self.provider.look_up();
        let input = Input::Answered {
            step: Step::Authorise,
            effect_id: self.shop.effect(Step::Authorise),
            answer,
        };
        self.delivered.push(input.clone());
        self.shop.input(input);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Called => {
                if let Some(open) = self.shop.saga.pending().cloned() {
                    let answer = self.provider.call(&open);
                    self.deliver(answer);
                }
            }
            Happening::CalledAndAnswerLost => {
                if let Some(open) = self.shop.saga.pending().cloned() {
                    self.provider.call(&open);
                    self.deliver(Answer::Unknown {
                        after: None,
                        detail: "connection reset".into(),
                        reachable: true,
                    });
                }
            }
            Happening::NeverReached => {
                self.deliver(Answer::Unknown {
                    after: None,
                    detail: "connection refused".into(),
                    reachable: false,
                });
            }
            Happening::SaysLater => self.deliver(Answer::Retry {
                after: None,
                detail: "429".into(),
                reachable: true,
            }),
            Happening::OldAnswerComesAgain(which) => {
                if let Some(old) = self.delivered.get(which).cloned() {
                    self.shop.input(old);
                }
            }
            Happening::LookedUp => self.looked_up(),
            Happening::CustomerPays => {
                if self.provider.books == Books::NeedsCustomer {
                    self.provider.books = Books::SetAside;
                }
            }
            Happening::CustomerGivesUp => {
                if self.provider.books == Books::NeedsCustomer {
                    self.provider.books = Books::Declined;
                }
            }
            Happening::TakenByHand => self.provider.taken_by_hand(),
            Happening::LandsAfterTheEnd => {
                let over = matches!(
                    self.shop.saga().stage,
                    Stage::Compensated { .. } | Stage::Closed(_)
                );
                if over
                    && matches!(
                        self.provider.books,
                        Books::LetGo | Books::Declined | Books::GivenBack
                    )
                {
                    self.provider.books = Books::SetAside;
                    self.provider.payments += 1;
                }
            }
            Happening::CalledOff => self.called_off(),
            Happening::TimePasses(ms) => {
                self.shop.pass(ms);
            }
            Happening::Woken => {
                self.shop.input(Input::DeadlinePassed);
            }
            Happening::HoldExpires => {
                let came_to = self.shop.input(Input::HoldExpired);
                assert!(came_to.is_empty(), "no hold outlives its saga");
            }
            Happening::OperatorOrders(what) => self.operator(what),
            Happening::OperatorOrdersAgain(which) => {
                if let Some(again) = self.commands.get(which).cloned() {
                    assert!(self.shop.input(again).is_empty(), "a command acts once");
                }
            }
        }
        self.stays_closed();
    }

    fn called_off(&mut self) {
        let saga = self.shop.saga();
        let no_return = match &saga.stage {
            Stage::Unwinding(_) | Stage::Compensated { .. } => false,
            Stage::Closed(ending) => ending.called_off.is_none(),
            Stage::Running | Stage::Completed => saga.is_past_no_return(),
        };
        match self.shop.react(cancel()) {
            Ok(_) => {
                assert!(!no_return);
                self.shop.cancel();
            }
            Err(rejection) => assert_eq!((rejection, no_return), (Rejection::TooLate, true)),
        }
    }

    fn operator(&mut self, what: Ordered) {
        let step = self.shop.saga().stuck.as_ref().map(|stuck| stuck.step);
        let step = step.unwrap_or(Step::Refund);
        let evidence = format!("{} in the dashboard", self.provider.id());
        let resolve = |truth| Action::Resolve {
            step,
            truth,
            evidence,
        };
        let action = match what {
            Ordered::Retry => Action::Retry { step: None },
            Ordered::Skip => Action::Skip { step },
            Ordered::ResolveTruly => match self.provider.truth(step) {
                Some(truth) => resolve(truth),
                None => return,
            },
            Ordered::Claim(truth) if self.believes_anything => resolve(truth),
            Ordered::Claim(_) => return,
            Ordered::Abort => Action::Abort,
            Ordered::Close => Action::Close,
        };
        let command = ordered(self.commands.len() as u128, action);
        let may = you_may(&self.shop.saga);
        let named = |choice: &super::Choice| {
            choice.command == command.action.verb()
                && (choice.step.is_none() || choice.step == Some(step))
        };
        let input = Input::Commanded(command.clone());
        match self.shop.react(input.clone()) {
            Ok(decision) => {
                assert!(!decision.is_empty(), "it is recorded");
                assert!(may.iter().any(named), "{command:?} is not in {may:?}");
                self.shop.input(input.clone());
                self.commands.push(input);
            }
            Err(Rejection::Operator(_) | Rejection::TooLate) => {}
            Err(other) => panic!("{command:?}: {other:?}"),
        }
    }

    fn stays_closed(&mut self) {
        let now = match &self.shop.saga().stage {
            Stage::Closed(ending) => Some(ending.clone()),
            Stage::Running | Stage::Unwinding(_) | Stage::Completed | Stage::Compensated { .. } => {
                None
            }
        };
        if self.closed.is_some() {
            assert_eq!(now, self.closed, "nothing brings it back");
        }
        self.closed = now;
    }

    /// The network is well again: everything that is due is done, and callbacks lead to look-ups.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.stays_closed();
            if self.shop.saga().has_ended() {
                let told = self.shop.history.len();
                self.looked_up();
                if self.shop.history.len() == told {
                    return;
                }
            } else if self.shop.status() == Status::NeedsOperator {
                // Only silence for the whole budget leads here; what the provider knows is looked up.
                self.looked_up();
                if self.shop.status() == Status::NeedsOperator {
                    return;
                }
            } else {
                self.shop.wake();
                self.happen(Happening::Called);
            }
        }
        panic!("it never ends: {:?}", self.shop.saga);
    }

    /// What the provider's books have to say at the end.
    fn agree(&self) {
        let books = self.provider.books;
        let with_the_customers_money = matches!(books, Books::SetAside | Books::Taken);
        let saga = self.shop.saga();
        match &saga.stage {
            Stage::Completed => assert_eq!(books, Books::Taken),
            Stage::Compensated { .. } => {
                assert!(!with_the_customers_money, "money is kept: {books:?}");
            }
            // A budget ran out while the answers got lost: a person was told, nothing is hidden.
            Stage::Running | Stage::Unwinding(_) => {
                assert_eq!(self.shop.status(), Status::NeedsOperator);
            }
            Stage::Closed(ending) => {
                let settled = saga
                    .steps
                    .iter()
                    .any(|record| record.state == StepState::Skipped);
                let told_later = !saga.late.is_empty();
                assert!(
                    !with_the_customers_money
                        || !ending.left_due.is_empty()
                        || settled
                        || told_later,
                    "money is kept and nowhere to be found: {books:?}"
                );
            }
        }
    }
}

fn any_run() -> impl Strategy<Value = Run> {
    let card = prop_oneof![
        4 => Just(Card::Good),
        2 => Just(Card::NeedsCustomer),
        1 => Just(Card::Declines)
    ];
    let refuses = prop_oneof![
        5 => Just(None),
        2 => Just(Some(Step::Capture)),
        2 => Just(Some(Step::Void)),
        2 => Just(Some(Step::Refund)),
    ];
    (
        0..2u32,
        any::<bool>(),
        card,
        refuses,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(kettles, checkout, card, refuses, impatient, believes_anything)| {
                let method = if checkout {
                    PaymentMethod::Checkout
                } else {
                    PaymentMethod::Card {
                        token: "pm_card_visa".into(),
                    }
                };
                let mut shop = Shop::placed(kettles, method);
                if impatient {
                    shop.policy.unknown_budget = Duration::from_secs(1);
                }
                let provider = Provider {
                    refuses,
                    ..Provider::with(card)
                };
                Run {
                    shop,
                    provider,
                    delivered: vec![],
                    believes_anything,
                    commands: vec![],
                    closed: None,
                }
            },
        )
}

/// What a failing story shows.
impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("provider", &self.provider)
            .field("believes_anything", &self.believes_anything)
            .field("kettles", &self.shop.units(crate::fixtures::kettle()))
            .finish_non_exhaustive()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    #[test]
    fn every_story_ends_and_the_providers_books_agree_with_the_order(
        mut run in any_run(),
        happenings in prop::collection::vec(any_happening(), 0..40),
    ) {
        for happening in happenings {
            run.happen(happening);
        }
        run.settle();
        // Whoever believes what is not so has books that do not agree; the histories balance all the same.
        if !run.believes_anything {
            run.agree();
        }
        prop_assert_eq!(run.shop.offences(), vec![]);
    }
}

/// A model that never comes to an ending proves nothing about it.
#[test]
fn the_model_comes_to_every_ending() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut endings = std::collections::BTreeSet::new();
    let mut runner = TestRunner::deterministic();
    let stories = (any_run(), prop::collection::vec(any_happening(), 0..40));
    for _ in 0..1500 {
        let (mut run, happenings) = stories.new_tree(&mut runner).unwrap().current();
        for happening in happenings {
            run.happen(happening);
        }
        run.settle();
        let saga = run.shop.saga();
        endings.insert(match &saga.stage {
            Stage::Running | Stage::Unwinding(_) => "needs a person",
            Stage::Completed => "completed",
            Stage::Compensated { .. } => "compensated",
            Stage::Closed(_) if !saga.late.is_empty() => "closed, and told of more money",
            Stage::Closed(ending) if ending.called_off.is_none() => "closed with the order",
            Stage::Closed(ending) if ending.left_due.is_empty() => "closed and settled outside",
            Stage::Closed(_) => "closed with something left due",
        });
    }
    assert_eq!(
        endings.into_iter().collect::<Vec<_>>(),
        [
            "closed and settled outside",
            "closed with something left due",
            "closed with the order",
            "closed, and told of more money",
            "compensated",
            "completed",
            "needs a person",
        ]
    );
}

//! The saga against a provider with a memory of its own, calls that get lost, answers that come late or again, and a
//! clock. Whatever happens in whatever order: the laws of `fixtures` hold at every position, every story ends, and at
//! its end the provider's own books agree with the order.

use event_schema::order::PaymentMethod;
use proptest::prelude::*;

use super::fixtures::{Shop, action_required, authorised_as, cancel, captured, refused};
use super::{Answer, Input, Pending, Rejection, Stage, Status, Step};
use crate::fixtures::eur;

/// What the provider's books say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Books {
    Nothing,
    NeedsCustomer,
    SetAside,
    Taken,
    GivenBack,
    LetGo,
    Declined,
}

/// What a card does when it is first asked.
#[derive(Debug, Clone, Copy)]
enum Card {
    Good,
    NeedsCustomer,
    Declines,
}

#[derive(Debug, Clone)]
struct Provider {
    books: Books,
    /// Payments so far; one that lands after the end is another one.
    payments: u32,
    card: Card,
    refuses_capture: bool,
}

impl Provider {
    fn id(&self) -> String {
        format!("pi_{}", self.payments)
    }

    fn taken(&self) -> Answer {
        Answer::AlreadyCaptured {
            provider_payment_id: self.id(),
            amount: eur(4200),
        }
    }

    fn call(&mut self, open: &Pending) -> Answer {
        match open.step {
            Step::Authorise => {
                if self.books == Books::Nothing {
                    self.books = match self.card {
                        Card::Good => Books::SetAside,
                        Card::NeedsCustomer => Books::NeedsCustomer,
                        Card::Declines => Books::Declined,
                    };
                }
                self.look_up()
            }
            Step::Capture => match self.books {
                Books::SetAside if self.refuses_capture => refused(),
                Books::SetAside | Books::Taken => {
                    self.books = Books::Taken;
                    captured()
                }
                Books::Nothing
                | Books::NeedsCustomer
                | Books::GivenBack
                | Books::LetGo
                | Books::Declined => refused(),
            },
            Step::Void => match self.books {
                // The create is sent again under its key, and what it names is let go: nothing can land any more.
                Books::Nothing | Books::Declined => {
                    self.books = Books::LetGo;
                    Answer::NothingToVoid
                }
                Books::NeedsCustomer | Books::SetAside | Books::LetGo => {
                    self.books = Books::LetGo;
                    Answer::Voided
                }
                Books::Taken | Books::GivenBack => self.taken(),
            },
            Step::Refund => match self.books {
                Books::Taken | Books::GivenBack => {
                    self.books = Books::GivenBack;
                    Answer::Refunded {
                        refund_id: format!("re_{}", self.payments),
                        amount: eur(4200),
                    }
                }
                Books::Nothing
                | Books::NeedsCustomer
                | Books::SetAside
                | Books::LetGo
                | Books::Declined => refused(),
            },
            Step::Hold | Step::Commit | Step::Release => unreachable!("nothing outside is asked"),
        }
    }

    fn look_up(&self) -> Answer {
        match self.books {
            Books::Nothing => Answer::Unknown {
                detail: "not found".into(),
                reachable: true,
            },
            Books::NeedsCustomer => action_required(),
            Books::SetAside => authorised_as(&self.id()),
            Books::Taken | Books::GivenBack => self.taken(),
            Books::LetGo | Books::Declined => refused(),
        }
    }
}

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
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => Just(Happening::Called),
        3 => Just(Happening::CalledAndAnswerLost),
        1 => Just(Happening::NeverReached),
        1 => Just(Happening::SaysLater),
        2 => (0..20usize).prop_map(Happening::OldAnswerComesAgain),
        1 => Just(Happening::LookedUp),
        1 => Just(Happening::CustomerPays),
        1 => Just(Happening::CustomerGivesUp),
        1 => Just(Happening::TakenByHand),
        1 => Just(Happening::LandsAfterTheEnd),
        1 => Just(Happening::CalledOff),
        2 => (0..400_000i64).prop_map(Happening::TimePasses),
        2 => Just(Happening::Woken),
    ]
}

struct Run {
    shop: Shop,
    provider: Provider,
    delivered: Vec<Input>,
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
                        detail: "connection reset".into(),
                        reachable: true,
                    });
                }
            }
            Happening::NeverReached => {
                self.deliver(Answer::Unknown {
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
            Happening::TakenByHand => {
                if self.provider.books == Books::SetAside {
                    self.provider.books = Books::Taken;
                }
            }
            Happening::LandsAfterTheEnd => {
                let over = matches!(self.shop.saga().stage, Stage::Compensated { .. });
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
            Happening::CalledOff => {
                let no_return = self.shop.saga().is_past_no_return()
                    && !matches!(
                        self.shop.saga().stage,
                        Stage::Unwinding(_) | Stage::Compensated { .. }
                    );
                match self.shop.react(cancel()) {
                    Ok(_) => {
                        assert!(!no_return);
                        self.shop.cancel();
                    }
                    Err(rejection) => {
                        assert_eq!((rejection, no_return), (Rejection::TooLate, true))
                    }
                }
            }
            Happening::TimePasses(ms) => {
                self.shop.pass(ms);
            }
            Happening::Woken => {
                self.shop.input(Input::DeadlinePassed);
            }
        }
    }

    /// The network is well again: everything that is due is done, and callbacks lead to look-ups.
    fn settle(&mut self) {
        for _ in 0..100 {
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
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_story_ends_and_the_providers_books_agree_with_the_order(
        kettles in 0..2u32,
        checkout in any::<bool>(),
        card in prop_oneof![Just(Card::Good), Just(Card::NeedsCustomer), Just(Card::Declines)],
        refuses_capture in prop::bool::weighted(0.2),
        happenings in prop::collection::vec(any_happening(), 0..40),
    ) {
        let method = if checkout {
            PaymentMethod::Checkout
        } else {
            PaymentMethod::Card { token: "pm_card_visa".into() }
        };
        let provider = Provider { books: Books::Nothing, payments: 1, card, refuses_capture };
        let mut run = Run { shop: Shop::placed(kettles, method), provider, delivered: vec![] };
        for happening in happenings {
            run.happen(happening);
        }
        run.settle();
        let books = run.provider.books;
        match &run.shop.saga().stage {
            Stage::Completed => prop_assert_eq!(books, Books::Taken),
            Stage::Compensated { .. } => {
                prop_assert!(!matches!(books, Books::SetAside | Books::Taken), "money is kept: {books:?}");
            }
            // A budget ran out while the answers got lost: a person was told, nothing is hidden.
            Stage::Running | Stage::Unwinding(_) => prop_assert_eq!(run.shop.status(), Status::NeedsOperator),
            Stage::Closed(_) => prop_assert!(false, "nobody has closed it"),
        }
    }
}

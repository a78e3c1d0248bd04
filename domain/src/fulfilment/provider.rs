//! A provider with a memory of its own: the same call again under its key does nothing again, and its books say what
//! really happened.

use super::fixtures::{action_required, authorised_as, captured, refused};
use super::{Answer, Pending, Step, Truth};
use crate::fixtures::eur;

/// What the provider's books say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Books {
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
pub(super) enum Card {
    Good,
    NeedsCustomer,
    Declines,
}

#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub(super) books: Books,
    /// Payments so far; one that lands after the end is another one.
    pub(super) payments: u32,
    pub(super) card: Card,
    /// What it refuses for good, for as long as it does.
    pub(super) refuses: Option<Step>,
    /// How often money really moved: taken, given back.
    pub(super) moved: (u32, u32),
}

impl Provider {
    pub(super) fn with(card: Card) -> Self {
        Self {
            books: Books::Nothing,
            payments: 1,
            card,
            refuses: None,
            moved: (0, 0),
        }
    }

    /// Somebody in the shop takes the money at the provider's own desk.
    pub(super) fn taken_by_hand(&mut self) {
        if self.books == Books::SetAside {
            self.take();
        }
    }

    fn take(&mut self) {
        self.books = Books::Taken;
        self.moved.0 += 1;
    }

    pub(super) fn id(&self) -> String {
        format!("pi_{}", self.payments)
    }

    fn taken(&self) -> Answer {
        Answer::AlreadyCaptured {
            provider_payment_id: self.id(),
            amount: eur(4200),
        }
    }

    pub(super) fn call(&mut self, open: &Pending) -> Answer {
        match open.step {
            Step::Authorise => {
                if self.books == Books::Nothing {
                    self.books = match self.card {
                        _ if self.refuses == Some(Step::Authorise) => Books::Declined,
                        Card::Good => Books::SetAside,
                        Card::NeedsCustomer => Books::NeedsCustomer,
                        Card::Declines => Books::Declined,
                    };
                }
                self.look_up()
            }
            Step::Capture => match self.books {
                Books::SetAside if self.refuses == Some(Step::Capture) => refused(),
                Books::SetAside => {
                    self.take();
                    captured()
                }
                Books::Taken => captured(),
                Books::Nothing
                | Books::NeedsCustomer
                | Books::GivenBack
                | Books::LetGo
                | Books::Declined => refused(),
            },
            Step::Void => match self.books {
                Books::NeedsCustomer | Books::SetAside if self.refuses == Some(Step::Void) => {
                    refused()
                }
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
                Books::Taken if self.refuses == Some(Step::Refund) => refused(),
                Books::Taken | Books::GivenBack => {
                    if self.books == Books::Taken {
                        self.moved.1 += 1;
                    }
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

    /// What an honest operator reads in the books about a step that is stuck; nothing while they say something else.
    pub(super) fn truth(&self, step: Step) -> Option<Truth> {
        match (step, self.books) {
            (Step::Authorise, Books::SetAside | Books::Taken)
            | (Step::Capture, Books::Taken)
            | (Step::Void, Books::Nothing | Books::LetGo | Books::Declined)
            | (Step::Refund, Books::GivenBack) => Some(Truth::Ok),
            (Step::Authorise, Books::Nothing | Books::LetGo | Books::Declined)
            | (Step::Capture, Books::SetAside | Books::LetGo | Books::Declined)
            | (Step::Void, Books::SetAside | Books::NeedsCustomer)
            | (Step::Refund, Books::Taken) => Some(Truth::Refused),
            (
                Step::Authorise
                | Step::Hold
                | Step::Capture
                | Step::Commit
                | Step::Void
                | Step::Release
                | Step::Refund,
                _,
            ) => None,
        }
    }

    pub(super) fn look_up(&self) -> Answer {
        match self.books {
            Books::Nothing => Answer::Unknown {
                after: None,
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

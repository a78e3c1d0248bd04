//! A gift card: issued once, spent bit by bit, never overdrawn. Pure: no clock, no database, no random.

use event_schema::Decider;
use serde::{Deserialize, Serialize};
use service_kit::Problem;

use crate::event::{Event, Issued, Redeemed};

/// What may be asked of a gift card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Issue { cents: u32 },
    Redeem { cents: u32 },
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("there is no such gift card")]
    NotIssued,
    #[error("only {left} cents are left on the gift card")]
    NotEnoughLeft { left: u32 },
}

/// Statuses and codes have one place; a "no" is never a 500.
impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::NotIssued => Self::not_found(rejection.to_string()),
            Rejection::NotEnoughLeft { left } => {
                Self::conflict("not_enough_left", rejection.to_string()).with("left", left)
            }
        }
    }
}

/// What decisions need to remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    NotIssued,
    Issued { left: u32 },
}

/// The decider.
pub struct GiftCard;

impl Decider for GiftCard {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::NotIssued
    }

    fn evolve(state: State, event: &Event) -> State {
        match (state, event) {
            (_, Event::Issued(Issued { cents })) => State::Issued { left: *cents },
            (State::Issued { left }, Event::Redeemed(Redeemed { cents })) => State::Issued {
                left: left.saturating_sub(*cents),
            },
            (State::NotIssued, Event::Redeemed(_)) => State::NotIssued,
        }
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match (*state, command) {
            (State::NotIssued, Command::Issue { cents }) => {
                Ok(vec![Event::Issued(Issued { cents })])
            }
            // Already true.
            (State::Issued { .. }, Command::Issue { .. }) => Ok(Vec::new()),
            (State::NotIssued, Command::Redeem { .. }) => Err(Rejection::NotIssued),
            (State::Issued { left }, Command::Redeem { cents }) if cents > left => {
                Err(Rejection::NotEnoughLeft { left })
            }
            (State::Issued { .. }, Command::Redeem { cents }) => {
                Ok(vec![Event::Redeemed(Redeemed { cents })])
            }
        }
    }
}

fn after(events: &[Event]) -> State {
    GiftCard::fold(events)
}

#[test]
fn a_gift_card_is_spent_bit_by_bit() {
    let issued = GiftCard::decide(&GiftCard::initial(), Command::Issue { cents: 5000 }).unwrap();
    let spent = GiftCard::decide(&after(&issued), Command::Redeem { cents: 2000 }).unwrap();
    let history = [issued, spent].concat();
    assert_eq!(after(&history), State::Issued { left: 3000 });
}

#[test]
fn more_than_is_left_is_refused() {
    let state = State::Issued { left: 3000 };
    let refused = GiftCard::decide(&state, Command::Redeem { cents: 3001 });
    assert_eq!(refused, Err(Rejection::NotEnoughLeft { left: 3000 }));
}

#[test]
fn a_card_that_nobody_issued_is_not_spent_and_one_that_is_issued_is_not_issued_again() {
    let refused = GiftCard::decide(&State::NotIssued, Command::Redeem { cents: 1 });
    assert_eq!(refused, Err(Rejection::NotIssued));
    let again = GiftCard::decide(&State::Issued { left: 1 }, Command::Issue { cents: 9 });
    assert_eq!(again, Ok(Vec::new()));
}

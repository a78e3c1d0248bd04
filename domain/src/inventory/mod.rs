//! The stock of one product: received = available + held + sold, nothing negative.
//!
//! Units arrive (`Receive`) or are counted anew (`Adjust`). An order puts units aside (`Hold`), and each hold ends
//! once: sold (`Commit`) or put back (`Release`). Falling to the threshold is told once per crossing (`RanLow`).

mod adjust;
mod commit;
mod hold;
mod receive;
mod release;
mod state;
mod threshold;

use event_schema::Decider;
use event_schema::inventory as event;
pub use event_schema::inventory::{Event, ReleaseCause};

use crate::command_set::command_set;

pub use adjust::Adjust;
pub use commit::Commit;
pub use hold::Hold;
pub use receive::Receive;
pub use release::Release;
pub use state::{Ended, HeldUnits, REMEMBERED_ENDINGS, State};
pub use threshold::SetThreshold;

/// Most units one receive or adjust moves.
pub const MOST_UNITS_AT_ONCE: u32 = 1_000_000_000;
/// Most units a product ever receives: what every JSON reader holds exactly.
pub const MOST_UNITS_RECEIVED: u64 = (1 << 53) - 1;

command_set! {
    /// What may be asked of a stock.
    pub enum Command {
        /// Units arrived.
        Receive,
        /// The count of received units was wrong.
        Adjust,
        /// From now on the stock counts as low at another count.
        SetThreshold,
        /// Put units aside for an order.
        Hold,
        /// Put an order's units back.
        Release,
        /// An order's units are sold.
        Commit,
    }
}

/// Why a command on a stock is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Zero, or more than can be moved at once.
    #[error(
        "the quantity must be between 1 and {MOST_UNITS_AT_ONCE}, in either direction for an adjustment"
    )]
    QuantityOutOfRange,
    /// More than a stock counts.
    #[error("no product can receive more than {MOST_UNITS_RECEIVED} units")]
    TooManyUnits,
    /// The adjustment would take more than is available.
    #[error("only {available} units are available to take away")]
    InsufficientStock {
        /// Units that are neither held nor sold.
        available: u64,
    },
    /// The order asks for more than is available.
    #[error("only {available} units are available")]
    OutOfStock {
        /// Units that are neither held nor sold.
        available: u64,
    },
    /// The order holds another quantity already.
    #[error("the order holds {held} units already")]
    HeldDifferently {
        /// What it holds.
        held: u32,
    },
    /// The order's hold is no more; it is neither sold nor taken again.
    #[error("the order's hold has ended")]
    HoldGone,
}

/// The decider of a stock.
pub struct Inventory;

impl Decider for Inventory {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::default()
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolve(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Receive(receive) => receive.decide(state),
            Command::Adjust(adjust) => adjust.decide(state),
            Command::SetThreshold(set) => set.decide(state),
            Command::Hold(hold) => hold.decide(state),
            Command::Release(release) => release.decide(state),
            Command::Commit(commit) => commit.decide(state),
        }
    }
}

/// The decided event, and the alert when the stock crosses its threshold with it.
fn with_alert(state: &State, available: u64, low_stock_threshold: u32, event: Event) -> Vec<Event> {
    let was_low = state.low();
    let is_low = available <= u64::from(low_stock_threshold);
    let mut events = vec![event];
    if is_low && !was_low {
        events.push(
            event::RanLow {
                available,
                low_stock_threshold,
            }
            .into(),
        );
    }
    events
}

#[cfg(test)]
mod fixtures {
    use event_schema::ids::OrderId;
    use event_schema::inventory::{self as event, Event, ReleaseCause};

    use crate::fixtures::at;

    pub(super) fn received(quantity: u32) -> Event {
        event::Received {
            quantity,
            reason: None,
        }
        .into()
    }

    pub(super) fn threshold(low_stock_threshold: u32) -> Event {
        event::ThresholdSet {
            low_stock_threshold,
        }
        .into()
    }

    pub(super) fn held(order_id: OrderId, quantity: u32) -> Event {
        event::Held {
            order_id,
            quantity,
            expires_at: at(0),
        }
        .into()
    }

    pub(super) fn released(order_id: OrderId, quantity: u32) -> Event {
        event::Released {
            order_id,
            quantity,
            cause: ReleaseCause::Compensated,
        }
        .into()
    }

    pub(super) fn committed(order_id: OrderId, quantity: u32) -> Event {
        event::Committed { order_id, quantity }.into()
    }

    pub(super) fn ran_low(available: u64, low_stock_threshold: u32) -> Event {
        event::RanLow {
            available,
            low_stock_threshold,
        }
        .into()
    }
}

#[cfg(test)]
mod model;

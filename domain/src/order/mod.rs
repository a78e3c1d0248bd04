//! An order: what was bought, from whom, for how much, and what became of it.
//!
//! ```text
//! placed (pending payment) ──confirm──▶ confirmed ──make ready──▶ ready ──assign──▶ delivering ──deliver──▶ delivered
//!    │        └──begin cancel──▶ cancelling ──finish cancel──▶ cancelled
//!    └──────────finish cancel (nothing to put back)──────────────▲
//! ```
//!
//! Confirming and cancelling are asked for by the saga `fulfilment` alone, in one batch with its own events; what comes
//! after is told by the partner and the deliverer.

mod assign;
mod begin_cancel;
mod confirm;
mod deliver;
mod finish_cancel;
mod make_ready;
mod place;
mod state;

use event_schema::Decider;
use event_schema::ids::ProductId;
pub use event_schema::order::{CancelReason, Event, Line, PaymentMethod};

use crate::command_set::command_set;

pub use assign::Assign;
pub use begin_cancel::BeginCancel;
pub use confirm::Confirm;
pub use deliver::Deliver;
pub use finish_cancel::FinishCancel;
pub use make_ready::MakeReady;
pub use place::Place;
pub use state::{CallOff, Details, Pickup, State};

/// Most lines of one order.
pub const MOST_LINES: usize = 50;
/// Most units of one line.
pub const MOST_UNITS_OF_A_LINE: u32 = 10_000;

command_set! {
    /// What may be asked of an order.
    pub enum Command {
        /// A customer buys.
        Place,
        /// It is paid and in stock.
        Confirm,
        /// It is prepared.
        MakeReady,
        /// Somebody takes it.
        Assign,
        /// The customer has it.
        Deliver,
        /// It is called off; what was done is being put back.
        BeginCancel,
        /// It is called off and everything is put back.
        FinishCancel,
    }
}

/// Why a command on an order is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The id belongs to another order.
    #[error("a different order has this id already")]
    AlreadyPlaced,
    /// There is no such order.
    #[error("there is no such order")]
    NotPlaced,
    /// An order buys something.
    #[error("an order needs at least one line")]
    NoLines,
    /// An order has a limit.
    #[error("an order has at most {MOST_LINES} lines")]
    TooManyLines,
    /// A line has limits.
    #[error("the quantity of a line must be between 1 and {MOST_UNITS_OF_A_LINE}")]
    QuantityOutOfRange {
        /// Of this product.
        product_id: ProductId,
    },
    /// Lines of one product are added up before the order is placed.
    #[error("a product is in the order twice")]
    ProductTwice {
        /// This product.
        product_id: ProductId,
    },
    /// An order is paid in one currency.
    #[error("the order mixes currencies")]
    CurrencyMismatch,
    /// Prices, totals and quantities contradict each other.
    #[error("the order's totals do not add up")]
    TotalsDoNotAddUp,
    /// The order is confirmed, or about to be.
    #[error("it is too late to call the order off")]
    TooLate,
    /// The order is called off.
    #[error("the order is called off")]
    CalledOff,
    /// Only what is paid and in stock is prepared.
    #[error("the order is not confirmed yet")]
    NotConfirmed,
    /// A deliverer must know where to go.
    #[error("a prepared order needs a pickup address")]
    PickupAddressMissing,
    /// Only what is prepared is taken.
    #[error("the order is not prepared yet")]
    NotReady,
    /// Somebody else brings it.
    #[error("somebody else has taken the order")]
    AlreadyTaken,
    /// Nobody has taken it.
    #[error("nobody has taken the order yet")]
    NotTaken,
}

/// The decider of an order.
pub struct Order;

impl Decider for Order {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 2;

    fn initial() -> State {
        State::NotPlaced
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolve(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Place(place) => place.decide(state),
            Command::Confirm(confirm) => confirm.decide(state),
            Command::MakeReady(make_ready) => make_ready.decide(state),
            Command::Assign(assign) => assign.decide(state),
            Command::Deliver(deliver) => deliver.decide(state),
            Command::BeginCancel(cancel) => cancel.decide(state),
            Command::FinishCancel(cancel) => cancel.decide(state),
        }
    }
}

#[cfg(test)]
pub(crate) mod fixtures {
    use event_schema::ids::{DelivererId, ProductId};
    use event_schema::order::{self as event, CancelReason, Event, Line, PaymentMethod};
    use uuid::Uuid;

    use crate::fixtures::{customer_id, eur, kettle, mug, partner_id, quote_id, sealed};

    pub(crate) fn line(product_id: ProductId, name: &str, quantity: u32, price: i64) -> Line {
        Line {
            product_id,
            sku: name.to_uppercase(),
            name: name.into(),
            brand: "Corner".into(),
            category: "kitchen".into(),
            quantity,
            unit_price: eur(price),
            unit_cost: eur(price / 2),
            total: eur(price * i64::from(quantity)),
        }
    }

    /// Two mugs and a kettle for 42.00 EUR, paid by card.
    pub(crate) fn two_mugs_and_a_kettle() -> event::Placed {
        event::Placed {
            quote_id: quote_id(),
            customer_id: customer_id(),
            partner_id: partner_id(),
            lines: vec![
                line(mug(), "mug", 2, 850),
                line(kettle(), "kettle", 1, 2500),
            ],
            total: eur(4200),
            delivery_address: sealed("delivery_address"),
            phone: sealed("phone"),
            payment_method: PaymentMethod::Card {
                token: "pm_card_visa".into(),
            },
        }
    }

    pub(super) fn placed() -> Event {
        two_mugs_and_a_kettle().into()
    }

    pub(super) fn confirmed() -> Event {
        event::Confirmed {}.into()
    }

    /// The n-th deliverer.
    pub(super) fn deliverer(n: u128) -> DelivererId {
        DelivererId(Uuid::from_u128(0xf000 + n))
    }

    pub(super) fn ready() -> Event {
        event::Ready {
            pickup_address: "Corner Street 1".into(),
        }
        .into()
    }

    pub(super) fn assigned(n: u128) -> Event {
        event::Assigned {
            deliverer_id: deliverer(n),
        }
        .into()
    }

    pub(super) fn delivered() -> Event {
        event::Delivered {}.into()
    }

    pub(super) fn cancelling() -> Event {
        event::Cancelling {
            reason: CancelReason::OutOfStock,
            detail: Some("kettle".into()),
        }
        .into()
    }

    pub(super) fn cancelled() -> Event {
        event::Cancelled {
            reason: CancelReason::OutOfStock,
            detail: Some("kettle".into()),
        }
        .into()
    }
}

#[cfg(test)]
mod model;

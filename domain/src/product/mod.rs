//! A product in the catalogue: added, described anew, removed for good.
//!
//! That a SKU belongs to one product at a time is guarded by its uniqueness record, appended in the same group. A
//! removed product keeps its past orders and frees its SKU.

mod add;
mod change;
mod remove;
mod state;

use event_schema::Decider;
pub use event_schema::product::{Details, Event};

use crate::command_set::command_set;

pub use add::Add;
pub use change::Change;
pub use remove::Remove;
pub use state::{Identity, State};

command_set! {
    /// What may be asked of a product.
    pub enum Command {
        /// A product exists from now on.
        Add,
        /// It is described anew.
        Change,
        /// It is not sold any more.
        Remove,
    }
}

/// Why a command on a product is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The id belongs to another product.
    #[error("a different product has this id already")]
    AlreadyAdded,
    /// Nothing has this id, or not any more.
    #[error("there is no such product")]
    NotAdded,
    /// The product was removed; its id is not used again.
    #[error("the product was removed")]
    Removed,
    /// A product has a SKU.
    #[error("a product needs a SKU")]
    SkuMissing,
    /// A product has a name.
    #[error("a product needs a name")]
    NameMissing,
    /// Nothing costs less than nothing.
    #[error("a unit's cost cannot be negative")]
    NegativeUnitCost,
}

/// The decider of a product.
pub struct Product;

impl Decider for Product {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    const SHAPE: u32 = 1;

    fn initial() -> State {
        State::NotAdded
    }

    fn evolve(state: State, event: &Event) -> State {
        state.evolve(event)
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Add(add) => add.decide(state),
            Command::Change(change) => change.decide(state),
            Command::Remove(remove) => remove.decide(state),
        }
    }
}

/// What every description has to have.
fn check(details: &Details) -> Result<(), Rejection> {
    if details.name.trim().is_empty() {
        return Err(Rejection::NameMissing);
    }
    if details.unit_cost.amount < 0 {
        return Err(Rejection::NegativeUnitCost);
    }
    Ok(())
}

#[cfg(test)]
mod fixtures {
    use event_schema::product::{self as event, Details, Event};

    use crate::fixtures::eur;

    pub(super) fn details() -> Details {
        Details {
            name: "Blue mug".into(),
            brand: "Corner".into(),
            category: "kitchen".into(),
            size: None,
            color: Some("blue".into()),
            description: None,
            picture_url: None,
            unit_cost: eur(350),
        }
    }

    pub(super) fn added() -> Event {
        event::Added {
            sku: "MUG-1".into(),
            sku_key: "5c0".into(),
            partner_id: None,
            details: details(),
        }
        .into()
    }

    pub(super) fn removed() -> Event {
        event::Removed {}.into()
    }
}

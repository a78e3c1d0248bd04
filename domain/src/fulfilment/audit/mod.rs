//! Whether the money and the stock of an order balance: at the end of its histories, and at every position of them.
//!
//! One order's events of all its histories and of the stock that it holds are folded in the order of the log by an
//! [`OrderAudit`]; a product's whole stock by a [`StockAudit`]. What one event alone can break is found at that event;
//! what several histories have to agree on is looked at where a command's events are all there, because a batch is
//! appended whole. Pure: whoever reads the log decides how much of it is kept in memory.
//!
//! What has to hold (at every position, for every order):
//!
//! * 0 ≤ refunded ≤ captured ≤ authorised, and never more is kept than the order costs.
//! * A completed order is paid, sold and confirmed; of a compensated one nothing is kept, set aside, held or sold.
//! * What a person has closed keeps nothing that is neither named as left due nor settled outside.
//! * An order holds each of its lines once; a hold ends once, and not without its saga.
//! * A saga never ends while a compensation is due, and not twice.

mod order;
mod stock;

use event_schema::fulfilment::Step;
use event_schema::ids::{CommandId, OrderId, ProductId};
use event_schema::{Money, Position};
use serde::Serialize;

use super::{Event, Status};
use crate::{inventory, order as orders, payment};

pub use order::{AtRest, OrderAudit, balance_of, hold_of, money_of};
pub use stock::{Counts, StockAudit};

/// One event of an order's histories, or of the stock that it holds.
#[derive(Debug, Clone, Copy)]
pub enum Fact<'a> {
    /// Of its saga.
    Saga(&'a Event),
    /// Of the order itself.
    Order(&'a orders::Event),
    /// Of its payment.
    Payment(&'a payment::Event),
    /// Of a product's stock; what is about other orders is passed over.
    Stock(ProductId, &'a inventory::Event),
}

/// A fact at its place in the log.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Where.
    pub position: Position,
    /// The command that it belongs to: events of one command stand or fall together.
    pub command_id: CommandId,
    /// What.
    pub fact: Fact<'a>,
}

/// How closely the histories are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// As they are now; and what single events have broken, wherever that was.
    Now,
    /// At every position.
    EveryPosition,
}

/// What does not balance, and since where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offence {
    /// Where it shows first.
    pub position: Position,
    /// What.
    pub finding: Finding,
}

/// What does not balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The provider's sums contradict each other.
    #[error("authorised {authorised}, captured {captured} and refunded {refunded} cannot be")]
    LedgerOutOfBounds {
        /// Set aside in all.
        authorised: Money,
        /// Taken in all.
        captured: Money,
        /// Given back in all.
        refunded: Money,
    },
    /// The customer has paid more than the order costs.
    #[error("{kept} are kept for an order of {total}")]
    PaidTwice {
        /// What the shop keeps, settled outside included.
        kept: Money,
        /// What the order costs.
        total: Money,
    },
    /// The customer has got more back than he paid.
    #[error("{returned} were given back of {captured}")]
    GivenBackTwice {
        /// At the provider and outside.
        returned: Money,
        /// What was taken.
        captured: Money,
    },
    /// An order was confirmed for less than it costs.
    #[error("{kept} are kept for a confirmed order of {total}")]
    NotPaid {
        /// What the shop keeps.
        kept: Money,
        /// What the order costs.
        total: Money,
    },
    /// An order was called off and its money kept.
    #[error("{kept} are kept of an order that was called off")]
    MoneyKept {
        /// How much.
        kept: Money,
    },
    /// An order was called off and its money is still set aside.
    #[error("{set_aside} are still set aside for an order that was called off")]
    MoneySetAside {
        /// How much.
        set_aside: Money,
    },
    /// The money is taken and nothing follows from it.
    #[error(
        "{kept} are taken, and the order is neither confirmed nor called off, nor is a person asked"
    )]
    PaidAndForgotten {
        /// How much.
        kept: Money,
    },
    /// A line is held a second time.
    #[error("product {product_id} is held a second time")]
    HeldTwice {
        /// Which.
        product_id: ProductId,
    },
    /// Another quantity than was ordered.
    #[error("{found} of product {product_id} are held or sold where {ordered} were ordered")]
    OtherQuantity {
        /// Which.
        product_id: ProductId,
        /// What was ordered.
        ordered: u32,
        /// What there is.
        found: u32,
    },
    /// A hold ended that does not run.
    #[error("a hold of product {product_id} ended that did not run")]
    EndedWithoutHold {
        /// Which.
        product_id: ProductId,
    },
    /// Units are held for an order whose saga has ended.
    #[error("{held} of product {product_id} are held though the saga is {}", saga.as_str())]
    HoldOutlivesSaga {
        /// Which.
        product_id: ProductId,
        /// How many.
        held: u32,
        /// How it ended.
        saga: Status,
    },
    /// The money is being taken for units that are not held.
    #[error("product {product_id} is being paid for and not held")]
    HoldMissing {
        /// Which.
        product_id: ProductId,
    },
    /// A completed order was not handed its units.
    #[error("product {product_id} was not sold to a completed order")]
    NotSold {
        /// Which.
        product_id: ProductId,
    },
    /// Units were sold to an order that was not confirmed.
    #[error("{sold} of product {product_id} are sold to an order that is not confirmed")]
    SoldToNobody {
        /// Which.
        product_id: ProductId,
        /// How many.
        sold: u32,
    },
    /// The saga says that it has ended, and something is still to be done.
    #[error("the saga ended as {} while {due:?} were due", saga.as_str())]
    EndedWithDue {
        /// As what it ended.
        saga: Status,
        /// What was due.
        due: Vec<Step>,
    },
    /// The saga went on after its end.
    #[error("{event} came after the saga had ended as {}", saga.as_str())]
    AfterTheEnd {
        /// As what it had ended.
        saga: Status,
        /// The stored type of what came.
        event: &'static str,
    },
    /// The order and its saga contradict each other.
    #[error("the order is {order} and its saga is {}", saga.as_str())]
    OrderDisagrees {
        /// How the order stands.
        order: &'static str,
        /// How its saga stands.
        saga: Status,
    },
    /// An order, or units put aside for one, without a saga: nobody sees to it.
    #[error("the order has no saga")]
    SagaMissing,
    /// A saga without an order.
    #[error("the saga has no order")]
    OrderMissing,
    /// A stock's units are not all somewhere.
    #[error("{received} received are not {available} available, {held} held and {sold} sold")]
    StockDoesNotBalance {
        /// Ever received, adjustments included.
        received: i64,
        /// Can be sold.
        available: i64,
        /// Put aside.
        held: i64,
        /// Sold.
        sold: i64,
    },
    /// More was promised than there is.
    #[error("the stock is below nothing: {available} available, {held} held, {sold} sold")]
    StockBelowNothing {
        /// Can be sold.
        available: i64,
        /// Put aside.
        held: i64,
        /// Sold.
        sold: i64,
    },
    /// A hold of an order began while one of it ran, or ended without one.
    #[error("the holds of order {order_id} contradict each other")]
    HoldsContradict {
        /// Whose.
        order_id: OrderId,
    },
}

impl Finding {
    /// The product that it is about, if about one.
    pub const fn product_id(&self) -> Option<ProductId> {
        match self {
            Self::HeldTwice { product_id }
            | Self::OtherQuantity { product_id, .. }
            | Self::EndedWithoutHold { product_id }
            | Self::HoldOutlivesSaga { product_id, .. }
            | Self::HoldMissing { product_id }
            | Self::NotSold { product_id }
            | Self::SoldToNobody { product_id, .. } => Some(*product_id),
            Self::LedgerOutOfBounds { .. }
            | Self::PaidTwice { .. }
            | Self::GivenBackTwice { .. }
            | Self::NotPaid { .. }
            | Self::MoneyKept { .. }
            | Self::MoneySetAside { .. }
            | Self::PaidAndForgotten { .. }
            | Self::EndedWithDue { .. }
            | Self::AfterTheEnd { .. }
            | Self::OrderDisagrees { .. }
            | Self::SagaMissing
            | Self::OrderMissing
            | Self::StockDoesNotBalance { .. }
            | Self::StockBelowNothing { .. }
            | Self::HoldsContradict { .. } => None,
        }
    }

    /// Every word that [`Finding::code`] says.
    pub const CODES: &[&str] = &[
        "ledger_out_of_bounds",
        "paid_twice",
        "given_back_twice",
        "not_paid",
        "money_kept",
        "money_set_aside",
        "paid_and_forgotten",
        "held_twice",
        "other_quantity",
        "ended_without_hold",
        "hold_outlives_saga",
        "hold_missing",
        "not_sold",
        "sold_to_nobody",
        "ended_with_due",
        "after_the_end",
        "order_disagrees",
        "saga_missing",
        "order_missing",
        "stock_does_not_balance",
        "stock_below_nothing",
        "holds_contradict",
    ];

    /// The finding as a stable word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::LedgerOutOfBounds { .. } => "ledger_out_of_bounds",
            Self::PaidTwice { .. } => "paid_twice",
            Self::GivenBackTwice { .. } => "given_back_twice",
            Self::NotPaid { .. } => "not_paid",
            Self::MoneyKept { .. } => "money_kept",
            Self::MoneySetAside { .. } => "money_set_aside",
            Self::PaidAndForgotten { .. } => "paid_and_forgotten",
            Self::HeldTwice { .. } => "held_twice",
            Self::OtherQuantity { .. } => "other_quantity",
            Self::EndedWithoutHold { .. } => "ended_without_hold",
            Self::HoldOutlivesSaga { .. } => "hold_outlives_saga",
            Self::HoldMissing { .. } => "hold_missing",
            Self::NotSold { .. } => "not_sold",
            Self::SoldToNobody { .. } => "sold_to_nobody",
            Self::EndedWithDue { .. } => "ended_with_due",
            Self::AfterTheEnd { .. } => "after_the_end",
            Self::OrderDisagrees { .. } => "order_disagrees",
            Self::SagaMissing => "saga_missing",
            Self::OrderMissing => "order_missing",
            Self::StockDoesNotBalance { .. } => "stock_does_not_balance",
            Self::StockBelowNothing { .. } => "stock_below_nothing",
            Self::HoldsContradict { .. } => "holds_contradict",
        }
    }
}

/// Looks at one order whole; its entries stand in the order of the log. Each offence is told once, where it shows first.
pub fn audit<'a>(
    order_id: OrderId,
    entries: impl IntoIterator<Item = Entry<'a>>,
    scope: Scope,
) -> Vec<Offence> {
    let mut order = OrderAudit::new(order_id);
    let mut offences: Vec<Offence> = vec![];
    let mut last: Option<(Position, CommandId)> = None;
    let mut standing: Vec<Finding> = vec![];
    for entry in entries {
        let batch_is_over = last.filter(|(_, command)| *command != entry.command_id);
        if let (Some((position, _)), Scope::EveryPosition) = (batch_is_over, scope) {
            tell(&mut offences, &mut standing, position, order.balance());
        }
        let broken = order.apply(entry.fact);
        offences.extend(broken.into_iter().map(|finding| Offence {
            position: entry.position,
            finding,
        }));
        last = Some((entry.position, entry.command_id));
    }
    if let Some((position, _)) = last {
        tell(&mut offences, &mut standing, position, order.balance());
    }
    offences
}

/// Adds what was not so at the look before.
fn tell(
    offences: &mut Vec<Offence>,
    standing: &mut Vec<Finding>,
    position: Position,
    found: Vec<Finding>,
) {
    let new = found.iter().filter(|finding| !standing.contains(finding));
    offences.extend(new.cloned().map(|finding| Offence { position, finding }));
    *standing = found;
}

#[cfg(test)]
mod tests;

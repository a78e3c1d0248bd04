//! Which event tells whom what.

use event_schema::ids::{CustomerId, OrderId};
use event_schema::notification::Kind;
use event_schema::{
    Recorded, assignment, customer, fulfilment, inventory, order, partner, payment,
};
use uuid::Uuid;

use crate::roster::read;

/// Whom an event is told; who that is exactly is looked up in the histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// This person.
    Customer(CustomerId),
    /// Who placed the order.
    Buyer(OrderId),
    /// Who prepares the order.
    Seller(OrderId),
    /// Who sells the product; the shop's own admins when nobody else does.
    OwnerOf(Uuid),
    /// Everybody who runs the shop.
    Admins,
}

/// Something that somebody is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) kind: Kind,
    pub(crate) whom: Whom,
    /// The history that its messages belong to: the order's id, else the aggregate's.
    pub(crate) history: Uuid,
    pub(crate) order: Option<OrderId>,
    /// What it is about, when that is not the order.
    pub(crate) about: Option<Uuid>,
}

/// What the event tells; most tell nobody anything.
pub(crate) fn of(recorded: &Recorded) -> Vec<Trigger> {
    let Some((aggregate, id)) = recorded.subject.aggregate() else {
        return vec![];
    };
    match aggregate {
        "customer" if recorded.event_type == "customer.added" => {
            let added = read::<customer::Event>(recorded);
            let told = added.map(|_| {
                about(
                    Kind::CustomerAdded,
                    Whom::Customer(CustomerId(id)),
                    id,
                    None,
                )
            });
            told.into_iter().collect()
        }
        "assignment" => of_assignment(recorded, id),
        "order" => of_order(recorded, OrderId(id)),
        "payment" => of_payment(recorded, OrderId(id)),
        "fulfilment" => of_saga(recorded, OrderId(id)),
        "inventory" if recorded.event_type == "inventory.ran_low" => {
            let low = read::<inventory::Event>(recorded);
            let told = low.map(|_| about(Kind::LowStock, Whom::OwnerOf(id), id, Some(id)));
            told.into_iter().collect()
        }
        "partner" if recorded.event_type == "partner.webhook_disabled" => {
            let disabled = read::<partner::Event>(recorded);
            let told = disabled.map(|_| about(Kind::WebhookDisabled, Whom::Admins, id, Some(id)));
            told.into_iter().collect()
        }
        _ => vec![],
    }
}

fn of_assignment(recorded: &Recorded, id: Uuid) -> Vec<Trigger> {
    let Some(event) = read::<assignment::Event>(recorded) else {
        return vec![];
    };
    let (kind, customer, resource) = match event {
        assignment::Event::Assigned(pair) => {
            (Kind::ResourceAdded, pair.customer_id, pair.resource_id)
        }
        assignment::Event::Unassigned(pair) => {
            (Kind::ResourceRemoved, pair.customer_id, pair.resource_id)
        }
    };
    vec![about(
        kind,
        Whom::Customer(customer),
        id,
        Some(resource.uuid()),
    )]
}

fn of_order(recorded: &Recorded, id: OrderId) -> Vec<Trigger> {
    use order::Event;
    let kind = match read(recorded) {
        Some(Event::Placed(_)) => Kind::OrderPlaced,
        Some(Event::Cancelled(_)) => Kind::OrderCancelled,
        Some(Event::Ready(_)) => Kind::OrderReady,
        Some(Event::Assigned(_)) => Kind::OrderOnItsWay,
        Some(Event::Delivered(_)) => Kind::OrderDelivered,
        // Confirmed is told when the saga has completed, cancelling when it is done.
        Some(Event::Confirmed(_) | Event::Cancelling(_)) | None => return vec![],
    };
    vec![of_an_order(kind, Whom::Buyer(id), id)]
}

fn of_payment(recorded: &Recorded, id: OrderId) -> Vec<Trigger> {
    let kind = match recorded.event_type.as_str() {
        "payment.refund_requested" => Kind::RefundPending,
        "payment.refunded" => Kind::Refunded,
        _ => return vec![],
    };
    match read::<payment::Event>(recorded) {
        Some(_) => vec![of_an_order(kind, Whom::Buyer(id), id)],
        None => vec![],
    }
}

fn of_saga(recorded: &Recorded, id: OrderId) -> Vec<Trigger> {
    if !matches!(
        recorded.event_type.as_str(),
        "fulfilment.completed" | "fulfilment.needs_operator"
    ) {
        return vec![];
    }
    match read::<fulfilment::Event>(recorded) {
        Some(fulfilment::Event::Completed(_)) => vec![
            of_an_order(Kind::OrderConfirmed, Whom::Buyer(id), id),
            of_an_order(Kind::OrderPrepare, Whom::Seller(id), id),
        ],
        Some(fulfilment::Event::NeedsOperator(_)) => {
            vec![of_an_order(Kind::SagaNeedsOperator, Whom::Admins, id)]
        }
        _ => vec![],
    }
}

const fn of_an_order(kind: Kind, whom: Whom, order: OrderId) -> Trigger {
    Trigger {
        kind,
        whom,
        history: order.uuid(),
        order: Some(order),
        about: None,
    }
}

const fn about(kind: Kind, whom: Whom, history: Uuid, about: Option<Uuid>) -> Trigger {
    Trigger {
        kind,
        whom,
        history,
        order: None,
        about,
    }
}

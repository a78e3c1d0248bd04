//! Events as notifications: which event tells whom what.

use event_schema::ids::{ResourceId, derived};
use event_schema::{
    Recorded, Timestamp, assignment, customer, fulfilment, inventory, order, payment, product,
    resource,
};
use uuid::Uuid;

use super::facts::{Facts, OrderFacts};
use super::marks::Marks;
use super::message::{self, Message};
use crate::projection::{ApplyError, Batch, decode, ids};
use crate::read_models::{column, times};

struct Notification {
    id: Uuid,
    /// Nobody in particular means all admins.
    recipient: Option<Uuid>,
    kind: &'static str,
    order_id: Option<Uuid>,
    title: String,
    body: String,
    position: i64,
    created_at: Timestamp,
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let mut concerned = ids(events);
    concerned.extend(events.iter().copied().filter_map(assigned_resource));
    let mut facts = Facts::load(batch, &concerned).await?;
    let mut marks = Marks::default();
    let mut notifications = Vec::new();
    for recorded in events {
        notifications.extend(tell(recorded, &mut facts, &mut marks)?);
    }
    facts.save(batch).await?;
    let told = notifications.iter().filter_map(|note| note.recipient);
    let gone = marks.write(batch, told).await?;
    notifications.retain(|note| note.recipient.is_none_or(|person| !gone.contains(&person)));
    write(batch, &notifications).await
}

fn tell(
    recorded: &Recorded,
    facts: &mut Facts,
    marks: &mut Marks,
) -> Result<Option<Notification>, ApplyError> {
    let Some((aggregate, id)) = recorded.subject.aggregate() else {
        return Ok(None);
    };
    match aggregate {
        "customer" => match decode(recorded)? {
            customer::Event::Added(_) => {
                note(recorded, Some(id), None, message::customer_added()).map(Some)
            }
            customer::Event::Erased(_) => {
                marks.erase(id);
                Ok(None)
            }
            _ => Ok(None),
        },
        "resource" => {
            facts.resource_described(id, decode::<resource::Event>(recorded)?);
            Ok(None)
        }
        "assignment" => tell_of_assignment(recorded, facts),
        "product" => {
            facts.described(id, decode::<product::Event>(recorded)?);
            Ok(None)
        }
        "inventory" => tell_of_stock(recorded, id, facts),
        "order" => tell_of_order(recorded, id, facts),
        "payment" => tell_of_payment(recorded, id, facts),
        "fulfilment" => tell_of_saga(recorded, id),
        "inbox" => marks.fold(recorded, id).map(|()| None),
        _ => Ok(None),
    }
}

/// The resource that an assignment is about, which its history's id does not tell. What cannot be read is told of when
/// it is applied.
fn assigned_resource(recorded: &Recorded) -> Option<Uuid> {
    let (aggregate, _) = recorded.subject.aggregate()?;
    if aggregate != "assignment" {
        return None;
    }
    match decode(recorded).ok()? {
        assignment::Event::Assigned(pair) => Some(pair.resource_id.uuid()),
        assignment::Event::Unassigned(pair) => Some(pair.resource_id.uuid()),
    }
}

fn tell_of_assignment(
    recorded: &Recorded,
    facts: &Facts,
) -> Result<Option<Notification>, ApplyError> {
    let name = |resource: ResourceId| {
        facts
            .resources
            .get(&resource.uuid())
            .map(|facts| facts.name.as_str())
            .ok_or_else(|| ApplyError::event(recorded, "the resource was never added"))
    };
    let (customer, message) = match decode(recorded)? {
        assignment::Event::Assigned(pair) => (
            pair.customer_id,
            message::resource_added(name(pair.resource_id)?),
        ),
        assignment::Event::Unassigned(pair) => (
            pair.customer_id,
            message::resource_removed(name(pair.resource_id)?),
        ),
    };
    note(recorded, Some(customer.uuid()), None, message).map(Some)
}

fn tell_of_stock(
    recorded: &Recorded,
    id: Uuid,
    facts: &Facts,
) -> Result<Option<Notification>, ApplyError> {
    let inventory::Event::RanLow(low) = decode(recorded)? else {
        return Ok(None);
    };
    let product = facts
        .products
        .get(&id)
        .ok_or_else(|| ApplyError::event(recorded, "the product was never added"))?;
    // A product of the shop itself concerns its admins.
    note(
        recorded,
        product.partner_id,
        None,
        message::low_stock(product, &low),
    )
    .map(Some)
}

fn tell_of_order(
    recorded: &Recorded,
    id: Uuid,
    facts: &mut Facts,
) -> Result<Option<Notification>, ApplyError> {
    let event = decode::<order::Event>(recorded)?;
    if let order::Event::Placed(placed) = &event {
        facts.placed(id, placed);
    }
    let order = known(recorded, id, facts)?;
    let message = match &event {
        order::Event::Placed(_) => message::order_placed(order),
        order::Event::Confirmed(_) => message::order_confirmed(order),
        order::Event::Ready(_) => message::order_ready(order),
        order::Event::Assigned(_) => message::order_on_its_way(order),
        order::Event::Delivered(_) => message::order_delivered(order),
        // The customer hears of it when it is done.
        order::Event::Cancelling(_) => return Ok(None),
        order::Event::Cancelled(e) => {
            message::order_cancelled(order, e.reason, e.detail.as_deref())
        }
    };
    note(recorded, Some(order.customer_id), Some(id), message).map(Some)
}

fn tell_of_payment(
    recorded: &Recorded,
    id: Uuid,
    facts: &Facts,
) -> Result<Option<Notification>, ApplyError> {
    use payment::Event;
    let message: Box<dyn Fn(&OrderFacts) -> Message> = match decode::<Event>(recorded)? {
        Event::RefundRequested(e) => {
            Box::new(move |order| message::refund_pending(order, e.amount))
        }
        Event::Refunded(e) => Box::new(move |order| message::refunded(order, e.amount)),
        Event::Requested(_)
        | Event::ActionRequired(_)
        | Event::Authorised(_)
        | Event::Declined(_)
        | Event::CaptureRequested(_)
        | Event::Captured(_)
        | Event::CaptureRefused(_)
        | Event::VoidRequested(_)
        | Event::Voided(_)
        | Event::VoidRefused(_)
        | Event::RefundRefused(_)
        // A person is told, and asks the customer where the money may go instead.
        | Event::RefundFailed(_)
        | Event::OutcomeUnknown(_)
        | Event::CallbackRecorded(_)
        // Whoever settled it outside has told the customer himself, in what way the money goes.
        | Event::SettledOutside(_) => return Ok(None),
    };
    let order = known(recorded, id, facts)?;
    note(recorded, Some(order.customer_id), Some(id), message(order)).map(Some)
}

fn tell_of_saga(recorded: &Recorded, id: Uuid) -> Result<Option<Notification>, ApplyError> {
    use fulfilment::Event;
    match decode::<Event>(recorded)? {
        Event::NeedsOperator(needs) => note(
            recorded,
            None,
            Some(id),
            message::saga_needs_operator(id, &needs),
        )
        .map(Some),
        Event::Started(_)
        | Event::Intended(_)
        | Event::CustomerAwaited(_)
        | Event::AttemptEnded(_)
        | Event::StepEnded(_)
        | Event::UnwindingBegan(_)
        | Event::Completed(_)
        | Event::Compensated(_)
        | Event::OperatorCommanded(_)
        | Event::Closed(_)
        | Event::LateOutcomeRecorded(_) => Ok(None),
    }
}

fn known<'f>(
    recorded: &Recorded,
    id: Uuid,
    facts: &'f Facts,
) -> Result<&'f OrderFacts, ApplyError> {
    facts
        .orders
        .get(&id)
        .ok_or_else(|| ApplyError::event(recorded, "the order was never placed"))
}

fn note(
    recorded: &Recorded,
    recipient: Option<Uuid>,
    order_id: Option<Uuid>,
    message: Message,
) -> Result<Notification, ApplyError> {
    let Message { kind, title, body } = message;
    Ok(Notification {
        // From the event and the kind: the same in every rebuild.
        id: derived(&["notification", &recorded.event_id.to_string(), kind]),
        recipient,
        kind,
        order_id,
        title,
        body,
        position: i64::try_from(recorded.position.0)
            .map_err(|error| ApplyError::event(recorded, error))?,
        created_at: recorded.metadata.occurred_at,
    })
}

async fn write(batch: &mut Batch<'_>, rows: &[Notification]) -> Result<(), ApplyError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(batch.sql(
        "insert into read.notifications (id, recipient, kind, order_id, title, body, position, created_at)
         select n.*
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::bigint[],
                     $8::timestamptz[]) as n",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, recipient))
    .bind(column!(rows, kind))
    .bind(column!(rows, order_id))
    .bind(column!(rows, title))
    .bind(column!(rows, body))
    .bind(column!(rows, position))
    .bind(times!(rows, created_at))
    .execute(batch.connection())
    .await?;
    Ok(())
}

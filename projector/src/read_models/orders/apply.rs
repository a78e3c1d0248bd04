//! A batch of order, payment and saga events into rows: read those concerned, fold, write them back at once.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::{PersonalKey, Recorded, fulfilment, order, payment};
use sqlx::types::Json;

use super::erased;
use super::row::{self, Opened, Row};
use super::saga;
use crate::personal::open;
use crate::projection::{ApplyError, Batch, decode, following, ids};

/// An event of one of the three histories.
enum Told {
    Order(order::Event),
    Payment(payment::Event),
    Saga(fulfilment::Event),
}

pub(super) async fn apply(batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError> {
    let mut told = Vec::with_capacity(events.len());
    for recorded in events {
        if let Some((id, event)) = read(recorded)? {
            told.push((*recorded, id, event));
        }
    }
    let erased = erased::persons(events);
    erased::remember(batch, &erased).await?;
    let mut keys = batch
        .personal_keys(told.iter().flat_map(|(_, _, event)| persons(event)))
        .await?;
    erased::without(batch, &mut keys).await?;
    let mut rows: BTreeMap<Uuid, Row> = row::load(batch, &ids(events))
        .await?
        .into_iter()
        .map(|row| (row.id, row))
        .collect();
    for (recorded, id, event) in told {
        let row = rows
            .entry(id)
            .or_insert_with(|| Row::new(id, recorded.metadata.occurred_at));
        fold(row, event, recorded, &keys)?;
    }
    row::write(batch, &rows.into_values().collect::<Vec<_>>()).await?;
    erased::redact(batch, &erased).await
}

fn read(recorded: &Recorded) -> Result<Option<(Uuid, Told)>, ApplyError> {
    let Some((aggregate, id)) = recorded.subject.aggregate() else {
        return Ok(None);
    };
    let told = match aggregate {
        "order" => Told::Order(decode(recorded)?),
        "payment" => Told::Payment(decode(recorded)?),
        "fulfilment" => Told::Saga(decode(recorded)?),
        _ => return Ok(None),
    };
    Ok(Some((id, told)))
}

fn persons(event: &Told) -> Vec<Uuid> {
    match event {
        Told::Order(order::Event::Placed(placed)) => {
            vec![placed.delivery_address.person, placed.phone.person]
        }
        Told::Order(
            order::Event::Confirmed(_)
            | order::Event::Ready(_)
            | order::Event::Assigned(_)
            | order::Event::Delivered(_)
            | order::Event::Cancelling(_)
            | order::Event::Cancelled(_),
        )
        | Told::Payment(_)
        | Told::Saga(_) => Vec::new(),
    }
}

fn fold(
    row: &mut Row,
    event: Told,
    recorded: &Recorded,
    keys: &BTreeMap<Uuid, PersonalKey>,
) -> Result<(), ApplyError> {
    let at = recorded.metadata.occurred_at;
    match event {
        Told::Order(event) => {
            let opened = match &event {
                order::Event::Placed(placed) => Opened {
                    delivery_address: open(recorded, &placed.delivery_address, keys)?,
                    phone: open(recorded, &placed.phone, keys)?,
                },
                order::Event::Confirmed(_)
                | order::Event::Ready(_)
                | order::Event::Assigned(_)
                | order::Event::Delivered(_)
                | order::Event::Cancelling(_)
                | order::Event::Cancelled(_) => Opened {
                    delivery_address: None,
                    phone: None,
                },
            };
            row.fold_order(event, opened, at)
                .map_err(|cause| ApplyError::event(recorded, cause))?;
            row.version = following(recorded, row.version)?;
        }
        Told::Payment(event) => {
            row.payment.version = following(recorded, row.payment.version)?;
            row.payment.fold(event, recorded);
        }
        Told::Saga(event) => {
            let before = row.saga.take().map(|Json(saga)| saga);
            let version = following(recorded, before.as_ref().map_or(0, |saga| saga.version))?;
            let mut after = saga::fold(before, event, recorded)
                .map_err(|cause| ApplyError::event(recorded, cause))?;
            after.version = version;
            row.saga = Some(Json(after));
        }
    }
    row.updated_at = at;
    row.settle();
    Ok(())
}

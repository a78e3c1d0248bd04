//! What an order's row says of a person, taken out when he was erased.

use std::collections::BTreeMap;

use uuid::Uuid;

use event_schema::{PersonalKey, Recorded};

use super::CUSTOMER_ERASED;
use crate::projection::{ApplyError, Batch};

/// Who was erased by these events.
pub(super) fn persons(events: &[&Recorded]) -> Vec<Uuid> {
    events
        .iter()
        .filter(|event| event.event_type == CUSTOMER_ERASED)
        .filter_map(|event| event.aggregate_id())
        .collect()
}

/// Keeps who was erased: an order of his may yet come, accepted in the same moment or held back until now.
pub(super) async fn remember(batch: &mut Batch<'_>, persons: &[Uuid]) -> Result<(), ApplyError> {
    if persons.is_empty() {
        return Ok(());
    }
    sqlx::query(batch.sql(
        "insert into read.orders_erased_persons (person) select unnest($1::uuid[]) on conflict do nothing",
    ))
    .bind(persons)
    .execute(batch.connection())
    .await?;
    Ok(())
}

/// Takes away the keys of those who were erased. They are destroyed, or will be in a moment; rows must not depend on
/// which of the two, nor on what a cache remembers.
pub(super) async fn without(
    batch: &mut Batch<'_>,
    keys: &mut BTreeMap<Uuid, PersonalKey>,
) -> Result<(), ApplyError> {
    if keys.is_empty() {
        return Ok(());
    }
    let holders: Vec<Uuid> = keys.keys().copied().collect();
    let erased: Vec<Uuid> = sqlx::query_scalar(
        batch.sql("select person from read.orders_erased_persons where person = any($1)"),
    )
    .bind(holders)
    .fetch_all(batch.connection())
    .await?;
    for person in erased {
        keys.remove(&person);
    }
    Ok(())
}

/// Empties what the rows of their orders say of them; lines and sums stay.
pub(super) async fn redact(batch: &mut Batch<'_>, persons: &[Uuid]) -> Result<(), ApplyError> {
    if persons.is_empty() {
        return Ok(());
    }
    sqlx::query(batch.sql(
        "update read.orders set delivery_address = null, phone = null where customer_id = any($1)",
    ))
    .bind(persons)
    .execute(batch.connection())
    .await?;
    Ok(())
}

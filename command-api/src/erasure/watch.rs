//! Finishes erasures: reads the log for persons who were erased, and destroys whatever of theirs is still there.
//!
//! It begins at the beginning of the log in every process, because nothing else is sure: the vault may have been restored
//! from a copy that is older than any note about how far somebody came. Only customers' events are read, page by page,
//! and only what is left of somebody is written.

use std::time::Duration;

use event_schema::{Position, Recorded};
use event_store::LoadError;
use service_kit::problem::Chain;
use service_kit::{Shutdown, VaultError};
use tokio::time::timeout;
use uuid::Uuid;

use super::{DestroyError, destroy};
use crate::door::{Door, LOG_LIMIT};

const FILTER: &str = "evt.customer.>";
const ERASED: &str = "customer.erased";
const PAGE_EVENTS: usize = 500;
/// How often the log is asked for more, and how soon an erasure that somebody else left unfinished is finished.
const PERIOD: Duration = Duration::from_secs(10);
/// After something failed; it begins again where it was.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("the log cannot be read")]
    Log(#[from] LoadError),
    #[error("the log did not answer in time")]
    Late,
    #[error("the vault cannot be asked")]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Destroy(#[from] DestroyError),
}

/// Works until the shutdown begins.
pub(crate) async fn run(door: &Door, shutdown: &Shutdown) {
    let mut reached = Position(0);
    loop {
        let wait = tokio::select! {
            read = page(door, reached) => match read {
                Ok(Some(to)) => {
                    reached = to;
                    continue;
                }
                Ok(None) => PERIOD,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "erasures could not be looked after; it is tried again");
                    RETRY_PERIOD
                }
            },
            () = shutdown.begun() => return,
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.begun() => return,
        }
    }
}

/// One page of customers' events; where it ended, or nothing when there are none.
async fn page(door: &Door, after: Position) -> Result<Option<Position>, WatchError> {
    let read = door.executor.store().read(after, PAGE_EVENTS, Some(FILTER));
    let events = timeout(LOG_LIMIT, read)
        .await
        .map_err(|_| WatchError::Late)??;
    let Some(last) = events.last() else {
        return Ok(None);
    };
    finish(door, &erased(&events)).await?;
    Ok(Some(last.position))
}

fn erased(events: &[Recorded]) -> Vec<Uuid> {
    events
        .iter()
        .filter(|event| event.event_type == ERASED)
        .filter_map(Recorded::aggregate_id)
        .collect()
}

async fn finish(door: &Door, persons: &[Uuid]) -> Result<(), WatchError> {
    if persons.is_empty() {
        return Ok(());
    }
    let left = door.vault.left_of(persons).await?;
    for person in persons {
        if left.contains(person) {
            tracing::warn!(%person, "an erased person's data could still be opened; the erasure is finished now");
            metrics::counter!("waybill_erasures_finished_total").increment(1);
            destroy(door, *person).await?;
        } else {
            // Files may come back with a copy of their own.
            door.pictures
                .remove_all(*person)
                .await
                .map_err(|source| DestroyError::Pictures {
                    person: *person,
                    source,
                })?;
        }
    }
    Ok(())
}

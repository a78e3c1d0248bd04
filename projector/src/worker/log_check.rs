//! Whether the rows still belong to the log: it may have been made anew, or have lost its tail.

use event_schema::Position;
use event_store::{EventStore, LoadError};

use crate::checkpoint::Checkpoint;
use crate::parking::Stored;

/// What the log looks like at the start of a session.
pub(super) struct LogSeen {
    /// Which log it is.
    pub identity: String,
    /// Where it ends.
    pub end: Position,
}

/// Looks at the log.
pub(super) async fn look(store: &dyn EventStore) -> Result<LogSeen, LoadError> {
    let identity = store.identity().await?.to_string();
    let end = store.end().await?.position;
    Ok(LogSeen { identity, end })
}

/// Why rows at this checkpoint do not belong to the log, in words that say what to do; nothing when they do.
pub(super) async fn mismatch(
    store: &dyn EventStore,
    log: &LogSeen,
    checkpoint: &Checkpoint,
) -> Result<Option<String>, LoadError> {
    let Stored(position) = checkpoint.position;
    let name = &checkpoint.projection;
    if position == Position(0) {
        return Ok(None);
    }
    let remedy = format!(
        "bring the right log back and restart, or, if the present log is the truth, run `waybill projections rebuild {name}`"
    );
    if checkpoint.log != log.identity {
        return Ok(Some(format!(
            "the log was recreated: it is {}, the rows were built from {}; {remedy}",
            log.identity, checkpoint.log
        )));
    }
    if position > log.end {
        return Ok(Some(format!(
            "the log has lost its tail: it ends at {}, the rows were built up to {position}; {remedy}",
            log.end
        )));
    }
    let there = match store.at(position).await {
        Ok(event) => event.map(|event| event.event_id),
        // What lies there now cannot even be read: it is not the event that was applied.
        Err(LoadError::Corrupt { .. }) => None,
        Err(error) => return Err(error),
    };
    if there != checkpoint.event_id {
        let found = there.map_or_else(
            || "no event of ours".to_owned(),
            |id| format!("the event {id}"),
        );
        let expected = checkpoint
            .event_id
            .map_or_else(|| "none".to_owned(), |id| id.to_string());
        return Ok(Some(format!(
            "the log has lost its tail and grown again: at position {position} it holds {found}, the rows were built \
             from {expected}; {remedy}"
        )));
    }
    Ok(None)
}

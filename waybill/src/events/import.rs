//! `waybill events import`: a file into an empty log.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, ensure};
use event_schema::Position;
use event_store::import::IMPORT_BATCH_MESSAGES_MAX;
use event_store::{Import, Source, StoredMessage};
use service_kit::Settings;

use super::file::{Reader, Summary};
use super::house::House;
use crate::{out, progress_bar};

/// Reads the file twice: once to see that it is whole, before anything is stored, and once to store it.
pub async fn import(settings: &Settings, from: &Path) -> anyhow::Result<()> {
    let summary = checked(from).with_context(|| format!("{} is not imported", from.display()))?;
    let house = House::with_nobody_in(settings).await?;
    let source = Source {
        fingerprint: summary.sha256.clone(),
        messages: summary.messages,
    };
    let filled = fill(&house, settings.stream_replicas, source, from).await;
    house.leave().await?;
    let end = filled?;
    out::note(format!(
        "{} messages are stored, at the positions they had: the log ends at {end}",
        summary.messages
    ));
    out::note(
        "before the first start: the schema vault and the signing key of the old installation belong here too, \
         and the old one must not run any more; see docs/runbooks/moving-house.md",
    );
    Ok(())
}

/// Sees that the file is whole, unchanged, and a whole log.
fn checked(from: &Path) -> anyhow::Result<Summary> {
    let reader = open(from)?;
    if let Some(subject) = &reader.head().subject {
        anyhow::bail!(
            "it holds only {subject}; a log is imported whole, because commands that have happened and unique values \
             are records of their own in it"
        );
    }
    let end = reader.head().end;
    let summary = positions_without_a_gap(reader)?;
    ensure!(
        summary.messages == end.0,
        "it holds {} messages and says that the log ended at {end}",
        summary.messages
    );
    Ok(summary)
}

/// Reads to the end. In a whole log the position follows from the line: here the place is still known where something
/// was taken out or exchanged.
fn positions_without_a_gap(mut reader: Reader<BufReader<File>>) -> anyhow::Result<Summary> {
    let mut due = Position(1);
    while let Some(message) = reader.next_message()? {
        ensure!(
            message.position == due,
            "line {} has the message of position {}, and position {due} is due",
            reader.line(),
            message.position
        );
        due = Position(due.0.saturating_add(1));
    }
    reader.summary()
}

async fn fill(
    house: &House,
    replicas: usize,
    source: Source,
    from: &Path,
) -> anyhow::Result<Position> {
    let bar = progress_bar::new("import");
    bar.set_length(source.messages);
    let fingerprint = source.fingerprint.clone();
    let mut import = Import::begin(house.client.clone(), replicas, source).await?;
    if import.end().0 > 0 {
        out::note(format!(
            "going on with an import that was broken off at position {}",
            import.end()
        ));
    }
    let mut reader = open(from)?;
    let mut batch: Vec<StoredMessage> = Vec::with_capacity(IMPORT_BATCH_MESSAGES_MAX);
    loop {
        let message = reader.next_message()?;
        let done = message.is_none();
        batch.extend(message);
        if done || batch.len() == IMPORT_BATCH_MESSAGES_MAX {
            import.append(&batch).await?;
            bar.set_position(batch.last().map_or(0, |last| last.position.0));
            batch.clear();
        }
        if done {
            break;
        }
    }
    bar.finish_and_clear();
    ensure!(
        reader.summary()?.sha256 == fingerprint,
        "{} was exchanged while it was imported; the log stays closed",
        from.display()
    );
    Ok(import.finish().await?)
}

fn open(from: &Path) -> anyhow::Result<Reader<BufReader<File>>> {
    let file = File::open(from).with_context(|| format!("{} cannot be read", from.display()))?;
    Reader::begin(BufReader::new(file))
}

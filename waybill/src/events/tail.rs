//! `waybill events tail`.

use anyhow::Context;
use event_schema::Position;
use event_store::EventStore;

use super::{as_json, as_line};
use crate::out;

/// Events fetched at once.
const PAGE_EVENTS: usize = 500;

/// What is printed.
pub struct Tail {
    /// Subject pattern.
    pub subject: String,
    /// How many of the past.
    pub last: u64,
    /// Whether to go on with new ones.
    pub follow: bool,
    /// One JSON object a line.
    pub json: bool,
}

/// Prints the last matching events, then follows.
pub async fn tail(store: &dyn EventStore, options: &Tail) -> anyhow::Result<()> {
    let print = |event: &event_schema::Recorded| {
        out::line(if options.json {
            as_json(event).to_string()
        } else {
            as_line(event)
        });
    };
    let end = store.end().await?.position;
    // The pattern may match few of the last positions, so the window doubles until it holds enough.
    let mut window = options.last.max(1).saturating_mul(4);
    let past = loop {
        let after = Position(end.0.saturating_sub(window));
        let past = all_after(store, after, end, &options.subject).await?;
        if past.len() as u64 >= options.last || after == Position(0) {
            break past;
        }
        window = window.saturating_mul(4);
    };
    let skip = past
        .len()
        .saturating_sub(usize::try_from(options.last).unwrap_or(usize::MAX));
    past.iter().skip(skip).for_each(print);
    if !options.follow {
        return Ok(());
    }
    let mut live = store
        .subscribe(end, &[&options.subject])
        .await
        .context("the log cannot be followed")?;
    loop {
        tokio::select! {
            event = live.next() => print(&event?),
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

async fn all_after(
    store: &dyn EventStore,
    mut after: Position,
    end: Position,
    subject: &str,
) -> anyhow::Result<Vec<event_schema::Recorded>> {
    let mut all = Vec::new();
    while after < end {
        let page = store.read(after, PAGE_EVENTS, Some(subject)).await?;
        let Some(last) = page.last() else { break };
        after = last.position;
        all.extend(page.into_iter().filter(|event| event.position <= end));
    }
    Ok(all)
}

//! Rows that change, told to one reader for as long as he stays.
//!
//! What is told is read from the rows each time: a row as it is, under the position of its last change. A reader that was
//! away or is slow gets each changed row once, however often it has changed meanwhile, so nothing piles up for him.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::HeaderMap;
use async_trait::async_trait;
use axum::response::Response;
use axum::response::sse::Event;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, timeout};

use event_schema::Position;
use service_kit::Problem;

use super::{Feed, Limits, beyond, endless, last_event_id, one_line};
use crate::http::{self, ReadSide, database};
use crate::moves::Moves;
use crate::parking;

/// Changes that are read at once; also what may wait for one reader besides what is on the socket.
pub(crate) const CHANGES_AT_ONCE: i64 = 100;
/// Between two looks of one reader at the rows, however much happens.
const LOOK_MIN_PERIOD: Duration = Duration::from_millis(250);
/// A reader looks this often even when this process has seen no move: the worker may run in another one.
const LOOK_MAX_PERIOD: Duration = Duration::from_secs(1);
const STOPPING: &str = "the server is being stopped; come back with the last id";

/// What one reader follows.
#[async_trait]
pub(crate) trait Changing: Send + Sync + 'static {
    /// What has changed after a position, the oldest change first, at most [`CHANGES_AT_ONCE`]: each message with the
    /// position of its change.
    async fn changes(&self, after: i64) -> Result<Vec<(i64, Event)>, Problem>;
}

/// A message under the position of its change.
pub(crate) fn message(position: i64, data: &impl Serialize) -> Result<Event, Problem> {
    Event::default()
        .id(position.to_string())
        .json_data(data)
        .map_err(|error| Problem::unexpected(&error))
}

/// After which position a reader goes on: the last that he has seen, or wants, else as far as these projections are.
pub(crate) async fn resumed(
    read: &ReadSide,
    headers: &HeaderMap,
    wanted: Option<Position>,
    projections: &[&str],
) -> Result<i64, Problem> {
    if let Some(wanted) = last_event_id(headers)?.or(wanted) {
        let end = read.store().end().await.map_err(http::log)?.position;
        return if wanted > end {
            Err(beyond(wanted, end))
        } else {
            Ok(parking::bigint(wanted))
        };
    }
    sqlx::query_scalar(
        "select coalesce(min(position), 0) from read.checkpoint where projection = any($1)",
    )
    .bind(projections)
    .fetch_one(read.pool())
    .await
    .map_err(database)
}

/// An answer that tells what changes until the reader goes, or is sent away.
pub(crate) fn follow(
    what: impl Changing,
    after: i64,
    feed: &Feed,
    moves: &Moves,
    place: OwnedSemaphorePermit,
    gauge: &'static str,
) -> Response {
    let (tell, told) = mpsc::channel(feed.limits.waiting_events_max);
    let goodbye = Arc::new(OnceLock::new());
    let pump = Pump {
        limits: feed.limits,
        closing: feed.closing(),
        tell,
        goodbye: Arc::clone(&goodbye),
        moves: moves.clone(),
        what,
        after,
    };
    tokio::spawn(pump.run(gauge));
    endless(told, goodbye, place)
}

/// Takes changed rows to one reader.
struct Pump<C> {
    limits: Limits,
    closing: watch::Receiver<bool>,
    tell: mpsc::Sender<Event>,
    goodbye: Arc<OnceLock<String>>,
    moves: Moves,
    what: C,
    after: i64,
}

impl<C: Changing> Pump<C> {
    async fn run(mut self, gauge: &'static str) {
        metrics::gauge!(gauge).increment(1.0);
        if let Some(why) = self.until_the_end().await {
            // Set once; nobody else sets it.
            let _first = self.goodbye.set(why);
        }
        metrics::gauge!(gauge).decrement(1.0);
    }

    /// Why the reader is sent away; none when he has gone by himself.
    async fn until_the_end(&mut self) -> Option<String> {
        let stay_until = Instant::now() + self.limits.stay_max;
        // Listening before looking: a move in between is not missed.
        let mut moves = self.moves.listen();
        loop {
            let changes = match self.what.changes(self.after).await {
                Ok(changes) => changes,
                Err(problem) => return Some(one_line(&format!("{problem}; come back later"))),
            };
            let all = i64::try_from(changes.len()).is_ok_and(|count| count < CHANGES_AT_ONCE);
            for (position, message) in changes {
                if let Err(why) = self.tell(message).await {
                    return why;
                }
                self.after = position;
            }
            let pause = async {
                tokio::time::sleep(LOOK_MIN_PERIOD).await;
                if all {
                    moves
                        .moved(LOOK_MAX_PERIOD.saturating_sub(LOOK_MIN_PERIOD))
                        .await;
                }
            };
            tokio::select! {
                biased;
                _ = self.closing.wait_for(|closing| *closing) => return Some(STOPPING.into()),
                () = self.tell.closed() => return None,
                () = tokio::time::sleep_until(stay_until) => {
                    return Some("you have been here for an hour; come back with the last id and a fresh token".into());
                }
                () = pause => {}
            }
        }
    }

    /// Hands over one message; the error is why the reader is sent away, or none when he has gone.
    async fn tell(&self, message: Event) -> Result<(), Option<String>> {
        let mut closing = self.closing.clone();
        let sent = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => return Err(Some(STOPPING.into())),
            sent = timeout(self.limits.slow_max, self.tell.send(message)) => sent,
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(None),
            Err(_) => {
                metrics::counter!("waybill_live_readers_dropped_total").increment(1);
                Err(Some(
                    "you read too slowly and were dropped; come back with the last id".into(),
                ))
            }
        }
    }
}

//! GET /v1/inventory/live: stocks as they change, as server-sent events whose ids are positions.
//!
//! Read from the rows: each message is a stock as it is, under the position of its last change. A reader that was away or
//! is slow gets each changed stock once, however often it has changed meanwhile, so nothing piles up for him. A stock that
//! was parked is told at its next change after it was released.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::HeaderMap;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use utoipa::IntoParams;
use uuid::Uuid;

use event_schema::Position;
use service_kit::extract::Query;
use service_kit::{Caller, Problem};

use super::routes::{Stock, only_of, stocks};
use crate::events_route::{Limits, beyond, endless, last_event_id, one_line};
use crate::http::{self, ReadSide, database};
use crate::parking;

/// Changes that are read at once; also what may wait for one reader besides what is on the socket.
const CHANGES_AT_ONCE: i64 = 100;
/// Between two looks of one reader at the rows, however much happens.
const LOOK_MIN_PERIOD: Duration = Duration::from_millis(250);
/// A reader looks this often even when this process has seen no move: the worker may run in another one.
const LOOK_MAX_PERIOD: Duration = Duration::from_secs(1);

/// From where.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Begin with what has changed after this position instead of now; 0 begins with every stock that ever changed.
    /// The `Waybill-Position` of `GET /v1/inventory` leaves no gap. `Last-Event-ID` comes before it.
    after: Option<u64>,
}

/// Stocks that change from now on, or have changed after `Last-Event-ID`; a partner sees those that he looks after. One
/// message for each: its id the position of the change, its data the stock as `GET /v1/inventory/{product_id}` shows it.
/// Comments say why the server ends it; the way on is to come back with the last id.
#[utoipa::path(
    get, path = "/v1/inventory/live", tag = "inventory", operation_id = "follow_inventory",
    params(Params, ("Last-Event-ID" = Option<u64>, Header, description = "The last position that was seen")),
    responses(
        (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String,
            example = "id: 42\ndata: {\"product_id\":\"019a2b3c-0000-7000-8000-000000000001\",\"sku\":\"MUG-1\",\"name\":\"Mug\",\"received\":10,\"available\":3,\"held\":1,\"sold\":6,\"low_stock_threshold\":3,\"low\":true}\n\n"),
        (status = 400, description = "`position_unknown`: the log never gave out this position; `invalid_header`",
            body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`busy`: too many follow already; `broker_unavailable`, `database_unavailable`",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn live(
    State(read): State<ReadSide>,
    caller: Caller,
    headers: HeaderMap,
    Query(params): Query<Params>,
) -> Result<Response, Problem> {
    let place = read.stock_feed().enter()?;
    let wanted = last_event_id(&headers)?.or(params.after.map(Position));
    let after = match wanted {
        None => standing(&read).await?,
        Some(wanted) => {
            let end = read.store().end().await.map_err(http::log)?.position;
            if wanted > end {
                return Err(beyond(wanted, end));
            }
            parking::bigint(wanted)
        }
    };
    let limits = read.stock_feed().limits;
    let (tell, told) = mpsc::channel(limits.waiting_events_max);
    let goodbye = Arc::new(OnceLock::new());
    let pump = Pump {
        limits,
        closing: read.stock_feed().closing(),
        tell,
        goodbye: Arc::clone(&goodbye),
        read,
        whose: only_of(&caller),
        after,
    };
    tokio::spawn(pump.run());
    Ok(endless(told, goodbye, place))
}

/// How far the rows have come that a message is made of.
async fn standing(read: &ReadSide) -> Result<i64, Problem> {
    sqlx::query_scalar(
        "select coalesce(min(position), 0) from read.checkpoint where projection in ('inventory', 'catalogue')",
    )
    .fetch_one(read.pool())
    .await
    .map_err(database)
}

/// Takes changed rows to one reader.
struct Pump {
    limits: Limits,
    closing: watch::Receiver<bool>,
    tell: mpsc::Sender<Event>,
    goodbye: Arc<OnceLock<String>>,
    read: ReadSide,
    whose: Option<Uuid>,
    after: i64,
}

impl Pump {
    async fn run(mut self) {
        metrics::gauge!("waybill_live_stock_readers").increment(1.0);
        if let Some(why) = self.until_the_end().await {
            // Set once; nobody else sets it.
            let _first = self.goodbye.set(why);
        }
        metrics::gauge!("waybill_live_stock_readers").decrement(1.0);
    }

    /// Why the reader is sent away; none when he has gone by himself.
    async fn until_the_end(&mut self) -> Option<String> {
        let stay_until = Instant::now() + self.limits.stay_max;
        // Listening before looking: a move in between is not missed.
        let mut moves = self.read.moves().listen();
        loop {
            let changes = match self.changes().await {
                Ok(changes) => changes,
                Err(problem) => return Some(one_line(&format!("{problem}; come back later"))),
            };
            let all = i64::try_from(changes.len()).is_ok_and(|count| count < CHANGES_AT_ONCE);
            for stock in changes {
                if let Err(why) = self.tell(&stock).await {
                    return why;
                }
                self.after = stock.position;
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
                _ = self.closing.wait_for(|closing| *closing) => {
                    return Some("the server is being stopped; come back with the last id".into());
                }
                () = self.tell.closed() => return None,
                () = tokio::time::sleep_until(stay_until) => {
                    return Some("you have been here for an hour; come back with the last id and a fresh token".into());
                }
                () = pause => {}
            }
        }
    }

    /// The stocks that have changed since, oldest change first. What the catalogue does not know yet waits for it, so
    /// that a stock is not passed over for want of its product's name and owner.
    async fn changes(&self) -> Result<Vec<Stock>, Problem> {
        sqlx::query_as(stocks!(
            "and i.position > $2 and i.position <= (
                 select min(c.position) from read.checkpoint c where c.projection in ('inventory', 'catalogue'))
             order by i.position limit $3"
        ))
        .bind(self.whose)
        .bind(self.after)
        .bind(CHANGES_AT_ONCE)
        .fetch_all(self.read.pool())
        .await
        .map_err(database)
    }

    /// Hands over one message; the error is why the reader is sent away, or none when he has gone.
    async fn tell(&self, stock: &Stock) -> Result<(), Option<String>> {
        let message = Event::default()
            .id(stock.position.to_string())
            .json_data(stock)
            .map_err(|error| Some(one_line(&format!("a stock cannot be shown: {error}"))))?;
        let mut closing = self.closing.clone();
        let sent = tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => {
                return Err(Some("the server is being stopped; come back with the last id".into()));
            }
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

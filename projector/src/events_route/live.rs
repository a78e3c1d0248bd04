//! GET /v1/events/live: the log as it happens, as server-sent events whose ids are positions.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, timeout};
use utoipa::IntoParams;

use event_schema::Position;
use event_store::{SubscribeError, Subscription};
use service_kit::Problem;
use service_kit::extract::Query;

use super::feed::Limits;
use super::list::beyond;
use super::pattern;
use super::shown::show;
use crate::http::{self, ReadSide};

/// A proxy between us and a silent reader would take the connection for dead.
const KEEP_ALIVE_PERIOD: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "last-event-id";
/// Tells a buffering proxy (nginx and its like) to pass every event on at once.
const NO_BUFFERING: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// Which events, and from where.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// A history (`evt.order.<bucket>.<id>`) or a beginning (`evt.order.>`); everything without it.
    subject: Option<String>,
    /// Begin after this position instead of at the log's end; `Last-Event-ID` comes before it.
    after: Option<u64>,
}

/// The events of the log from now on, or from after `Last-Event-ID`: one message each, its id the position, its data
/// the event as `GET /v1/events` shows it. Comments say why the server ends it; the way on is to come back with the
/// last id.
#[utoipa::path(
    get, path = "/v1/events/live", tag = "events", operation_id = "follow_events",
    params(Params, ("Last-Event-ID" = Option<u64>, Header, description = "The last position that was seen")),
    responses(
        (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        (status = 400, description = "`position_unknown`: the log never gave out this position; `invalid_header`",
            body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`busy`: too many follow already; `broker_unavailable`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn live(
    State(read): State<ReadSide>,
    headers: HeaderMap,
    Query(params): Query<Params>,
) -> Result<Response, Problem> {
    let filter = pattern::read(params.subject.as_deref())?;
    let place = read.feed().enter()?;
    let end = read.store().end().await.map_err(http::log)?.position;
    let after = last_event_id(&headers)?
        .or(params.after.map(Position))
        .unwrap_or(end);
    if after > end {
        return Err(beyond(after, end));
    }
    let subscription = read
        .store()
        .subscribe(after, &[&filter])
        .await
        .map_err(http::log)?;
    let limits = read.feed().limits;
    let (tell, told) = mpsc::channel(limits.waiting_events_max);
    let goodbye = Arc::new(OnceLock::new());
    let pump = Pump {
        limits,
        closing: read.feed().closing(),
        tell,
        goodbye: Arc::clone(&goodbye),
        read,
        subscription,
    };
    tokio::spawn(pump.run());
    Ok(endless(told, goodbye, place))
}

/// An answer that goes on until its teller ends it; then it says why.
pub(crate) fn endless(
    told: mpsc::Receiver<Event>,
    goodbye: Arc<OnceLock<String>>,
    place: OwnedSemaphorePermit,
) -> Response {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_PERIOD).text("");
    let answer = Sse::new(messages(told, goodbye, place)).keep_alive(keep_alive);
    ([NO_BUFFERING], answer).into_response()
}

/// What a reader who comes back has seen last.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(|id| Some(Position(id))).ok_or_else(|| {
        Problem::bad_request(
            "invalid_header",
            "the header Last-Event-ID is a position, as the ids of this stream are",
        )
    })
}

/// What the reader takes: events, then the reason for the end, then nothing. Dropping it gives the place back and
/// ends the pump.
fn messages(
    told: mpsc::Receiver<Event>,
    goodbye: Arc<OnceLock<String>>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some((told, goodbye, place)), |state| async move {
        let (mut told, goodbye, place) = state?;
        match told.recv().await {
            Some(event) => Some((Ok(event), Some((told, goodbye, place)))),
            None => {
                let why = goodbye
                    .get()
                    .map_or("the server ends this answer", |why| why);
                Some((Ok(Event::default().comment(why)), None))
            }
        }
    })
}

/// Takes events out of the log for one reader.
struct Pump {
    limits: Limits,
    closing: watch::Receiver<bool>,
    tell: mpsc::Sender<Event>,
    goodbye: Arc<OnceLock<String>>,
    read: ReadSide,
    subscription: Subscription,
}

impl Pump {
    async fn run(mut self) {
        metrics::gauge!("waybill_live_readers").increment(1.0);
        if let Some(why) = self.until_the_end().await {
            // Set once; nobody else sets it.
            let _first = self.goodbye.set(why);
        }
        metrics::gauge!("waybill_live_readers").decrement(1.0);
    }

    /// Why the reader is sent away; none when he has gone by himself.
    async fn until_the_end(&mut self) -> Option<String> {
        let stay_until = Instant::now() + self.limits.stay_max;
        loop {
            let told = tokio::select! {
                biased;
                _ = self.closing.wait_for(|closing| *closing) => {
                    return Some("the server is being stopped; come back with the last id".into());
                }
                () = self.tell.closed() => return None,
                () = tokio::time::sleep_until(stay_until) => {
                    return Some("you have been here for an hour; come back with the last id and a fresh token".into());
                }
                told = self.subscription.next() => told,
            };
            let message = match self.message(told).await {
                Ok(message) => message,
                Err(why) => return Some(why),
            };
            match timeout(self.limits.slow_max, self.tell.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => {
                    metrics::counter!("waybill_live_readers_dropped_total").increment(1);
                    return Some(
                        "you read too slowly and were dropped; come back with the last id".into(),
                    );
                }
            }
        }
    }

    async fn message(
        &self,
        told: Result<event_schema::Recorded, SubscribeError>,
    ) -> Result<Event, String> {
        let event = match told {
            Ok(event) => event,
            Err(error @ SubscribeError::Unreadable { position, .. }) => {
                return Ok(Event::default()
                    .id(position.to_string())
                    .comment(one_line(&error.to_string())));
            }
            Err(error) => return Err(one_line(&error.to_string())),
        };
        let position = event.position;
        let shown = show(vec![event], self.read.personal()).await;
        let shown = shown.map_err(|problem| one_line(&format!("{problem}; come back later")))?;
        Event::default()
            .id(position.to_string())
            .json_data(shown.first())
            .map_err(|error| one_line(&format!("position {position} cannot be shown: {error}")))
    }
}

/// A comment is one line.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

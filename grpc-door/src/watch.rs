//! Answers without end: server-sent events passed on, and an order looked at until it has ended.

use std::time::Duration;

use axum::Router;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::ServiceExt;

use crate::answer;
use crate::request::Translated;
use crate::rpc::Rpc;

/// Messages that wait for a slow reader; the source waits meanwhile.
pub(crate) const WAITING_MAX: usize = 16;
/// Between two looks at an order.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// Whoever follows longer comes back, with a fresh token.
const STAY_MAX: Duration = Duration::from_secs(60 * 60);
/// No single event is larger.
const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Statuses after which an order does not change any more.
const ENDED: [&str; 2] = ["delivered", "cancelled"];

pub(crate) type Told = mpsc::Sender<Result<Bytes, Status>>;

/// What is followed for one caller.
pub(crate) struct Watch {
    pub(crate) rpc: Rpc,
    pub(crate) api: Router,
    pub(crate) asked: Translated,
    pub(crate) tell: Told,
    pub(crate) closing: CancellationToken,
    pub(crate) until: Option<Instant>,
    pub(crate) place: OwnedSemaphorePermit,
}

/// Whether an answer is a stream of events.
pub(crate) fn is_events(response: &Response) -> bool {
    response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

impl Watch {
    /// Tells until the caller goes, his deadline comes, the process ends, or there is nothing more to tell. The first
    /// answer is there already: a refusal is known before a stream begins.
    pub(crate) async fn run(self, first: First) {
        let stay = tokio::time::sleep(STAY_MAX);
        let deadline = async {
            match self.until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            biased;
            () = self.tell.closed() => return,
            () = self.closing.cancelled() => {
                Err(Status::unavailable("the server is being stopped; come back"))
            }
            () = deadline => Err(Status::deadline_exceeded("followed for as long as was asked for")),
            () = stay => Err(Status::unavailable("followed for an hour; come back with a fresh token")),
            end = self.told(first) => end,
        };
        if let Err(status) = end {
            // A reader who takes nothing any more does not keep the place for ever.
            let _gone = tokio::time::timeout(LOOK_PERIOD, self.tell.send(Err(status))).await;
        }
        drop(self.place);
    }

    async fn told(&self, first: First) -> Result<(), Status> {
        match first {
            First::Events(response) => self.events(response).await,
            First::Order(order) => self.order(order).await,
        }
    }

    /// Each new status of the order.
    async fn order(&self, mut order: Value) -> Result<(), Status> {
        let mut told = None;
        loop {
            let status = order["status"].as_str().map(str::to_owned);
            if status != told {
                self.say(answer::message(&self.rpc, order)?).await;
                told = status;
            }
            if told
                .as_deref()
                .is_some_and(|status| ENDED.contains(&status))
            {
                return Ok(());
            }
            tokio::time::sleep(LOOK_PERIOD).await;
            order = look(&self.api, &self.asked).await?;
        }
    }

    /// Each event: its data in the message's first field, its id as `position`.
    async fn events(&self, response: Response) -> Result<(), Status> {
        let mut body = response.into_body().into_data_stream();
        let mut lines = Lines::default();
        let mut event = Event::default();
        while let Some(chunk) = body.next().await {
            let chunk =
                chunk.map_err(|_| Status::unavailable("the stream broke off; come back"))?;
            lines.feed(&chunk)?;
            while let Some(line) = lines.next() {
                if let Some((id, data)) = event.line(&line) {
                    self.say(self.event(&id, &data)?).await;
                }
            }
        }
        // The last comment says why there is no more.
        let why = event.comment.unwrap_or_else(|| "the stream ended".into());
        Err(Status::unavailable(why))
    }

    fn event(&self, id: &str, data: &str) -> Result<Bytes, Status> {
        let unreadable = |_| Status::internal("an event could not be read");
        let data: Value = serde_json::from_str(data).map_err(unreadable)?;
        let mut members = Map::new();
        if let Some(field) = self.rpc.output.fields().next() {
            members.insert(field.name().to_owned(), data);
        }
        if let Ok(position) = id.parse::<u64>() {
            members.insert("position".into(), position.into());
        }
        answer::encoded(&self.rpc, Value::Object(members))
    }

    /// Waits for a slow reader; one that has gone ends the whole by himself.
    async fn say(&self, message: Bytes) {
        if self.tell.send(Ok(message)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What the first look has shown.
pub(crate) enum First {
    Events(Response),
    Order(Value),
}

async fn look(api: &Router, asked: &Translated) -> Result<Value, Status> {
    // A router never fails; what goes wrong in a handler is an answer.
    let response = api
        .clone()
        .oneshot(asked.request())
        .await
        .unwrap_or_else(|never| match never {});
    Ok(answer::json(response).await?.1)
}

/// Lines out of chunks.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn feed(&mut self, chunk: &[u8]) -> Result<(), Status> {
        if self.0.len() + chunk.len() > EVENT_BYTES_MAX {
            return Err(Status::internal("an event is larger than any may be"));
        }
        self.0.extend_from_slice(chunk);
        Ok(())
    }

    fn next(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some(
            String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        )
    }
}

/// An event while its lines come.
#[derive(Default)]
struct Event {
    id: String,
    data: String,
    comment: Option<String>,
}

impl Event {
    /// The event that this line ends.
    fn line(&mut self, line: &str) -> Option<(String, String)> {
        let value = |rest: &str| rest.strip_prefix(' ').unwrap_or(rest).to_owned();
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| (self.id.clone(), data));
        }
        if let Some(comment) = line.strip_prefix(':') {
            let comment = value(comment);
            if !comment.is_empty() {
                self.comment = Some(comment);
            }
        } else if let Some(rest) = line.strip_prefix("id:") {
            self.id = value(rest);
        } else if let Some(rest) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(&value(rest));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_out_of_chunks_that_end_anywhere() {
        let mut lines = Lines::default();
        let mut event = Event::default();
        let mut heard = Vec::new();
        for chunk in ["id: 4", "2\nda", "ta: {\"a\":1}\n", "\n: bye\n\n"] {
            lines.feed(chunk.as_bytes()).unwrap();
            while let Some(line) = lines.next() {
                heard.extend(event.line(&line));
            }
        }
        assert_eq!(heard, [("42".to_owned(), "{\"a\":1}".to_owned())]);
        assert_eq!(event.comment.as_deref(), Some("bye"));
    }
}

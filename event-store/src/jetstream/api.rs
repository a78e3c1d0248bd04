//! The broker's own requests and answers, spelt out: asking the leader, reading directly, and nothing of what it means.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Request, RequestErrorKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use event_schema::{Position, Recorded, Subject, Timestamp, Version, envelope};

use crate::export::RECORDED_AT;
use crate::topology::EVENTS;

/// How long one question may take.
pub(crate) const ASK_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a lost connection is waited for before anything is sent.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(2);
const CONNECTION_LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a batch of direct reads may pause between two messages.
const READ_PAUSE_MAX: Duration = Duration::from_secs(3);
/// Most bytes in one batch of direct reads, so that no answer overruns the connection.
const READ_BYTES_MAX: u64 = 8 << 20;

/// Codes of the broker that mean something to us.
pub(crate) mod code {
    pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
    pub(crate) const CONSUMER_NOT_FOUND: u64 = 10014;
    pub(crate) const NO_MESSAGE: u64 = 10037;
    /// A stale expectation.
    pub(crate) const WRONG_LAST_SEQUENCE: u64 = 10071;
    /// A write of somebody else on the subject is in flight.
    pub(crate) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u64 = 10164;
    /// Whether it is stored is not said: look.
    pub(crate) const UNCLEAR: &[u64] = &[10158, 10163, 10176, 10201, 10210, 10008];
    /// No room, or the disk fails.
    pub(crate) const FULL: &[u64] = &[10077, 10023, 10028, 10047, 10002];
    pub(crate) const TOO_LARGE: &[u64] = &[10054, 10097, 10199];
}

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody answers, in time or at all.
    #[error("{0}")]
    Away(String),
    /// The broker says no.
    #[error("{description} (code {code})")]
    Refused { code: u64, description: String },
    /// The answer makes no sense to us.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

impl AskError {
    pub(crate) fn is(&self, wanted: u64) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted)
    }
}

/// A message as stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) position: Position,
    pub(crate) time: Timestamp,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

/// Headers of a stored message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Reads headers as they are on the wire.
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let pairs = text
            .split("\r\n")
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
        )
    }

    pub(crate) fn of(map: &HeaderMap) -> Self {
        let first =
            |values: &Vec<async_nats::HeaderValue>| values.first().map(|v| v.as_str().to_owned());
        Self(
            map.iter()
                .filter_map(|(name, values)| Some((name.to_string(), first(values)?)))
                .collect(),
        )
    }
}

impl Stored {
    /// The message as one of ours; the text says why it is none.
    pub(crate) fn recorded(&self) -> Result<Recorded, String> {
        let get = |name: &'static str| self.headers.get(name);
        recorded(&self.subject, self.position, self.time, get, &self.payload)
    }

    /// When a broker first stored it.
    pub(crate) fn recorded_at(&self) -> Timestamp {
        recorded_at(|name| self.headers.get(name), self.time)
    }

    pub(crate) fn version(&self) -> Option<Version> {
        self.headers
            .number(envelope::header::AGGREGATE_VERSION)
            .map(Version)
    }

    pub(crate) fn event_id(&self) -> Option<&str> {
        self.headers.get(envelope::header::EVENT_ID)
    }
}

/// A stored message as one of ours, with its headers looked up by name; the text says why it is none.
pub(crate) fn recorded<'a>(
    subject: &str,
    position: Position,
    stored_at: Timestamp,
    get: impl Fn(&'static str) -> Option<&'a str>,
    payload: &Bytes,
) -> Result<Recorded, String> {
    let subject: Subject = subject.parse().map_err(|e| format!("{e}"))?;
    if payload.is_empty() {
        return Err("it has no payload".into());
    }
    let recorded_at = recorded_at(&get, stored_at);
    envelope::from_headers(get, subject, position, recorded_at, payload.clone())
        .map_err(|e| e.to_string())
}

/// In a log that has moved house, this broker's own time is that of the move.
fn recorded_at<'a>(
    get: impl Fn(&'static str) -> Option<&'a str>,
    stored_at: Timestamp,
) -> Timestamp {
    let before_the_move = get(RECORDED_AT).and_then(|time| time.parse().ok());
    before_the_move.unwrap_or(stored_at)
}

/// The state of a stream, as far as we look.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) created: Timestamp,
    pub(crate) state: StreamState,
    config: StreamConfig,
}

#[derive(Debug, Clone, Deserialize)]
struct StreamConfig {
    num_replicas: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) last_seq: u64,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Failed {
    error: Option<Failure>,
}

/// Reads an answer: an error of the broker, or what was asked for.
pub(crate) fn answer<T: DeserializeOwned>(payload: &[u8]) -> Result<T, AskError> {
    let unreadable = |error: serde_json::Error| AskError::Unreadable(error.to_string());
    let failed: Failed = serde_json::from_slice(payload).map_err(unreadable)?;
    if let Some(Failure {
        code,
        err_code,
        description,
    }) = failed.error
    {
        return Err(AskError::Refused {
            code: if err_code == 0 { code } else { err_code },
            description,
        });
    }
    serde_json::from_slice(payload).map_err(unreadable)
}

/// Which message is meant, spelt for the leader and for direct reads alike.
mod query {
    use event_schema::Position;
    use serde_json::{Value, json};

    pub(super) fn last(subject: &str) -> Value {
        json!({ "last_by_subj": subject })
    }

    pub(super) fn next(subject: &str, after: Position) -> Value {
        json!({ "seq": after.0.saturating_add(1), "next_by_subj": subject })
    }

    pub(super) fn at(position: Position) -> Value {
        json!({ "seq": position.0 })
    }
}

/// What the broker can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    /// Replicas of the log, as it was told last.
    replicas: Arc<AtomicUsize>,
}

impl Api {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            replicas: Arc::default(),
        }
    }

    /// Whether one server alone has the log, so that whatever was seen of it that server has.
    pub(crate) fn is_one_server(&self) -> bool {
        self.replicas.load(Ordering::Relaxed) == 1
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a message that is answered.
    pub(crate) async fn request(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<async_nats::Message, AskError> {
        self.connected().await?;
        let request = Request {
            payload: Some(payload),
            headers,
            timeout: Some(Some(ASK_WAIT_MAX)),
            inbox: None,
        };
        let sent = self.client.send_request(subject, request);
        let answered = tokio::select! {
            answered = sent => answered,
            // The answer goes to the connection that asked: with it gone, waiting is in vain.
            () = self.lost() => return Err(AskError::Away("the connection was lost before the answer".into())),
        };
        answered.map_err(|error| {
            AskError::Away(match error.kind() {
                RequestErrorKind::TimedOut => {
                    format!("no answer within {} s", ASK_WAIT_MAX.as_secs())
                }
                RequestErrorKind::NoResponders => {
                    "nobody answers; no leader, or no such stream".into()
                }
                _ => error.to_string(),
            })
        })
    }

    /// How many connections there have been; another number is another one.
    pub(crate) fn connections(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Waits a little for a lost connection to come back.
    pub(crate) async fn connected(&self) -> Result<(), AskError> {
        let begun = Instant::now();
        while self.client.connection_state() != State::Connected {
            if begun.elapsed() > CONNECTION_WAIT_MAX {
                return Err(AskError::Away(
                    "the connection to the broker is lost".into(),
                ));
            }
            sleep(CONNECTION_LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Ends when the connection of this moment is gone, be it that another one has taken its place.
    async fn lost(&self) {
        let connection = || {
            let info = self.client.server_info();
            (info.server_id, info.client_id)
        };
        let now = connection();
        loop {
            sleep(CONNECTION_LOOK_EVERY).await;
            if self.client.connection_state() != State::Connected || connection() != now {
                return;
            }
        }
    }

    /// Asks the leader something in JSON.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        body: &impl Serialize,
    ) -> Result<T, AskError> {
        let body =
            serde_json::to_vec(body).map_err(|error| AskError::Unreadable(error.to_string()))?;
        let message = self
            .request(format!("$JS.API.{what}"), None, body.into())
            .await?;
        answer(&message.payload)
    }

    pub(crate) async fn stream_info(&self, stream: &str) -> Result<StreamInfo, AskError> {
        let info: StreamInfo = self
            .ask(&format!("STREAM.INFO.{stream}"), &serde_json::json!({}))
            .await?;
        if stream == EVENTS {
            self.replicas
                .store(info.config.num_replicas, Ordering::Relaxed);
        }
        Ok(info)
    }

    /// One message from the leader; none when there is no such message.
    async fn leader(
        &self,
        stream: &str,
        query: serde_json::Value,
    ) -> Result<Option<Stored>, AskError> {
        #[derive(Deserialize)]
        struct Answer {
            message: Raw,
        }
        #[derive(Deserialize)]
        struct Raw {
            subject: String,
            seq: u64,
            time: Timestamp,
            hdrs: Option<String>,
            data: Option<String>,
        }
        let raw = match self
            .ask::<Answer>(&format!("STREAM.MSG.GET.{stream}"), &query)
            .await
        {
            Ok(answer) => answer.message,
            Err(error) if error.is(code::NO_MESSAGE) => return Ok(None),
            Err(error) => return Err(error),
        };
        let decode = |text: Option<String>| {
            STANDARD
                .decode(text.unwrap_or_default())
                .map_err(|error| AskError::Unreadable(error.to_string()))
        };
        Ok(Some(Stored {
            subject: raw.subject,
            position: Position(raw.seq),
            time: raw.time,
            headers: Headers::parse(&decode(raw.hdrs)?),
            payload: decode(raw.data)?.into(),
        }))
    }

    /// The last message of a subject, from the leader.
    pub(crate) async fn leader_last(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Stored>, AskError> {
        self.leader(stream, query::last(subject)).await
    }

    /// The first message of a subject after a position, from the leader.
    pub(crate) async fn leader_next(
        &self,
        stream: &str,
        subject: &str,
        after: Position,
    ) -> Result<Option<Stored>, AskError> {
        self.leader(stream, query::next(subject, after)).await
    }

    /// The message at a position, from the leader.
    pub(crate) async fn leader_at(
        &self,
        stream: &str,
        position: Position,
    ) -> Result<Option<Stored>, AskError> {
        self.leader(stream, query::at(position)).await
    }

    /// One message from whichever server is nearest; none when that one has no such message.
    async fn direct(
        &self,
        stream: &str,
        query: serde_json::Value,
    ) -> Result<Option<Stored>, AskError> {
        let body = query.to_string();
        let message = self
            .request(format!("$JS.API.DIRECT.GET.{stream}"), None, body.into())
            .await?;
        direct(message)
    }

    /// The last message of a subject, from whichever server is nearest; may be stale.
    pub(crate) async fn direct_last(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Stored>, AskError> {
        self.direct(stream, query::last(subject)).await
    }

    /// The message at a position, from whichever server is nearest; may be missing there.
    pub(crate) async fn direct_at(
        &self,
        stream: &str,
        position: Position,
    ) -> Result<Option<Stored>, AskError> {
        self.direct(stream, query::at(position)).await
    }

    /// The first message of a subject after a position, from whichever server is nearest; may be missing there.
    pub(crate) async fn direct_next(
        &self,
        stream: &str,
        subject: &str,
        after: Position,
    ) -> Result<Option<Stored>, AskError> {
        self.direct(stream, query::next(subject, after)).await
    }

    /// Messages that match a pattern, in order from a position on, from whichever server is nearest; and how many
    /// more that server has. Never decided by an empty body: the end is a status.
    pub(crate) async fn direct_batch(
        &self,
        stream: &str,
        pattern: &str,
        from: Position,
        limit: usize,
    ) -> Result<(Vec<Stored>, u64), AskError> {
        let away = |what: &str| AskError::Away(format!("{what} while reading {pattern}"));
        let inbox = self.client.new_inbox();
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|_| away("the connection was lost"))?;
        let body = serde_json::json!({
            "seq": from.0.max(1), "batch": limit, "next_by_subj": pattern, "max_bytes": READ_BYTES_MAX,
        });
        self.client
            .publish_with_reply(
                format!("$JS.API.DIRECT.GET.{stream}"),
                inbox,
                body.to_string().into(),
            )
            .await
            .map_err(|_| away("the connection was lost"))?;
        let mut found = Vec::new();
        loop {
            let message = match timeout(READ_PAUSE_MAX, answers.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => return Err(away("the connection was lost")),
                Err(_) => return Err(away("no answer")),
            };
            match message.status.map(|status| status.as_u16()) {
                None => found.extend(direct(message)?),
                Some(204) => {
                    let headers = message
                        .headers
                        .as_ref()
                        .map(Headers::of)
                        .unwrap_or_default();
                    return Ok((found, headers.number("Nats-Num-Pending").unwrap_or(0)));
                }
                Some(404) => return Ok((found, 0)),
                Some(503) => return Err(away("nobody answers")),
                Some(status) => {
                    let description = message.description.unwrap_or_default();
                    return Err(AskError::Refused {
                        code: status.into(),
                        description,
                    });
                }
            }
        }
    }
}

/// A directly read message: the stored one, with where it was in headers that the server adds.
fn direct(message: async_nats::Message) -> Result<Option<Stored>, AskError> {
    match message.status.map(|status| status.as_u16()) {
        None => {}
        Some(404) => return Ok(None),
        Some(503) => {
            return Err(AskError::Away(
                "nobody answers; no such stream, or no direct reads".into(),
            ));
        }
        Some(status) => {
            let description = message.description.unwrap_or_default();
            return Err(AskError::Refused {
                code: status.into(),
                description,
            });
        }
    }
    let headers = message
        .headers
        .as_ref()
        .map(Headers::of)
        .unwrap_or_default();
    let missing = |name| AskError::Unreadable(format!("the header {name} is missing"));
    Ok(Some(Stored {
        subject: headers
            .get("Nats-Subject")
            .ok_or_else(|| missing("Nats-Subject"))?
            .to_owned(),
        position: Position(
            headers
                .number("Nats-Sequence")
                .ok_or_else(|| missing("Nats-Sequence"))?,
        ),
        time: headers
            .get("Nats-Time-Stamp")
            .and_then(|time| time.parse().ok())
            .ok_or_else(|| missing("Nats-Time-Stamp"))?,
        headers,
        payload: message.payload,
    }))
}

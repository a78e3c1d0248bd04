//! One batch on the wire: a plain publish for a lone message, an atomic batch for more, and what the answer means.

use async_nats::{HeaderMap, HeaderName, HeaderValue};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;

use event_schema::{Position, Subject};

use super::api::{self, Api, AskError, code};
use super::plan::{EXPECTED_POSITION, EXPECTED_SUBJECT};
use crate::topology::EVENTS;

pub(crate) const BATCH_ID: &str = "Nats-Batch-Id";
/// Where in its batch a stored message was, from 1.
pub(crate) const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
pub(crate) const BATCH_COMMIT: &str = "Nats-Batch-Commit";
/// Room for the headers that a batch adds to each message, and for framing.
const BATCH_HEADERS_BYTES: usize = 256;

/// A message to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub(crate) subject: Subject,
    pub(crate) event_id: Uuid,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Bytes,
    /// Whether it carries an expectation already.
    pub(crate) expects: bool,
}

impl Message {
    pub(crate) fn expect(&mut self, position: Position, of: Option<&Subject>) {
        self.headers.push((EXPECTED_POSITION, position.to_string()));
        self.headers
            .extend(of.map(|subject| (EXPECTED_SUBJECT, subject.to_string())));
        self.expects = true;
    }

    /// Most bytes it can take on the wire.
    pub(crate) fn bytes_max(&self) -> usize {
        // An expectation on another subject may still be added: its name is about as long as the longest header.
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        headers + self.payload.len() + 2 * BATCH_HEADERS_BYTES
    }

    fn header_map(&self) -> Result<HeaderMap, Answer> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let value: HeaderValue = value
                .parse()
                .map_err(|_| Answer::Refused(format!("the header {name} cannot hold {value:?}")))?;
            map.insert(HeaderName::from_static(name), value);
        }
        Ok(map)
    }
}

/// What the broker's answer to a batch means for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All of it is stored; the position of the last message.
    Stored(Position),
    /// Nothing is stored: an expectation does not hold, or a write on a subject is in flight.
    Conflict,
    /// It may be stored, or be stored yet.
    Unclear(String),
    /// Nothing is stored: there is no room.
    Full(String),
    /// Nothing is stored: it is too large for the broker.
    TooLarge(String),
    /// Nothing is stored, for a reason that trying again will not change.
    Refused(String),
}

/// Carries messages to the log. A seam for the conformance suite, which loses answers and delays batches with it.
#[async_trait]
pub trait Wire: Send + Sync + 'static {
    /// Stores all messages or none.
    async fn send(&self, messages: &[Message]) -> Answer;
}

#[derive(Deserialize)]
struct Ack {
    seq: u64,
    batch: Option<String>,
    count: Option<usize>,
}

#[async_trait]
impl Wire for Api {
    async fn send(&self, messages: &[Message]) -> Answer {
        match messages {
            [] => Answer::Refused("an empty batch".into()),
            [message] => {
                let headers = match message.header_map() {
                    Ok(headers) => headers,
                    Err(refused) => return refused,
                };
                let sent = self
                    .request(
                        message.subject.to_string(),
                        Some(headers),
                        message.payload.clone(),
                    )
                    .await;
                understand(sent, None)
            }
            messages => self.send_batch(messages).await,
        }
    }
}

impl Api {
    /// One round trip: all but the last message unanswered, the last one asks for the whole.
    async fn send_batch(&self, messages: &[Message]) -> Answer {
        // A new id for every try: the broker may still hold the beginning of the last one.
        let batch = Uuid::now_v7().simple().to_string();
        let mut spelt = Vec::with_capacity(messages.len());
        for (message, number) in messages.iter().zip(1..) {
            let mut headers = match message.header_map() {
                Ok(headers) => headers,
                Err(refused) => return refused,
            };
            let number: u32 = number;
            headers.insert(HeaderName::from_static(BATCH_ID), batch.as_str());
            headers.insert(HeaderName::from_static(BATCH_SEQUENCE), number.to_string());
            spelt.push((
                message.subject.to_string(),
                headers,
                message.payload.clone(),
            ));
        }
        let Some((subject, mut headers, payload)) = spelt.pop() else {
            return Answer::Refused("an empty batch".into());
        };
        for (subject, headers, payload) in spelt {
            if let Err(error) = self
                .client()
                .publish_with_headers(subject, headers, payload)
                .await
            {
                return match error.kind() {
                    async_nats::PublishErrorKind::MaxPayloadExceeded => {
                        Answer::TooLarge(error.to_string())
                    }
                    _ => Answer::Unclear(error.to_string()),
                };
            }
        }
        headers.insert(HeaderName::from_static(BATCH_COMMIT), "1");
        let sent = self.request(subject, Some(headers), payload).await;
        understand(sent, Some((&batch, messages.len())))
    }
}

fn understand(sent: Result<async_nats::Message, AskError>, batch: Option<(&str, usize)>) -> Answer {
    let answered = sent.and_then(|message| api::answer::<Ack>(&message.payload));
    match answered {
        Ok(ack) => match batch {
            None => Answer::Stored(Position(ack.seq)),
            Some((id, count)) if ack.batch.as_deref() == Some(id) && ack.count == Some(count) => {
                Answer::Stored(Position(ack.seq))
            }
            // A broker that does not know batches would store the messages one by one.
            Some(_) => Answer::Unclear(format!(
                "the stream {EVENTS} acknowledged something else than the batch"
            )),
        },
        Err(AskError::Away(why) | AskError::Unreadable(why)) => Answer::Unclear(why),
        Err(AskError::Refused { code, description }) => {
            let why = format!("{description} (code {code})");
            match code {
                code::WRONG_LAST_SEQUENCE | code::WRONG_LAST_SEQUENCE_IN_FLIGHT => Answer::Conflict,
                code if code::UNCLEAR.contains(&code) => Answer::Unclear(why),
                code if code::FULL.contains(&code) => Answer::Full(why),
                code if code::TOO_LARGE.contains(&code) => Answer::TooLarge(why),
                _ => Answer::Refused(why),
            }
        }
    }
}

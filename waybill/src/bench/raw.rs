//! The broker's limit: the same messages, with the same headers and expectations, sent to a stream with the same
//! settings by nothing but the client library.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_nats::{Client, HeaderMap, Request};
use async_trait::async_trait;
use bytes::Bytes;
use domain::inventory::{Command, Inventory, Receive};
use event_schema::ids::CommandId;
use event_schema::{
    Actor, Decider, EventSet, Metadata, NewEvent, Subject, Timestamp, Version, envelope,
};
use event_store::topology::EVENTS;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::race::{Contestant, Sample};
use super::times::Times;

/// The stream that raw messages go to, shaped like the stream of events.
const STREAM: &str = "BENCH_RAW";
/// As long as the subjects of the stream of events are.
const PREFIX: &str = "raw";
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
/// What a cluster answers while the message before on the same subject, acknowledged or not, still is under way in it.
const IN_FLIGHT: u64 = 10_164;
const IN_FLIGHT_PAUSE: Duration = Duration::from_millis(1);
/// After so many such answers something else is wrong.
const IN_FLIGHT_TRIES_MAX: u32 = 1000;

/// The command that is measured: units arrive.
pub fn a_receipt() -> Command {
    Receive {
        quantity: 1,
        reason: Some("delivery 4711".to_owned()),
    }
    .into()
}

/// What one message holds besides its subject and expectation.
#[derive(Debug, Clone)]
pub struct Shape {
    headers: Arc<[(&'static str, String)]>,
    payload: Bytes,
}

impl Shape {
    /// Of the event that [`a_receipt`] leads to, as our store spells it.
    pub fn of_a_receipt() -> anyhow::Result<Self> {
        let events = Inventory::decide(&Inventory::initial(), a_receipt())?;
        let event = events.first().context("a receipt is an event")?;
        let event = NewEvent {
            event_id: Uuid::now_v7(),
            event_type: event.event_type(),
            schema_version: event.schema_version(),
            payload: event.encode()?.into(),
            saga: None,
        };
        let metadata = Metadata::new(
            CommandId(Uuid::now_v7()),
            Actor::caller("bench", Uuid::now_v7()),
            Timestamp::now(),
        );
        Ok(Self {
            headers: envelope::to_headers(&event, Version(1000), &metadata).into(),
            payload: event.payload,
        })
    }

    pub fn payload_bytes(&self) -> usize {
        self.payload.len()
    }

    pub fn header_bytes(&self) -> usize {
        self.headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum()
    }

    /// Spelt anew for each message, as any sender has to.
    fn spell(&self, expected: Option<u64>) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.headers.iter() {
            map.insert(*name, value.as_str());
        }
        if let Some(expected) = expected {
            map.insert(EXPECTED, expected.to_string());
        }
        map
    }
}

/// A stream with the settings of the stream of events, for messages that are nobody's.
#[derive(Debug, Clone)]
pub struct RawStream {
    client: Client,
}

#[derive(Deserialize)]
struct Ack {
    seq: Option<u64>,
    error: Option<Value>,
}

impl RawStream {
    /// Makes it anew.
    pub async fn create(client: Client) -> anyhow::Result<Self> {
        let stream = Self { client };
        let info = stream
            .ask(&format!("STREAM.INFO.{EVENTS}"), json!({}))
            .await?;
        let mut config = info["config"].clone();
        let settings = config
            .as_object_mut()
            .context("the stream of events has no settings")?;
        settings.insert("name".into(), json!(STREAM));
        settings.insert("subjects".into(), json!([format!("{PREFIX}.>")]));
        settings.remove("metadata");
        stream.delete().await?;
        stream
            .ask(&format!("STREAM.CREATE.{STREAM}"), config)
            .await?;
        Ok(stream)
    }

    /// Takes it away; gone already is as good.
    pub async fn delete(&self) -> anyhow::Result<()> {
        match self
            .ask(&format!("STREAM.DELETE.{STREAM}"), json!({}))
            .await
        {
            Err(error) if !error.to_string().contains("stream not found") => Err(error),
            _ => Ok(()),
        }
    }

    async fn ask(&self, what: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self
            .client
            .request(format!("$JS.API.{what}"), body.to_string().into())
            .await?;
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        match answer.get("error") {
            Some(error) => bail!(
                "{what}: {}",
                error["description"].as_str().unwrap_or("refused")
            ),
            None => Ok(answer),
        }
    }

    /// Publishes and waits for the position; none while a message before is in flight.
    async fn publish(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> anyhow::Result<Option<u64>> {
        let request = Request {
            payload: Some(payload),
            headers: Some(headers),
            timeout: Some(Some(ANSWER_LIMIT)),
            inbox: None,
        };
        let answer = self
            .client
            .send_request(subject.to_owned(), request)
            .await?;
        match serde_json::from_slice(&answer.payload)? {
            Ack {
                seq: Some(position),
                error: None,
            } => Ok(Some(position)),
            Ack {
                error: Some(error), ..
            } if error["err_code"].as_u64() == Some(IN_FLIGHT) => Ok(None),
            Ack { error, .. } => bail!(
                "the broker refused a raw message: {}",
                error.unwrap_or_default()
            ),
        }
    }
}

/// A subject and the position of its last message.
struct Place {
    subject: String,
    last: u64,
}

fn places(count: usize) -> Vec<Place> {
    let place = |_| {
        let subject = Subject::history("inventory", Uuid::now_v7());
        Place {
            subject: subject.as_str().replacen("evt", PREFIX, 1),
            last: 0,
        }
    };
    (0..count).map(place).collect()
}

/// Callers that each publish one message after the other, each on a subject of its own.
pub struct Publishes {
    stream: RawStream,
    shape: Shape,
    places: Vec<Place>,
}

impl Publishes {
    pub fn new(stream: &RawStream, shape: &Shape, callers: usize) -> Self {
        Self {
            stream: stream.clone(),
            shape: shape.clone(),
            places: places(callers),
        }
    }
}

#[async_trait]
impl Contestant for Publishes {
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample> {
        let begun = Instant::now();
        let mut callers = JoinSet::new();
        for mut place in self.places.drain(..) {
            let (stream, shape) = (self.stream.clone(), self.shape.clone());
            callers.spawn(async move {
                let (mut sent, mut times) = (0_u64, Times::new()?);
                while begun.elapsed() < about {
                    let at = Instant::now();
                    let mut tries = 0;
                    place.last = loop {
                        let headers = shape.spell(Some(place.last));
                        let payload = shape.payload.clone();
                        match stream.publish(&place.subject, headers, payload).await? {
                            Some(position) => break position,
                            None => in_flight(&mut tries).await?,
                        }
                    };
                    times.record(at.elapsed());
                    sent += 1;
                }
                anyhow::Ok((place, sent, times))
            });
        }
        let (mut events, mut times) = (0, Times::new()?);
        while let Some(ended) = callers.join_next().await {
            let (place, sent, took) = ended??;
            self.places.push(place);
            events += sent;
            times.add(&took)?;
        }
        Ok(Sample {
            took: begun.elapsed(),
            amounts: vec![("events", events)],
            times: Some(times),
        })
    }
}

/// Senders that each store one atomic batch after the other.
pub struct Batches {
    stream: RawStream,
    shape: Shape,
    size: usize,
    senders: Vec<Vec<Place>>,
}

impl Batches {
    /// Each message on a subject of its own, with an expectation of its own, as one-event commands are carried.
    pub fn new(stream: &RawStream, shape: &Shape, size: usize, senders: usize) -> Self {
        let senders = (0..senders).map(|_| places(size)).collect();
        Self {
            stream: stream.clone(),
            shape: shape.clone(),
            size,
            senders,
        }
    }

    /// All messages of a batch on one subject, as one command's events are carried: the first one expects.
    pub fn of_one_subject(stream: &RawStream, shape: &Shape, size: usize, senders: usize) -> Self {
        let senders = (0..senders).map(|_| places(1)).collect();
        Self {
            stream: stream.clone(),
            shape: shape.clone(),
            size,
            senders,
        }
    }
}

#[async_trait]
impl Contestant for Batches {
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample> {
        let begun = Instant::now();
        let mut senders = JoinSet::new();
        for mut places in self.senders.drain(..) {
            let (stream, shape, size) = (self.stream.clone(), self.shape.clone(), self.size);
            senders.spawn(async move {
                let (mut sent, mut times) = (0_u64, Times::new()?);
                while begun.elapsed() < about {
                    let at = Instant::now();
                    let mut tries = 0;
                    let last = loop {
                        match store(&stream, &shape, &places, size).await? {
                            Some(position) => break position,
                            None => in_flight(&mut tries).await?,
                        }
                    };
                    settle(&mut places, size, last);
                    times.record(at.elapsed());
                    sent += 1;
                }
                anyhow::Ok((places, sent, times))
            });
        }
        let (mut batches, mut times) = (0, Times::new()?);
        while let Some(ended) = senders.join_next().await {
            let (places, sent, took) = ended??;
            self.senders.push(places);
            batches += sent;
            times.add(&took)?;
        }
        let events = batches * self.size as u64;
        Ok(Sample {
            took: begun.elapsed(),
            amounts: vec![("events", events), ("batches", batches)],
            times: Some(times),
        })
    }
}

/// Pauses before what was refused because of something in flight is sent again; that is the broker's time, and counts.
async fn in_flight(tries: &mut u32) -> anyhow::Result<()> {
    *tries += 1;
    if *tries > IN_FLIGHT_TRIES_MAX {
        bail!("a raw message stayed in flight");
    }
    tokio::time::sleep(IN_FLIGHT_PAUSE).await;
    Ok(())
}

/// One atomic batch: all but the last message unanswered, the last one asks for the whole. Answers its last position.
async fn store(
    stream: &RawStream,
    shape: &Shape,
    places: &[Place],
    size: usize,
) -> anyhow::Result<Option<u64>> {
    let batch = Uuid::now_v7().simple().to_string();
    let subjects = places.len().max(1);
    let mut last = None;
    for number in 0..size {
        let place = places
            .get(number % subjects)
            .context("a batch needs a subject")?;
        let mut headers = shape.spell((number < subjects).then_some(place.last));
        headers.insert("Nats-Batch-Id", batch.as_str());
        headers.insert("Nats-Batch-Sequence", (number + 1).to_string());
        if number + 1 == size {
            headers.insert("Nats-Batch-Commit", "1");
            last = stream
                .publish(&place.subject, headers, shape.payload.clone())
                .await?;
        } else {
            stream
                .client
                .publish_with_headers(place.subject.clone(), headers, shape.payload.clone())
                .await?;
        }
    }
    Ok(last)
}

/// Notes where the messages of a stored batch are.
fn settle(places: &mut [Place], size: usize, last: u64) {
    let subjects = places.len().max(1);
    let first = last + 1 - size as u64;
    for number in 0..size {
        if let Some(place) = places.get_mut(number % subjects) {
            place.last = first + number as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_message_has_the_headers_and_the_payload_of_ours() {
        let shape = Shape::of_a_receipt().unwrap();
        let headers = shape.spell(Some(7));
        for name in [
            "Event-Id",
            "Event-Type",
            "Aggregate-Version",
            "Command-Id",
            "Actor",
            EXPECTED,
        ] {
            assert!(headers.get(name).is_some(), "{name}");
        }
        assert!(shape.payload_bytes() > 10 && shape.header_bytes() > 200);
    }

    #[test]
    fn raw_subjects_are_as_long_as_ours_and_none_of_theirs() {
        let raw = places(2);
        let ours = Subject::history("inventory", Uuid::now_v7());
        assert_eq!(raw[0].subject.len(), ours.as_str().len());
        assert!(raw[0].subject.starts_with("raw.inventory.") && raw[0].subject != raw[1].subject);
    }
}

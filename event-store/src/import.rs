//! Filling an empty log with one that was exported: the same messages at the same positions.
//!
//! Nobody else may work on the log meanwhile. A note in the stream's metadata says that an import is under way; with
//! it there, no role starts ([`topology`] refuses) and the same import can go on where it stopped. Every batch expects
//! where the whole log ends and where each of its histories does, so that nothing slips in between and nothing is
//! stored twice, whatever answer is lost.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures::StreamExt;
use lru::LruCache;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use event_schema::envelope::header;
use event_schema::{Position, Subject, Version, envelope};

use crate::export::{RECORDED_AT, StoredMessage, is_the_brokers};
use crate::jetstream::api::{self, Api, AskError, code};
use crate::jetstream::load::{self, LEADER_ASKS_AT_ONCE};
use crate::jetstream::plan::EXPECTED_POSITION;
use crate::jetstream::wire::{BATCH_COMMIT, BATCH_ID, BATCH_SEQUENCE};
use crate::store::GROUP_MESSAGES_MAX;
use crate::topology::{self, EVENTS, TopologyError};

/// Most messages that one call of [`Import::append`] takes.
pub const IMPORT_BATCH_MESSAGES_MAX: usize = GROUP_MESSAGES_MAX;
/// The entry in the stream's metadata that says that an import is under way.
const NOTE: &str = "waybill-import";
/// Expects where the whole stream ends.
const EXPECTED_END: &str = "Nats-Expected-Last-Sequence";
/// Services of ours on the broker: with one of them there, somebody works on the log.
const OUR_SERVICES: [&str; 4] = ["commands", "projections", "saga", "notifications"];
/// Services that are there answer at once; the last of them is not waited for longer.
const SERVICE_ANSWER_MAX: Duration = Duration::from_millis(700);
/// How often it is looked, during the import, whether somebody has come.
const LOOK_AROUND_PERIOD: Duration = Duration::from_secs(10);
/// How long one batch is tried, and how long a question is asked again while the broker is away.
const TRIED_MAX: Duration = Duration::from_secs(60);
/// How long a batch is tried that is refused although the log ends where it should.
const REFUSED_IN_FLIGHT_MAX: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Most histories whose end is remembered; the leader is asked for the others.
const HEADS_MAX: NonZeroUsize = match NonZeroUsize::new(50_000) {
    Some(heads) => heads,
    None => NonZeroUsize::MIN,
};

/// Why a log was not imported, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The broker is not as it has to be.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The log has a past of its own.
    #[error(
        "the log is not empty: it holds {messages} messages. A log is imported into an empty one: use a fresh broker, \
         or remove the stream {EVENTS} and the buckets saga_status, saga_attention, snapshots and quotes first"
    )]
    NotEmpty {
        /// How many messages it has.
        messages: u64,
    },
    /// Another import was left half done.
    #[error(
        "an import of another file was left half done: {stored} of its messages are stored, and its fingerprint is {found}. \
         Finish it with that file, or remove the stream {EVENTS} and begin anew"
    )]
    AnotherFile {
        /// The other file's fingerprint.
        found: String,
        /// How much of it is stored.
        stored: u64,
    },
    /// Somebody works on this broker.
    #[error(
        "parts of Waybill run on this broker ({who}); stop them, import, and start them again: \
         they would act on a log that is half there"
    )]
    InUse {
        /// Which services.
        who: String,
    },
    /// What is stored is not what the file has.
    #[error(
        "position {position} of the half-imported log holds something else than the file; \
         remove the stream {EVENTS} and begin anew"
    )]
    Differs {
        /// Where.
        position: Position,
    },
    /// Somebody else has written.
    #[error(
        "somebody else wrote to the log during the import: it ends at {end} and should end at {expected}; \
         remove the stream {EVENTS} and begin anew"
    )]
    Interfered {
        /// Where it should end.
        expected: Position,
        /// Where it ends.
        end: Position,
    },
    /// A message of the file cannot be part of a log.
    #[error("the message at position {position} cannot be imported: {reason}")]
    Unsound {
        /// Its position.
        position: Position,
        /// Why.
        reason: String,
    },
    /// The log has fewer or more messages than the file.
    #[error("the log ends at {end}, but the file has {expected} messages")]
    Incomplete {
        /// How many the file has.
        expected: u64,
        /// Where the log ends.
        end: Position,
    },
    /// The log has no room.
    #[error("the log is full: {0}")]
    Full(String),
    /// The broker cannot be reached, or refuses. What is stored stays; the same import goes on there.
    #[error("the broker did not take it: {0}; the same command goes on where this one stopped")]
    Broker(String),
}

impl From<AskError> for ImportError {
    fn from(error: AskError) -> Self {
        match &error {
            AskError::Refused { code, .. } if code::FULL.contains(code) => {
                Self::Full(error.to_string())
            }
            _ => Self::Broker(error.to_string()),
        }
    }
}

/// What is being imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Tells one file from another: a digest of all of it, in hex.
    pub fingerprint: String,
    /// How many messages it has.
    pub messages: u64,
}

impl Source {
    fn note(&self) -> String {
        format!("{} {}", self.messages, self.fingerprint)
    }
}

/// A log being filled.
#[derive(Debug)]
pub struct Import {
    api: Api,
    source: Source,
    /// Where the log ends.
    end: Position,
    /// Where it ended when this import began; not 0 when it goes on with one that was broken off.
    begun_at: Position,
    heads: LruCache<Subject, (Version, Position)>,
    looked_around: Instant,
}

impl Import {
    /// Makes the log if there is none, sees that it is empty and that nobody works on it, and closes it for everybody
    /// else until [`finish`](Self::finish).
    pub async fn begin(
        client: Client,
        replicas: usize,
        source: Source,
    ) -> Result<Self, ImportError> {
        let api = Api::new(client.clone());
        let seen = stream(&api).await?;
        let stored = seen.as_ref().map_or(0, |stream| stream.state.last_seq);
        match seen.as_ref().and_then(|stream| note_of(&stream.config)) {
            None if stored > 0 => return Err(ImportError::NotEmpty { messages: stored }),
            None => topology::migrate(&client, replicas).await?,
            Some(note) if stored > 0 && note != source.note() => {
                let found = note.to_owned();
                return Err(ImportError::AnotherFile { found, stored });
            }
            // The same file again; or another one, of which nothing was stored.
            Some(_) => {}
        }
        if stored > source.messages {
            return Err(ImportError::Incomplete {
                expected: source.messages,
                end: Position(stored),
            });
        }
        nobody_works_on(&api).await?;
        set_note(&api, Some(&source.note())).await?;
        // Whoever was just starting has either seen the note or is seen here.
        nobody_works_on(&api).await?;
        let end = Position(api.stream_info(EVENTS).await?.state.last_seq);
        if end != Position(stored) {
            return Err(ImportError::Interfered {
                expected: Position(stored),
                end,
            });
        }
        Ok(Self {
            api,
            source,
            end,
            begun_at: end,
            heads: LruCache::new(HEADS_MAX),
            looked_around: Instant::now(),
        })
    }

    /// Where the log ends: everything up to here is stored.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Stores the next messages, in order and without a gap. Those that a broken-off import stored already are passed
    /// by, after a look at whether they are the same.
    pub async fn append(&mut self, messages: &[StoredMessage]) -> Result<(), ImportError> {
        if let Some(last) = messages
            .iter()
            .find(|message| message.position == self.begun_at)
        {
            self.same(last).await?;
        }
        let known = messages.partition_point(|message| message.position <= self.end);
        let messages = messages.get(known..).unwrap_or_default();
        for batch in messages.chunks(IMPORT_BATCH_MESSAGES_MAX) {
            if self.looked_around.elapsed() > LOOK_AROUND_PERIOD {
                nobody_works_on(&self.api).await?;
                self.looked_around = Instant::now();
            }
            let built = self.build(batch).await?;
            self.store(batch, &built).await?;
        }
        Ok(())
    }

    /// Sees that all of it is stored and opens the log.
    pub async fn finish(self) -> Result<Position, ImportError> {
        let info = patiently(|| self.api.stream_info(EVENTS)).await?;
        let end = Position(info.state.last_seq);
        if end.0 != self.source.messages {
            return Err(ImportError::Incomplete {
                expected: self.source.messages,
                end,
            });
        }
        nobody_works_on(&self.api).await?;
        set_note(&self.api, None).await?;
        topology::check(self.api.client(), None).await?;
        Ok(end)
    }

    /// Whether the log has, at the end of what was stored before, what the file has there.
    async fn same(&self, message: &StoredMessage) -> Result<(), ImportError> {
        let stored = patiently(|| self.api.leader_at(EVENTS, message.position)).await?;
        let same = stored.is_some_and(|stored| {
            stored.subject == message.subject
                && stored.payload == message.payload
                && stored.headers.get(header::EVENT_ID) == message.header(header::EVENT_ID)
        });
        match same {
            true => Ok(()),
            false => Err(ImportError::Differs {
                position: message.position,
            }),
        }
    }

    /// Spells a batch: each history's first message expects where the history ends.
    async fn build(
        &mut self,
        batch: &[StoredMessage],
    ) -> Result<Vec<(String, HeaderMap, Bytes)>, ImportError> {
        let histories: Vec<Option<(Subject, Version)>> =
            batch.iter().map(history_of).collect::<Result<_, _>>()?;
        self.learn_heads(&histories).await?;
        let mut begun: Vec<&Subject> = Vec::new();
        let mut built = Vec::with_capacity(batch.len());
        for ((message, history), due) in batch.iter().zip(&histories).zip(self.end.0 + 1..) {
            if message.position != Position(due) {
                return Err(unsound(message, format!("position {due} is due")));
            }
            let mut headers = headers_of(message)?;
            if let Some((subject, version)) = history {
                let head = self.heads.get(subject).copied();
                let (ends, at) = head.unwrap_or((Version::NONE, Position(0)));
                if *version != ends.after(1) {
                    let reason = format!("it is version {version} of {subject}, after {ends}");
                    return Err(unsound(message, reason));
                }
                if !begun.contains(&subject) {
                    begun.push(subject);
                    headers.insert(EXPECTED_POSITION, at.to_string());
                }
                self.heads
                    .put(subject.clone(), (*version, message.position));
            }
            built.push((message.subject.clone(), headers, message.payload.clone()));
        }
        Ok(built)
    }

    /// Where histories end that are neither new nor remembered.
    async fn learn_heads(
        &mut self,
        histories: &[Option<(Subject, Version)>],
    ) -> Result<(), ImportError> {
        let mut missing: Vec<Subject> = histories
            .iter()
            .flatten()
            .filter(|(subject, version)| version.0 > 1 && !self.heads.contains(subject))
            .map(|(subject, _)| subject.clone())
            .collect();
        missing.sort_unstable();
        missing.dedup();
        let heads = patiently(|| load::heads(&self.api, &missing, LEADER_ASKS_AT_ONCE)).await?;
        for (subject, head) in missing.into_iter().zip(heads) {
            if let Some(head) = head {
                self.heads.put(subject, head.place());
            }
        }
        Ok(())
    }

    /// Sends a batch until it is known to be stored. Sent again it expects the same, so it is stored once at most.
    async fn store(
        &mut self,
        batch: &[StoredMessage],
        built: &[(String, HeaderMap, Bytes)],
    ) -> Result<(), ImportError> {
        let after = Position(self.end.0.saturating_add(batch.len() as u64));
        let begun = Instant::now();
        let mut pause = PAUSE_FIRST;
        loop {
            let (why, refused) = match self.send(built).await {
                Ok(()) => ("something else was acknowledged".to_owned(), false),
                Err(error) => match &error {
                    AskError::Refused { code, .. } if is_conflict(*code) => {
                        (error.to_string(), true)
                    }
                    AskError::Refused { code, .. } if !code::UNCLEAR.contains(code) => {
                        return Err(error.into());
                    }
                    _ => (error.to_string(), false),
                },
            };
            // Whatever the answer was: the log says what became of it.
            let end = match self.api.stream_info(EVENTS).await {
                Ok(info) => Position(info.state.last_seq),
                Err(error) if begun.elapsed() > TRIED_MAX => return Err(error.into()),
                Err(_) => self.end,
            };
            if end == after {
                let Some(last) = batch.last() else {
                    return Ok(());
                };
                return match self.same(last).await {
                    Ok(()) => {
                        self.end = after;
                        Ok(())
                    }
                    Err(ImportError::Differs { .. }) => Err(ImportError::Interfered {
                        expected: self.end,
                        end,
                    }),
                    Err(error) => Err(error),
                };
            }
            if end != self.end {
                return Err(ImportError::Interfered {
                    expected: self.end,
                    end,
                });
            }
            if refused && begun.elapsed() > REFUSED_IN_FLIGHT_MAX {
                // The log ends where it should, so it is a history that does not.
                return Err(ImportError::Unsound {
                    position: Position(self.end.0.saturating_add(1)),
                    reason: format!(
                        "the histories of its batch do not end where the file says: {why}"
                    ),
                });
            }
            if begun.elapsed() > TRIED_MAX {
                return Err(ImportError::Broker(why));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One send: a plain publish for a lone message, an atomic batch for more.
    async fn send(&self, built: &[(String, HeaderMap, Bytes)]) -> Result<(), AskError> {
        let id = Uuid::now_v7().simple().to_string();
        let count = built.len();
        for ((subject, headers, payload), number) in built.iter().zip(1..) {
            let mut headers = headers.clone();
            if number == 1 {
                headers.insert(EXPECTED_END, self.end.to_string());
            }
            if count > 1 {
                headers.insert(BATCH_ID, id.as_str());
                headers.insert(BATCH_SEQUENCE, number.to_string());
            }
            if number < count {
                let sent = self.api.client().publish_with_headers(
                    subject.clone(),
                    headers,
                    payload.clone(),
                );
                sent.await
                    .map_err(|error| AskError::Away(error.to_string()))?;
                continue;
            }
            if count > 1 {
                headers.insert(BATCH_COMMIT, "1");
            }
            let answered = self
                .api
                .request(subject.clone(), Some(headers), payload.clone())
                .await?;
            api::answer::<Value>(&answered.payload)?;
        }
        Ok(())
    }
}

fn is_conflict(found: u64) -> bool {
    found == code::WRONG_LAST_SEQUENCE || found == code::WRONG_LAST_SEQUENCE_IN_FLIGHT
}

fn unsound(message: &StoredMessage, reason: String) -> ImportError {
    ImportError::Unsound {
        position: message.position,
        reason,
    }
}

/// The history a message belongs to and its version there; none for a message that is no event of ours, which is
/// carried along so that every position stays what it was.
fn history_of(message: &StoredMessage) -> Result<Option<(Subject, Version)>, ImportError> {
    let ours = topology::EVENT_SUBJECTS
        .iter()
        .any(|pattern| message.subject.starts_with(pattern.trim_end_matches('>')));
    if !ours {
        let reason = format!("the log takes no subject {:?}", message.subject);
        return Err(unsound(message, reason));
    }
    let Ok(subject) = message.subject.parse::<Subject>() else {
        return Ok(None);
    };
    // Headers are found whatever their case, as the broker's are.
    let read = envelope::from_headers(
        |name| message.header(name),
        subject,
        message.position,
        message.recorded_at,
        message.payload.clone(),
    );
    Ok(read.ok().map(|event| (event.subject, event.version)))
}

fn headers_of(message: &StoredMessage) -> Result<HeaderMap, ImportError> {
    let mut map = HeaderMap::new();
    let recorded_at = (RECORDED_AT.to_owned(), message.recorded_at.to_string());
    for (name, value) in message.headers.iter().chain([&recorded_at]) {
        // A file could tell the broker to do anything with them.
        if is_the_brokers(name) {
            let reason = format!("the header {name} is the broker's own");
            return Err(unsound(message, reason));
        }
        let spelt = HeaderName::from_str(name)
            .ok()
            .zip(HeaderValue::from_str(value).ok());
        let Some((name, value)) = spelt else {
            let reason = format!("the header {name:?} cannot be written");
            return Err(unsound(message, reason));
        };
        map.append(name, value);
    }
    Ok(map)
}

/// Asks again while the broker is away; only for what does no harm when it is asked twice.
async fn patiently<T, A: Future<Output = Result<T, AskError>>>(
    ask: impl Fn() -> A,
) -> Result<T, AskError> {
    let begun = Instant::now();
    let mut pause = PAUSE_FIRST;
    loop {
        let answered = ask().await;
        let away = match &answered {
            Err(AskError::Away(_)) => true,
            Err(AskError::Refused { code, .. }) => code::UNCLEAR.contains(code),
            _ => false,
        };
        if !away || begun.elapsed() > TRIED_MAX {
            return answered;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Somebody who answers as a service of ours would act on a log that is half there.
async fn nobody_works_on(api: &Api) -> Result<(), ImportError> {
    let found = patiently(|| who_works_on(api)).await?;
    match found.is_empty() {
        true => Ok(()),
        false => Err(ImportError::InUse {
            who: found.join(", "),
        }),
    }
}

/// The services of ours that answer on this broker.
async fn who_works_on(api: &Api) -> Result<Vec<String>, AskError> {
    #[derive(Deserialize)]
    struct Pong {
        name: String,
    }
    let away = |error: &dyn std::fmt::Display| AskError::Away(error.to_string());
    api.connected().await?;
    let connections = api.connections();
    let client = api.client();
    let inbox = client.new_inbox();
    let mut pongs = client
        .subscribe(inbox.clone())
        .await
        .map_err(|e| away(&e))?;
    client
        .publish_with_reply("$SRV.PING", inbox, Bytes::new())
        .await
        .map_err(|error| away(&error))?;
    client.flush().await.map_err(|error| away(&error))?;
    let mut found: Vec<String> = Vec::new();
    while let Ok(Some(message)) = timeout(SERVICE_ANSWER_MAX, pongs.next()).await {
        // Nobody offers any service at all.
        if message.status.is_some() {
            break;
        }
        found.extend(
            serde_json::from_slice::<Pong>(&message.payload)
                .ok()
                .map(|pong| pong.name)
                .filter(|name| OUR_SERVICES.contains(&name.as_str())),
        );
    }
    if api.connections() != connections {
        return Err(AskError::Away(
            "the connection was lost before everybody could answer".into(),
        ));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[derive(Debug, Deserialize)]
struct StreamSeen {
    config: Value,
    state: StateSeen,
}

#[derive(Debug, Deserialize)]
struct StateSeen {
    last_seq: u64,
}

async fn stream(api: &Api) -> Result<Option<StreamSeen>, AskError> {
    match api.ask(&format!("STREAM.INFO.{EVENTS}"), &json!({})).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.is(code::STREAM_NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a stream's settings say about an import under way.
pub(crate) fn note_of(config: &Value) -> Option<&str> {
    config.get("metadata")?.get(NOTE)?.as_str()
}

async fn set_note(api: &Api, note: Option<&str>) -> Result<(), ImportError> {
    let Some(StreamSeen { mut config, .. }) = patiently(|| stream(api)).await? else {
        return Err(ImportError::Broker(format!("the stream {EVENTS} is gone")));
    };
    if note_of(&config) == note {
        return Ok(());
    }
    let metadata = config
        .as_object_mut()
        .map(|config| config.entry("metadata").or_insert_with(|| json!({})));
    if let Some(metadata) = metadata.and_then(Value::as_object_mut) {
        match note {
            Some(note) => metadata.insert(NOTE.into(), json!(note)),
            None => metadata.remove(NOTE),
        };
    }
    let update = format!("STREAM.UPDATE.{EVENTS}");
    let updated: StreamSeen = patiently(|| api.ask(&update, &config)).await?;
    match note_of(&updated.config) == note {
        true => Ok(()),
        false => Err(ImportError::Broker(format!(
            "the stream {EVENTS} does not keep its metadata"
        ))),
    }
}

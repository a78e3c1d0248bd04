//! The log on a real broker: one JetStream stream, one lane per process that writes to it.

pub(crate) mod api;
mod callers;
mod guard;
mod lane;
pub(crate) mod load;
pub(crate) mod plan;
mod queue;
mod subscribe;
mod ways;
pub(crate) mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use event_schema::{NewEvent, Position, Recorded, Subject, Version, envelope};

use crate::rewound::LogRewound;
use crate::store::{
    self, AppendError, EventStore, Freshness, Group, History, LoadError, LogEnd, LogIdentity,
    Waiting,
};
use crate::subscription::Subscription;
use crate::topology::{self, EVENTS, SNAPSHOTS, TopologyError};
use api::{Api, AskError};
use callers::Callers;
use guard::Guard;
use lane::{Lane, QUEUE_GROUPS_MAX};
use load::LEADER_ASKS_AT_ONCE;
use plan::Queued;
#[cfg(not(feature = "testing"))]
use wire::Message;

#[cfg(feature = "testing")]
pub use wire::{Answer, Message, Wire};

/// The headers of an event take less than this, unless one of its open texts is long.
const HEADERS_BYTES_USUAL: usize = 16 << 10;
/// An open text of an envelope is usually shorter.
const TEXT_BYTES_USUAL: usize = 512;
/// How long a start waits for the log to be there.
const MIGRATED_WITHIN: Duration = Duration::from_secs(60);
const MIGRATED_LOOK_PERIOD: Duration = Duration::from_millis(500);

/// The log on a broker. Clones share one lane; a process has one of these for all its roles.
#[derive(Debug, Clone)]
pub struct JetStreamStore {
    api: Api,
    lane: mpsc::Sender<Queued>,
    callers: Callers,
    guard: Arc<Guard>,
}

impl JetStreamStore {
    /// Checks that server and stream are as they have to be, and starts the lane.
    pub async fn connect(client: Client) -> Result<Self, TopologyError> {
        topology::check(&client, None).await?;
        let api = Api::new(client);
        Self::over(api.clone(), Arc::new(api)).await
    }

    /// [`connect`](Self::connect), waiting up to a minute for a broker that has no leader yet and for `waybill migrate`.
    pub async fn connect_when_migrated(client: Client) -> Result<Self, TopologyError> {
        let until = tokio::time::Instant::now() + MIGRATED_WITHIN;
        loop {
            match Self::connect(client.clone()).await {
                Err(error) if error.may_pass() && tokio::time::Instant::now() < until => {
                    tracing::info!(%error, "waiting for the event log");
                    tokio::time::sleep(MIGRATED_LOOK_PERIOD).await;
                }
                connected => return connected,
            }
        }
    }

    /// A store whose batches go through something that loses or delays them. For tests of what follows from that.
    #[cfg(feature = "testing")]
    pub async fn connect_through(
        client: Client,
        wire: impl FnOnce(Arc<dyn Wire>) -> Arc<dyn Wire>,
    ) -> Result<Self, TopologyError> {
        topology::check(&client, None).await?;
        let api = Api::new(client);
        Self::over(api.clone(), wire(Arc::new(api))).await
    }

    async fn over(api: Api, wire: Arc<dyn wire::Wire>) -> Result<Self, TopologyError> {
        let log = identity(&api)
            .await
            .map_err(|error| TopologyError::Broker {
                what: format!("stream {EVENTS}"),
                reason: error.to_string(),
            })?;
        let guard = Guard::new(api.clone(), log);
        let (lane, groups) = mpsc::channel(QUEUE_GROUPS_MAX);
        tokio::spawn(Lane::new(api.clone(), wire, Arc::clone(&guard)).run(groups));
        Ok(Self {
            api,
            lane,
            callers: Callers::default(),
            guard,
        })
    }

    /// The connection underneath, for buckets and services beside the log.
    pub fn client(&self) -> &Client {
        self.api.client()
    }

    /// Remembers the newest event of some that were read in order.
    fn note(&self, events: &[Recorded]) {
        if let Some(last) = events.last() {
            self.guard.note(last.position, last.event_id);
        }
    }

    /// Refuses what the broker would refuse, before anything is sent.
    fn fits(&self, group: &Group) -> Result<(), AppendError> {
        let limit = self.api.client().max_payload();
        for part in &group.parts {
            for event in &part.events {
                if event.payload.len() + HEADERS_BYTES_USUAL <= limit && usual(event, group) {
                    continue;
                }
                let message = Message {
                    subject: part.subject.clone(),
                    event_id: event.event_id,
                    headers: envelope::to_headers(event, part.expected, &group.metadata),
                    payload: event.payload.clone(),
                    expects: false,
                };
                let size = message.bytes_max();
                if size > limit {
                    return Err(AppendError::TooLarge {
                        what: "bytes of a message",
                        size,
                        limit,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Whether no text of the envelope is unusually long, so that its headers need not be spelt to know that they are short.
fn usual(event: &NewEvent, group: &Group) -> bool {
    let short = |text: &Option<String>| {
        text.as_ref()
            .is_none_or(|text| text.len() < TEXT_BYTES_USUAL)
    };
    let metadata = &group.metadata;
    let saga = event.saga.as_ref().is_none_or(|saga| {
        [&saga.def, &saga.step, &saga.outcome]
            .into_iter()
            .all(short)
    });
    saga && metadata.actor.as_str().len() < TEXT_BYTES_USUAL
        && [&metadata.command_hash, &metadata.traceparent]
            .into_iter()
            .all(short)
}

async fn identity(api: &Api) -> Result<LogIdentity, AskError> {
    let info = api.stream_info(EVENTS).await?;
    Ok(LogIdentity {
        stream: EVENTS.into(),
        created: info.created,
    })
}

#[async_trait]
impl EventStore for JetStreamStore {
    async fn submit(&self, group: Group) -> Result<Waiting, AppendError> {
        store::check(&group)?;
        self.fits(&group)?;
        let turn = self
            .callers
            .enter(&group.metadata.actor)
            .map_err(|waiting| AppendError::Busy { waiting })?;
        let (answer, waiting) = Waiting::channel();
        let queued = Queued {
            group,
            answer,
            since: Instant::now(),
            rounds: 0,
            alone: false,
            _turn: turn,
        };
        self.lane
            .send(queued)
            .await
            .map_err(|_| AppendError::Unavailable("the writer was shut down".into()))?;
        Ok(waiting)
    }

    async fn load(
        &self,
        subject: &Subject,
        after: Version,
        seen: Option<Position>,
        freshness: Freshness,
    ) -> Result<History, LoadError> {
        let newest = self.guard.newest();
        let loaded =
            load::load(&self.api, subject, after, seen, freshness, u64::MAX, newest).await?;
        let history = loaded.unwrap_or_default();
        self.note(&history.events);
        Ok(history)
    }

    async fn load_short(
        &self,
        subject: &Subject,
        freshness: Freshness,
        events_max: u64,
    ) -> Result<Option<History>, LoadError> {
        let (after, seen) = (Version::NONE, None);
        let newest = self.guard.newest();
        let history = load::load(
            &self.api, subject, after, seen, freshness, events_max, newest,
        )
        .await?;
        if let Some(history) = &history {
            self.note(&history.events);
        }
        Ok(history)
    }

    async fn head(&self, subject: &Subject) -> Result<Option<(Version, Position)>, LoadError> {
        let heads = load::heads(&self.api, std::slice::from_ref(subject), 1).await?;
        Ok(heads.into_iter().next().flatten().map(|last| last.place()))
    }

    async fn heads(
        &self,
        subjects: &[Subject],
    ) -> Result<Vec<Option<(Version, Position)>>, LoadError> {
        let heads = load::heads(&self.api, subjects, LEADER_ASKS_AT_ONCE).await?;
        Ok(heads
            .into_iter()
            .map(|head| head.map(|last| last.place()))
            .collect())
    }

    async fn read(
        &self,
        after: Position,
        limit: usize,
        filter: Option<&str>,
    ) -> Result<Vec<Recorded>, LoadError> {
        let events = load::read(&self.api, after, limit, filter).await?;
        self.note(&events);
        Ok(events)
    }

    async fn end(&self) -> Result<LogEnd, LoadError> {
        let info = self.api.stream_info(EVENTS).await?;
        Ok(LogEnd {
            position: Position(info.state.last_seq),
        })
    }

    async fn identity(&self) -> Result<LogIdentity, LoadError> {
        Ok(identity(&self.api).await?)
    }

    async fn is_ours(&self, doubt: bool) -> Result<(), LoadError> {
        let sure = match doubt {
            true => self.guard.make_sure().await,
            false => self.guard.unless_in_doubt().await,
        };
        Ok(sure?)
    }

    async fn rewound(&self) -> LogRewound {
        self.guard.rewound().await
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, LoadError> {
        let stored = self.api.leader_at(EVENTS, position).await?;
        stored.as_ref().map(load::recorded).transpose()
    }

    async fn seen_at(&self, position: Position) -> Result<Option<Recorded>, LoadError> {
        let stored = load::nearest(&self.api, position).await?;
        stored.as_ref().map(load::recorded).transpose()
    }

    async fn subscribe(
        &self,
        after: Position,
        filters: &[&str],
    ) -> Result<Subscription, LoadError> {
        let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let log = self.identity().await?;
        let (api, guard) = (self.api.clone(), Arc::clone(&self.guard));
        Ok(subscribe::subscribe(api, guard, log, after, filters))
    }

    async fn snapshot(&self, key: &str) -> Result<Option<Bytes>, LoadError> {
        let subject = format!("$KV.{SNAPSHOTS}.{key}");
        let stored = self
            .api
            .direct_last(&format!("KV_{SNAPSHOTS}"), &subject)
            .await?;
        Ok(stored
            .map(|stored| stored.payload)
            .filter(|bytes| !bytes.is_empty()))
    }

    async fn put_snapshot(&self, key: &str, value: Bytes) {
        if value.len() > store::PAYLOAD_BYTES_MAX {
            tracing::warn!(
                key,
                bytes = value.len(),
                "a snapshot is too large to be kept"
            );
            return;
        }
        let put = self
            .api
            .request(format!("$KV.{SNAPSHOTS}.{key}"), None::<HeaderMap>, value)
            .await;
        let put = put.and_then(|message| api::answer::<serde_json::Value>(&message.payload));
        let result = if put.is_ok() { "stored" } else { "failed" };
        metrics::counter!("waybill_snapshots_total", "result" => result).increment(1);
        if let Err(error) = put {
            tracing::warn!(key, %error, "a snapshot could not be kept");
        }
    }
}

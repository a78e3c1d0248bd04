//! Following the log by a consumer of one's own: nothing is acknowledged, and on any gap, silence or restart the
//! consumer is made anew from the position that was reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::HeaderName;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use event_schema::{Position, Recorded, Timestamp};

use super::api::{self, Api, AskError};
use super::guard::{Guard, Mark, believed};
use crate::in_memory::matches;
use crate::rewound::LogRewound;
use crate::store::LogIdentity;
use crate::subscription::{BUFFERED_EVENTS_MAX, SubscribeError, Subscription};
use crate::topology::EVENTS;

const HEARTBEAT: Duration = Duration::from_secs(2);
const PULL_EXPIRES: Duration = Duration::from_secs(10);
/// The broker drops the consumer when nobody has asked for so long.
const INACTIVE_AFTER: Duration = Duration::from_secs(30);
/// Most events per pull; what is on its way to a slow reader besides the buffer.
const PULL_EVENTS_MAX: usize = 512;
/// Pause before a consumer is made anew; doubles up to the most while that fails.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Most of the log passes this filter. To find the next message that passes a filter, the broker (its source, 2.15) looks
/// through all subjects of a block, for each message anew, where there are more than four messages to a subject; without
/// a filter it takes the next message. So whoever is far behind applies this one himself.
const WIDE: &str = "evt.>";
/// Far behind is who has more than this before him; nearer, the broker's filter spares more than it costs, and only with
/// it the broker knows how many events are still to come.
const FAR_MIN: u64 = 10_000;
/// He is near again when no more than this is left.
const NEAR_MAX: u64 = 1_000;

type Told = Result<Recorded, SubscribeError>;

/// Follows the log from after a position.
pub(crate) fn subscribe(
    api: Api,
    guard: Arc<Guard>,
    log: LogIdentity,
    after: Position,
    filters: Vec<String>,
) -> Subscription {
    let (events, receiver) = mpsc::channel(BUFFERED_EVENTS_MAX);
    // Unknown until the first answer: nobody may think that he has caught up before.
    let behind = Arc::new(AtomicU64::new(u64::MAX));
    let reader = Reader {
        api,
        guard,
        log,
        filters,
        reached: after,
        last: None,
        events,
        behind: Arc::clone(&behind),
    };
    let task = tokio::spawn(reader.run());
    Subscription::new(receiver, behind, task.abort_handle())
}

struct Reader {
    api: Api,
    guard: Arc<Guard>,
    log: LogIdentity,
    filters: Vec<String>,
    /// Everything up to here was told.
    reached: Position,
    /// The event there, once one was read.
    last: Option<Uuid>,
    events: mpsc::Sender<Told>,
    behind: Arc<AtomicU64>,
}

/// Why a consumer was given up.
enum Ended {
    /// Nobody listens any more.
    Unwanted,
    /// Who was far behind is near.
    Near,
    /// The log is not the one that was followed.
    Final(SubscribeError),
    /// To be made anew.
    Broken(String),
}

impl Reader {
    async fn run(mut self) {
        let (mut pause, mut is_near) = (PAUSE_FIRST, false);
        loop {
            let before = self.reached;
            match self.follow(is_near).await {
                Ended::Unwanted => return,
                Ended::Near => {
                    is_near = true;
                    continue;
                }
                Ended::Final(error) => {
                    // The last word; a reader that is gone does not need it.
                    drop(self.events.send(Err(error)).await);
                    return;
                }
                Ended::Broken(why) => {
                    metrics::counter!("waybill_subscription_remade_total").increment(1);
                    tracing::warn!(why, reached = %self.reached, "a subscription is made anew");
                    is_near = false;
                }
            }
            pause = if self.reached > before {
                PAUSE_FIRST
            } else {
                (pause * 2).min(PAUSE_MAX)
            };
            sleep(pause).await;
        }
    }

    /// Whether so much lies before him that no filter is worth its price.
    async fn is_far(&self, is_near: bool) -> Result<bool, AskError> {
        if is_near || !self.filters.iter().any(|filter| filter == WIDE) {
            return Ok(false);
        }
        let end = self.api.stream_info(EVENTS).await?.state.last_seq;
        Ok(end.saturating_sub(self.reached.0) > FAR_MIN)
    }

    fn is_wanted(&self, subject: &str) -> bool {
        self.filters.iter().any(|filter| matches(filter, subject))
    }

    /// One consumer's life.
    async fn follow(&mut self, is_near: bool) -> Ended {
        // While nobody looked the log may have become another one, or have lost its tail and even grown again.
        let mark = Mark {
            position: self.reached,
            event_id: self.last,
        };
        match believed(&self.api, &self.log, Some(mark), &AtomicBool::default()).await {
            Ok(None) => {}
            Ok(Some(rewound)) => return Ended::Final(final_word(rewound)),
            Err(error) => return Ended::Broken(error.to_string()),
        }
        let is_far = match self.is_far(is_near).await {
            Ok(is_far) => is_far,
            Err(error) => return Ended::Broken(error.to_string()),
        };
        // What is left without a filter may be nothing of ours; that he has caught up is said only where it is known.
        let left = |pending: u64| if is_far { pending.max(1) } else { pending };
        let config = pull::Config {
            // With a name the request says in its subject which consumer it makes: a server can then allow this and
            // still keep us from changing the consumers of others, which without a name the same request could.
            name: Some(format!("reader-{}", Uuid::now_v7().simple())),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: self.reached.0.saturating_add(1),
            },
            ack_policy: AckPolicy::None,
            filter_subjects: if is_far {
                Vec::new()
            } else {
                self.filters.clone()
            },
            inactive_threshold: INACTIVE_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let context = jetstream::new(self.api.client().clone());
        let consumer = match context.create_consumer_on_stream(config, EVENTS).await {
            Ok(consumer) => consumer,
            Err(error) => return Ended::Broken(error.to_string()),
        };
        self.behind
            .store(left(consumer.cached_info().num_pending), Ordering::Relaxed);
        let pulling = consumer
            .stream()
            .max_messages_per_batch(PULL_EVENTS_MAX)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages();
        let mut messages = match pulling.await {
            Ok(messages) => messages,
            Err(error) => return Ended::Broken(error.to_string()),
        };
        let (mut delivered, mut seen) = (0, self.reached);
        loop {
            let message = tokio::select! {
                message = messages.next() => message,
                () = self.events.closed() => return Ended::Unwanted,
            };
            let message = match message {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Ended::Broken(error.to_string()),
                None => return Ended::Broken("the broker ended it".into()),
            };
            let Ok(info) = message.info() else {
                return Ended::Broken("a message without its place".into());
            };
            let (number, position, pending) = (
                info.consumer_sequence,
                Position(info.stream_sequence),
                info.pending,
            );
            if number != delivered + 1 || position <= seen {
                return Ended::Broken(format!("message {number} came after message {delivered}"));
            }
            (delivered, seen) = (number, position);
            // One that is not wanted is not noted as reached: a consumer that is made anew begins after an event that
            // is known.
            if !is_far || self.is_wanted(&message.subject) {
                let told = read(&message, position, info.published.unix_timestamp_nanos());
                let Ok(place) = self.events.reserve().await else {
                    return Ended::Unwanted;
                };
                self.reached = position;
                self.last = told.as_ref().ok().map(|event| event.event_id);
                if let Some(event_id) = self.last {
                    self.guard.note(position, event_id);
                }
                self.behind.store(left(pending), Ordering::Relaxed);
                place.send(told);
            }
            if is_far && pending <= NEAR_MAX {
                return Ended::Near;
            }
        }
    }
}

fn final_word(rewound: LogRewound) -> SubscribeError {
    match rewound {
        LogRewound::Recreated { before, now } => SubscribeError::Recreated { before, now },
        LogRewound::Shorter { known, end } => SubscribeError::Rewound {
            reached: known,
            end,
        },
        LogRewound::Regrown { known } => SubscribeError::Regrown { position: known },
    }
}

fn read(message: &jetstream::Message, position: Position, published_ns: i128) -> Told {
    let time = Timestamp::from_nanosecond(published_ns).unwrap_or(Timestamp::UNIX_EPOCH);
    let get = |name: &'static str| {
        let headers = message.headers.as_ref()?;
        let value = headers.get(HeaderName::from_static(name))?;
        Some(value.as_str())
    };
    api::recorded(&message.subject, position, time, get, &message.payload)
        .map_err(|reason| SubscribeError::Unreadable { position, reason })
}

//! What a log can do, whoever keeps it: append groups, load histories, follow everything.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use event_schema::{Metadata, NewEvent, Position, Recorded, Subject, Timestamp, Version};

use crate::rewound::LogRewound;
use crate::subscription::Subscription;

/// Most messages one group may have; also the most that one atomic batch carries.
pub const GROUP_MESSAGES_MAX: usize = 256;
/// Most groups of one caller that may wait for the log at once.
pub const WAITING_GROUPS_PER_CALLER_MAX: usize = 64;
/// Largest payload of one event. The broker's own limit is 1 MiB for headers and payload together.
pub const PAYLOAD_BYTES_MAX: usize = 1_000_000;

/// How the event at an expected version is told from another one that may have taken its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seen {
    /// Only the version is known.
    #[default]
    Version,
    /// It was seen in the log.
    At(Position),
    /// It is this process's own and on its way. Were it refused, somebody else's history could reach the same version.
    OnItsWay(Uuid),
}

impl From<Option<Position>> for Seen {
    fn from(position: Option<Position>) -> Self {
        position.map_or(Self::Version, Self::At)
    }
}

/// One aggregate's share of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Whose history.
    pub subject: Subject,
    /// The version the events were decided on.
    pub expected: Version,
    /// Which event `expected` is.
    pub seen: Seen,
    /// What happened, in order; never empty.
    pub events: Vec<NewEvent>,
}

/// One command's events over all its aggregates: stored together or not at all. Records (`done`, `uniq`) first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What the events share.
    pub metadata: Metadata,
    /// Who gets which events; each subject once.
    pub parts: Vec<Part>,
    /// Subjects that were read and not written, and must still be at this version.
    pub conditions: Vec<(Subject, Version, Seen)>,
}

impl Group {
    /// How many messages it becomes.
    pub fn messages(&self) -> usize {
        self.parts.iter().map(|part| part.events.len()).sum()
    }
}

/// A group is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Position of the group's last event.
    pub last: Position,
    /// Version and position of each subject's last event.
    pub positions: Vec<(Subject, Version, Position)>,
}

/// Why a group is not (known to be) in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The writer's belief about an aggregate was out of date; nothing was stored. Load and decide again.
    #[error("{subject} is at version {actual}, not at {expected} as the writer believed")]
    Conflict {
        /// The history that moved.
        subject: Subject,
        /// What the writer believed.
        expected: Version,
        /// What it is.
        actual: Version,
    },
    /// The log cannot be reached, or its answer stayed unclear within the limit. Repeating the command is safe.
    #[error("the event log cannot be reached: {0}")]
    Unavailable(String),
    /// The log is not the one that this process has worked with; nothing more is added to it by this process.
    #[error(transparent)]
    Rewound(LogRewound),
    /// The log has no room; nothing was stored.
    #[error("the event log is full: {0}")]
    Full(String),
    /// The group is larger than the log takes; nothing was sent.
    #[error("the events are too large: {size} where {limit} are allowed ({what})")]
    TooLarge {
        /// What was measured: bytes of one payload, or messages of the group.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// The caller has too many groups waiting; nothing was sent.
    #[error("{waiting} groups of this caller are waiting already")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The stored history does not hang together.
    #[error("the history {subject} is damaged: {reason}")]
    Corrupt {
        /// Which.
        subject: Subject,
        /// In what way.
        reason: String,
    },
    /// The log will not take it whatever is tried: not allowed, wrong settings, an unsound group.
    #[error("the event log refused the group: {0}")]
    Refused(String),
}

impl AppendError {
    /// Whether to load and decide again.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// Why something could not be read from the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The log cannot be reached within the limit.
    #[error("the event log cannot be reached: {0}")]
    Unavailable(String),
    /// A newer build wrote an event of this history; nothing may be decided on it.
    #[error("{subject} holds an event of the type {event_type:?}, which this build does not know")]
    Newer {
        /// Whose history.
        subject: Subject,
        /// The type (and version) that is not known.
        event_type: String,
    },
    /// The stored history does not hang together, or a stored event cannot be read.
    #[error("the log is damaged at {place}: {reason}")]
    Corrupt {
        /// A subject or a position.
        place: String,
        /// In what way.
        reason: String,
    },
    /// The log is not the one that this process has worked with.
    #[error(transparent)]
    Rewound(LogRewound),
    /// The log did not show the wanted position within the limit.
    #[error("the log has not reached position {0}")]
    NotReached(Position),
}

/// How fresh a load has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Whatever the nearest server has; enough to append on, because the expectation is checked.
    Any,
    /// At least everything up to this position.
    AtLeast(Position),
    /// Everything the leader has acknowledged.
    Leader,
}

/// Events of one history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The events after the wanted version, in order, without a gap.
    pub events: Vec<Recorded>,
    /// The last event the leader had, when it was asked; `Some(None)` when it had none.
    pub leader: Option<Option<(Version, Position)>>,
}

/// Where the log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// Position of the last message; 0 when the log is empty.
    pub position: Position,
}

/// Tells one log from another at the same address: a log that was deleted and made anew has another identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogIdentity {
    /// The stream's name.
    pub stream: String,
    /// When it was created.
    pub created: Timestamp,
}

impl fmt::Display for LogIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.stream, self.created)
    }
}

/// A group that was handed in and waits for its answer. Dropping it does not take the group back.
#[derive(Debug)]
pub struct Waiting(oneshot::Receiver<Result<Appended, AppendError>>);

impl Waiting {
    /// The two ends: the store answers on the first.
    pub fn channel() -> (oneshot::Sender<Result<Appended, AppendError>>, Self) {
        let (answer, waiting) = oneshot::channel();
        (answer, Self(waiting))
    }
}

impl Future for Waiting {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| {
            answer.unwrap_or_else(|_| {
                Err(AppendError::Unavailable("the writer was shut down".into()))
            })
        })
    }
}

/// An append-only log of histories. Appending is the privilege of this crate's [`Executor`](crate::Executor).
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Hands a group in and returns at once; groups of one process reach the log in the order they were handed in,
    /// so a group may expect what an earlier one, still waiting, leaves behind.
    async fn submit(&self, group: Group) -> Result<Waiting, AppendError>;

    /// Appends a group: all of it, or nothing.
    async fn append(&self, group: Group) -> Result<Appended, AppendError> {
        self.submit(group).await?.await
    }

    /// The events of a history after a version (and its position, when known).
    async fn load(
        &self,
        subject: &Subject,
        after: Version,
        seen: Option<Position>,
        freshness: Freshness,
    ) -> Result<History, LoadError>;

    /// The events of a history from its first one; nothing when there are more than so many, as a snapshot will then
    /// save more than looking for it costs.
    async fn load_short(
        &self,
        subject: &Subject,
        freshness: Freshness,
        events_max: u64,
    ) -> Result<Option<History>, LoadError> {
        let history = self.load(subject, Version::NONE, None, freshness).await?;
        Ok((history.events.len() as u64 <= events_max).then_some(history))
    }

    /// Version and position of a history's last event, from the leader.
    async fn head(&self, subject: &Subject) -> Result<Option<(Version, Position)>, LoadError>;

    /// [`head`](Self::head) of several histories, in parallel.
    async fn heads(
        &self,
        subjects: &[Subject],
    ) -> Result<Vec<Option<(Version, Position)>>, LoadError>;

    /// The log in order after a position; `filter` is a subject pattern such as `evt.>`.
    async fn read(
        &self,
        after: Position,
        limit: usize,
        filter: Option<&str>,
    ) -> Result<Vec<Recorded>, LoadError>;

    /// Where the log ends, from the leader.
    async fn end(&self) -> Result<LogEnd, LoadError>;

    /// Which log this is.
    async fn identity(&self) -> Result<LogIdentity, LoadError>;

    /// Whether this is still the log that this process has worked with. Asks nobody without a reason; `doubt`: the caller
    /// has seen something that does not fit. Of one that lives no longer than its process that is sure.
    async fn is_ours(&self, _doubt: bool) -> Result<(), LoadError> {
        Ok(())
    }

    /// Ends when the log turns out not to be the one that this process has worked with.
    async fn rewound(&self) -> LogRewound {
        std::future::pending().await
    }

    /// The event at a position, from the leader.
    async fn at(&self, position: Position) -> Result<Option<Recorded>, LoadError>;

    /// An event that was seen at a position before. Of what is stored nothing changes, so whoever is nearest may answer.
    async fn seen_at(&self, position: Position) -> Result<Option<Recorded>, LoadError> {
        self.at(position).await
    }

    /// Everything after a position that matches one of the patterns: in order, live, without a gap.
    async fn subscribe(&self, after: Position, filters: &[&str])
    -> Result<Subscription, LoadError>;

    /// A stored snapshot.
    async fn snapshot(&self, key: &str) -> Result<Option<Bytes>, LoadError>;

    /// Stores a snapshot, best effort: one that is lost only costs time.
    async fn put_snapshot(&self, key: &str, value: Bytes);
}

/// Refuses a group that no log could take soundly, before anything is sent.
pub(crate) fn check(group: &Group) -> Result<(), AppendError> {
    let refuse = |why: String| Err(AppendError::Refused(why));
    if group.parts.is_empty() {
        return refuse("it holds no events".into());
    }
    let mut subjects: Vec<&Subject> =
        Vec::with_capacity(group.parts.len() + group.conditions.len());
    for part in &group.parts {
        if part.events.is_empty() {
            return refuse(format!("{} is named without events", part.subject));
        }
        if let Some(event) = part
            .events
            .iter()
            .find(|event| event.payload.len() > PAYLOAD_BYTES_MAX)
        {
            let size = event.payload.len();
            return Err(AppendError::TooLarge {
                what: "bytes of a payload",
                size,
                limit: PAYLOAD_BYTES_MAX,
            });
        }
        if part.events.iter().any(|event| event.payload.is_empty()) {
            return refuse(format!("an event of {} has an empty payload", part.subject));
        }
        subjects.push(&part.subject);
    }
    subjects.extend(group.conditions.iter().map(|(subject, ..)| subject));
    subjects.sort_unstable();
    if let Some(twice) = subjects.windows(2).find(|pair| pair[0] == pair[1]) {
        return refuse(format!("{} is named twice", twice[0]));
    }
    let size = group.messages();
    if size > GROUP_MESSAGES_MAX {
        return Err(AppendError::TooLarge {
            what: "messages of a group",
            size,
            limit: GROUP_MESSAGES_MAX,
        });
    }
    Ok(())
}

//! Whether the log is still the one that this process has worked with. A broker comes back from an older copy, a stream
//! is deleted and made anew, a crash takes a tail along: what a process remembers is then of a log that is gone.
//!
//! Known is the newest event that was appended or read here. The leader is asked for it after each lost connection, on
//! each conflict, and once a second while somebody waits for the verdict; an append costs no extra question. A process that
//! is started anew knows nothing, and would be at the mercy of whatever it finds: so what is known is also left in the
//! bucket of the snapshots, and looked up there before the first append.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use event_schema::Position;

use super::api::{Api, AskError, answer};
use crate::rewound::LogRewound;
use crate::store::{LoadError, LogIdentity};
use crate::topology::{EVENTS, SNAPSHOTS};

/// How often the leader is asked while nothing else is a reason to.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// A leader that was just elected may not have caught up with what was acknowledged. So a doubt is only believed when it
/// has lasted this long …
const DOUBT_LASTS: Duration = Duration::from_secs(2);
/// … and so many answers in a row have confirmed it.
const DOUBTFUL_ANSWERS_MIN: u32 = 5;
const DOUBT_LOOK_PAUSE: Duration = Duration::from_millis(400);
/// How often what is known is written down for the next process.
const WRITTEN_DOWN_PERIOD: Duration = Duration::from_secs(2);
/// Where that is; no snapshot has such a key.
const MEMORY_SUBJECT: &str = "$KV.snapshots._log";

/// A place in the log, and which event was seen there, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    pub(super) event_id: Option<Uuid>,
}

/// Why it is not sure that the log is ours.
#[derive(Debug, Clone)]
pub(super) enum Unsure {
    /// It is not.
    Rewound(LogRewound),
    /// Nobody can be asked.
    Away(AskError),
}

impl From<Unsure> for LoadError {
    fn from(unsure: Unsure) -> Self {
        match unsure {
            Unsure::Rewound(rewound) => Self::Rewound(rewound),
            Unsure::Away(error) => error.into(),
        }
    }
}

/// What was known by a process before this one.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    log: String,
    position: Position,
    event_id: Uuid,
}

/// What a process knows of its log, and whether that still holds.
#[derive(Debug)]
pub(super) struct Guard {
    api: Api,
    log: LogIdentity,
    known: Mutex<Known>,
    /// Set by the first answer that does not fit, until one does.
    in_doubt: AtomicBool,
    /// The leader is asked by one at a time; the others wait for the answer.
    asking: tokio::sync::Mutex<()>,
    verdict: watch::Sender<Option<LogRewound>>,
    watched: AtomicBool,
    /// Whether it is known what was known before.
    recalled: AtomicBool,
}

#[derive(Debug)]
struct Known {
    newest: Option<Mark>,
    /// The connection on which the log was found to be ours. What is read on another one is not known yet: it may be of
    /// another log.
    connection: Option<u64>,
}

impl Guard {
    /// Guards a log.
    pub(super) fn new(api: Api, log: LogIdentity) -> Arc<Self> {
        Arc::new(Self {
            api,
            log,
            known: Mutex::new(Known {
                newest: None,
                connection: None,
            }),
            in_doubt: AtomicBool::new(false),
            asking: tokio::sync::Mutex::default(),
            verdict: watch::Sender::new(None),
            watched: AtomicBool::new(false),
            recalled: AtomicBool::new(false),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Both fields are plain values, whole at any time.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event was appended or read here.
    pub(super) fn note(&self, position: Position, event_id: Uuid) {
        let connection = self.api.connections();
        let mut known = self.known();
        if known.connection == Some(connection)
            && known.newest.is_none_or(|mark| mark.position < position)
        {
            known.newest = Some(Mark {
                position,
                event_id: Some(event_id),
            });
        }
    }

    /// The newest position that is known; whatever is stored from now on lies behind it.
    pub(super) fn newest(&self) -> Position {
        self.known()
            .newest
            .map_or(Position(0), |mark| mark.position)
    }

    fn verdict(&self) -> Result<(), Unsure> {
        match &*self.verdict.borrow() {
            Some(rewound) => Err(Unsure::Rewound(rewound.clone())),
            None => Ok(()),
        }
    }

    /// Asks nobody while there is no reason to: the connection is the one on which the log was found to be ours.
    pub(super) async fn unless_in_doubt(&self) -> Result<(), Unsure> {
        self.verdict()?;
        let same = self.known().connection == Some(self.api.connections());
        if same && !self.in_doubt.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.make_sure().await
    }

    /// Asks the leader, and while the answer does not fit again and again, until it does or the doubt is believed.
    pub(super) async fn make_sure(&self) -> Result<(), Unsure> {
        let _alone = self.asking.lock().await;
        self.verdict()?;
        self.recall().await?;
        let (connection, mark) = (self.api.connections(), self.known().newest);
        match believed(&self.api, &self.log, mark, &self.in_doubt).await {
            Ok(None) => {
                self.known().connection = Some(connection);
                Ok(())
            }
            Ok(Some(rewound)) => Err(self.is_rewound(rewound)),
            Err(error) => Err(Unsure::Away(error)),
        }
    }

    fn is_rewound(&self, rewound: LogRewound) -> Unsure {
        tracing::error!("{rewound}");
        self.verdict.send_replace(Some(rewound.clone()));
        Unsure::Rewound(rewound)
    }

    /// Looks up what was known before, once. A bucket that is away keeps nobody from working; it is tried again.
    async fn recall(&self) -> Result<(), Unsure> {
        if self.recalled.load(Ordering::SeqCst) {
            return Ok(());
        }
        let stream = format!("KV_{SNAPSHOTS}");
        let stored = match self.api.direct_last(&stream, MEMORY_SUBJECT).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::debug!(%error, "what was known of the log before is not known now");
                return Ok(());
            }
        };
        // Unreadable is as good as forgotten.
        let memory =
            stored.and_then(|stored| serde_json::from_slice::<Memory>(&stored.payload).ok());
        if let Some(Memory {
            log,
            position,
            event_id,
        }) = memory
        {
            let now = self.log.to_string();
            if log != now {
                return Err(self.is_rewound(LogRewound::Recreated { before: log, now }));
            }
            let mut known = self.known();
            if known.newest.is_none_or(|mark| mark.position < position) {
                known.newest = Some(Mark {
                    position,
                    event_id: Some(event_id),
                });
            }
        }
        self.recalled.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Leaves what is known to the next process; one that is lost only costs its caution.
    async fn write_down(&self, mark: Mark) -> bool {
        let Some(event_id) = mark.event_id else {
            return false;
        };
        let memory = Memory {
            log: self.log.to_string(),
            position: mark.position,
            event_id,
        };
        let Ok(memory) = serde_json::to_vec(&memory) else {
            return false;
        };
        let put = self.api.request(MEMORY_SUBJECT.into(), None, memory.into());
        let put = put
            .await
            .and_then(|message| answer::<Value>(&message.payload));
        if let Err(error) = &put {
            tracing::debug!(%error, "what is known of the log could not be written down");
        }
        put.is_ok()
    }

    /// Ends when the log turns out not to be ours. The first who waits starts the regular look.
    pub(super) async fn rewound(self: &Arc<Self>) -> LogRewound {
        let mut verdict = self.verdict.subscribe();
        if !self.watched.swap(true, Ordering::SeqCst) {
            let guard = Arc::downgrade(self);
            tokio::spawn(async move {
                let mut looks = interval(LOOK_PERIOD);
                looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut written: Option<(Mark, Instant)> = None;
                loop {
                    looks.tick().await;
                    let Some(guard) = guard.upgrade() else { return };
                    match guard.make_sure().await {
                        Ok(()) => {
                            let due = |mark: &Mark| {
                                written.is_none_or(|(last, at)| {
                                    last != *mark && at.elapsed() >= WRITTEN_DOWN_PERIOD
                                })
                            };
                            let newest = guard.known().newest;
                            if let Some(mark) = newest.filter(due)
                                && guard.write_down(mark).await
                            {
                                written = Some((mark, Instant::now()));
                            }
                        }
                        Err(Unsure::Rewound(_)) => return,
                        Err(Unsure::Away(error)) => {
                            tracing::debug!(%error, "whether the log is still ours is not known now");
                        }
                    }
                }
            });
        }
        loop {
            if let Some(rewound) = verdict.borrow_and_update().clone() {
                return rewound;
            }
            if verdict.changed().await.is_err() {
                // The other end is in `self`, which is borrowed for as long as this waits.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Compares what is known of a log with what the leader has, until it fits or the doubt has lasted.
pub(super) async fn believed(
    api: &Api,
    log: &LogIdentity,
    mark: Option<Mark>,
    in_doubt: &AtomicBool,
) -> Result<Option<LogRewound>, AskError> {
    let begun = Instant::now();
    let mut answers = 0;
    loop {
        let Some(rewound) = compare(api, log, mark).await? else {
            in_doubt.store(false, Ordering::SeqCst);
            return Ok(None);
        };
        in_doubt.store(true, Ordering::SeqCst);
        answers += 1;
        if answers >= DOUBTFUL_ANSWERS_MIN && begun.elapsed() >= DOUBT_LASTS {
            return Ok(Some(rewound));
        }
        tracing::warn!(doubt = %rewound, "the log may not be what it was; looking again");
        sleep(DOUBT_LOOK_PAUSE).await;
    }
}

async fn compare(
    api: &Api,
    log: &LogIdentity,
    mark: Option<Mark>,
) -> Result<Option<LogRewound>, AskError> {
    let info = api.stream_info(EVENTS).await?;
    let now = LogIdentity {
        stream: EVENTS.into(),
        created: info.created,
    };
    if now != *log {
        let (before, now) = (log.to_string(), now.to_string());
        return Ok(Some(LogRewound::Recreated { before, now }));
    }
    let Some(Mark { position, event_id }) = mark else {
        return Ok(None);
    };
    let end = Position(info.state.last_seq);
    if end < position {
        return Ok(Some(LogRewound::Shorter {
            known: position,
            end,
        }));
    }
    let Some(event_id) = event_id else {
        return Ok(None);
    };
    let stored = api.leader_at(EVENTS, position).await?;
    let there = stored.as_ref().and_then(|stored| stored.event_id());
    let same = there.and_then(|id| id.parse::<Uuid>().ok()) == Some(event_id);
    Ok((!same).then_some(LogRewound::Regrown { known: position }))
}

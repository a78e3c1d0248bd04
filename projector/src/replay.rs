//! What a rebuild and a check share: a reader of their own, from the first event into a shadow schema.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use uuid::Uuid;

use event_schema::Position;
use event_store::{EventStore, LoadError, SubscribeError};
use service_kit::vault::Vault;

use crate::apply::{Applied, Applier};
use crate::checkpoint::{self, Checkpoint};
use crate::parking::{PARKED_KEYS_MAX, bigint};
use crate::personal::Personal;
use crate::projection::{ApplyError, Projection};
use crate::schema::Schema;
use crate::worker::Intake;

/// Most events of one batch of a replay; larger than the worker's, because nobody waits for a single event.
const REPLAY_BATCH_EVENTS_MAX: usize = 2_000;
/// A replay that says nothing for this long is taken for dead, and another may begin.
const REPLAY_LEASE: Duration = Duration::from_secs(20);
/// How often a replay says where it is.
const REPORT_PERIOD: Duration = Duration::from_millis(500);
/// A replay that waits this long for an event that must come has lost the log.
const EVENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The last position that is in the new tables.
    pub position: Position,
    /// Where the log ended when it was last asked.
    pub end: Position,
    /// Events a second since the beginning.
    pub rate: f64,
    /// How long it will take at that rate.
    pub left: Option<Duration>,
}

/// What all replays need.
#[derive(Clone)]
pub struct Workshop {
    pub(crate) pool: PgPool,
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) personal: Personal,
    pub(crate) projections: Vec<Arc<dyn Projection>>,
}

/// Why a replay did not come to its end. The live tables are as they were.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No projection has this name.
    #[error("there is no projection named {name:?}; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The same is going on already.
    #[error("another {kind} of {projection} is under way since {since}; wait for it, or for its end if its process died ({} s)", REPLAY_LEASE.as_secs())]
    UnderWay {
        /// rebuild or verify.
        kind: &'static str,
        /// Of which projection.
        projection: String,
        /// Since when.
        since: event_schema::Timestamp,
    },
    /// A rebuild that would park more than the live rows do is not swapped in.
    #[error(
        "the rebuilt {projection} parks {rebuilt} keys where the live one parks {live}, so it was not swapped in; the first: {cause}"
    )]
    ParksMore {
        /// Which projection.
        projection: String,
        /// Keys that the new tables lack.
        rebuilt: usize,
        /// Keys that the live tables lack.
        live: usize,
        /// Why the first of them is parked.
        cause: String,
    },
    /// So much of the log cannot be applied that the projection itself is at fault.
    #[error(
        "more than {PARKED_KEYS_MAX} keys of {projection} cannot be built from the log; start a build that can apply its events"
    )]
    ParksTooMuch {
        /// Which projection.
        projection: String,
    },
    /// The live rows never stood still long enough.
    #[error(
        "the live rows of {projection} could not be brought to a stand within the limit; try again"
    )]
    NeverCaughtUp {
        /// Which projection.
        projection: String,
    },
    /// Somebody else took the replay over, because this one was silent for too long.
    #[error("the replay was taken for dead and begun again by another process")]
    TakenOver,
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] LoadError),
    /// The log cannot be followed.
    #[error("the log cannot be followed")]
    Follow(#[from] SubscribeError),
    /// An event that the log must hold did not come.
    #[error("no event came for {} s, though the log holds more", EVENT_TIMEOUT.as_secs())]
    Silent,
    /// The rows cannot be written.
    #[error("the rows cannot be written")]
    Apply(#[from] ApplyError),
}

impl From<sqlx::Error> for ReplayError {
    fn from(error: sqlx::Error) -> Self {
        Self::Apply(error.into())
    }
}

impl Workshop {
    /// A workshop over all read models, for a command line of its own. `pool` may be any pool of the database.
    pub fn new(pool: &PgPool, store: Arc<dyn EventStore>, vault: Vault) -> Self {
        Self {
            pool: crate::worker_pool(pool),
            store,
            personal: Personal::new(vault),
            projections: crate::read_models::all(),
        }
    }

    /// Finds a projection by its name.
    pub fn projection(&self, name: &str) -> Result<Arc<dyn Projection>, ReplayError> {
        let found = self
            .projections
            .iter()
            .find(|projection| projection.name() == name);
        found.cloned().ok_or_else(|| ReplayError::Unknown {
            name: name.chars().take(64).collect(),
            known: self
                .projections
                .iter()
                .map(|projection| projection.name())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

/// A replay under way: its shadow schema, its reader, and its entry in the list of replays.
pub(crate) struct Replay {
    pub applier: Applier,
    workshop: Workshop,
    kind: &'static str,
    intake: Intake,
    position: Position,
    end: Position,
    events: u64,
    started: Instant,
    reported: Instant,
}

impl Replay {
    /// Makes the shadow and begins to read at the first event.
    pub async fn begin(
        workshop: &Workshop,
        kind: &'static str,
        projection: Arc<dyn Projection>,
    ) -> Result<Self, ReplayError> {
        let name = projection.name();
        let holder: Arc<str> = format!("{kind}/{}", Uuid::now_v7()).into();
        claim(&workshop.pool, name, kind, &holder).await?;
        let schema = Schema::shadow(kind, name);
        let log: Arc<str> = workshop.store.identity().await?.to_string().into();
        let end = workshop.store.end().await?.position;
        let mut connection = workshop.pool.acquire().await?;
        schema.create(&mut connection, projection.tables()).await?;
        checkpoint::ensure(&mut connection, &schema, &[name]).await?;
        // The same statement guards live rows and shadows; nobody competes for a shadow.
        sqlx::query(schema.sql("insert into read.projector_lease (name, holder, until) values ('replay', $1, 'infinity')"))
            .bind(&*holder)
            .execute(&mut *connection)
            .await?;
        drop(connection);
        let intake = Intake::new(workshop.store.subscribe(Position(0), &["evt.>"]).await?);
        let applier = Applier {
            projection,
            schema,
            personal: workshop.personal.clone(),
            holder,
            log,
        };
        let now = Instant::now();
        Ok(Self {
            applier,
            workshop: workshop.clone(),
            kind,
            intake,
            position: Position(0),
            end,
            events: 0,
            started: now,
            reported: now,
        })
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether live rows can have been built from the log as it is now: it is the same one, and holds their position.
    pub async fn is_of_this_log(&self, live: &Checkpoint) -> Result<bool, LoadError> {
        if live.position.0 == Position(0) {
            return Ok(true);
        }
        let end = self.workshop.store.end().await?.position;
        Ok(live.log == *self.applier.log && live.position.0 <= end)
    }

    pub fn progress(&self) -> Progress {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = self.events as f64 / seconds;
        // Positions are counted, events are measured: not every message of the log is an event of an aggregate.
        let pace = self.position.0 as f64 / seconds;
        let missing = self.end.0.saturating_sub(self.position.0) as f64;
        let left = (pace > 0.0).then(|| Duration::from_secs_f64((missing / pace).min(1.0e9)));
        Progress {
            position: self.position,
            end: self.end,
            rate,
            left,
        }
    }

    /// Applies everything up to `target`, which the log must hold.
    pub async fn up_to(
        &mut self,
        target: Position,
        on_progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), ReplayError> {
        while self.position < target {
            let batch = tokio::time::timeout(
                EVENT_TIMEOUT,
                self.intake.next_batch(REPLAY_BATCH_EVENTS_MAX),
            );
            let mut batch = batch.await.map_err(|_| ReplayError::Silent)??;
            // A check compares at one position: nothing beyond it may be in the rows.
            let beyond = batch.partition_point(|event| event.position <= target);
            if beyond < batch.len() {
                batch.truncate(beyond);
                // What was cut off is read again, should the target move on.
                let from = batch.last().map_or(self.position, |event| event.position);
                self.intake = Intake::new(self.workshop.store.subscribe(from, &["evt.>"]).await?);
            }
            let Some(last) = batch.last() else {
                // The target lies on a message that is no event: the event before it is as far as it goes.
                break;
            };
            let to = last.position;
            match self
                .applier
                .apply(&self.workshop.pool, self.position, &batch, 0.0)
                .await?
            {
                Applied::Committed { .. } => {}
                Applied::TakenOver => return Err(ReplayError::TakenOver),
                Applied::Stopped => {
                    let projection = self.applier.projection.name().to_owned();
                    return Err(ReplayError::ParksTooMuch { projection });
                }
            }
            self.position = to;
            self.events += batch.len() as u64;
            self.end = self.end.max(to);
            if self.reported.elapsed() >= REPORT_PERIOD {
                self.report().await?;
                on_progress(self.progress());
            }
        }
        Ok(())
    }

    /// Says where it is and that it lives.
    pub async fn report(&mut self) -> Result<(), ReplayError> {
        self.end = self.workshop.store.end().await?.position.max(self.position);
        let progress = self.progress();
        let kept = sqlx::query(
            "update read.replay set position = $4, log_end = $5, rate = $6, until = now() + make_interval(secs => $7)
             where projection = $1 and kind = $2 and holder = $3",
        )
        .bind(self.applier.projection.name())
        .bind(self.kind)
        .bind(&*self.applier.holder)
        .bind(bigint(self.position))
        .bind(bigint(self.end))
        .bind(progress.rate)
        .bind(REPLAY_LEASE.as_secs_f64())
        .execute(&self.workshop.pool)
        .await?;
        self.reported = Instant::now();
        if kept.rows_affected() == 1 {
            Ok(())
        } else {
            Err(ReplayError::TakenOver)
        }
    }

    /// Removes the shadow and the entry, whatever came of it.
    pub async fn end(self) -> Result<(), sqlx::Error> {
        let mut connection = self.workshop.pool.acquire().await?;
        self.applier.schema.drop(&mut connection).await?;
        sqlx::query("delete from read.replay where projection = $1 and kind = $2 and holder = $3")
            .bind(self.applier.projection.name())
            .bind(self.kind)
            .bind(&*self.applier.holder)
            .execute(&mut *connection)
            .await
            .map(drop)
    }
}

async fn claim(
    pool: &PgPool,
    projection: &str,
    kind: &'static str,
    holder: &str,
) -> Result<(), ReplayError> {
    let claimed = sqlx::query(
        "insert into read.replay as r (projection, kind, holder, until)
         values ($1, $2, $3, now() + make_interval(secs => $4))
         on conflict (projection, kind) do update
         set holder = excluded.holder, until = excluded.until, position = 0, log_end = 0, rate = 0, started_at = now()
         where r.until < now()",
    )
    .bind(projection)
    .bind(kind)
    .bind(holder)
    .bind(REPLAY_LEASE.as_secs_f64())
    .execute(pool)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(());
    }
    let since: Option<jiff_sqlx::Timestamp> = sqlx::query_scalar(
        "select started_at from read.replay where projection = $1 and kind = $2",
    )
    .bind(projection)
    .bind(kind)
    .fetch_optional(pool)
    .await?;
    Err(ReplayError::UnderWay {
        kind,
        projection: projection.to_owned(),
        since: since.map_or(event_schema::Timestamp::UNIX_EPOCH, |since| since.to_jiff()),
    })
}

//! Rebuild: the whole log into fresh tables beside the live ones, then an exchange in one transaction. Queries go on
//! all the time, and nothing but rows comes of it.

use event_schema::Position;
use service_kit::postgres;

use crate::checkpoint;
use crate::parking::{self, Parked, bigint};
use crate::replay::{Progress, Replay, ReplayError, Workshop};
use crate::schema::Schema;

/// How often the last stretch is tried while the live rows move on.
const SWAP_ATTEMPTS_MAX: usize = 5;
/// How long the exchange waits for queries that are reading the old tables.
const SWAP_LOCK_TIMEOUT: &str = "set local lock_timeout = '5s'";
/// Fewer positions than this are applied while the live checkpoint is held.
const LAST_STRETCH: u64 = 5_000;

/// A rebuild that was swapped in.
#[derive(Debug, Clone, PartialEq)]
pub struct Rebuilt {
    /// Which projection.
    pub projection: &'static str,
    /// The position of the new rows.
    pub position: Position,
    /// Keys that are parked in them.
    pub parked: usize,
    /// How it went.
    pub progress: Progress,
}

/// A rebuild that has claimed its projection and goes on with [`Rebuild::finish`].
pub struct Rebuild {
    workshop: Workshop,
    replay: Replay,
}

impl Workshop {
    /// Rebuilds a projection while the live one goes on, and swaps it in. `on_progress` hears about twice a second.
    pub async fn rebuild(
        &self,
        name: &str,
        on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Rebuilt, ReplayError> {
        self.begin_rebuild(name).await?.finish(on_progress).await
    }

    /// Claims a projection for a rebuild: what is wrong with the request is known before the long work.
    pub async fn begin_rebuild(&self, name: &str) -> Result<Rebuild, ReplayError> {
        let projection = self.projection(name)?;
        let replay = Replay::begin(self, "rebuild", projection).await?;
        Ok(Rebuild {
            workshop: self.clone(),
            replay,
        })
    }
}

impl Rebuild {
    /// Fills the new tables and swaps them in.
    pub async fn finish(
        self,
        mut on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Rebuilt, ReplayError> {
        let Self {
            workshop,
            mut replay,
        } = self;
        let rebuilt = fill_and_swap(&workshop, &mut replay, &mut on_progress).await;
        let ended = replay.end().await;
        let rebuilt = rebuilt?;
        ended?;
        tracing::info!(
            projection = rebuilt.projection,
            position = rebuilt.position.0,
            events_per_second = rebuilt.progress.rate.round(),
            "rebuilt and swapped in",
        );
        Ok(rebuilt)
    }
}

async fn fill_and_swap(
    workshop: &Workshop,
    replay: &mut Replay,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Rebuilt, ReplayError> {
    // The end is asked from the leader, and is always the last message of a whole group: an event.
    let mut target = workshop.store.end().await?.position;
    for _ in 0..SWAP_ATTEMPTS_MAX {
        replay.up_to(target, on_progress).await?;
        replay.report().await?;
        on_progress(replay.progress());
        match swap(workshop, replay, on_progress).await? {
            Swap::Done(rebuilt) => return Ok(rebuilt),
            Swap::TooFarBehind(live) => target = live,
        }
    }
    Err(ReplayError::NeverCaughtUp {
        projection: replay.applier.projection.name().to_owned(),
    })
}

enum Swap {
    Done(Rebuilt),
    TooFarBehind(Position),
}

async fn swap(
    workshop: &Workshop,
    replay: &mut Replay,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Swap, ReplayError> {
    let projection = replay.applier.projection.clone();
    let name = projection.name();
    let shadow = replay.applier.schema.clone();
    let mut transaction = postgres::begin(&workshop.pool).await?;
    sqlx::query(SWAP_LOCK_TIMEOUT)
        .execute(&mut *transaction)
        .await?;
    // From here on the live rows stand still; whoever writes them waits, and then begins again from what it finds.
    let live = checkpoint::lock(&mut transaction, &Schema::LIVE, name).await?;
    let live_position = match &live {
        // Rows of another log, or of a tail that is lost, have no say in how far the new ones must come.
        Some(live) if replay.is_of_this_log(live).await? => live.position.0,
        _ => Position(0),
    };
    if live_position.0.saturating_sub(replay.position().0) > LAST_STRETCH {
        transaction.rollback().await?;
        return Ok(Swap::TooFarBehind(live_position));
    }
    replay.up_to(live_position, on_progress).await?;

    let rebuilt = parking::list(&mut transaction, &shadow, name).await?;
    let before = parking::list(&mut transaction, &Schema::LIVE, name).await?;
    if let Some(first) = rebuilt.first()
        && rebuilt.len() > before.len()
    {
        return Err(ReplayError::ParksMore {
            projection: name.to_owned(),
            rebuilt: rebuilt.len(),
            live: before.len(),
            cause: first.cause.clone(),
        });
    }
    let event_id: Option<uuid::Uuid> = sqlx::query_scalar(
        shadow.sql("select event_id from read.checkpoint where projection = $1"),
    )
    .bind(name)
    .fetch_optional(&mut *transaction)
    .await?
    .flatten();
    shadow
        .replace_live(&mut transaction, projection.tables())
        .await?;
    sqlx::query("delete from read.parked where projection = $1")
        .bind(name)
        .execute(&mut *transaction)
        .await?;
    for Parked {
        key,
        first_position,
        cause,
        ..
    } in &rebuilt
    {
        parking::park(
            &mut transaction,
            &Schema::LIVE,
            name,
            *key,
            first_position.0,
            cause,
        )
        .await?;
    }
    sqlx::query(
        "insert into read.checkpoint as c (projection, log, position, event_id) values ($1, $2, $3, $4)
         on conflict (projection) do update
         set log = excluded.log, position = excluded.position, event_id = excluded.event_id, stopped = null,
             generation = c.generation + 1, updated_at = now()",
    )
    .bind(name)
    .bind(&*replay.applier.log)
    .bind(bigint(replay.position()))
    .bind(event_id)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Swap::Done(Rebuilt {
        projection: name,
        position: replay.position(),
        parked: rebuilt.len(),
        progress: replay.progress(),
    }))
}

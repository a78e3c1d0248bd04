//! Before rows are read: have the projections behind them come far enough, and is something of them held back?

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use event_schema::Position;
use service_kit::Problem;

use super::{Answer, Asked, ReadSide, database};
use crate::parking;

/// How often a waiting query looks at the checkpoints; moves in this process wake it at once.
const LOOK_FIRST_PERIOD: Duration = Duration::from_millis(10);
const LOOK_MAX_PERIOD: Duration = Duration::from_millis(100);
/// Most parked keys that one query looks at.
const PARKED_LOOKED_AT_MAX: i64 = 50;

/// The state that rows are read at.
#[derive(Debug, Clone)]
pub struct Reading {
    position: Position,
    held: Vec<Held>,
    /// A projection that does not go on; its rows may belong to another log.
    stopped: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    name: String,
    first: Position,
}

impl Reading {
    /// A 200 with these rows.
    pub fn answer<T>(self, body: T) -> Answer<T> {
        let held = self
            .held
            .into_iter()
            .map(|held| format!("{}@{}", held.name, held.first))
            .collect();
        Answer {
            body,
            position: self.position,
            version: None,
            held,
        }
    }

    fn not_caught_up(&self, wanted: Position) -> Problem {
        let problem = Problem::not_caught_up(wanted.0, self.position.0);
        match &self.stopped {
            Some(name) => problem.detail(format!(
                "the projection {name} is stopped at position {} and waits for a person; see `waybill projections ls`",
                self.position
            )),
            None => problem,
        }
    }

    /// There is no such row: 404, unless it is missing only because its events are held back.
    pub fn nothing(&self, detail: impl Into<String>) -> Problem {
        match self.held.first() {
            Some(held) => held.problem(),
            None => Problem::not_found(detail),
        }
    }
}

impl Held {
    fn problem(&self) -> Problem {
        Problem::held(format!(
            "{} waits from position {} on for a person; see `waybill projections ls`",
            self.name, self.first
        ))
        .with("position", self.first.0)
    }
}

impl ReadSide {
    /// Waits until every one of these projections has passed the wanted position, within the wanted time.
    ///
    /// `key` names the one row that will be read, as projections park it; for a list there is none, and what is held
    /// is only told.
    pub async fn reading(
        &self,
        asked: Asked,
        projections: &[&'static str],
        key: Option<Uuid>,
    ) -> Result<Reading, Problem> {
        let deadline = Instant::now() + asked.wait;
        let mut period = LOOK_FIRST_PERIOD;
        // Listening before looking: a move in between is not missed.
        let mut moves = self.0.moves.listen();
        let mut within_the_log = false;
        loop {
            let reading = self.look(projections, key).await?;
            let Some(wanted) = asked.position else {
                return Ok(reading);
            };
            if reading.position >= wanted && reading.stopped.is_none() {
                return match reading
                    .held
                    .iter()
                    .find(|held| key.is_some() && held.first <= wanted)
                {
                    Some(held) => Err(held.problem()),
                    None => Ok(reading),
                };
            }
            if !within_the_log {
                within_the_log = self.is_within_the_log(wanted).await?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(reading.not_caught_up(wanted));
            }
            moves.moved(period.min(left)).await;
            period = (period * 2).min(LOOK_MAX_PERIOD);
        }
    }

    /// A position beyond the log's end will not come by waiting: it was never given out, or the log has lost it.
    /// When the log cannot be asked the wait goes on, and ends as honestly as any other.
    async fn is_within_the_log(&self, wanted: Position) -> Result<bool, Problem> {
        match self.store().end().await {
            Ok(end) if wanted > end.position => Err(Problem::bad_request(
                "position_unknown",
                format!(
                    "the log ends at position {}, {wanted} was never given out by it",
                    end.position
                ),
            )
            .with("position", end.position.0)),
            Ok(_) => Ok(true),
            Err(_) => Ok(false),
        }
    }

    /// The lowest checkpoint and what is held. It is read before the rows, so they are at least that fresh.
    async fn look(
        &self,
        projections: &[&'static str],
        key: Option<Uuid>,
    ) -> Result<Reading, Problem> {
        let rows: Vec<Standing> = sqlx::query_as(
            "select c.projection, c.position, c.stopped is not null as stopped, p.key, p.first_position
             from read.checkpoint c
             left join lateral (
                 select key, first_position from read.parked
                 where projection = c.projection and ($2::uuid is null or key = $2)
                 order by first_position limit $3
             ) p on true
             where c.projection = any($1)",
        )
        .bind(projections)
        .bind(key)
        .bind(PARKED_LOOKED_AT_MAX)
        .fetch_all(self.pool())
        .await
        .map_err(database)?;
        let has_begun = |name: &&str| rows.iter().any(|row| row.projection == *name);
        let position = if projections.iter().all(has_begun) {
            rows.iter()
                .map(|row| parking::position(row.position))
                .min()
                .unwrap_or_default()
        } else {
            // A projection that has not begun has passed nothing.
            Position(0)
        };
        let stopped = rows
            .iter()
            .find(|row| row.stopped)
            .map(|row| row.projection.clone());
        let held = rows.into_iter().filter_map(Standing::held).collect();
        Ok(Reading {
            position,
            held,
            stopped,
        })
    }
}

/// Where one projection stands, and one key that it holds back, if it does.
#[derive(sqlx::FromRow)]
struct Standing {
    projection: String,
    position: i64,
    stopped: bool,
    key: Option<Uuid>,
    first_position: Option<i64>,
}

impl Standing {
    fn held(self) -> Option<Held> {
        let name = format!("{}/{}", self.projection, self.key?);
        Some(Held {
            name,
            first: parking::position(self.first_position?),
        })
    }
}

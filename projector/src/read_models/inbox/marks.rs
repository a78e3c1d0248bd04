//! What people do with their inboxes, and what is left of the inbox of somebody who was erased: nothing.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use event_schema::ids::derived;
use event_schema::inbox::Event;
use event_schema::{Position, Recorded};

use crate::projection::{ApplyError, Batch, decode};
use crate::read_models::column;

#[derive(Clone)]
struct Mark {
    id: Uuid,
    person: Uuid,
    notification_id: Uuid,
    at: i64,
    cleared: bool,
    position: i64,
}

#[derive(Clone)]
struct Floor {
    person: Uuid,
    through: i64,
    position: i64,
}

/// What a batch does to inboxes, the last word on each notification.
#[derive(Default)]
pub(super) struct Marks {
    marks: BTreeMap<Uuid, Mark>,
    floors: BTreeMap<Uuid, Floor>,
    erased: BTreeSet<Uuid>,
}

impl Marks {
    /// Somebody does something with his inbox.
    pub(super) fn fold(&mut self, recorded: &Recorded, person: Uuid) -> Result<(), ApplyError> {
        let number = |position: Position| {
            i64::try_from(position.0).map_err(|error| ApplyError::event(recorded, error))
        };
        let position = number(recorded.position)?;
        let (notification_id, at, cleared) = match decode::<Event>(recorded)? {
            Event::Read(e) => (e.notification_id, e.at, false),
            Event::Cleared(e) => (e.notification_id, e.at, true),
            Event::AllCleared(e) => {
                let floor = Floor {
                    person,
                    through: number(e.through)?,
                    position,
                };
                self.floors.insert(person, floor);
                return Ok(());
            }
        };
        let notification_id = notification_id.uuid();
        let id = derived(&["inbox", &person.to_string(), &notification_id.to_string()]);
        let mark = Mark {
            id,
            person,
            notification_id,
            at: number(at)?,
            cleared,
            position,
        };
        self.marks.insert(id, mark);
        Ok(())
    }

    /// Somebody's data were erased.
    pub(super) fn erase(&mut self, person: Uuid) {
        self.erased.insert(person);
    }

    /// Writes what came of it; `told` are those for whom the batch has notifications. Answers who of them was erased, so
    /// that nothing is written for him.
    pub(super) async fn write(
        self,
        batch: &mut Batch<'_>,
        told: impl Iterator<Item = Uuid>,
    ) -> Result<BTreeSet<Uuid>, ApplyError> {
        let Self {
            marks,
            floors,
            erased,
        } = self;
        if !erased.is_empty() {
            forget(batch, &erased).await?;
        }
        let mut persons: BTreeSet<Uuid> = told.collect();
        persons.extend(marks.values().map(|mark| mark.person));
        persons.extend(floors.keys());
        let gone = gone(batch, &persons).await?;
        let marks: Vec<Mark> = marks
            .into_values()
            .filter(|mark| !gone.contains(&mark.person))
            .collect();
        let floors: Vec<Floor> = floors
            .into_values()
            .filter(|floor| !gone.contains(&floor.person))
            .collect();
        write_marks(batch, &marks).await?;
        write_floors(batch, &floors).await?;
        Ok(gone)
    }
}

/// Empties the inboxes of those who were erased, and remembers that they were: an event that was held back may tell them
/// of something later, and a rebuild has to come to the same rows.
async fn forget(batch: &mut Batch<'_>, erased: &BTreeSet<Uuid>) -> Result<(), ApplyError> {
    let erased: Vec<Uuid> = erased.iter().copied().collect();
    for statement in [
        "insert into read.inbox_erased (person) select * from unnest($1::uuid[]) on conflict do nothing",
        "delete from read.notifications where recipient = any($1)",
        "delete from read.inbox_marks where person = any($1)",
        "delete from read.inbox_floors where person = any($1)",
    ] {
        sqlx::query(batch.sql(statement))
            .bind(&erased)
            .execute(batch.connection())
            .await?;
    }
    Ok(())
}

/// Who of these was erased.
async fn gone(
    batch: &mut Batch<'_>,
    persons: &BTreeSet<Uuid>,
) -> Result<BTreeSet<Uuid>, ApplyError> {
    if persons.is_empty() {
        return Ok(BTreeSet::new());
    }
    let persons: Vec<Uuid> = persons.iter().copied().collect();
    let gone: Vec<Uuid> = sqlx::query_scalar(
        batch.sql("select person from read.inbox_erased where person = any($1)"),
    )
    .bind(persons)
    .fetch_all(batch.connection())
    .await?;
    Ok(gone.into_iter().collect())
}

async fn write_marks(batch: &mut Batch<'_>, rows: &[Mark]) -> Result<(), ApplyError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(batch.sql(
        "insert into read.inbox_marks (id, person, notification_id, at, cleared, position)
         select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::boolean[], $6::bigint[])
         on conflict (id) do update set cleared = excluded.cleared, position = excluded.position",
    ))
    .bind(column!(rows, id))
    .bind(column!(rows, person))
    .bind(column!(rows, notification_id))
    .bind(column!(rows, at))
    .bind(column!(rows, cleared))
    .bind(column!(rows, position))
    .execute(batch.connection())
    .await?;
    Ok(())
}

async fn write_floors(batch: &mut Batch<'_>, rows: &[Floor]) -> Result<(), ApplyError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(batch.sql(
        "insert into read.inbox_floors (person, through, position)
         select * from unnest($1::uuid[], $2::bigint[], $3::bigint[])
         on conflict (person) do update set through = excluded.through, position = excluded.position",
    ))
    .bind(column!(rows, person))
    .bind(column!(rows, through))
    .bind(column!(rows, position))
    .execute(batch.connection())
    .await?;
    Ok(())
}

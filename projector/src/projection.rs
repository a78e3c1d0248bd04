//! What a projection is: a name, its tables, which events concern it, and how a batch of them becomes rows.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::{PgConnection, SqlStr};
use uuid::Uuid;

use event_schema::{DecodeError, EventSet, PersonalKey, Position, Recorded, Subject};
use service_kit::postgres;
use service_kit::vault::VaultError;

use crate::personal::{Personal, PersonalError};
use crate::schema::Schema;

/// A table of a read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its name, without the schema.
    pub name: &'static str,
    /// Its one-column primary key.
    pub key: &'static str,
}

/// Why a batch did not become rows.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// This event cannot be applied, however often it is tried: its key is parked.
    #[error("the event at position {position} cannot be applied: {cause}")]
    Event {
        /// Which.
        position: Position,
        /// Why, for a person.
        cause: String,
    },
    /// The database is away, or refuses what the batch says.
    #[error("the rows cannot be written")]
    Database(#[from] sqlx::Error),
    /// The personal keys cannot be read at the moment.
    #[error("the personal keys cannot be read")]
    Personal(#[from] PersonalError),
}

impl ApplyError {
    /// An event that cannot be applied.
    pub fn event(event: &Recorded, cause: impl ToString) -> Self {
        Self::Event {
            position: event.position,
            cause: cause.to_string(),
        }
    }

    /// Whether the projection itself (its statements, its keys) is to blame, so that trying again at once would fail
    /// again, and the other projections need not wait for it.
    pub(crate) fn is_its_own_fault(&self) -> bool {
        // Tables that are not there are everybody's trouble and made again; a lost race is tried again.
        const PASSING: [&str; 5] = ["42P01", "3F000", "40001", "40P01", "55P03"];
        match self {
            Self::Event { .. } => false,
            Self::Personal(PersonalError(VaultError::Database(error))) | Self::Database(error) => {
                !postgres::is_unavailable(error)
                    && error.as_database_error().is_some_and(|error| {
                        error
                            .code()
                            .is_none_or(|code| !PASSING.contains(&code.as_ref()))
                    })
            }
            Self::Personal(_) => true,
        }
    }

    /// Whether the content of the batch is to blame, rather than a database that is away or busy.
    pub(crate) fn is_poison(&self) -> bool {
        match self {
            Self::Event { .. } => true,
            Self::Personal(_) => false,
            Self::Database(error) => match error {
                sqlx::Error::Encode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_) => true,
                // Cardinality, data and constraint violations: the same values are refused every time.
                sqlx::Error::Database(error) => error.code().is_some_and(|code| {
                    ["21", "22", "23"]
                        .iter()
                        .any(|class| code.starts_with(class))
                }),
                _ => false,
            },
        }
    }
}

/// Turns events into rows. The worker sees to it that every event is shown once, in order, and that rows and
/// checkpoint are committed together; an implementation only writes rows, in a few statements per batch.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    /// Its name: of the checkpoint, on the command line, in metrics.
    fn name(&self) -> &'static str;

    /// Its tables; all of its rows are in them, and nobody else writes there.
    fn tables(&self) -> &'static [Table];

    /// The aggregates whose events concern it.
    fn aggregates(&self) -> &'static [&'static str];

    /// What an event's rows are parked by when it cannot be applied: all events that touch the same rows have the
    /// same key. Nothing for an event that does not concern this projection. Looks at envelopes only.
    fn key(&self, event: &Recorded) -> Option<Uuid> {
        let (aggregate, id) = event.subject.aggregate()?;
        self.aggregates().contains(&aggregate).then_some(id)
    }

    /// The histories that hold a key's events.
    fn subjects(&self, key: Uuid) -> Vec<Subject> {
        self.aggregates()
            .iter()
            .map(|aggregate| Subject::history(aggregate, key))
            .collect()
    }

    /// Writes the rows that these events lead to. They are in order and all concern this projection.
    async fn apply(&self, batch: &mut Batch<'_>, events: &[&Recorded]) -> Result<(), ApplyError>;
}

/// The open transaction of a batch.
#[derive(Debug)]
pub struct Batch<'c> {
    connection: &'c mut PgConnection,
    schema: &'c Schema,
    personal: &'c Personal,
}

impl<'c> Batch<'c> {
    pub(crate) fn new(
        connection: &'c mut PgConnection,
        schema: &'c Schema,
        personal: &'c Personal,
    ) -> Self {
        Self {
            connection,
            schema,
            personal,
        }
    }

    /// The connection, in the middle of its transaction.
    pub fn connection(&mut self) -> &mut PgConnection {
        self.connection
    }

    /// A statement for the schema that is being written; tables are spelt `read.<table>`.
    pub fn sql(&self, text: &'static str) -> SqlStr {
        self.schema.sql(text)
    }

    /// The keys of these persons; one whose key was destroyed is not in the answer.
    pub async fn personal_keys(
        &self,
        persons: impl IntoIterator<Item = Uuid>,
    ) -> Result<BTreeMap<Uuid, PersonalKey>, PersonalError> {
        self.personal
            .keys(&persons.into_iter().collect::<BTreeSet<_>>())
            .await
    }
}

/// What is said after the cause when an event is newer than this build; it is recognised by it later.
const OF_A_NEWER_BUILD: &str = "; it was written by a newer build, upgrade this one and resume";

/// Whether a key is parked because of an event that is newer than the build that parked it.
pub(crate) fn is_newer(cause: &str) -> bool {
    cause.ends_with(OF_A_NEWER_BUILD)
}

/// Reads an event as one of a set. A type or version that this build does not know is an event that cannot be
/// applied: passing it by would leave rows that are wrong without a word.
pub(crate) fn decode<E: EventSet>(event: &Recorded) -> Result<E, ApplyError> {
    E::decode(&event.event_type, event.schema_version, &event.payload).map_err(
        |error| match error {
            newer @ (DecodeError::UnknownType(_) | DecodeError::UnknownVersion { .. }) => {
                ApplyError::event(event, format!("{newer}{OF_A_NEWER_BUILD}"))
            }
            DecodeError::Codec(error) => {
                ApplyError::event(event, service_kit::problem::Chain(&error))
            }
            other @ DecodeError::Upcast { .. } => ApplyError::event(event, other),
        },
    )
}

/// The ids of the aggregates that a batch's events belong to, each once.
pub(crate) fn ids(events: &[&Recorded]) -> Vec<Uuid> {
    events
        .iter()
        .filter_map(|event| event.aggregate_id())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The version of an event as its row keeps it, if it is the one after the row's. A jump says that an event of this
/// history never came, which must not go unnoticed: rows built over a gap would be wrong for ever.
pub(crate) fn following(event: &Recorded, before: i64) -> Result<i64, ApplyError> {
    let version =
        i64::try_from(event.version.0).map_err(|error| ApplyError::event(event, error))?;
    if version == before.saturating_add(1) {
        return Ok(version);
    }
    Err(ApplyError::event(
        event,
        format!(
            "it is version {version} of its history and the row is at version {before}; rebuild the projection"
        ),
    ))
}

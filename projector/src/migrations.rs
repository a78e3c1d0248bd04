//! The tables of the schema `read`, made at the start of every projector and by `waybill migrate`.
//!
//! The bookkeeping of what has run lies in the schema itself: after `drop schema read cascade` the next start makes
//! everything again, and the worker fills it from the log.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgPool, SqlSafeStr as _};

use service_kit::postgres;

use crate::read_models;

/// Any fixed number; every process that migrates takes the same lock ("waybill" in ASCII).
const MIGRATION_LOCK: i64 = 0x0077_6179_6269_6c6c;
/// Where it is kept which migrations have run.
const BOOKKEEPING: &str = "read._migrations";

/// One migration, embedded in the binary. The folder that owns the tables owns the file.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// Unique over the whole crate; migrations run in its order.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// The statements, every table qualified with `read.`.
    pub sql: &'static str,
}

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database is away or refuses.
    #[error("the schema read cannot be migrated")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or differs from the one that has run.
    #[error(
        "the schema read cannot be migrated; it holds nothing that is not in the log, so `drop schema read cascade` and a new start make it again"
    )]
    Migration(#[from] MigrateError),
}

impl SchemaError {
    /// Whether waiting may help.
    pub(crate) fn is_unavailable(&self) -> bool {
        match self {
            Self::Database(error) => postgres::is_unavailable(error),
            Self::Migration(MigrateError::Execute(error)) => postgres::is_unavailable(error),
            Self::Migration(_) => false,
        }
    }
}

/// Brings the schema `read` up to date. Safe to run from any number of processes at once.
pub async fn migrate(pool: &PgPool) -> Result<(), SchemaError> {
    let mut transaction = postgres::begin(pool).await?;
    // A lock of the transaction, not of the session: it cannot outlive a future that was dropped.
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await?;
    migrator()
        .run_direct(None, &mut *transaction, false)
        .await?;
    transaction.commit().await?;
    Ok(())
}

fn migrator() -> Migrator {
    let worker = Embedded {
        version: 1,
        name: "worker",
        sql: include_str!("0001_worker.sql"),
    };
    let migrations = std::iter::once(worker)
        .chain(read_models::migrations())
        .map(|embedded| {
            let sql = embedded.sql.into_sql_str();
            Migration::new(
                embedded.version,
                embedded.name.into(),
                MigrationType::Simple,
                sql,
                false,
            )
        });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.set_locking(false);
    migrator.create_schema("read");
    migrator.dangerous_set_table_name(BOOKKEEPING);
    migrator
}

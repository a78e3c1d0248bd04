//! The connection to Postgres: a small pool with limits on everything, and transactions that survive cancellation.

use std::str::FromStr;
use std::task::Poll;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, Postgres, Transaction};
use thiserror::Error;

/// How long a start waits for the server.
pub const STARTUP_WAIT: Duration = Duration::from_secs(60);
const STARTUP_RETRY_PERIOD: Duration = Duration::from_millis(500);
/// How often the log says that we are still waiting.
const STARTUP_REPORT_PERIOD: Duration = Duration::from_secs(5);
/// One attempt to connect; a server behind a dropped network would else hold it for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// A single statement never runs longer, unless its transaction says so itself (`set local statement_timeout`).
const STATEMENT_TIMEOUT_MILLIS: &str = "30000";
/// A transaction that its owner forgot is ended by the server.
const IDLE_IN_TRANSACTION_TIMEOUT_MILLIS: &str = "60000";

/// A migration may take long on a large table, and not for ever.
const MIGRATION_TIMEOUT_MILLIS: u64 = 30 * 60 * 1_000;
const MIGRATED_POLL_PERIOD: Duration = Duration::from_millis(250);

/// Why a role cannot start on this database.
#[derive(Debug, Error)]
pub enum NotMigratedError {
    /// Nobody has migrated it within the time a start waits.
    #[error("the database lacks {missing} migrations of {table} after {} s; run `waybill migrate`", STARTUP_WAIT.as_secs())]
    Missing {
        /// How many.
        missing: usize,
        /// The table that records them.
        table: String,
    },
    /// The database failed while it was asked.
    #[error("the database cannot be asked for its migrations")]
    Database(#[from] sqlx::Error),
}

/// Why there is no connection to Postgres.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The address is not one.
    #[error("the database address cannot be read")]
    Address(#[source] sqlx::Error),
    /// The server answered, and refused us for good.
    #[error("Postgres at {server} refuses the connection: {source}")]
    Refused {
        /// Host, port and database.
        server: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The server did not come within the time a start waits.
    #[error("Postgres at {server} could not be reached within {} s: {source}", STARTUP_WAIT.as_secs())]
    NotReached {
        /// Host, port and database.
        server: String,
        /// Why the last attempt failed.
        source: sqlx::Error,
    },
}

/// Connects to Postgres, waiting up to a minute for a server that is still starting.
///
/// # Errors
/// When the server refuses us (password, unknown database) or does not come in time.
pub async fn connect(
    url: &SecretString,
    application: &str,
    max_connections: u32,
) -> Result<PgPool, ConnectError> {
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(ConnectError::Address)?
        .application_name(application)
        .options([
            ("statement_timeout", STATEMENT_TIMEOUT_MILLIS),
            (
                "idle_in_transaction_session_timeout",
                IDLE_IN_TRANSACTION_TIMEOUT_MILLIS,
            ),
            // The rollback after each use (below) is answered with a warning when there was nothing to roll back.
            ("client_min_messages", "error"),
        ]);
    let server = format!(
        "{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    );
    wait_for_server(&options, &server).await?;
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(MAX_LIFETIME)
        // A connection goes back with no transaction open, whatever its last user did: a future dropped in the middle
        // of `begin` leaves one that the driver does not know of, and the next user's work would land in it.
        .after_release(|connection, _| {
            Box::pin(async move {
                // What is still being answered comes first; there is something only if its future was dropped.
                connection.flush().await?;
                // Sent and not waited for: the driver waits for the answers to everything right after this, when it
                // tests the connection.
                match futures::poll!(connection.execute("rollback")) {
                    Poll::Ready(Err(error)) => Err(error),
                    Poll::Ready(Ok(_)) | Poll::Pending => Ok(true),
                }
            })
        })
        .connect_lazy_with(options))
}

/// Opens a transaction. Dropping the returned future at any moment leaves no transaction behind, which the driver's own
/// `begin` does not promise.
///
/// # Errors
/// As the driver's `begin`.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_with(pool, "begin").await
}

/// [`begin`] with statements of one's own, such as `begin; set local lock_timeout = '5s'`: one way to the server and back.
///
/// # Errors
/// As [`begin`], and when one of the statements fails.
pub async fn begin_with(
    pool: &PgPool,
    statements: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    // In a task of its own the opening always runs to its end; when nobody waits for it any more, the transaction is
    // dropped there, and dropping rolls back.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where nobody can cancel it"
    )]
    let opening = tokio::spawn(async move { pool.begin_with(statements).await });
    match opening.await {
        Ok(opened) => opened,
        Err(_) => Err(sqlx::Error::WorkerCrashed),
    }
}

/// Applies the migrations that are missing. Any number of processes may do this at once: one works, the others wait and
/// find it done.
///
/// # Errors
/// When a migration fails, or one that was applied has been edited since.
pub async fn migrate(pool: &PgPool, migrator: &Migrator) -> Result<(), MigrateError> {
    // A connection of its own, closed at the end: the lock of a migration that fails belongs to its connection, and in
    // the pool it would stay locked for ever.
    let mut connection = sqlx::PgConnection::connect_with(&pool.connect_options()).await?;
    sqlx::query("select set_config('statement_timeout', $1, false)")
        .bind(MIGRATION_TIMEOUT_MILLIS.to_string())
        .execute(&mut connection)
        .await?;
    let migrated = migrator.run_direct(None, &mut connection, false).await;
    // Whatever happens to the connection now, what was migrated is committed.
    let _: Result<(), sqlx::Error> = connection.close().await;
    migrated
}

/// Waits until somebody (`waybill migrate`) has applied all of the migrations, up to a minute.
///
/// # Errors
/// When nobody has, or the database fails.
pub async fn wait_until_migrated(
    pool: &PgPool,
    migrator: &Migrator,
) -> Result<(), NotMigratedError> {
    let table = migrator.table_name.to_string();
    let started = Instant::now();
    let mut reported = false;
    loop {
        let missing = missing_migrations(pool, migrator, &table).await?;
        if missing == 0 {
            return Ok(());
        }
        if started.elapsed() >= STARTUP_WAIT {
            return Err(NotMigratedError::Missing { missing, table });
        }
        if !reported {
            reported = true;
            tracing::info!(table, missing, "waiting for the database to be migrated");
        }
        tokio::time::sleep(MIGRATED_POLL_PERIOD).await;
    }
}

async fn missing_migrations(
    pool: &PgPool,
    migrator: &Migrator,
    table: &str,
) -> Result<usize, sqlx::Error> {
    let there: (bool,) = sqlx::query_as("select to_regclass($1) is not null")
        .bind(table)
        .fetch_one(pool)
        .await?;
    let applied: Vec<i64> = if there.0 {
        // The name is the migrator's, written in our source.
        sqlx::query_scalar(AssertSqlSafe(format!(
            "select version from {table} where success"
        )))
        .fetch_all(pool)
        .await?
    } else {
        Vec::new()
    };
    Ok(migrator
        .iter()
        .filter(|migration| !migration.migration_type.is_down_migration())
        .filter(|migration| !applied.contains(&migration.version))
        .count())
}

/// Whether the error says that the database is away or overloaded, rather than that the statement is wrong.
/// Such errors become 503 `database_unavailable`.
#[must_use]
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection exceptions, too few resources, an operator's intervention (shutdown, starting up), and a
            // server that has become read-only in a fail-over.
            ["08", "53", "57P", "58"]
                .iter()
                .any(|class| code.starts_with(class))
                || code == "25006"
                // The server has ended a transaction whose owner fell silent; the connection is gone with it.
                || code == "25P03"
        }),
        _ => false,
    }
}

async fn wait_for_server(options: &PgConnectOptions, server: &str) -> Result<(), ConnectError> {
    let started = Instant::now();
    let mut reported = Duration::ZERO;
    loop {
        let attempt =
            tokio::time::timeout(CONNECT_TIMEOUT, sqlx::PgConnection::connect_with(options));
        let error = match attempt.await {
            Ok(Ok(connection)) => {
                // It answered; how this probe's connection ends does not matter.
                let _: Result<(), sqlx::Error> = connection.close().await;
                return Ok(());
            }
            Ok(Err(error)) if is_unavailable(&error) => error,
            Ok(Err(source)) => {
                return Err(ConnectError::Refused {
                    server: server.to_owned(),
                    source,
                });
            }
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        let waited = started.elapsed();
        if waited >= STARTUP_WAIT {
            return Err(ConnectError::NotReached {
                server: server.to_owned(),
                source: error,
            });
        }
        if waited - reported >= STARTUP_REPORT_PERIOD || reported.is_zero() {
            reported = waited.max(Duration::from_nanos(1));
            tracing::info!(server, error = %error, waited_s = waited.as_secs(), "waiting for Postgres");
        }
        tokio::time::sleep(STARTUP_RETRY_PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_is_told_apart_from_a_wrong_statement() {
        assert!(is_unavailable(&sqlx::Error::PoolTimedOut));
        assert!(is_unavailable(&sqlx::Error::Io(
            std::io::ErrorKind::ConnectionRefused.into()
        )));
        assert!(!is_unavailable(&sqlx::Error::RowNotFound));
        assert!(!is_unavailable(&sqlx::Error::ColumnNotFound(
            "x".to_owned()
        )));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_an_error_at_once() {
        let error = connect(&SecretString::from("not a url"), "test", 1)
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::Address(_)), "{error}");
    }
}

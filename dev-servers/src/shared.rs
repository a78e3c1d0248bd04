//! One nats-server and one Postgres per test process, made when first asked for. They end with the process, also when
//! a test panics or is killed: a static is never dropped, so it is the watchdog that stops them and removes their data.

use std::{error::Error as _, sync::OnceLock};

use crate::{
    error::{DatabaseError, FindError, StartError},
    find::{Finder, NatsBinary},
    nats::NatsServer,
    postgres::{self, Postgres},
};

/// Why there is no shared server; the same for everybody who asks in this process.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{software} for the tests could not be started: {reason}")]
pub struct SharedError {
    software: &'static str,
    reason: String,
}

impl SharedError {
    fn new(software: &'static str, error: &StartError) -> Self {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            reason.push_str(": ");
            reason.push_str(&error.to_string());
            cause = error.source();
        }
        Self { software, reason }
    }
}

/// The nats-server of this test process. A test that needs a stream for itself or kills its server takes
/// [`NatsServer::temporary`] instead.
pub fn shared_nats() -> Result<&'static NatsServer, SharedError> {
    static SHARED: OnceLock<Result<NatsServer, SharedError>> = OnceLock::new();
    SHARED
        .get_or_init(|| {
            NatsServer::temporary().map_err(|error| SharedError::new("nats-server", &error))
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// The Postgres of this test process, fast and not durable. A test gets a database of its own by [`fresh_database`].
pub fn shared_postgres() -> Result<&'static Postgres, SharedError> {
    static SHARED: OnceLock<Result<Postgres, SharedError>> = OnceLock::new();
    SHARED
        .get_or_init(|| Postgres::temporary().map_err(|error| SharedError::new("Postgres", &error)))
        .as_ref()
        .map_err(Clone::clone)
}

/// The address of a new, empty database on [`shared_postgres`].
pub async fn fresh_database() -> Result<String, DatabaseError> {
    // The first start takes a second or so: not on the thread that runs the test's other tasks.
    let started = tokio::task::spawn_blocking(shared_postgres).await;
    if let Ok(shared) = started {
        shared?;
    }
    postgres::fresh_database().await
}

/// nats-server, looked for once per process: temporary servers are started often.
pub(crate) fn nats_binary() -> Result<NatsBinary, FindError> {
    static FOUND: OnceLock<NatsBinary> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = Finder::new().nats_server()?;
    Ok(FOUND.get_or_init(|| found).clone())
}

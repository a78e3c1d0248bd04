//! Finds, fetches, starts and stops a real nats-server and a real Postgres, for `waybill up` and for tests.
//!
//! A server started here dies with the process that started it, whatever way that ends (see `watchdog`), and its data
//! folder can be opened again by the next start even after kill -9. Everything here blocks the calling thread, within
//! the limits named by the constants; in async code that cannot afford it, call from `spawn_blocking`.
//!
//! ```no_run
//! use dev_servers::{Finder, NatsOptions, NatsServer, Postgres, PostgresOptions};
//!
//! # fn main() -> Result<(), dev_servers::StartError> {
//! let finder = Finder::new();
//! let nats = NatsServer::start(&finder, NatsOptions::new(".waybill/nats"))?;
//! let postgres = Postgres::start(&finder, PostgresOptions::new(".waybill/postgres"))?;
//! println!("{} {}", nats.url(), postgres.url());
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod bounded;
mod cluster;
mod error;
mod find;
mod folder;
mod log_file;
mod nats;
mod port;
mod postgres;
mod process;
mod progress;
mod server;
mod server_user;
mod shared;
mod version;
mod watchdog;

pub use cluster::NatsCluster;
pub use error::{DatabaseError, FindError, SourceFailure, StartError};
pub use find::{Binaries, Finder, NatsBinary, PostgresBinaries};
pub use nats::{NatsOptions, NatsServer};
pub use postgres::{Postgres, PostgresOptions};
pub use process::Stopped;
pub use progress::{Notice, Progress};
pub use server::Server;
pub use shared::{SharedError, fresh_database, shared_nats, shared_postgres};
pub use version::{MINIMUM_NATS, MINIMUM_POSTGRES_MAJOR, Version};

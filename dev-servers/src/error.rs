//! What can go wrong, by what the caller can do about it.

use std::{fmt, io, path::PathBuf, process::ExitStatus};

/// One source that did not deliver a server, and why, in one line.
#[derive(Debug, Clone)]
pub struct SourceFailure {
    /// The source: a folder on PATH, `pip`, `npm`…
    pub source: String,
    /// The reason.
    pub reason: String,
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.reason)
    }
}

/// No usable server program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// Neither installed nor to be had from any source.
    #[error("no usable {software} ({wanted}) was found or could be fetched:{}\n{advice}", list(.failures))]
    Nowhere {
        /// Which server.
        software: &'static str,
        /// The version that is needed.
        wanted: String,
        /// Every source that was tried.
        failures: Vec<SourceFailure>,
        /// What to install by hand.
        advice: &'static str,
    },
    /// The cache folder cannot be used.
    #[error("the cache folder {} cannot be used ({doing}); name another one by WAYBILL_CACHE_DIR", path.display())]
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// What was being done with it.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has been fetching into the cache for too long.
    #[error(
        "another process has held {} for more than {limit_s} s; end it and start again",
        lock.display()
    )]
    CacheBusy {
        /// The lock file.
        lock: PathBuf,
        /// How long we waited.
        limit_s: u64,
    },
}

fn list(failures: &[SourceFailure]) -> String {
    failures.iter().map(|f| format!("\n  {f}")).collect()
}

/// A server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No usable server program.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The data folder or a file in it cannot be used.
    #[error("{}: {doing} failed", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What was being done with it.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Another living process uses the data folder.
    #[error("the data folder {} is in use by process {holder}; stop that one first or name another folder", path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
        /// The process that holds it, as far as known.
        holder: String,
    },
    /// A server of an earlier run still holds the data folder and could not be stopped.
    #[error(
        "{software} of an earlier run (process {pid}) still holds the data folder and could not be stopped"
    )]
    Leftover {
        /// Which server.
        software: &'static str,
        /// Its process id.
        pid: u32,
    },
    /// The port that was asked for is taken, or no free one was found.
    #[error("{software} cannot listen on 127.0.0.1:{port}: the port is taken by another program")]
    PortTaken {
        /// Which server.
        software: &'static str,
        /// The port.
        port: u16,
    },
    /// No port could be had at all.
    #[error("no free TCP port on 127.0.0.1 was found for {software}")]
    NoFreePort {
        /// Which server.
        software: &'static str,
    },
    /// The process could not be run at all.
    #[error("{} could not be run", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The server ended instead of becoming ready.
    #[error("{software} ended at once ({status}); the last lines of {}:\n{tail}", log.display())]
    Exited {
        /// Which server.
        software: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The server runs but did not become ready in time.
    #[error("{software} was not ready after {limit_s} s ({last}); the last lines of {}:\n{tail}", log.display())]
    NotReady {
        /// Which server.
        software: &'static str,
        /// How long we waited.
        limit_s: u64,
        /// What the last attempt to connect gave.
        last: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A new Postgres data folder could not be made.
    #[error("Postgres could not prepare the data folder {}: {reason}", data.display())]
    Initialise {
        /// The data folder.
        data: PathBuf,
        /// What initdb or Postgres said.
        reason: String,
    },
    /// The data was written by another major version of Postgres.
    #[error(
        "the data in {} was written by Postgres {data_major}, and no such version was found; install it, or move the folder away to start anew",
        data.display()
    )]
    WrongMajor {
        /// The data folder.
        data: PathBuf,
        /// The major version that wrote it.
        data_major: u32,
        /// Why none was found.
        source: FindError,
    },
    /// Postgres refuses to run as root and no folder was found that its account can reach.
    #[error("Postgres does not run as root, and account {account} cannot reach {}: {reason}", path.display())]
    Unreachable {
        /// The account that Postgres would run as.
        account: String,
        /// The folder it cannot reach.
        path: PathBuf,
        /// What was tried.
        reason: String,
    },
}

/// A database could not be created on a server that we started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The server did not answer in time.
    #[error("Postgres did not answer within {limit_s} s")]
    NoAnswer {
        /// How long we waited.
        limit_s: u64,
    },
    /// The server refused.
    #[error("creating database {name} failed")]
    Refused {
        /// The database.
        name: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The shared server could not be started.
    #[error(transparent)]
    Shared(#[from] crate::shared::SharedError),
}

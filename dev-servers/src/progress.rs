//! What the caller is told while servers are found, fetched and started. The library itself prints nothing.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// One thing worth a line on the user's terminal. `Display` gives that line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// A usable server was found.
    Found {
        /// Which server.
        software: &'static str,
        /// What it says it is.
        version: String,
        /// Where its program is.
        path: PathBuf,
    },
    /// A server was found that cannot be used.
    Unusable {
        /// Which server.
        software: &'static str,
        /// Where its program is.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A package is being fetched; this takes seconds to minutes.
    Fetching {
        /// The package's name and version.
        package: String,
        /// The client that fetches it.
        source: &'static str,
    },
    /// A source did not deliver; the next one is tried.
    SourceFailed {
        /// The client that failed.
        source: &'static str,
        /// Its reason, in one line.
        reason: String,
    },
    /// Another process is fetching into the same cache; we wait for it.
    WaitingForFetch {
        /// The cache folder.
        cache: PathBuf,
    },
    /// A package is being unpacked.
    Unpacking {
        /// The package's file.
        package: String,
        /// Where it will be kept.
        into: PathBuf,
    },
    /// Something in the cache was damaged and is fetched again.
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data cannot live in the folder that was asked for, because the account that Postgres runs as cannot reach it.
    DataElsewhere {
        /// The folder that was asked for; it holds a symbolic link to the data.
        asked: PathBuf,
        /// The folder that holds the data.
        data: PathBuf,
        /// The account that could not reach the folder.
        account: String,
    },
    /// A server of an earlier run that was killed still held the data folder.
    StoppingLeftover {
        /// Which server.
        software: &'static str,
        /// Its process id.
        pid: u32,
    },
    /// A new, empty data folder is being prepared.
    Initialising {
        /// Which server.
        software: &'static str,
        /// The data folder.
        data: PathBuf,
    },
    /// A server accepts connections.
    Started {
        /// Which server.
        software: &'static str,
        /// Its TCP port on 127.0.0.1.
        port: u16,
        /// Its process id.
        pid: u32,
        /// How long it took from the spawn of the process.
        took: Duration,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found {
                software,
                version,
                path,
            } => write!(f, "{software} {version} found at {}", path.display()),
            Self::Unusable {
                software,
                path,
                reason,
            } => write!(f, "{software} at {} is not used: {reason}", path.display()),
            Self::Fetching { package, source } => write!(f, "fetching {package} with {source}"),
            Self::SourceFailed { source, reason } => {
                write!(f, "{source} could not provide it: {reason}")
            }
            Self::WaitingForFetch { cache } => write!(
                f,
                "waiting for another process that is fetching into {}",
                cache.display()
            ),
            Self::Unpacking { package, into } => {
                write!(f, "unpacking {package} into {}", into.display())
            }
            Self::Damaged { path, reason } => write!(
                f,
                "{} is damaged and will be replaced: {reason}",
                path.display()
            ),
            Self::DataElsewhere {
                asked,
                data,
                account,
            } => write!(
                f,
                "Postgres does not run as root and account {account} cannot enter {}: the data is kept in {}",
                asked.display(),
                data.display()
            ),
            Self::StoppingLeftover { software, pid } => write!(
                f,
                "stopping {software} (process {pid}), left over from a run that was killed"
            ),
            Self::Initialising { software, data } => {
                write!(
                    f,
                    "preparing a new {software} data folder {}",
                    data.display()
                )
            }
            Self::Started {
                software,
                port,
                pid,
                took,
            } => write!(
                f,
                "{software} is ready on 127.0.0.1:{port} (process {pid}, {} ms)",
                took.as_millis()
            ),
        }
    }
}

/// Where notices go. Cheap to clone.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&Notice) + Send + Sync>);

impl Progress {
    /// Calls `receive` for every notice, on the thread that does the work.
    pub fn new(receive: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    /// Writes every notice to the log, at info level.
    #[must_use]
    pub fn to_log() -> Self {
        Self::new(|notice| tracing::info!("{notice}"))
    }

    pub(crate) fn tell(&self, notice: Notice) {
        (self.0)(&notice);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

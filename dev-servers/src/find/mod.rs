//! Finds server programs: installed ones first, then the cache, then every package client at hand.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    bounded,
    error::{FindError, SourceFailure},
    progress::{Notice, Progress},
    version::Version,
};

mod cache;
mod nats;
mod pins;
mod postgres;
mod sources;
#[cfg(test)]
mod tests;
mod unpack;

pub use nats::NatsBinary;
pub use postgres::PostgresBinaries;

const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// Both servers' programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// nats-server.
    pub nats: NatsBinary,
    /// Postgres.
    pub postgres: PostgresBinaries,
}

impl Binaries {
    /// Finds both, fetching what is missing.
    pub fn locate(finder: &Finder) -> Result<Self, FindError> {
        Ok(Self {
            nats: finder.nats_server()?,
            postgres: finder.postgres()?,
        })
    }
}

/// Where to look, where to keep what was fetched, and whom to tell.
#[derive(Debug, Clone)]
pub struct Finder {
    search_path: OsString,
    system_folders: bool,
    cache: Option<PathBuf>,
    progress: Progress,
}

impl Default for Finder {
    fn default() -> Self {
        Self::new()
    }
}

impl Finder {
    /// Looks on PATH and in the system's usual places; keeps what it fetches in `WAYBILL_CACHE_DIR`, else
    /// `$XDG_CACHE_HOME/waybill`, else `~/.cache/waybill`, else the folder for temporary files.
    #[must_use]
    pub fn new() -> Self {
        Self {
            search_path: env::var_os("PATH").unwrap_or_default(),
            system_folders: true,
            cache: env::var_os("WAYBILL_CACHE_DIR")
                .filter(|folder| !folder.is_empty())
                .map(PathBuf::from),
            progress: Progress::to_log(),
        }
    }

    /// Tells `progress` what is going on.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Looks for servers and package clients in these folders only (separated as in PATH), not in the system's usual places.
    #[must_use]
    pub fn with_search_path(mut self, folders: impl Into<OsString>) -> Self {
        self.search_path = folders.into();
        self.system_folders = false;
        self
    }

    /// Keeps what it fetches in this folder.
    #[must_use]
    pub fn with_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) fn tell(&self, notice: Notice) {
        self.progress.tell(notice);
    }

    /// Every program of that name on the search path, in order.
    fn on_path<'a>(&'a self, name: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
        env::split_paths(&self.search_path)
            .filter(|folder| folder.is_absolute())
            .map(move |folder| folder.join(name))
            .filter(|path| is_program(path))
    }

    fn client(&self, name: &str) -> Option<PathBuf> {
        self.on_path(name).next()
    }

    /// Notes that a source did not deliver, and says so.
    fn failed(
        &self,
        failures: &mut Vec<SourceFailure>,
        source: &'static str,
        reason: impl Into<String>,
    ) {
        let reason = reason.into();
        self.tell(Notice::SourceFailed {
            source,
            reason: reason.clone(),
        });
        failures.push(SourceFailure {
            source: source.to_owned(),
            reason,
        });
    }

    /// Notes that an installed server cannot be used, and says so.
    fn unusable(
        &self,
        failures: &mut Vec<SourceFailure>,
        software: &'static str,
        path: &Path,
        reason: String,
    ) {
        self.tell(Notice::Unusable {
            software,
            path: path.to_owned(),
            reason: reason.clone(),
        });
        failures.push(SourceFailure {
            source: path.display().to_string(),
            reason,
        });
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What a server program says about its version; the error is one line.
fn version_of(program: &Path) -> Result<Version, String> {
    let output = bounded::run(
        Command::new(program).arg("--version").current_dir("/"),
        "",
        VERSION_LIMIT,
    )
    .map_err(|error| format!("it cannot be run: {error}"))?;
    if !output.success {
        return Err(format!("--version failed: {}", output.reason()));
    }
    Version::find_in(&output.stdout)
        .ok_or_else(|| format!("--version gives no version: {}", output.stdout.trim()))
}

/// The platform's name as the pins use it.
fn platform() -> &'static str {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x86_64",
        ("linux", "aarch64") => "linux-aarch64",
        _ => "another platform",
    }
}

/// Removes settings of the user's own Postgres from what we run.
pub(crate) fn without_postgres_settings(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
}

/// `name` with blanks instead of what would break a line of text.
fn one_line(text: &OsStr) -> String {
    text.to_string_lossy().replace(['\n', '\r'], " ")
}

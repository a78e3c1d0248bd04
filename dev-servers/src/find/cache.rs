//! The cache folder: what was downloaded (checked by hash each time it is unpacked) and what was unpacked from it.
//! One process at a time changes it; unpacked folders appear as a whole or not at all.

use std::{
    env, fs,
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use aws_lc_rs::digest;

use super::Finder;
use crate::{error::FindError, progress::Notice, server_user::ServerUser};

/// Longer than the longest fetch, so that a waiter outlives a slow but working download.
const LOCK_LIMIT: Duration = Duration::from_secs(15 * 60);
const LOCK_POLL: Duration = Duration::from_millis(50);
/// Waiting shorter than this is not worth a line.
const QUIET_WAIT: Duration = Duration::from_millis(500);
const WORK_PREFIX: &str = "work-";

/// A folder that downloads and unpacked servers are kept in.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

/// The right to change a cache folder.
#[derive(Debug)]
pub(super) struct CacheLock {
    root: PathBuf,
    _file: File,
}

impl Cache {
    /// The cache that the finder names, else the first of the usual places that can be written to.
    pub(super) fn open(finder: &Finder) -> Result<Self, FindError> {
        if let Some(root) = &finder.cache {
            return Self::at(root);
        }
        let under = |name: &str, rest: &str| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|folder| folder.is_absolute())
                .map(|folder| folder.join(rest))
        };
        [
            under("XDG_CACHE_HOME", "waybill"),
            under("HOME", ".cache/waybill"),
        ]
        .into_iter()
        .flatten()
        .find_map(|root| Self::at(&root).ok())
        .map_or_else(Self::in_temp, Ok)
    }

    /// The cache for programs that the account `user` must be able to run: `self` if it can be reached, else a folder of
    /// the system (root's home is closed to everybody else).
    pub(super) fn reachable_by(&self, user: &ServerUser) -> Result<Self, FindError> {
        if user.can_enter(&self.root) {
            return Ok(self.clone());
        }
        if let Ok(system) = Self::at(Path::new("/var/cache/waybill")) {
            system.open_to_all();
            if user.can_enter(&system.root) {
                return Ok(system);
            }
        }
        let temporary = Self::in_temp()?;
        temporary.open_to_all();
        Ok(temporary)
    }

    /// Undoes a strict umask; whether it worked is seen by entering.
    fn open_to_all(&self) {
        use std::os::unix::fs::PermissionsExt as _;

        if let Err(error) = fs::set_permissions(&self.root, fs::Permissions::from_mode(0o755)) {
            tracing::debug!(%error, "the cache folder's permissions could not be set");
        }
    }

    /// A per-user folder for temporary files; nobody else may have made it before us.
    fn in_temp() -> Result<Self, FindError> {
        use std::os::unix::fs::MetadataExt as _;

        let uid = rustix::process::geteuid().as_raw();
        let cache = Self::at(&env::temp_dir().join(format!("waybill-cache-{uid}")))?;
        let meta = fs::symlink_metadata(&cache.root)
            .map_err(|source| cache.error("looking at it", source))?;
        if meta.is_dir() && meta.uid() == uid && meta.mode() & 0o022 == 0 {
            Ok(cache)
        } else {
            Err(cache.error(
                "checking its owner",
                io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "it belongs to or can be written by somebody else",
                ),
            ))
        }
    }

    fn at(root: &Path) -> Result<Self, FindError> {
        let error = |doing| {
            let path = root.to_owned();
            move |source| FindError::Cache {
                path,
                doing,
                source,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(root.join("downloads"))
            .map_err(error("creating it"))?;
        // Also tells a folder that can only be read.
        tempfile::tempfile_in(root).map_err(error("writing to it"))?;
        let root = root.canonicalize().map_err(error("resolving it"))?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn error(&self, doing: &'static str, source: io::Error) -> FindError {
        FindError::Cache {
            path: self.root.clone(),
            doing,
            source,
        }
    }

    /// Waits, within a limit, until no other process changes this cache.
    pub(super) fn lock(&self, finder: &Finder) -> Result<CacheLock, FindError> {
        let path = self.root.join("fetch.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| self.error("opening its lock", source))?;
        let began = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(source)) => {
                    return Err(self.error("locking it", source));
                }
            }
            if began.elapsed() >= LOCK_LIMIT {
                return Err(FindError::CacheBusy {
                    lock: path,
                    limit_s: LOCK_LIMIT.as_secs(),
                });
            }
            if !told && began.elapsed() >= QUIET_WAIT {
                told = true;
                finder.tell(Notice::WaitingForFetch {
                    cache: self.root.clone(),
                });
            }
            thread::sleep(LOCK_POLL);
        }
        let lock = CacheLock {
            root: self.root.clone(),
            _file: file,
        };
        lock.remove_abandoned_work();
        Ok(lock)
    }
}

impl CacheLock {
    pub(super) fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    /// A folder for work in progress, on the same file system as the cache; removed when dropped.
    pub(super) fn work_folder(&self) -> Result<tempfile::TempDir, FindError> {
        tempfile::Builder::new()
            .prefix(WORK_PREFIX)
            .tempdir_in(&self.root)
            .map_err(|source| self.error("creating a folder in it", source))
    }

    pub(super) fn error(&self, doing: &'static str, source: io::Error) -> FindError {
        FindError::Cache {
            path: self.root.clone(),
            doing,
            source,
        }
    }

    /// Only the lock's holder works here, so every other work folder is that of a process that was killed.
    fn remove_abandoned_work(&self) {
        let Ok(entries) = fs::read_dir(&self.root) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX)
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::debug!(%error, "an abandoned folder in the cache could not be removed");
            }
        }
    }
}

/// The file's SHA-256 in hexadecimal.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    use std::io::Read as _;

    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut chunk = vec![0; 128 * 1024];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(hex::encode(context.finish()));
        }
        context.update(&chunk[..read]);
    }
}

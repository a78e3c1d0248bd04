//! A server's data folder: held by one living process at a time, named by a lock that ends with that process however it
//! ends. Temporary folders are removed with their server.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::error::StartError;

/// A lock just given up by a dropped server may be seen held for an instant by a process that is being spawned.
const LOCK_GRACE: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct DataFolder {
    root: PathBuf,
    _lock: File,
    /// Removed last, after the server has been stopped.
    temporary: Option<TempDir>,
}

impl DataFolder {
    /// Creates the folder when it is missing and takes its lock.
    pub(crate) fn open(path: &Path, mode: u32) -> Result<Self, StartError> {
        let fail = |doing| {
            let path = path.to_owned();
            move |source| StartError::Folder {
                path,
                doing,
                source,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(fail("creating the folder"))?;
        let found = fs::metadata(path).map_err(fail("looking at the folder"))?;
        // On a mounted volume the permissions may be right and yet not ours to set.
        if found.permissions().mode() & 0o777 != mode {
            fs::set_permissions(path, Permissions::from_mode(mode))
                .map_err(fail("setting the folder's permissions"))?;
        }
        let root = path.canonicalize().map_err(fail("resolving the folder"))?;
        let lock = lock(&root)?;
        Ok(Self {
            root,
            _lock: lock,
            temporary: None,
        })
    }

    /// A new folder under `parent` that is removed with its server.
    pub(crate) fn temporary(parent: &Path, prefix: &str, mode: u32) -> Result<Self, StartError> {
        let made = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(parent)
            .map_err(|source| StartError::Folder {
                path: parent.to_owned(),
                doing: "creating a temporary folder",
                source,
            })?;
        let mut folder = Self::open(made.path(), mode)?;
        folder.temporary = Some(made);
        Ok(folder)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    /// The port of the last start, so that the addresses a user wrote down stay good.
    pub(crate) fn last_port(&self) -> Option<u16> {
        fs::read_to_string(self.root.join("port"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    pub(crate) fn remember_port(&self, port: u16) -> Result<(), StartError> {
        self.write("port", &format!("{port}\n"), 0o644)
    }

    /// Writes a small file of ours as a whole: a reader sees the old or the new content.
    pub(crate) fn write(&self, name: &str, content: &str, mode: u32) -> Result<(), StartError> {
        let path = self.root.join(name);
        let write = || -> io::Result<()> {
            let mut file = tempfile::Builder::new()
                .permissions(Permissions::from_mode(mode))
                .tempfile_in(&self.root)?;
            file.write_all(content.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| StartError::Folder {
            path: path.clone(),
            doing: "writing",
            source,
        })
    }
}

fn lock(root: &Path) -> Result<File, StartError> {
    let path = root.join("in-use.lock");
    let fail = |doing| {
        let path = path.clone();
        move |source| StartError::Folder {
            path,
            doing,
            source,
        }
    };
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(fail("opening the lock file"))?;
    let deadline = Instant::now() + LOCK_GRACE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(LOCK_POLL);
            }
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                return Err(StartError::InUse {
                    path: root.to_owned(),
                    holder: if holder.is_empty() { "unknown" } else { holder }.to_owned(),
                });
            }
            Err(fs::TryLockError::Error(source)) => return Err(fail("locking")(source)),
        }
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(fail("writing the lock file"))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_at_a_time_and_says_by_whom() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataFolder::open(&dir.path().join("data"), 0o700).unwrap();
        match DataFolder::open(held.root(), 0o700) {
            Err(StartError::InUse { holder, .. }) => {
                assert_eq!(holder, std::process::id().to_string());
            }
            other => panic!("{other:?}"),
        }
        let root = held.root().to_owned();
        drop(held);
        DataFolder::open(&root, 0o700).unwrap();
    }

    #[test]
    fn the_last_port_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path(), 0o700).unwrap();
        assert_eq!(folder.last_port(), None);
        folder.remember_port(23_456).unwrap();
        folder.remember_port(23_457).unwrap();
        assert_eq!(folder.last_port(), Some(23_457));
    }
}

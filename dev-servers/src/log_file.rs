//! A server's log file: what the server writes to stdout and stderr, kept within a limit.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

/// A log longer than this is moved aside (one older log is kept).
const LONGEST_LOG_BYTES: u64 = 16 * 1024 * 1024;
const CHECK_EVERY: Duration = Duration::from_secs(10);
const TAIL_BYTES: u64 = 8 * 1024;
const TAIL_LINES: usize = 15;

/// Opens the log for a server about to start.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Appending makes it safe to empty the file while the server writes to it.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
}

/// The log's length now; a later `tail` from here shows only what the coming start writes.
pub(crate) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// The last lines written after `from`.
pub(crate) fn tail(path: &Path, from: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let start = from.min(length).max(length.saturating_sub(TAIL_BYTES));
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => {
            let lines: Vec<_> = text.lines().collect();
            let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            if shown.is_empty() {
                "(the log is empty)".to_owned()
            } else {
                shown.join("\n")
            }
        }
        Err(error) => format!("(the log could not be read: {error})"),
    }
}

/// Keeps a running server's log within its limit, until dropped.
#[derive(Debug)]
pub(crate) struct LogLimit(
    #[expect(dead_code, reason = "dropping it ends the thread")] mpsc::Sender<()>,
);

impl LogLimit {
    pub(crate) fn watch(path: PathBuf) -> Self {
        let (alive, gone) = mpsc::channel::<()>();
        thread::spawn(move || {
            loop {
                if length(&path) > LONGEST_LOG_BYTES {
                    shorten(&path);
                }
                match gone.recv_timeout(CHECK_EVERY) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
            }
        });
        Self(alive)
    }
}

/// The server has the file open, so it is copied and emptied rather than renamed.
fn shorten(path: &Path) {
    let kept = path.with_extension("log.1");
    let emptied = fs::copy(path, kept)
        .and_then(|_| OpenOptions::new().write(true).open(path))
        .and_then(|file| file.set_len(0));
    if let Err(error) = emptied {
        tracing::warn!(log = %path.display(), %error, "the server's log is too long and could not be shortened");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_tail_shows_only_what_this_start_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        open(&path).unwrap().write_all(b"yesterday\n").unwrap();
        let from = length(&path);
        open(&path).unwrap().write_all(b"one\ntwo\n").unwrap();
        assert_eq!(tail(&path, from), "one\ntwo");
    }

    #[test]
    fn a_log_that_grew_too_long_is_moved_aside_while_it_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.log");
        let mut server = open(&path).unwrap();
        server.set_len(LONGEST_LOG_BYTES + 1).unwrap();
        let limit = LogLimit::watch(path.clone());
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while length(&path) > 0 {
            assert!(
                std::time::Instant::now() < deadline,
                "the log was not shortened"
            );
            thread::sleep(Duration::from_millis(5));
        }
        server.write_all(b"still here\n").unwrap();
        assert_eq!(tail(&path, 0), "still here");
        assert_eq!(
            length(&dir.path().join("server.log.1")),
            LONGEST_LOG_BYTES + 1
        );
        drop(limit);
    }
}

//! The newest messages, in memory and in a file: one JSON object a line, written before the sender is answered. The file
//! is written anew when it holds twice as many as are kept.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::{Channel, Message, Via};

const FILE: &str = "messages.jsonl";

/// Why messages cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be {what}")]
pub struct StoreError {
    path: PathBuf,
    what: &'static str,
    #[source]
    source: io::Error,
}

/// What became of a message that arrived.
#[derive(Debug, Clone)]
pub enum Kept {
    /// It is there now.
    New(Arc<Message>),
    /// It came before under the same key; this is that one.
    Known(Arc<Message>),
    /// Another message came under the same key before.
    OtherContent,
}

/// The messages. All methods are short: a line is written to a local file under the lock.
#[derive(Debug)]
pub struct Store {
    kept: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    messages: VecDeque<Arc<Message>>,
    keys: HashMap<(Via, String), Arc<Message>>,
    /// Since the sandbox was started.
    arrived: BTreeMap<Channel, u64>,
    file: Option<Lines>,
}

#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Store {
    /// Gone with the process.
    #[must_use]
    pub fn in_memory(kept: usize) -> Self {
        Self {
            kept: kept.max(1),
            inner: Mutex::default(),
        }
    }

    /// With what an earlier run has left in this folder. A line that was being written when it died is dropped.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(folder: &Path, kept: usize) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let wrong = |what| {
            let path = path.clone();
            move |source| StoreError { path, what, source }
        };
        fs::create_dir_all(folder).map_err(wrong("made"))?;
        let store = Self::in_memory(kept);
        {
            let mut inner = store.lock();
            match File::open(&path) {
                Ok(file) => {
                    for line in BufReader::new(file).split(b'\n') {
                        let line = line.map_err(wrong("read"))?;
                        if let Ok(message) = serde_json::from_slice::<Message>(&line) {
                            inner.add(Arc::new(message), store.kept);
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(wrong("read")(error)),
            }
            inner.file = Some(write_anew(&path, &inner.messages).map_err(wrong("written"))?);
        }
        Ok(store)
    }

    /// Keeps a message; one with a key only if nothing came under it before.
    ///
    /// # Errors
    /// When it cannot be written; then it is not kept.
    pub fn keep(&self, message: Message) -> io::Result<Kept> {
        let mut inner = self.lock();
        if let Some(key) = &message.key
            && let Some(known) = inner.keys.get(&(message.via, key.clone()))
        {
            return Ok(if known.fingerprint == message.fingerprint {
                Kept::Known(Arc::clone(known))
            } else {
                Kept::OtherContent
            });
        }
        if let Some(file) = &mut inner.file {
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            file.file.write_all(&line)?;
            file.lines += 1;
        }
        let message = Arc::new(message);
        *inner.arrived.entry(message.channel).or_default() += 1;
        inner.add(Arc::clone(&message), self.kept);
        inner.shorten(self.kept)?;
        Ok(Kept::New(message))
    }

    /// The newest first.
    #[must_use]
    pub fn newest(&self) -> Vec<Arc<Message>> {
        self.lock().messages.iter().rev().cloned().collect()
    }

    /// The one with this id.
    #[must_use]
    pub fn find(&self, id: uuid::Uuid) -> Option<Arc<Message>> {
        let inner = self.lock();
        inner.messages.iter().rev().find(|m| m.id == id).cloned()
    }

    /// How many have arrived since the sandbox was started, those that are not kept any more among them.
    #[must_use]
    pub fn arrived(&self) -> BTreeMap<Channel, u64> {
        self.lock().arrived.clone()
    }

    /// Forgets all of them.
    ///
    /// # Errors
    /// When the file cannot be written anew.
    pub fn clear(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.messages.clear();
        inner.keys.clear();
        inner.rewrite()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, message: Arc<Message>, kept: usize) {
        if let Some(key) = &message.key {
            self.keys
                .insert((message.via, key.clone()), Arc::clone(&message));
        }
        self.messages.push_back(message);
        while self.messages.len() > kept {
            if let Some(Message {
                via,
                key: Some(key),
                ..
            }) = self.messages.pop_front().as_deref()
            {
                self.keys.remove(&(*via, key.clone()));
            }
        }
    }

    fn shorten(&mut self, kept: usize) -> io::Result<()> {
        match &self.file {
            Some(file) if file.lines >= kept * 2 => self.rewrite(),
            _ => Ok(()),
        }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            let fresh = write_anew(&file.path, &self.messages)?;
            self.file = Some(fresh);
        }
        Ok(())
    }
}

/// The file with exactly these messages, ready for more. It takes the old one's place in one step.
fn write_anew(path: &Path, messages: &VecDeque<Arc<Message>>) -> io::Result<Lines> {
    let fresh = path.with_extension("new");
    let mut file = private(&fresh)?;
    for message in messages {
        let mut line = serde_json::to_vec(message.as_ref())?;
        line.push(b'\n');
        file.write_all(&line)?;
    }
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    Ok(Lines {
        path: path.to_owned(),
        file,
        lines: messages.len(),
    })
}

/// A file that only its owner reads: messages hold what is nobody else's business.
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: usize) -> Message {
        Message::new(Via::SmsApi, format!("+49{number}"))
    }

    fn keyed(key: &str, content: &str) -> Message {
        Message {
            key: Some(key.into()),
            fingerprint: Some(content.into()),
            ..Message::new(Via::MailApi, "ada@example.com")
        }
    }

    #[test]
    fn the_newest_are_kept_and_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 10).unwrap();
        for number in 0..35 {
            store.keep(numbered(number)).unwrap();
        }
        let kept = store.newest();
        assert_eq!(kept.len(), 10);
        assert_eq!(kept[0].to, "+4934");
        assert_eq!(store.arrived()[&Channel::Sms], 35);
        let lines = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(
            lines.lines().count() <= 20,
            "the file does not grow for ever"
        );
        drop(store);
        let again = Store::open(folder.path(), 10).unwrap();
        assert_eq!(again.newest(), kept);
    }

    #[test]
    fn a_line_that_was_cut_off_by_a_kill_costs_nothing_but_itself() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path(), 10)
            .unwrap()
            .keep(numbered(1))
            .unwrap();
        let path = folder.path().join(FILE);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"id":"01"#).unwrap();
        let again = Store::open(folder.path(), 10).unwrap();
        again.keep(numbered(2)).unwrap();
        let third = Store::open(folder.path(), 10).unwrap();
        assert_eq!(third.newest().len(), 2);
    }

    #[test]
    fn what_comes_again_under_its_key_is_the_first_one_and_other_content_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), 10).unwrap();
        let Kept::New(first) = store.keep(keyed("k", "a")).unwrap() else {
            panic!("it is new");
        };
        let store = {
            drop(store);
            Store::open(folder.path(), 10).unwrap()
        };
        assert!(
            matches!(store.keep(keyed("k", "a")).unwrap(), Kept::Known(known) if known.id == first.id)
        );
        assert!(matches!(
            store.keep(keyed("k", "b")).unwrap(),
            Kept::OtherContent
        ));
        assert_eq!(store.newest().len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_the_messages() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let _store = Store::open(folder.path(), 10).unwrap();
        let mode = fs::metadata(folder.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

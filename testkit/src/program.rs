//! A child process whose output is kept, that can be signalled, and that never outlives its test.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Whatever a test waits for has to happen within this.
const LIMIT: Duration = Duration::from_secs(60);
/// How long after its end a program's last lines may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(5);
const LOOK_PERIOD: Duration = Duration::from_millis(25);
/// Below what the kernel gives to outgoing connections and below what the test servers take: while a program is down
/// between kill and restart, nobody else gets its port.
const FREE_PORTS: Range<u16> = 10_000..20_000;
const PORT_ATTEMPTS: usize = 500;

/// Looks again and again until there is something; panics with `what` when the limit is over.
#[track_caller]
pub fn within<T, F, Fut>(what: &str, look: F) -> impl Future<Output = T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    within_time(LIMIT, what, look)
}

/// As [`within`], with a limit of its own.
#[track_caller]
pub fn within_time<T, F, Fut>(limit: Duration, what: &str, mut look: F) -> impl Future<Output = T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let (what, at) = (what.to_owned(), std::panic::Location::caller());
    async move {
        let until = tokio::time::Instant::now() + limit;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(
                tokio::time::Instant::now() < until,
                "{at}: not within {limit:?}: {what}"
            );
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }
}

/// A port that nobody listens on now, and that this process has given to nobody before.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let span = u128::from(FREE_PORTS.end - FREE_PORTS.start);
    for _ in 0..PORT_ATTEMPTS {
        // The lower half of such an id is random.
        let offset = u16::try_from(Uuid::now_v7().as_u128() % span).unwrap();
        let port = FREE_PORTS.start + offset;
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free && GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
    panic!("no port of {FREE_PORTS:?} is free");
}

/// A running program. Killed when dropped.
pub struct Program {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts it; `said` collects both outputs.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = Arc::default();
        let readers = vec![
            keep(child.stdout.take().unwrap(), Arc::clone(&said)),
            keep(child.stderr.take().unwrap(), Arc::clone(&said)),
        ];
        Self {
            child,
            said,
            readers,
        }
    }

    /// Everything it has printed so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Whether it runs, be it frozen.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it has ended")
    }

    /// Waits until it has printed this.
    pub async fn says(&mut self, text: &str) {
        let until = tokio::time::Instant::now() + LIMIT;
        while !self.said().contains(text) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!(
                    "it ended with {status} before it said {text:?}:\n{}",
                    self.said()
                );
            }
            assert!(
                tokio::time::Instant::now() < until,
                "it did not say {text:?}:\n{}",
                self.said()
            );
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// Sends a signal by its name, such as `INT` or `STOP`.
    pub async fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .await;
        assert!(status.unwrap().success());
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill9(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it ends by itself; what it printed last can be read then.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = tokio::time::timeout(LIMIT, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("it did not end:\n{}", self.said.lock().unwrap()))
            .unwrap();
        for mut reader in std::mem::take(&mut self.readers) {
            // A server that it leaves behind may hold its outputs open.
            if tokio::time::timeout(LAST_WORDS, &mut reader).await.is_err() {
                reader.abort();
            }
        }
        status
    }
}

fn keep(
    output: impl AsyncRead + Send + Unpin + 'static,
    said: Arc<Mutex<String>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    })
}

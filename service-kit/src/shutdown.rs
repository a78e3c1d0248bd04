//! The end of a process: one token that everything watches, and tasks whose failure ends the process.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The exit code after a second Ctrl-C, as shells report an interrupt.
const EXIT_INTERRUPTED: i32 = 130;

/// The wish to end, shared by everything in the process.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Nobody wants to end yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on Ctrl-C and SIGTERM begin the shutdown, and a second one exits at once.
    ///
    /// # Errors
    /// When the system does not let us listen for signals.
    pub fn listen_for_signals(&self) -> io::Result<()> {
        let mut signals = Signals::listen()?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = signals.next().await;
            tracing::info!(
                signal = name,
                "shutting down; a second signal exits at once"
            );
            shutdown.begin();
            let name = signals.next().await;
            tracing::warn!(signal = name, "second signal: exiting at once");
            std::process::exit(EXIT_INTERRUPTED);
        });
        Ok(())
    }

    /// Begins the shutdown.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the shutdown begins. Every loop and every endless answer selects on this.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// The token itself, for libraries that want one.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// A shutdown that begins with this one, and can begin earlier alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            token: self.token.child_token(),
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a way to be told there is nothing to wait for; the process ends by other means.
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

/// Why a process came down by itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{task} failed: {why}")]
pub struct TaskFailure {
    /// The task.
    pub task: String,
    /// Its error with all causes, or its panic.
    pub why: String,
}

/// How a process's tasks ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EndError {
    /// A task failed and brought the process down.
    #[error(transparent)]
    Failed(#[from] TaskFailure),
    /// Some tasks were still running at the end of the drain.
    #[error("{left} tasks had not ended {} s after the shutdown began", limit.as_secs())]
    StillRunning {
        /// How many.
        left: usize,
        /// How long was waited.
        limit: Duration,
    },
}

/// The long-running tasks of a process. One that fails before the shutdown begins brings the whole process down, with
/// one line that says which and why.
#[derive(Debug, Clone)]
pub struct Lifetimes {
    shutdown: Shutdown,
    tracker: TaskTracker,
    failure: Arc<Mutex<Option<TaskFailure>>>,
}

impl Lifetimes {
    /// No tasks yet.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            shutdown,
            tracker: TaskTracker::new(),
            failure: Arc::default(),
        }
    }

    /// The wish to end that all tasks watch.
    #[must_use]
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs a task. If it ends with an error or panics while nobody wants to end, the shutdown begins.
    pub fn spawn_supervised<F, E>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display + Send + 'static,
    {
        let name = name.into();
        let this = self.clone();
        self.tracker.spawn(async move {
            // A task of its own, so that its panic is seen here as an error.
            let why = match tokio::spawn(task).await {
                Ok(Ok(())) => return,
                // The alternate form of an anyhow error has all its causes.
                Ok(Err(error)) => format!("{error:#}"),
                Err(ended) if ended.is_panic() => "it panicked, see the line before".to_owned(),
                Err(_) => return,
            };
            this.fail(TaskFailure { task: name, why });
        });
    }

    /// Waits until the shutdown has begun and all tasks have ended, at most `drain` after it began.
    ///
    /// # Errors
    /// When a task failed, or some were still running in the end.
    pub async fn ended(&self, drain: Duration) -> Result<(), EndError> {
        self.tracker.close();
        let all_ended_by_themselves = tokio::select! {
            () = self.shutdown.begun() => false,
            () = self.tracker.wait() => true,
        };
        let in_time = all_ended_by_themselves
            || tokio::time::timeout(drain, self.tracker.wait())
                .await
                .is_ok();
        if let Some(failure) = self.failure() {
            return Err(failure.into());
        }
        if in_time {
            Ok(())
        } else {
            Err(EndError::StillRunning {
                left: self.tracker.len(),
                limit: drain,
            })
        }
    }

    /// The failure that brought the process down, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<TaskFailure> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn fail(&self, failure: TaskFailure) {
        if self.shutdown.has_begun() {
            tracing::warn!(
                task = failure.task,
                error = failure.why,
                "task failed while shutting down"
            );
            return;
        }
        tracing::error!(
            task = failure.task,
            error = failure.why,
            "task failed; the process comes down"
        );
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
        drop(first);
        self.shutdown.begin();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_task_that_fails_brings_the_others_down_and_is_named() {
        let lifetimes = Lifetimes::new(Shutdown::new());
        let shutdown = lifetimes.shutdown().clone();
        lifetimes.spawn_supervised("good", async move {
            shutdown.begun().await;
            Ok::<_, String>(())
        });
        lifetimes.spawn_supervised("bad", async { Err("the disk is full") });
        let error = lifetimes.ended(DRAIN).await.unwrap_err();
        assert_eq!(error.to_string(), "bad failed: the disk is full");
    }

    #[tokio::test]
    async fn a_task_that_panics_brings_the_process_down() {
        let lifetimes = Lifetimes::new(Shutdown::new());
        lifetimes.spawn_supervised("bad", async {
            if true {
                panic!("bug");
            }
            Ok::<_, String>(())
        });
        let EndError::Failed(failure) = lifetimes.ended(DRAIN).await.unwrap_err() else {
            panic!("a panic is a failure");
        };
        assert_eq!(failure.task, "bad");
    }

    #[tokio::test]
    async fn a_task_that_ends_well_ends_nothing() {
        let lifetimes = Lifetimes::new(Shutdown::new());
        lifetimes.spawn_supervised("seed", async { Ok::<_, String>(()) });
        let shutdown = lifetimes.shutdown().clone();
        lifetimes.spawn_supervised("server", async move {
            shutdown.begun().await;
            Err("an error during shutdown is not a failure")
        });
        tokio::task::yield_now().await;
        assert!(!lifetimes.shutdown().has_begun());
        lifetimes.shutdown().begin();
        assert_eq!(lifetimes.ended(DRAIN).await, Ok(()));
    }

    #[tokio::test]
    async fn a_task_that_never_ends_is_not_waited_for_for_ever() {
        let lifetimes = Lifetimes::new(Shutdown::new());
        lifetimes.spawn_supervised("stuck", async {
            std::future::pending::<()>().await;
            Ok::<_, String>(())
        });
        lifetimes.shutdown().begin();
        assert_eq!(
            lifetimes.ended(DRAIN).await,
            Err(EndError::StillRunning {
                left: 1,
                limit: DRAIN
            })
        );
    }

    #[tokio::test]
    async fn a_child_ends_with_its_parent_and_not_the_other_way_round() {
        let parent = Shutdown::new();
        let (one, two) = (parent.child(), parent.child());
        one.begin();
        assert!(!parent.has_begun() && !two.has_begun());
        parent.begin();
        assert!(two.has_begun());
    }
}

//! Signals, sent to a process of its own: the first begins the shutdown, the second ends the process at once.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use service_kit::{Lifetimes, Shutdown};

/// Set in the child, which is this very test run once more.
const ROLE: &str = "SERVICE_KIT_SIGNAL_CHILD";
const LIMIT: Duration = Duration::from_secs(20);

/// A process that says when it listens, when its shutdown begins, and ends in order only if its task does.
fn be_the_child(task_ends: bool) {
    let say = |word: &str| {
        let mut out = std::io::stdout();
        writeln!(out, "child: {word}").unwrap();
        out.flush().unwrap();
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let lifetimes = Lifetimes::new(Shutdown::new());
        let shutdown = lifetimes.shutdown().clone();
        shutdown.listen_for_signals().unwrap();
        let watched = shutdown.clone();
        lifetimes.spawn_supervised("task", async move {
            watched.begun().await;
            if !task_ends {
                std::future::pending::<()>().await;
            }
            Ok::<_, String>(())
        });
        say("listening");
        shutdown.begun().await;
        say("shutting down");
        lifetimes.ended(LIMIT * 10).await.unwrap();
    });
}

struct Process {
    child: Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone when all went well.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Process {
    fn start(test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    fn wait_for(&mut self, word: &str) {
        let expected = format!("child: {word}");
        assert!(
            self.said.any(|line| line.unwrap().ends_with(&expected)),
            "the process ended without saying `{word}`"
        );
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    fn exit(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < LIMIT, "the process did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn a_first_signal_ends_the_process_in_order() {
    if std::env::var_os(ROLE).is_some() {
        return be_the_child(true);
    }
    for signal in ["-TERM", "-INT"] {
        let mut process = Process::start("a_first_signal_ends_the_process_in_order");
        process.wait_for("listening");
        process.signal(signal);
        process.wait_for("shutting down");
        assert!(process.exit().success());
    }
}

#[test]
fn a_second_signal_ends_a_process_that_hangs() {
    if std::env::var_os(ROLE).is_some() {
        return be_the_child(false);
    }
    let mut process = Process::start("a_second_signal_ends_a_process_that_hangs");
    process.wait_for("listening");
    process.signal("-TERM");
    process.wait_for("shutting down");
    process.signal("-INT");
    assert_eq!(process.exit().code(), Some(130));
}

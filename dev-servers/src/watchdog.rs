//! Sees to it that a server does not outlive the process that started it, even when that one is killed with -9.
//!
//! A small shell process waits on a pipe whose other end only we hold. The kernel closes it when we end, in whatever
//! way; then the watchdog stops the server. It runs in a process group of its own, so Ctrl-C does not reach it.
//! (The kernel's parent-death signal would be simpler, but it fires when the *thread* that spawned the server ends.)

use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::process::StopSignal;

const SCRIPT: &str = include_str!("watchdog.sh");

/// A running watchdog over one server.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Watches over the process `pid`, and removes the folder `remove` after it.
    pub(crate) fn over(
        pid: u32,
        signal: StopSignal,
        limit: Duration,
        remove: Option<&Path>,
    ) -> io::Result<Self> {
        // Without the comments, since the process list shows it all.
        let script: Vec<_> = SCRIPT
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .collect();
        Command::new("/bin/sh")
            .args(["-c", &script.join("\n"), "watchdog"])
            .arg(pid.to_string())
            .arg(signal.name())
            .arg((limit.as_millis() / 100).to_string())
            .arg(remove.unwrap_or(Path::new("")))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
    }

    /// Sends the watchdog away; its server has been stopped and must not be signalled any more, since its process id
    /// may soon be another's.
    pub(crate) fn release(mut self) {
        if let Some(mut pipe) = self.0.stdin.take()
            && pipe.write_all(b"released\n").is_err()
        {
            tracing::debug!("the watchdog was gone already");
        }
        if let Err(error) = self.0.wait() {
            tracing::debug!(%error, "the watchdog could not be waited for");
        }
    }
}

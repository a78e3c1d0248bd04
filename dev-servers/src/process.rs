//! One server process: spawned in its own process group with a watchdog over it, signalled, and stopped within a limit.

use std::{
    fs::{self, File},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use crate::{error::StartError, watchdog::Watchdog};

/// A server gets this long to stop in order; then it is killed.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(10);
/// A killed process is gone this fast, or never (stuck in the kernel).
const KILL_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// How a server ended when it was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It was not running.
    AlreadyGone,
    /// In order, within the limit.
    InOrder,
    /// It did not stop in time and was killed.
    Killed,
}

/// The signal that asks a server to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// nats-server: flush and exit.
    Terminate,
    /// Postgres "fast": roll back, checkpoint, exit.
    Interrupt,
    /// Postgres "immediate": exit now; for data that nobody needs any more.
    Quit,
}

impl StopSignal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
        }
    }

    fn signal(self) -> Signal {
        match self {
            Self::Terminate => Signal::TERM,
            Self::Interrupt => Signal::INT,
            Self::Quit => Signal::QUIT,
        }
    }
}

/// A running (or just ended) server.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    watchdog: Option<Watchdog>,
    signal: StopSignal,
    exited: Option<ExitStatus>,
}

impl ServerProcess {
    /// Starts `command` with its output going to `log`. `remove` names a folder that goes when we do.
    pub(crate) fn spawn(
        mut command: Command,
        log: File,
        signal: StopSignal,
        remove: Option<&Path>,
    ) -> Result<Self, StartError> {
        let program = Path::new(command.get_program()).to_owned();
        let fail = |source| StartError::Spawn {
            program: program.clone(),
            source,
        };
        let errors = log.try_clone().map_err(fail)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C goes to the terminal's whole process group; servers are to be stopped by us, in order.
            .process_group(0)
            .spawn()
            .map_err(fail)?;
        match Watchdog::over(child.id(), signal, STOP_LIMIT, remove) {
            Ok(watchdog) => Ok(Self {
                child,
                watchdog: Some(watchdog),
                signal,
                exited: None,
            }),
            Err(source) => {
                // An unwatched server must not stay; both fail only when it has already ended.
                let _ = child.kill();
                let _ = child.wait();
                Err(StartError::Spawn {
                    program: "/bin/sh".into(),
                    source,
                })
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the server ended, if it has.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            match self.child.try_wait() {
                Ok(status) => self.exited = status,
                Err(error) => tracing::warn!(%error, "a server process could not be waited for"),
            }
            // From here on the process id may be given to another process.
            if self.exited.is_some()
                && let Some(watchdog) = self.watchdog.take()
            {
                watchdog.release();
            }
        }
        self.exited
    }

    /// Stops the server in order, within [`STOP_LIMIT`].
    pub(crate) fn stop(&mut self) -> Stopped {
        if self.exited().is_some() {
            return Stopped::AlreadyGone;
        }
        self.send(self.signal.signal());
        // A paused server does not see its signals before it is woken.
        self.resume();
        if self.gone_within(STOP_LIMIT) {
            return Stopped::InOrder;
        }
        self.kill9();
        Stopped::Killed
    }

    /// Kills the server and its children at once, as a crash would.
    pub(crate) fn kill9(&mut self) {
        if self.exited().is_some() {
            return;
        }
        let children = children_of(self.pid());
        self.send(Signal::KILL);
        for child in &children {
            signal(*child, Signal::KILL);
        }
        if !self.gone_within(KILL_LIMIT) {
            tracing::error!(pid = self.pid(), "a killed server process does not end");
        }
        // Orphans are reaped by the system; the data folder is free when they are gone.
        let deadline = Instant::now() + KILL_LIMIT;
        while children.iter().any(|child| is_running(*child)) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
    }

    /// Freezes the server and its children: connections stay open and nothing answers.
    pub(crate) fn pause(&mut self) {
        if self.exited().is_none() {
            self.send(Signal::STOP);
            for child in children_of(self.pid()) {
                signal(child, Signal::STOP);
            }
        }
    }

    /// Wakes what [`Self::pause`] froze.
    pub(crate) fn resume(&mut self) {
        if self.exited().is_none() {
            for child in children_of(self.pid()) {
                signal(child, Signal::CONT);
            }
            self.send(Signal::CONT);
        }
    }

    /// Our child has not been waited for, so the process id is still its own.
    fn send(&self, what: Signal) {
        signal(self.pid(), what);
    }

    fn gone_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.exited().is_none() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Stops a server that an earlier run left behind; `is_ours` tells whether the process is (still) that server.
/// Returns false when it would not go.
pub(crate) fn stop_leftover(pid: u32, how: StopSignal, is_ours: impl Fn(u32) -> bool) -> bool {
    let gone_within = |limit: Duration| {
        let deadline = Instant::now() + limit;
        while is_running(pid) && is_ours(pid) {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    };
    signal(pid, how.signal());
    signal(pid, Signal::CONT);
    if gone_within(STOP_LIMIT) {
        return true;
    }
    let children = children_of(pid);
    signal(pid, Signal::KILL);
    for child in children {
        signal(child, Signal::KILL);
    }
    gone_within(KILL_LIMIT)
}

/// Waits until nothing works in `folder` any more; what is still there after [`STOP_LIMIT`] is killed. Gives a process that
/// would not even then go. Where the system does not tell who works where, nothing is found.
pub(crate) fn end_all_working_in(folder: &Path) -> Option<u32> {
    let gone_within = |limit: Duration| {
        let deadline = Instant::now() + limit;
        loop {
            let left = working_in(folder);
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            thread::sleep(POLL);
        }
    };
    for pid in gone_within(STOP_LIMIT) {
        signal(pid, Signal::KILL);
    }
    gone_within(KILL_LIMIT).first().copied()
}

fn working_in(folder: &Path) -> Vec<u32> {
    all_processes()
        .filter(|pid| works_in(*pid, folder) == Some(true))
        .filter(|pid| is_running(*pid))
        .collect()
}

/// Whether the process's working folder is `folder`; nothing when the system does not tell.
pub(crate) fn works_in(pid: u32, folder: &Path) -> Option<bool> {
    let working = fs::metadata(format!("/proc/{pid}/cwd")).ok()?;
    let folder = fs::metadata(folder).ok()?;
    Some((working.dev(), working.ino()) == (folder.dev(), folder.ino()))
}

fn signal(pid: u32, what: Signal) {
    // An error means that the process is gone or not ours to signal; the caller's wait tells.
    if let Some(pid) = pid_of(pid) {
        let _ = rustix::process::kill_process(pid, what);
    }
}

fn pid_of(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Whether a process with this id runs; one that has ended and waits to be reaped does not.
pub(crate) fn is_running(pid: u32) -> bool {
    exists(pid) && !stat_of(pid).is_some_and(|stat| matches!(stat.state, 'Z' | 'X'))
}

/// Whether the number is a process's, be it only one that has ended and waits to be reaped.
pub(crate) fn exists(pid: u32) -> bool {
    pid_of(pid).is_some_and(|pid| match rustix::process::test_kill_process(pid) {
        Ok(()) => true,
        Err(error) => error == rustix::io::Errno::PERM,
    })
}

/// The command line of a process, its words separated by blanks; nothing when it cannot be known.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    if let Ok(bytes) = fs::read(format!("/proc/{pid}/cmdline")) {
        let words: Vec<_> = bytes
            .split(|byte| *byte == 0)
            .map(String::from_utf8_lossy)
            .collect();
        return Some(words.join(" "));
    }
    let mut ps = Command::new("ps");
    ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()]);
    crate::bounded::run(&mut ps, "", KILL_LIMIT)
        .ok()
        .filter(|output| output.success)
        .map(|output| output.stdout)
}

struct Stat {
    state: char,
    parent: u32,
}

fn stat_of(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold anything, also blanks and brackets.
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
    })
}

/// The direct children of a process. Postgres gives each of its own a process group, so signalling ours misses them.
fn children_of(pid: u32) -> Vec<u32> {
    all_processes()
        .filter(|child| stat_of(*child).is_some_and(|stat| stat.parent == pid))
        .collect()
}

/// Every process, where the system tells.
fn all_processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

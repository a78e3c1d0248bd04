//! The life of a server: start on a port, readiness, crash, pause, restart on the same data and port, stop.
//! What differs between nats-server and Postgres is behind [`Program`].

use std::{
    fmt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    error::StartError,
    folder::DataFolder,
    log_file::{self, LogLimit},
    port::ReservedPort,
    process::{ServerProcess, StopSignal, Stopped},
    progress::{Notice, Progress},
};

/// A big store is read through, or a crash recovered from, before the first connection is accepted.
const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(5);
/// How often a start is tried again with another port when another program took it in between.
const PORT_ATTEMPTS: usize = 5;
/// The remains of a crashed server (its orphaned children) go within this time.
const REMAINS_LIMIT: Duration = Duration::from_secs(10);
const REMAINS_POLL: Duration = Duration::from_millis(50);

/// What an attempt to talk to a starting server gave.
#[derive(Debug)]
pub(crate) enum Probe {
    /// It is ours and works.
    Ready,
    /// Not yet; why, in a few words.
    NotYet(String),
}

/// How one kind of server is run.
pub(crate) trait Program: fmt::Debug + Send + Sync {
    /// Its name in messages.
    fn software(&self) -> &'static str;

    /// The command that runs it in the foreground on this port.
    fn command(&self, folder: &DataFolder, port: u16) -> Result<Command, StartError>;

    /// The signal that stops it in order.
    fn stop_signal(&self, folder: &DataFolder) -> StopSignal;

    /// Whether the process `pid` serves on the port.
    fn probe(&self, pid: u32, port: u16) -> Probe;
}

/// A server on one data folder and one port. Stopped when dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct Server {
    // The process first: it is stopped before its port and folder are given up.
    process: Mutex<Option<ServerProcess>>,
    program: Arc<dyn Program>,
    port: ReservedPort,
    progress: Progress,
    _log_limit: Option<LogLimit>,
    folder: DataFolder,
}

/// Why a launch gave no server.
enum NoServer {
    PortLost,
    /// The remains of a crashed one are still there.
    Remains(StartError),
    Failed(StartError),
}

impl Server {
    pub(crate) fn start(
        program: Arc<dyn Program>,
        folder: DataFolder,
        fixed_port: Option<u16>,
        progress: Progress,
    ) -> Result<Self, StartError> {
        let mut last = folder.last_port();
        let mut attempt = 1;
        let (process, port) = loop {
            let port = ReservedPort::choose(fixed_port, last.take(), program.software())?;
            match launch(&*program, &folder, port.number(), &progress) {
                Ok(process) => break (process, port),
                Err(NoServer::PortLost) if fixed_port.is_none() && attempt < PORT_ATTEMPTS => {
                    attempt += 1;
                }
                Err(NoServer::PortLost) => {
                    return Err(StartError::PortTaken {
                        software: program.software(),
                        port: port.number(),
                    });
                }
                Err(NoServer::Remains(error) | NoServer::Failed(error)) => return Err(error),
            }
        };
        folder.remember_port(port.number())?;
        Ok(Self {
            process: Mutex::new(Some(process)),
            program,
            port,
            progress,
            _log_limit: (!folder.is_temporary()).then(|| LogLimit::watch(folder.log())),
            folder,
        })
    }

    /// The port, the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The folder with the data and the log.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.folder.root()
    }

    /// The server's log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.log()
    }

    /// The last lines of the server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        log_file::tail(&self.folder.log(), 0)
    }

    /// The process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let mut process = self.process();
        let process = process.as_mut()?;
        process.exited().is_none().then(|| process.pid())
    }

    /// How the server ended, if it did so by itself.
    #[must_use]
    pub fn exited(&self) -> Option<ExitStatus> {
        self.process().as_mut().and_then(ServerProcess::exited)
    }

    /// Kills the server and its children at once, as a crash would. [`Self::restart`] brings it back.
    pub fn kill9(&self) {
        if let Some(mut process) = self.process().take() {
            process.kill9();
        }
    }

    /// Freezes the server: connections stay open and nothing answers.
    pub fn pause(&self) {
        if let Some(process) = self.process().as_mut() {
            process.pause();
        }
    }

    /// Wakes a paused server.
    pub fn resume(&self) {
        if let Some(process) = self.process().as_mut() {
            process.resume();
        }
    }

    /// Starts the server again on the same data and port, stopping it first if it runs.
    pub fn restart(&self) -> Result<(), StartError> {
        let mut process = self.process();
        if let Some(mut running) = process.take() {
            running.stop();
        }
        match launch(&*self.program, &self.folder, self.port(), &self.progress) {
            Ok(started) => {
                *process = Some(started);
                Ok(())
            }
            Err(NoServer::PortLost) => Err(StartError::PortTaken {
                software: self.program.software(),
                port: self.port(),
            }),
            Err(NoServer::Remains(error) | NoServer::Failed(error)) => Err(error),
        }
    }

    /// Stops the server in order; after 10 s it is killed. [`Self::restart`] brings it back.
    pub fn stop(&self) -> Stopped {
        match self.process().take() {
            Some(mut process) => process.stop(),
            None => Stopped::AlreadyGone,
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<ServerProcess>> {
        // The value is whole at every step, whatever panicked meanwhile.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the program and waits until it is ready; waits for the remains of a crashed one as well.
fn launch(
    program: &dyn Program,
    folder: &DataFolder,
    port: u16,
    progress: &Progress,
) -> Result<ServerProcess, NoServer> {
    let deadline = Instant::now() + REMAINS_LIMIT;
    loop {
        match launch_once(program, folder, port, progress) {
            Err(NoServer::Remains(_)) if Instant::now() < deadline => thread::sleep(REMAINS_POLL),
            result => return result,
        }
    }
}

fn launch_once(
    program: &dyn Program,
    folder: &DataFolder,
    port: u16,
    progress: &Progress,
) -> Result<ServerProcess, NoServer> {
    let began = Instant::now();
    let log = folder.log();
    let from = log_file::length(&log);
    let output = log_file::open(&log).map_err(|source| {
        NoServer::Failed(StartError::Folder {
            path: log.clone(),
            doing: "opening the log",
            source,
        })
    })?;
    let command = program.command(folder, port).map_err(NoServer::Failed)?;
    let remove = folder.is_temporary().then(|| folder.root());
    let mut process = ServerProcess::spawn(command, output, program.stop_signal(folder), remove)
        .map_err(NoServer::Failed)?;
    loop {
        let probed = program.probe(process.pid(), port);
        // Asked after the probe: what answered may be another program on our port, and ours has given up.
        if let Some(status) = process.exited() {
            let tail = log_file::tail(&log, from);
            let said = tail.to_ascii_lowercase();
            if said.contains("address already in use") {
                return Err(NoServer::PortLost);
            }
            let remains = said.contains("is still in use");
            let error = StartError::Exited {
                software: program.software(),
                status,
                log,
                tail,
            };
            return Err(if remains {
                NoServer::Remains(error)
            } else {
                NoServer::Failed(error)
            });
        }
        match probed {
            Probe::Ready => break,
            Probe::NotYet(last) if began.elapsed() >= READY_LIMIT => {
                // Dropping the process stops it.
                return Err(NoServer::Failed(StartError::NotReady {
                    software: program.software(),
                    limit_s: READY_LIMIT.as_secs(),
                    last,
                    tail: log_file::tail(&log, from),
                    log,
                }));
            }
            Probe::NotYet(_) => thread::sleep(READY_POLL),
        }
    }
    progress.tell(Notice::Started {
        software: program.software(),
        port,
        pid: process.pid(),
        took: began.elapsed(),
    });
    Ok(process)
}

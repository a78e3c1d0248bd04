//! A nats-server with JetStream on 127.0.0.1, on one data folder and one port for its whole life.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest;
use serde::Deserialize;

use crate::{
    error::StartError,
    find::{Finder, NatsBinary},
    folder::DataFolder,
    process::{self, StopSignal},
    progress::{Notice, Progress},
    server::{Probe, Program, Server},
    shared,
    version::Version,
};

const SOFTWARE: &str = "nats-server";
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// The server's greeting is one line, well under this.
const LONGEST_GREETING_BYTES: u64 = 64 * 1024;
/// As the event store counts on it.
const MAX_PAYLOAD: &str = "1MB";

/// What a nats-server is started with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NatsOptions {
    /// The folder for its store, configuration and log.
    pub data_dir: PathBuf,
    /// A fixed port; else the port of the last start on this data, else any free one.
    pub port: Option<u16>,
    /// Whether every acknowledged write is on the disk (`sync_interval: always`) or flushed every two minutes.
    pub sync_always: bool,
    /// A token that clients must show.
    pub token: Option<String>,
    /// A port for the monitoring pages, off by default.
    pub monitoring_port: Option<u16>,
    /// How much JetStream may store; else as much as the disk takes.
    pub max_file_store_bytes: Option<u64>,
    pub(crate) cluster: Option<ClusterSettings>,
}

/// A server's place in a cluster.
#[derive(Debug, Clone)]
pub(crate) struct ClusterSettings {
    pub(crate) server_name: String,
    pub(crate) port: u16,
    pub(crate) routes: Vec<u16>,
}

impl NatsOptions {
    /// Durable data in `data_dir`, a free port, every acknowledged write on the disk.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: None,
            sync_always: true,
            token: None,
            monitoring_port: None,
            max_file_store_bytes: None,
            cluster: None,
        }
    }

    /// Listens on this port and no other.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Asks clients for this token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Acknowledges before the write is on the disk: faster, and safe against kill -9 but not against power loss.
    #[must_use]
    pub fn with_default_sync(mut self) -> Self {
        self.sync_always = false;
        self
    }

    /// Stores no more than this.
    #[must_use]
    pub fn with_max_file_store_bytes(mut self, bytes: u64) -> Self {
        self.max_file_store_bytes = Some(bytes);
        self
    }

    /// Serves the monitoring pages on this port.
    #[must_use]
    pub fn with_monitoring_port(mut self, port: u16) -> Self {
        self.monitoring_port = Some(port);
        self
    }
}

/// A nats-server that we started. Stopped when dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct NatsServer {
    server: Server,
    program: Arc<Nats>,
}

impl NatsServer {
    /// Finds nats-server, starts it on the options' data and waits until it accepts connections with JetStream on.
    pub fn start(finder: &Finder, options: NatsOptions) -> Result<Self, StartError> {
        let binary = finder.nats_server()?;
        let folder = DataFolder::open(&options.data_dir, 0o700)?;
        stop_leftover(finder, &folder)?;
        Self::start_in(folder, binary, options, finder.progress().clone())
    }

    /// A server with an empty store of its own that is removed with it, quick to start: one per test.
    pub fn temporary() -> Result<Self, StartError> {
        Self::temporary_with(NatsOptions::with_default_sync)
    }

    /// As [`Self::temporary`], with other options. The data folder is a temporary one in any case.
    pub fn temporary_with(
        change: impl FnOnce(NatsOptions) -> NatsOptions,
    ) -> Result<Self, StartError> {
        let binary = shared::nats_binary()?;
        let folder = DataFolder::temporary(&std::env::temp_dir(), "waybill-nats-", 0o700)?;
        let options = change(NatsOptions::new(folder.root()));
        Self::start_in(folder, binary, options, Progress::to_log())
    }

    fn start_in(
        folder: DataFolder,
        binary: NatsBinary,
        options: NatsOptions,
        progress: Progress,
    ) -> Result<Self, StartError> {
        let port = options.port;
        let name = match &options.cluster {
            Some(cluster) => cluster.server_name.clone(),
            None => stable_name(folder.root()),
        };
        let program = Arc::new(Nats {
            binary,
            options,
            name,
        });
        let server = Server::start(Arc::clone(&program) as _, folder, port, progress)?;
        Ok(Self { server, program })
    }

    /// The address for clients, with the token if there is one.
    #[must_use]
    pub fn url(&self) -> String {
        let port = self.port();
        match &self.program.options.token {
            Some(token) => format!("nats://{token}@127.0.0.1:{port}"),
            None => format!("nats://127.0.0.1:{port}"),
        }
    }

    /// What the monitoring page for health says; the error is its reason. Needs a monitoring port.
    pub fn health(&self) -> Result<(), String> {
        let Some(port) = self.program.options.monitoring_port else {
            return Err("the server was started without a monitoring port".to_owned());
        };
        let ask = || -> std::io::Result<String> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let mut stream = TcpStream::connect_timeout(&address, PROBE_LIMIT)?;
            stream.set_read_timeout(Some(PROBE_LIMIT))?;
            stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
            let mut answer = String::new();
            stream
                .take(LONGEST_GREETING_BYTES)
                .read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().map_err(|error| error.to_string())?;
        let status = answer.split_whitespace().nth(1);
        if status == Some("200") {
            Ok(())
        } else {
            Err(answer.lines().last().unwrap_or_default().to_owned())
        }
    }

    /// The server's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.program.binary.version
    }
}

impl Deref for NatsServer {
    type Target = Server;

    fn deref(&self) -> &Self::Target {
        &self.server
    }
}

/// How a nats-server is run.
#[derive(Debug)]
struct Nats {
    binary: NatsBinary,
    options: NatsOptions,
    name: String,
}

impl Program for Nats {
    fn software(&self) -> &'static str {
        SOFTWARE
    }

    fn command(&self, folder: &DataFolder, port: u16) -> Result<Command, StartError> {
        folder.write("nats.conf", &self.configuration(folder, port), 0o600)?;
        let mut command = Command::new(&self.binary.path);
        command
            .arg("--config")
            .arg(folder.root().join("nats.conf"))
            .current_dir(folder.root());
        Ok(command)
    }

    fn stop_signal(&self, _folder: &DataFolder) -> StopSignal {
        StopSignal::Terminate
    }

    fn probe(&self, _pid: u32, port: u16) -> Probe {
        let greeting = match greeting(port) {
            Ok(greeting) => greeting,
            Err(error) => return Probe::NotYet(error.to_string()),
        };
        if greeting.server_name != self.name {
            return Probe::NotYet("another nats-server answers on the port".to_owned());
        }
        if !greeting.jetstream {
            return Probe::NotYet("JetStream is not on yet".to_owned());
        }
        Probe::Ready
    }
}

impl Nats {
    fn configuration(&self, folder: &DataFolder, port: u16) -> String {
        let Self { options, name, .. } = self;
        let root = folder.root();
        let sync = if options.sync_always { "always" } else { "2m" };
        let quota = options
            .max_file_store_bytes
            .map(|bytes| format!("  max_file_store: {bytes}\n"))
            .unwrap_or_default();
        let mut text = format!(
            "# Written anew at every start.\n\
             server_name: {name}\n\
             listen: \"127.0.0.1:{port}\"\n\
             max_payload: {MAX_PAYLOAD}\n\
             pid_file: {pid_file}\n\
             jetstream {{\n  store_dir: {store}\n  sync_interval: {sync}\n{quota}}}\n",
            name = quoted(name),
            pid_file = quoted(&pid_file(root).to_string_lossy()),
            store = quoted(&root.join("store").to_string_lossy()),
        );
        // Writing to a String cannot fail.
        if let Some(token) = &options.token {
            let _ = writeln!(text, "authorization {{\n  token: {}\n}}", quoted(token));
        }
        if let Some(port) = options.monitoring_port {
            let _ = writeln!(text, "http: \"127.0.0.1:{port}\"");
        }
        if let Some(cluster) = &options.cluster {
            let routes: Vec<_> = cluster
                .routes
                .iter()
                .map(|port| quoted(&format!("nats://127.0.0.1:{port}")))
                .collect();
            let _ = writeln!(
                text,
                "cluster {{\n  name: waybill-dev\n  listen: \"127.0.0.1:{}\"\n  routes: [{}]\n}}",
                cluster.port,
                routes.join(", ")
            );
        }
        text
    }
}

/// A string of the configuration language.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// The server's name: the same at every start on the same data, another one for other data, so that a foreign server
/// on the port is not taken for ours.
fn stable_name(root: &Path) -> String {
    let digest = digest::digest(&digest::SHA256, root.as_os_str().as_encoded_bytes());
    format!("waybill-{}", hex::encode(&digest.as_ref()[..6]))
}

fn pid_file(root: &Path) -> PathBuf {
    root.join("nats.pid")
}

#[derive(Debug, Deserialize)]
struct Greeting {
    server_name: String,
    #[serde(default)]
    jetstream: bool,
}

/// What a nats-server says to everybody who connects.
fn greeting(port: u16) -> std::io::Result<Greeting> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PROBE_LIMIT)?;
    stream.set_read_timeout(Some(PROBE_LIMIT))?;
    let mut line = String::new();
    BufReader::new(stream)
        .take(LONGEST_GREETING_BYTES)
        .read_line(&mut line)?;
    let json = line
        .strip_prefix("INFO ")
        .ok_or_else(|| std::io::Error::other("what answers on the port is no nats-server"))?;
    Ok(serde_json::from_str(json)?)
}

/// Stops the server of an earlier run that was killed, if it still runs on this folder. We hold the folder's lock, so
/// whatever runs there belongs to nobody any more.
fn stop_leftover(finder: &Finder, folder: &DataFolder) -> Result<(), StartError> {
    let root = folder.root();
    let Some(pid) = fs::read_to_string(pid_file(root))
        .ok()
        .and_then(|text| text.trim().parse().ok())
    else {
        return Ok(());
    };
    let config = root.join("nats.conf").to_string_lossy().into_owned();
    let is_ours = |pid| process::command_line(pid).is_some_and(|line| line.contains(&config));
    if !process::is_running(pid) || !is_ours(pid) {
        return Ok(());
    }
    finder.tell(Notice::StoppingLeftover {
        software: SOFTWARE,
        pid,
    });
    if process::stop_leftover(pid, StopSignal::Terminate, is_ours) {
        Ok(())
    } else {
        Err(StartError::Leftover {
            software: SOFTWARE,
            pid,
        })
    }
}

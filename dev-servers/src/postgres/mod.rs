//! A Postgres on 127.0.0.1, on one data folder and one port for its whole life. As root it runs as another account.

use std::{
    fmt,
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, postgres::PgConnectOptions,
};

use crate::{
    error::{DatabaseError, StartError},
    find::{Finder, PostgresBinaries, without_postgres_settings},
    folder::DataFolder,
    process::StopSignal,
    server::{Probe, Program, Server},
    server_user::ServerUser,
    shared,
    version::Version,
};

mod data;
mod probe;

/// The role that owns everything.
const ROLE: &str = "waybill";
/// The database made with a new data folder.
const DATABASE: &str = "waybill";
const CREATE_LIMIT: Duration = Duration::from_secs(30);
/// A Unix socket's path may be 107 bytes long; the file's name takes 20 of them.
const LONGEST_SOCKET_FOLDER_BYTES: usize = 85;

/// What a Postgres is started with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// The folder for its data, password and log.
    pub data_dir: PathBuf,
    /// A fixed port; else the port of the last start on these data, else any free one.
    pub port: Option<u16>,
    /// How many connections it accepts.
    pub max_connections: u32,
    /// Whether commits reach the disk. Off is for data that nobody needs after a power cut.
    pub durable: bool,
}

impl PostgresOptions {
    /// Durable data in `data_dir`, a free port.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: None,
            max_connections: 100,
            durable: true,
        }
    }

    /// Listens on this port and no other.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Accepts so many connections.
    #[must_use]
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// Commits without waiting for the disk.
    #[must_use]
    pub fn without_durability(mut self) -> Self {
        self.durable = false;
        self
    }
}

/// A Postgres that we started. Stopped when dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    program: Arc<PostgresProgram>,
}

impl Postgres {
    /// Finds Postgres, prepares the data folder if it is new, starts the server and waits until it accepts connections.
    pub fn start(finder: &Finder, options: PostgresOptions) -> Result<Self, StartError> {
        // The account that Postgres runs as passes through this folder.
        let folder = DataFolder::open(&options.data_dir, 0o755)?;
        Self::start_in(finder, folder, options)
    }

    /// A server with data of its own that are removed with it. Rather use [`crate::shared_postgres`] unless the test
    /// stops or kills its server.
    pub fn temporary() -> Result<Self, StartError> {
        let finder = Finder::new();
        let user = ServerUser::for_data(None);
        // Seldom, the folder for temporary files is a private one.
        let parent = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()]
            .into_iter()
            .find(|folder| user.can_enter(folder))
            .unwrap_or_else(std::env::temp_dir);
        let folder = DataFolder::temporary(&parent, "waybill-postgres-", 0o755)?;
        let options = PostgresOptions::new(folder.root())
            .with_max_connections(200)
            .without_durability();
        Self::start_in(&finder, folder, options)
    }

    fn start_in(
        finder: &Finder,
        folder: DataFolder,
        options: PostgresOptions,
    ) -> Result<Self, StartError> {
        let prepared = data::prepare(finder, &folder, options.durable)?;
        let port = options.port;
        let program = Arc::new(PostgresProgram {
            binaries: prepared.binaries,
            user: prepared.user,
            data: prepared.data,
            password: prepared.password,
            options,
        });
        let progress = finder.progress().clone();
        let server = Server::start(Arc::clone(&program) as _, folder, port, progress)?;
        Ok(Self { server, program })
    }

    /// The address of the database made with the data folder, with the password.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// The address of a database of this server.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        let password = &self.program.password;
        let port = self.port();
        format!("postgres://{ROLE}:{password}@127.0.0.1:{port}/{database}")
    }

    /// The server's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.program.binaries.version
    }

    /// The folder that holds the database files; elsewhere than [`Server::data_dir`] when that one cannot be reached by
    /// the account that Postgres runs as.
    #[must_use]
    pub fn files(&self) -> &Path {
        &self.program.data
    }

    /// Creates a new, empty database with a name of its own and returns its address.
    pub async fn fresh_database(&self) -> Result<String, DatabaseError> {
        self.database_from("template0").await
    }

    /// Creates a copy of the database `template` (nobody may be connected to that one) and returns its address.
    pub async fn database_from(&self, template: &str) -> Result<String, DatabaseError> {
        let name = unique_name();
        self.create_database(&name, template).await?;
        Ok(self.url_of(&name))
    }

    async fn create_database(&self, name: &str, template: &str) -> Result<(), DatabaseError> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port())
            .username(ROLE)
            .password(&self.program.password)
            .database("postgres");
        let sql = format!(
            "create database {} template {}",
            identifier(name),
            identifier(template)
        );
        let create = async {
            let mut connection = options.connect().await?;
            connection.execute(AssertSqlSafe(sql)).await?;
            connection.close().await
        };
        match tokio::time::timeout(CREATE_LIMIT, create).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(DatabaseError::Refused {
                name: name.to_owned(),
                source,
            }),
            Err(_) => Err(DatabaseError::NoAnswer {
                limit_s: CREATE_LIMIT.as_secs(),
            }),
        }
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Self::Target {
        &self.server
    }
}

/// A name that no other database of the server has.
fn unique_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("fresh_{}_{count}", std::process::id())
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// How a Postgres is run.
struct PostgresProgram {
    binaries: PostgresBinaries,
    user: ServerUser,
    data: PathBuf,
    password: String,
    options: PostgresOptions,
}

impl fmt::Debug for PostgresProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresProgram")
            .field("binaries", &self.binaries)
            .field("user", &self.user)
            .field("data", &self.data)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Program for PostgresProgram {
    fn software(&self) -> &'static str {
        "Postgres"
    }

    fn command(&self, _folder: &DataFolder, port: u16) -> Result<Command, StartError> {
        let mut command = Command::new(&self.binaries.postgres);
        command.arg("-D").arg(&self.data).current_dir("/");
        let mut set = |name: &str, value: &str| {
            command.arg("-c").arg(format!("{name}={value}"));
        };
        set("port", &port.to_string());
        set("listen_addresses", "127.0.0.1");
        // In the data folder, which is closed to others; a long path goes without.
        let sockets = self
            .data
            .to_str()
            .filter(|path| path.len() <= LONGEST_SOCKET_FOLDER_BYTES && !path.contains(','));
        set("unix_socket_directories", sockets.unwrap_or(""));
        set("max_connections", &self.options.max_connections.to_string());
        set("timezone", "UTC");
        set("log_timezone", "UTC");
        set("logging_collector", "off");
        if !self.options.durable {
            set("fsync", "off");
            set("synchronous_commit", "off");
            set("full_page_writes", "off");
        }
        without_postgres_settings(&mut command);
        self.user.apply(&mut command);
        Ok(command)
    }

    fn stop_signal(&self, folder: &DataFolder) -> StopSignal {
        if folder.is_temporary() {
            StopSignal::Quit
        } else {
            StopSignal::Interrupt
        }
    }

    fn probe(&self, pid: u32, port: u16) -> Probe {
        // Another Postgres may answer on the port; ours has written its process id and port once it listens.
        match data::listening(&self.data) {
            Some(listening) if listening == (pid, port) => {}
            _ => return Probe::NotYet("it does not listen yet".to_owned()),
        }
        match probe::accepts_connections(port, ROLE) {
            Ok(()) => Probe::Ready,
            Err(reason) => Probe::NotYet(reason),
        }
    }
}

/// Used by tests that share a server.
pub(crate) async fn fresh_database() -> Result<String, DatabaseError> {
    shared::shared_postgres()?.fresh_database().await
}

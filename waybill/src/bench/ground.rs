//! Where a bench is run: servers of its own that are gone afterwards, or the ones of the settings if somebody asks for
//! that and no shop lives on them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dev_servers::{
    Finder, NatsCluster, NatsOptions, NatsServer, Notice, Postgres, PostgresOptions, Progress,
};
use event_schema::Position;
use event_store::{EventStore, JetStreamStore, topology};
use secrecy::SecretString;
use service_kit::signing::SigningKey;
use service_kit::vault::Vault;
use service_kit::{Settings, nats};
use sqlx::PgPool;
use tempfile::TempDir;

use super::cores::Watched;
use super::options::Common;
use super::report::Report;
use super::story;
use super::times::Times;
use crate::{handles, migrate, out};

/// A broker that was restarted answers again within this.
const BACK_LIMIT: Duration = Duration::from_secs(60);
const BACK_PERIOD: Duration = Duration::from_millis(10);
/// As many small writes tell what an fsync costs.
const FSYNC_PROBES: usize = 64;
/// About a message with its headers.
const FSYNC_PROBE_BYTES: usize = 512;
/// Postgres' account has to pass through the folder.
const FOLDER_MODE: u32 = 0o755;

/// Which servers a bench needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Only the broker.
    Broker,
    /// Broker and database.
    Both,
}

/// The broker, whosever it is.
pub enum Broker {
    /// One server of ours.
    One(NatsServer),
    /// Several of ours.
    Cluster(NatsCluster),
    /// Somebody else's.
    Theirs,
}

impl Broker {
    /// Stops and starts a lone server of ours, so that nothing of the log is in its memory, and waits until it
    /// answers. Others are left alone.
    pub async fn restart(&self, store: &dyn EventStore) -> anyhow::Result<()> {
        let Self::One(server) = self else {
            return Ok(());
        };
        // Blocks the thread for some tens of milliseconds; nobody else works meanwhile.
        tokio::task::block_in_place(|| server.restart())?;
        let until = Instant::now() + BACK_LIMIT;
        while let Err(error) = store.end().await {
            if Instant::now() > until {
                return Err(error).context("the restarted broker does not answer");
            }
            tokio::time::sleep(BACK_PERIOD).await;
        }
        Ok(())
    }
}

/// Prepared servers, and how to reach them.
pub struct Ground {
    /// The settings that lead there.
    pub settings: Arc<Settings>,
    /// The connection that ours use.
    pub nats: async_nats::Client,
    needs: Needs,
    fsync: Option<bool>,
    load_before: Option<String>,
    fsync_before_us: Option<f64>,
    // The servers first: they are stopped before their folder goes.
    broker: Arc<Broker>,
    postgres: Option<Postgres>,
    folder: Option<TempDir>,
}

impl Ground {
    /// Starts servers, or looks at those of the settings; then prepares them as `waybill migrate` does.
    pub async fn open(common: &Common, settings: &Settings, needs: Needs) -> anyhow::Result<Self> {
        let load_before = load_average();
        if common.use_settings {
            return Self::theirs(settings, needs, load_before).await;
        }
        let folder = folder(common.folder.as_deref())?;
        out::note(format!("  servers in {}", folder.path().display()));
        let root = folder.path().to_owned();
        let (nodes, fsync) = (common.nodes.clone(), !common.no_fsync);
        if nodes != "1" && !fsync {
            bail!("a broker of several servers is only measured with fsync");
        }
        let started = tokio::task::spawn_blocking(move || start(&root, &nodes, fsync, needs));
        let (broker, postgres) = started.await??;
        let mut settings = settings.clone();
        settings.nats_url = match &broker {
            Broker::One(server) => Some(vec![server.url()]),
            Broker::Cluster(cluster) => Some(cluster.url().split(',').map(str::to_owned).collect()),
            Broker::Theirs => None,
        };
        settings.stream_replicas = match &broker {
            Broker::Cluster(cluster) => cluster.servers().len(),
            Broker::One(_) | Broker::Theirs => 1,
        };
        settings.database_url = postgres
            .as_ref()
            .map(|server| SecretString::from(server.url()));
        settings.data_dir = folder.path().join("shop");
        settings.signing_key_file = folder.path().join("signing.key");
        let nats = nats::connect(&settings, "bench").await?;
        topology::migrate(&nats, settings.stream_replicas).await?;
        let ground = Self {
            settings: Arc::new(settings),
            nats,
            needs,
            fsync: Some(fsync),
            load_before,
            fsync_before_us: Some(fsync_us(folder.path()).await?),
            broker: Arc::new(broker),
            postgres,
            folder: Some(folder),
        };
        ground.prepare().await?;
        Ok(ground)
    }

    async fn theirs(
        settings: &Settings,
        needs: Needs,
        load_before: Option<String>,
    ) -> anyhow::Result<Self> {
        if settings.nats_url.is_none() || settings.database_url.is_none() {
            bail!("--use-settings needs WAYBILL_NATS_URL and WAYBILL_DATABASE_URL");
        }
        let nats = nats::connect(settings, "bench").await?;
        topology::migrate(&nats, settings.stream_replicas).await?;
        let ground = Self {
            settings: Arc::new(settings.clone()),
            nats,
            needs,
            fsync: None,
            load_before,
            fsync_before_us: None,
            broker: Arc::new(Broker::Theirs),
            postgres: None,
            folder: None,
        };
        // Before anything is written: a log forgets nothing.
        refuse_a_shop(&ground).await?;
        ground.prepare().await?;
        Ok(ground)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        if self.needs == Needs::Both {
            migrate::database(&self.pool("bench").await?).await?;
        }
        let store = self.store().await?;
        if store.end().await?.position == Position(0) {
            story::mark(store).await?;
        }
        Ok(())
    }

    /// The log, over a lane of its own.
    pub async fn store(&self) -> anyhow::Result<Arc<dyn EventStore>> {
        Ok(Arc::new(JetStreamStore::connect(self.nats.clone()).await?))
    }

    /// Connections to the database.
    pub async fn pool(&self, role: &str) -> anyhow::Result<PgPool> {
        handles::pool(&self.settings, role).await
    }

    /// The processes that share the machine's cores; others' servers cannot be watched.
    pub fn watched(&self) -> Watched {
        let mut watched = Watched::this();
        for pid in self.broker_pids() {
            watched = watched.and("broker", Some(pid), false);
        }
        let postgres = self.postgres.as_ref().and_then(|server| server.pid());
        watched.and("database", postgres, true)
    }

    /// The broker's own servers.
    pub fn broker_pids(&self) -> Vec<u32> {
        let servers: &[NatsServer] = match &*self.broker {
            Broker::One(server) => std::slice::from_ref(server),
            Broker::Cluster(cluster) => cluster.servers(),
            Broker::Theirs => &[],
        };
        servers.iter().filter_map(|server| server.pid()).collect()
    }

    /// A new, empty database beside the bench's; only on a server of our own.
    pub async fn fresh_database(&self) -> anyhow::Result<Option<SecretString>> {
        match &self.postgres {
            Some(server) => Ok(Some(server.fresh_database().await?.into())),
            None => Ok(None),
        }
    }

    /// Personal keys.
    pub fn vault(&self, pool: &PgPool) -> anyhow::Result<Vault> {
        let key = SigningKey::load_or_create(&self.settings.signing_key_file)?;
        Ok(Vault::new(pool.clone(), &key.installation_key()?)?)
    }

    /// A connection of their own for the raw limits, so that neither waits behind the other's messages.
    pub async fn raw_connection(&self) -> anyhow::Result<async_nats::Client> {
        Ok(nats::connect(&self.settings, "bench-raw").await?)
    }

    /// The broker, for whoever restarts it.
    pub fn broker(&self) -> Arc<Broker> {
        Arc::clone(&self.broker)
    }

    /// Whether a restart of the broker does anything.
    pub fn can_restart_broker(&self) -> bool {
        matches!(*self.broker, Broker::One(_))
    }

    /// Servers, durability and machine, for the report.
    pub async fn describe(&self, report: &mut Report) -> anyhow::Result<()> {
        let info = self.nats.server_info();
        report.set("nats_server", info.version);
        report.set("replicas", self.settings.stream_replicas);
        report.set("fsync", self.fsync);
        report.set(
            "sync_interval",
            match self.fsync {
                Some(true) => "always",
                Some(false) => "2m (the server's default)",
                None => "as the server is configured",
            },
        );
        if self.needs == Needs::Both {
            let pool = self.pool("bench").await?;
            for (name, statement) in [
                ("postgres", "show server_version"),
                ("postgres_fsync", "show fsync"),
                ("postgres_shared_buffers", "show shared_buffers"),
            ] {
                let value: String = sqlx::query_scalar(statement).fetch_one(&pool).await?;
                report.set(name, value);
            }
            report.set("rows_synchronous_commit", "off, ours and raw");
        }
        if let Some(folder) = &self.folder {
            report.set("file_system", file_system(folder.path()));
            report.set("disk_fsync_p50_us_before", self.fsync_before_us);
            report.set("disk_fsync_p50_us_after", fsync_us(folder.path()).await?);
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        report.set("cores", cores);
        report.set("cores_shared_by", "client, broker and database");
        report.set("load_average_before", &self.load_before);
        report.set("load_average_after", load_average());
        report.set(
            "build",
            if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
        );
        let busy = self
            .load_before
            .as_deref()
            .and_then(|load| load.parse::<f64>().ok());
        if busy.is_some_and(|load| load > cores as f64) {
            report.remarks.push(
                "The machine had more to do than it has cores before the bench began: trust ratios of the same rounds, \
                 and no absolute figure."
                    .to_owned(),
            );
        }
        if file_system_is_memory(self.folder.as_ref().map(TempDir::path)) {
            report.remarks.push(
                "The servers' folder lies in memory, where fsync costs nothing; choose a folder on a disk (--folder)."
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Stops own servers and removes their data.
    pub async fn close(self) {
        let closed = tokio::task::spawn_blocking(move || drop(self));
        if closed.await.is_err() {
            out::note("  stopping the servers went wrong; they end with this process");
        }
    }
}

/// Opens connections beforehand: signing in takes its time, and none of it is what is measured.
pub async fn warm(pool: &PgPool, connections: usize) -> anyhow::Result<()> {
    let mut held = Vec::with_capacity(connections);
    for _ in 0..connections {
        held.push(pool.acquire().await?);
    }
    Ok(())
}

/// A log that somebody else began, or rows that were built from another log, are a shop's.
async fn refuse_a_shop(ground: &Ground) -> anyhow::Result<()> {
    let store = ground.store().await?;
    let end = store.end().await?.position;
    if end > Position(0) {
        let first = store.at(Position(1)).await?;
        if !first.is_some_and(|event| story::is_mark(&event)) {
            bail!(
                "the log of WAYBILL_NATS_URL holds {end} events and was not begun by a bench; a bench writes, and the \
                 log forgets nothing: give it a broker of its own"
            );
        }
    }
    let pool = ground.pool("bench").await?;
    let there: bool = sqlx::query_scalar("select to_regclass('read.checkpoint') is not null")
        .fetch_one(&pool)
        .await?;
    if there {
        let identity = store.identity().await?.to_string();
        let foreign: Option<String> = sqlx::query_scalar(
            "select log from read.checkpoint where log <> '' and log <> $1 limit 1",
        )
        .bind(&identity)
        .fetch_optional(&pool)
        .await?;
        if let Some(log) = foreign {
            bail!(
                "the read models of WAYBILL_DATABASE_URL were built from another log ({log}): give the bench a database of its own"
            );
        }
    }
    Ok(())
}

fn start(
    root: &Path,
    nodes: &str,
    fsync: bool,
    needs: Needs,
) -> anyhow::Result<(Broker, Option<Postgres>)> {
    let quiet = Arc::new(AtomicBool::new(false));
    let tell = {
        let quiet = Arc::clone(&quiet);
        move |notice: &Notice| {
            // Restarts in the middle of a bench are nobody's news.
            if !quiet.load(Ordering::Relaxed) {
                out::note(format!("  {notice}"));
            }
        }
    };
    let finder = Finder::new().with_progress(Progress::new(tell));
    let broker = if nodes == "1" {
        let mut options = NatsOptions::new(root.join("nats"));
        if !fsync {
            options = options.with_default_sync();
        }
        Broker::One(NatsServer::start(&finder, options).context("nats-server")?)
    } else {
        Broker::Cluster(NatsCluster::start(nodes.parse()?).context("nats-server cluster")?)
    };
    let postgres = match needs {
        Needs::Broker => None,
        Needs::Both => {
            let options = PostgresOptions::new(root.join("postgres"));
            Some(Postgres::start(&finder, options).context("Postgres")?)
        }
    };
    quiet.store(true, Ordering::Relaxed);
    Ok((broker, postgres))
}

fn folder(parent: Option<&Path>) -> anyhow::Result<TempDir> {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let parent = std::path::absolute(parent)?;
    tempfile::Builder::new()
        .prefix("waybill-bench-")
        .permissions(std::fs::Permissions::from_mode(FOLDER_MODE))
        .tempdir_in(&parent)
        .with_context(|| {
            format!(
                "no folder for the servers can be made in {}",
                parent.display()
            )
        })
}

/// `ext4`, `tmpfs`: of the longest mount point that the folder lies under.
fn file_system(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let folder: PathBuf = folder.canonicalize().ok()?;
    let mount = |line: &str| {
        let mut fields = line.split(' ');
        let (at, kind) = (PathBuf::from(fields.nth(1)?), fields.next()?.to_owned());
        folder.starts_with(&at).then_some((at, kind))
    };
    let longest = mounts
        .lines()
        .filter_map(mount)
        .max_by_key(|(at, _)| at.as_os_str().len());
    longest.map(|(_, kind)| kind)
}

fn file_system_is_memory(folder: Option<&Path>) -> bool {
    folder
        .and_then(file_system)
        .is_some_and(|kind| ["tmpfs", "ramfs"].contains(&kind.as_str()))
}

/// How long the disk takes for a small write to be on it, in microseconds: no acknowledged write is faster, and when
/// other programs write much it grows by a hundred times.
async fn fsync_us(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fsync-probe");
    let probe = move || -> anyhow::Result<f64> {
        use std::io::Write as _;

        let mut file = std::fs::File::create(&path)?;
        let mut times = Times::new()?;
        for _ in 0..FSYNC_PROBES {
            file.write_all(&[0; FSYNC_PROBE_BYTES])?;
            let begun = Instant::now();
            file.sync_all()?;
            times.record(begun.elapsed());
        }
        std::fs::remove_file(&path)?;
        Ok(times.percentiles().map_or(0.0, |times| times.p50_us))
    };
    tokio::task::spawn_blocking(probe).await?
}

/// What the machine does besides; nothing where it does not say.
fn load_average() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_of_a_folder_is_the_one_it_is_mounted_on() {
        if Path::new("/proc/mounts").exists() {
            assert_eq!(file_system(Path::new("/proc")).as_deref(), Some("proc"));
            assert!(!file_system_is_memory(Some(Path::new("/proc"))));
        }
    }

    #[tokio::test]
    async fn settings_without_servers_are_refused_before_anything_is_done() {
        let settings = service_kit::SettingsArgs::default().resolve().unwrap();
        let error = Ground::theirs(&settings, Needs::Both, None)
            .await
            .err()
            .unwrap();
        assert!(error.to_string().contains("WAYBILL_NATS_URL"), "{error}");
    }
}

//! The servers that `up` starts: only those that the settings do not name.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dev_servers::{
    Finder, NatsOptions, NatsServer, Notice, Postgres, PostgresOptions, Progress, Server,
};
use secrecy::SecretString;
use service_kit::Settings;

use crate::out;

/// How often the servers are looked after.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Servers of ours; those of others are not listed.
pub struct Servers {
    nats: Option<NatsServer>,
    postgres: Option<Postgres>,
}

impl Servers {
    /// Starts what is missing, both at once, and gives settings that name them.
    pub async fn start(settings: &Settings) -> anyhow::Result<(Self, Settings)> {
        let finder = Finder::new().with_progress(Progress::new(tell));
        let nats = {
            let (finder, settings) = (finder.clone(), settings.clone());
            tokio::task::spawn_blocking(move || start_nats(&finder, &settings))
        };
        let postgres = {
            let settings = settings.clone();
            tokio::task::spawn_blocking(move || start_postgres(&finder, &settings))
        };
        let (nats, postgres) = tokio::try_join!(nats, postgres)?;
        // Both are bound before either error is reported, so that the one that did start is stopped.
        let servers = Self {
            nats: nats?,
            postgres: postgres?,
        };
        let mut settings = settings.clone();
        if let Some(nats) = &servers.nats {
            settings.nats_url = Some(vec![nats.url()]);
        }
        if let Some(postgres) = &servers.postgres {
            settings.database_url = Some(SecretString::from(postgres.url()));
        }
        Ok((servers, settings))
    }

    /// A line for each server: whose it is and where.
    pub fn describe(&self) -> Vec<String> {
        let nats = self.nats.as_ref().map(|s| {
            format!(
                "nats-server {} on {} (fsync on every write), data in {}",
                s.version(),
                s.url(),
                s.data_dir().display()
            )
        });
        let postgres = self.postgres.as_ref().map(|s| {
            format!(
                "Postgres {} on 127.0.0.1:{}, data in {}",
                s.version(),
                s.port(),
                s.files().display()
            )
        });
        nats.into_iter().chain(postgres).collect()
    }

    /// Waits until one of them has ended by itself, and says which with the end of its log. Never ends without one.
    pub async fn ended(&self) -> anyhow::Error {
        loop {
            for (name, server) in self.running() {
                if let Some(status) = server.exited() {
                    return anyhow::anyhow!(
                        "{name} ended by itself ({status}); its log ends with:\n{}",
                        server.log_tail()
                    );
                }
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    fn running(&self) -> impl Iterator<Item = (&'static str, &Server)> {
        let nats = self.nats.as_deref().map(|server| ("nats-server", server));
        let postgres = self.postgres.as_deref().map(|server| ("Postgres", server));
        nats.into_iter().chain(postgres)
    }

    /// Stops them in order, each within its own limit.
    pub async fn stop(self: Arc<Self>) {
        let stopped = tokio::task::spawn_blocking(move || {
            if let Some(postgres) = &self.postgres {
                postgres.stop();
            }
            if let Some(nats) = &self.nats {
                nats.stop();
            }
        });
        if let Err(error) = stopped.await {
            tracing::warn!(%error, "stopping the servers went wrong; they end with this process");
        }
    }
}

fn tell(notice: &Notice) {
    out::note(format!("  {notice}"));
}

/// The data folder's own nats-server and nothing else, for commands that need the log of a folder nobody works in.
pub fn start_nats_alone(settings: &Settings) -> anyhow::Result<NatsServer> {
    let finder = Finder::new().with_progress(Progress::new(tell));
    start_nats(&finder, settings)?.context("the settings name a NATS server already")
}

fn start_nats(finder: &Finder, settings: &Settings) -> anyhow::Result<Option<NatsServer>> {
    if settings.nats_url.is_some() {
        return Ok(None);
    }
    let mut options = NatsOptions::new(settings.data_dir.join("nats"));
    if let Some(port) = settings.nats_port {
        options = options.with_port(port);
    }
    NatsServer::start(finder, options)
        .map(Some)
        .context("nats-server")
}

fn start_postgres(finder: &Finder, settings: &Settings) -> anyhow::Result<Option<Postgres>> {
    if settings.database_url.is_some() {
        return Ok(None);
    }
    let mut options = PostgresOptions::new(settings.data_dir.join("postgres"));
    if let Some(port) = settings.postgres_port {
        options = options.with_port(port);
    }
    Postgres::start(finder, options)
        .map(Some)
        .context("Postgres")
}

/// A folder that one `up` works in at a time.
pub struct FolderLock {
    _file: std::fs::File,
}

impl FolderLock {
    /// Takes the folder; the lock goes with the process, however it ends.
    pub fn take(settings: &Arc<Settings>) -> anyhow::Result<Self> {
        let dir = &settings.data_dir;
        std::fs::create_dir_all(dir)
            .with_context(|| format!("the data folder {} cannot be made", dir.display()))?;
        let path = dir.join("up.lock");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        file.try_lock().map_err(|_| {
            anyhow::anyhow!(
                "another `waybill up` works on the data folder {}; stop it, or set WAYBILL_DATA_DIR to another folder",
                dir.display()
            )
        })?;
        Ok(Self { _file: file })
    }
}

//! Whose broker a log is read from or stored on: the one of the settings, the one of a running `up`, or the data
//! folder's own, started for the occasion.

use std::sync::Arc;

use anyhow::Context as _;
use async_nats::Client;
use dev_servers::NatsServer;
use service_kit::{Settings, nats};

use crate::out;
use crate::running::Running;
use crate::up::servers::{FolderLock, start_nats_alone};

/// A broker, and what has to be kept while it is used.
pub struct House {
    /// The connection.
    pub client: Client,
    server: Option<NatsServer>,
    _folder: Option<FolderLock>,
}

impl House {
    /// The broker that holds the log, whether or not somebody works on it.
    pub async fn of(settings: &Settings) -> anyhow::Result<Self> {
        if settings.nats_url.is_none()
            && let Some(running) = Running::read(&settings.data_dir)
            && FolderLock::take(&Arc::new(settings.clone())).is_err()
        {
            let mut settings = settings.clone();
            settings.nats_url = Some(vec![running.nats_url]);
            return Self::given(&settings).await;
        }
        Self::with_nobody_in(settings).await
    }

    /// A broker that no `up` of this machine works on.
    pub async fn with_nobody_in(settings: &Settings) -> anyhow::Result<Self> {
        if settings.nats_url.is_some() {
            return Self::given(settings).await;
        }
        let settings = Arc::new(settings.clone());
        let folder = FolderLock::take(&settings)?;
        let starting = Arc::clone(&settings);
        let server = tokio::task::spawn_blocking(move || start_nats_alone(&starting)).await??;
        out::note(format!(
            "the data folder's own nats-server is started for this: {}",
            server.data_dir().display()
        ));
        let mut settings = Settings::clone(&settings);
        settings.nats_url = Some(vec![server.url()]);
        let house = Self::given(&settings).await?;
        Ok(Self {
            server: Some(server),
            _folder: Some(folder),
            ..house
        })
    }

    async fn given(settings: &Settings) -> anyhow::Result<Self> {
        // Creates and changes the stream, as `migrate` does; a deployment has a user of its own for that.
        let client = nats::connect(settings, "migrate").await?;
        Ok(Self {
            client,
            server: None,
            _folder: None,
        })
    }

    /// Stops what was started.
    pub async fn leave(self) -> anyhow::Result<()> {
        let Self { server, .. } = self;
        if let Some(server) = server {
            tokio::task::spawn_blocking(move || server.stop())
                .await
                .context("stopping the nats-server")?;
        }
        Ok(())
    }
}

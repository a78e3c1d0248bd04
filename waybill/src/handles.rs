//! The handles that services share: broker, log, database, keys. One process opens each once, whatever roles it runs.

use std::sync::Arc;

use anyhow::Context;
use event_store::{EventStore, Executor, JetStreamStore};
use service_kit::crypto::InstallationKey;
use service_kit::oidc::Outside;
use service_kit::pictures::Pictures;
use service_kit::signing::{SigningKey, Tokens};
use service_kit::vault::Vault;
use service_kit::{Clock, Settings, nats, postgres};
use sqlx::PgPool;

/// Connections to Postgres of a whole process.
const POOL_CONNECTIONS_MAX: u32 = 20;

/// Everything a process with all roles needs.
#[derive(Clone)]
pub struct Handles {
    pub settings: Arc<Settings>,
    pub nats: async_nats::Client,
    pub executor: Executor,
    pub pool: PgPool,
    pub tokens: Arc<Tokens>,
    pub installation_key: InstallationKey,
    pub vault: Vault,
    pub clock: Clock,
    pub pictures: Pictures,
}

impl Handles {
    /// Connects to both servers, which must have been migrated.
    pub async fn connect(settings: Arc<Settings>, role: &str) -> anyhow::Result<Self> {
        let pool = pool(&settings, role).await?;
        let nats = nats::connect(&settings, role).await?;
        let store = Arc::new(JetStreamStore::connect(nats.clone()).await?);
        let key = SigningKey::load_or_create(&settings.signing_key_file)?;
        let clock = Clock::system();
        let installation_key = key.installation_key()?;
        let outside = settings.oidc.as_ref().map(Outside::of).transpose()?;
        Ok(Self {
            vault: Vault::new(pool.clone(), &installation_key)?,
            tokens: Arc::new(Tokens::new(&key, clock.clone()).accepting(outside)),
            executor: Executor::new(store),
            pictures: Pictures::open(&settings.avatars)?,
            installation_key,
            settings,
            nats,
            pool,
            clock,
        })
    }
}

/// The database of the settings.
pub async fn pool(settings: &Settings, role: &str) -> anyhow::Result<PgPool> {
    let url = settings
        .database_url
        .as_ref()
        .context("WAYBILL_DATABASE_URL is not set")?;
    Ok(postgres::connect(url, &format!("waybill {role}"), POOL_CONNECTIONS_MAX).await?)
}

/// The log of the settings, for commands that need nothing else.
pub async fn store(settings: &Settings, role: &str) -> anyhow::Result<Arc<dyn EventStore>> {
    let nats = nats::connect(settings, role).await?;
    Ok(Arc::new(JetStreamStore::connect(nats).await?))
}

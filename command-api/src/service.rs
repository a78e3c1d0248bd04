//! The service as others compose it: what it needs, its routes, its readiness, and what it runs in the background.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sqlx::PgPool;

use domain::fulfilment::Policy;
use event_store::{Executor, JetStreamStore};
use service_kit::crypto::InstallationKey;
use service_kit::http::{Behind, Readiness};
use service_kit::mail::Mailer;
use service_kit::oidc::Outside;
use service_kit::passwords::Passwords;
use service_kit::payment::ProviderAccount;
use service_kit::pictures::Pictures;
use service_kit::settings::{FirstAdmin, Settings};
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{ApiRouter, Clock, Shutdown, Vault, nats, postgres, vault};

use crate::auth;
use crate::broker_door;
use crate::door::{Door, Parts};
use crate::erasure;
use crate::orders::quote::Quotes;
use crate::pictures::{self, Studio};
use crate::routes;

/// What people sign in with, and a key now and then; the rest of the work needs no database.
const DATABASE_CONNECTIONS_MAX: u32 = 8;

/// What the service needs; cheap clones of handles that a process shares.
#[derive(Clone)]
pub struct Deps {
    /// The write path; one per process.
    pub executor: Executor,
    /// The broker, for the bucket of quotes and the commands that come over it.
    pub nats: async_nats::Client,
    /// The database of the vault, asked by the readiness check.
    pub database: PgPool,
    /// Personal keys and secrets.
    pub vault: Vault,
    /// The installation's key for hashes.
    pub installation: InstallationKey,
    /// Checks the tokens of callers that come over the broker.
    pub tokens: Arc<Tokens>,
    /// The time.
    pub clock: Clock,
    /// The payment provider: asked by sagas, and the one whose callbacks are taken in.
    pub provider: ProviderAccount,
    /// What a fulfilment is started with.
    pub policy: Policy,
    /// How long a quote is good.
    pub quote_ttl: Duration,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Sends codes to people.
    pub mailer: Mailer,
    /// Where people's pictures are kept.
    pub pictures: Pictures,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps").finish_non_exhaustive()
    }
}

impl Deps {
    /// Connects everything that the settings name. Waits up to a minute for servers and their migrations.
    ///
    /// # Errors
    /// When a server stays away, is not as it has to be, or the signing key cannot be read.
    pub async fn connect(settings: Arc<Settings>, role: &str) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let key =
            SigningKey::load_or_create(&settings.signing_key_file).context("the signing key")?;
        let installation = key.installation_key().context("the installation's key")?;
        let outside = settings.oidc.as_ref().map(Outside::of).transpose()?;
        let database_url = settings.database_url()?;
        let database = postgres::connect(database_url, role, DATABASE_CONNECTIONS_MAX).await?;
        postgres::wait_until_migrated(&database, &vault::migrator()).await?;
        let client = nats::connect(&settings, role).await?;
        let store = JetStreamStore::connect_when_migrated(client.clone())
            .await
            .context("the event log")?;
        Ok(Self {
            executor: Executor::new(Arc::new(store)),
            nats: client,
            vault: Vault::new(database.clone(), &installation)?,
            database,
            tokens: Arc::new(Tokens::new(&key, clock.clone()).accepting(outside)),
            passwords: Passwords::new()?,
            mailer: Mailer::of(&settings)?,
            pictures: Pictures::open(&settings.avatars)?,
            provider: ProviderAccount::of(&settings, &installation),
            policy: policy(&settings),
            quote_ttl: settings.quote_ttl,
            installation,
            clock,
        })
    }
}

/// The limits of a fulfilment, as the settings have them.
#[must_use]
pub fn policy(settings: &Settings) -> Policy {
    Policy {
        time_to_pay: settings.time_to_pay,
        hold_expiry: settings.hold_expiry,
        answer_deadline: settings.payment_answer_deadline,
        unknown_budget: settings.payment_unknown_budget,
        ..Policy::default()
    }
}

/// The front door for commands.
#[derive(Clone)]
pub struct Service {
    door: Door,
    nats: async_nats::Client,
    database: PgPool,
    tokens: Arc<Tokens>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// Binds to the bucket of quotes.
    ///
    /// # Errors
    /// When the broker does not have it or cannot be reached.
    pub async fn new(deps: Deps) -> anyhow::Result<Self> {
        let quotes = Quotes::open(deps.nats.clone()).await?;
        let door = Door::from(Parts {
            executor: deps.executor,
            vault: deps.vault,
            installation: deps.installation,
            clock: deps.clock,
            quotes,
            nats: deps.nats.clone(),
            provider: deps.provider,
            policy: deps.policy,
            quote_ttl: deps.quote_ttl,
            tokens: Arc::clone(&deps.tokens),
            passwords: deps.passwords,
            mailer: deps.mailer,
            pictures: deps.pictures,
            studio: Studio::new(),
        });
        Ok(Self {
            door,
            nats: deps.nats,
            database: deps.database,
            tokens: deps.tokens,
        })
    }

    /// Sees to it that the first admin exists; whoever exists is left as he is. Any number of replicas may do this.
    ///
    /// # Errors
    /// When the password cannot be one, or a server fails.
    pub async fn ensure_first_admin(&self, admin: &FirstAdmin) -> anyhow::Result<()> {
        auth::ensure(&self.door, admin).await
    }

    /// The routes with their rules, for `ServerBuilder::api`.
    #[must_use]
    pub fn api(&self) -> ApiRouter {
        routes::api().with_state(self.door.clone())
    }

    /// Adds what must hold before commands are sent here.
    pub fn readiness(&self, readiness: &Readiness) {
        let executor = self.door.executor.clone();
        readiness.check_server(Behind::Broker, "event log", move || {
            let executor = executor.clone();
            async move {
                executor
                    .store()
                    .end()
                    .await
                    .map(|_| ())
                    .map_err(|error| error.to_string())
            }
        });
        let database = self.database.clone();
        readiness.check_server(Behind::Database, "vault", move || {
            let database = database.clone();
            async move {
                let asked = sqlx::query("select 1").execute(&database).await;
                asked.map(|_| ()).map_err(|error| error.to_string())
            }
        });
    }

    /// Takes in commands over the broker until the shutdown begins.
    ///
    /// # Errors
    /// When the broker does not let us listen, or the log turns out not to be the one that was worked with.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let door = broker_door::run(
            self.nats.clone(),
            self.api(),
            Arc::clone(&self.tokens),
            shutdown.clone(),
        );
        let upkeep = async {
            tokio::join!(
                auth::keep_up(self.door.clone(), shutdown.clone()),
                pictures::keep_tidy(&self.door, &shutdown),
                erasure::watch(&self.door, &shutdown),
            );
            // It ends with the shutdown, which the door sees to the end.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = door => ended,
            () = upkeep => Ok(()),
            rewound = self.door.executor.store().rewound() => Err(rewound.into()),
        }
    }
}

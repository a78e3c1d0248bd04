//! The projector as a service: the worker, the queries, the operators' service; composed by `waybill` or alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use utoipa::openapi::OpenApi;
use utoipa::openapi::info::Info;
use utoipa::openapi::path::Paths;
use utoipa::openapi::tag::{Tag, TagBuilder};

use event_store::{EventStore, JetStreamStore};
use service_kit::http::{Behind, Readiness};
use service_kit::oidc::Outside;
use service_kit::payment::ProviderAccount;
use service_kit::pictures::Pictures;
use service_kit::signing::{SigningKey, Tokens};
use service_kit::vault::{self, Vault};
use service_kit::{ApiRouter, Clock, Settings, Shutdown, nats, postgres};

use crate::http::{self, ReadSide};
use crate::migrations::{self, SchemaError};
use crate::moves::Moves;
use crate::personal::Personal;
use crate::read_models::customers::avatar_route::{self, Gallery};
use crate::replay::Workshop;
use crate::worker::Worker;
use crate::{desk, events_route, inbox_desk, keys_route, projections_route, read_models};

/// Connections of the worker: one for each projection, the lease, and a rebuild beside them.
const WORKER_CONNECTIONS_MAX: u32 = 14;
const WORKER_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A writer that falls asleep in the middle of a batch keeps its rows locked, whoever has the lease by then; the server
/// ends such a transaction before the lease is over.
const WORKER_IDLE_IN_TRANSACTION_TIMEOUT_MILLIS: &str = "3000";
/// Connections that queries share.
const QUERY_CONNECTIONS_MAX: u32 = 10;
/// How long a start waits for a database that is away, or a log that nobody has made yet.
const START_WAIT: Duration = Duration::from_secs(60);
const START_RETRY_PERIOD: Duration = Duration::from_secs(1);

/// What the document says of the areas that only queries have.
const AREAS: [(&str, &str); 6] = [
    ("catalogue", "What can be bought now"),
    ("deliveries", "What waits for a deliverer, and what is his"),
    ("payments", "An order's money"),
    ("notifications", "What people are told"),
    ("reports", "What was sold, and what it earned"),
    ("events", "The log itself"),
];

/// What the projector is made of; all of them are shared handles.
#[derive(Clone)]
pub struct Deps {
    /// This replica's name.
    pub instance: String,
    /// The log.
    pub store: Arc<dyn EventStore>,
    /// Where queries read.
    pub pool: PgPool,
    /// Personal keys.
    pub vault: Vault,
    /// For the services on the broker: the operators', and what command-api asks of inboxes; without it there are none.
    pub nats: Option<async_nats::Client>,
    /// Checks callers; its public key is for everybody.
    pub tokens: Arc<Tokens>,
    /// The time by which sessions have ended.
    pub clock: Clock,
    /// Where people's pictures are kept.
    pub pictures: Pictures,
    /// The id of the payment provider that the settings name.
    pub provider: String,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Deps {
    /// Connects everything that the settings name. Waits up to a minute for servers, the vault's tables and the log.
    ///
    /// # Errors
    /// When a server stays away, is not as it has to be, or the signing key cannot be read.
    pub async fn connect(settings: Arc<Settings>, role: &str) -> anyhow::Result<Self> {
        let key =
            SigningKey::load_or_create(&settings.signing_key_file).context("the signing key")?;
        let installation = key.installation_key().context("the installation's key")?;
        let outside = settings.oidc.as_ref().map(Outside::of).transpose()?;
        let clock = Clock::system();
        let pool = postgres::connect(settings.database_url()?, role, QUERY_CONNECTIONS_MAX).await?;
        postgres::wait_until_migrated(&pool, &vault::migrator()).await?;
        let client = nats::connect(&settings, role).await?;
        let store = JetStreamStore::connect_when_migrated(client.clone())
            .await
            .context("the event log")?;
        Ok(Self {
            instance: settings.instance.clone(),
            store: Arc::new(store),
            vault: Vault::new(pool.clone(), &installation)?,
            pool,
            nats: Some(client),
            pictures: Pictures::open(&settings.avatars)?,
            provider: ProviderAccount::of(&settings, &installation).id,
            tokens: Arc::new(Tokens::new(&key, clock.clone()).accepting(outside)),
            clock,
        })
    }
}

/// The projector, ready to run.
pub struct Service {
    read: ReadSide,
    worker: Worker,
    workshop: Workshop,
    nats: Option<async_nats::Client>,
    tokens: Arc<Tokens>,
    clock: Clock,
    vault: Vault,
    pictures: Pictures,
}

impl Service {
    /// Brings the schema up to date and puts the parts together.
    pub async fn new(deps: Deps) -> Result<Self, SchemaError> {
        let Deps {
            instance,
            store,
            pool,
            vault,
            nats,
            tokens,
            clock,
            provider,
            pictures,
        } = deps;
        migrate_patiently(&pool).await?;
        let writing = worker_pool(&pool);
        let personal = Personal::new(vault.clone());
        let moves = Moves::default();
        let projections = read_models::all();
        let workshop = Workshop {
            pool: writing.clone(),
            store: Arc::clone(&store),
            personal: personal.clone(),
            projections: projections.clone(),
        };
        let worker = Worker::new(
            writing,
            Arc::clone(&store),
            personal.clone(),
            projections,
            moves.clone(),
            &instance,
        );
        let read = ReadSide::new(pool, store, personal, moves, &provider);
        Ok(Self {
            read,
            worker,
            workshop,
            nats,
            tokens,
            clock,
            vault,
            pictures,
        })
    }

    /// Every GET route with its rule.
    pub fn api(&self) -> ApiRouter {
        api()
            .with_state(self.read.clone())
            .merge(keys_route::routes().with_state(Arc::clone(&self.tokens)))
            .merge(avatar_route::routes().with_state(Gallery {
                read: self.read.clone(),
                pictures: self.pictures.clone(),
            }))
    }

    /// Rebuild and verify.
    pub fn workshop(&self) -> &Workshop {
        &self.workshop
    }

    /// Adds what must hold before queries are sent here.
    pub fn readiness(&self, readiness: &Readiness) {
        let pool = self.read.pool().clone();
        readiness.check("projections", move || {
            let pool = pool.clone();
            async move { ready(&pool).await }
        });
        let pool = self.read.pool().clone();
        readiness.check_server(Behind::Database, "read models", move || {
            let pool = pool.clone();
            async move {
                let asked = sqlx::query("select 1").execute(&pool).await;
                asked.map(|_| ()).map_err(|error| error.to_string())
            }
        });
    }

    /// Works until the shutdown.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let desks = async {
            if let Some(client) = self.nats {
                tokio::join!(
                    desk::run(client.clone(), self.workshop, shutdown.clone()),
                    inbox_desk::run(client, self.read.pool().clone(), shutdown.clone()),
                );
            }
        };
        tokio::join!(
            self.worker.run(shutdown.clone()),
            desks,
            self.tokens
                .revoked()
                .watch(&self.vault, &self.clock, &shutdown),
            self.read.feed().close_at(&shutdown),
            self.read.stock_feed().close_at(&shutdown),
            self.read.inbox_feed().close_at(&shutdown)
        );
        Ok(())
    }
}

/// The projector's part of the API's document.
pub fn openapi() -> OpenApi {
    let api: ApiRouter<ReadSide> = api();
    let mut document = api.into_parts().1;
    document.merge(keys_route::routes().into_parts().1);
    document.merge(avatar_route::routes().into_parts().1);
    document
}

fn tag((name, description): (&str, &str)) -> Tag {
    TagBuilder::new()
        .name(name)
        .description(Some(description))
        .build()
}

/// All routes, still without a state.
pub(crate) fn api() -> ApiRouter<ReadSide> {
    let mut document = OpenApi::new(
        Info::new("Waybill", env!("CARGO_PKG_VERSION")),
        Paths::new(),
    );
    document.tags = Some(AREAS.map(tag).into());
    let api = ApiRouter::new(document);
    let api = read_models::catalogue::routes(api);
    let api = read_models::inventory::routes(api);
    let api = read_models::orders::routes(api);
    let api = read_models::sales::routes(api);
    let api = read_models::resources::routes(api);
    let api = read_models::payment_providers::routes(api);
    let api = read_models::inbox::routes(api);
    let api = read_models::notification_agents::routes(api);
    let api = read_models::notification_deliveries::routes(api);
    let api = read_models::customers::routes(api);
    let api = events_route::routes(api);
    projections_route::routes(api).each_operation(http::describe)
}

/// A pool for whoever writes rows. They can be built again from the log, so a commit need not wait for the disk: rows
/// and checkpoint are in one transaction and fall back together.
pub fn worker_pool(pool: &PgPool) -> PgPool {
    let options = (*pool.connect_options()).clone().options([
        ("synchronous_commit", "off"),
        (
            "idle_in_transaction_session_timeout",
            WORKER_IDLE_IN_TRANSACTION_TIMEOUT_MILLIS,
        ),
    ]);
    PgPoolOptions::new()
        .max_connections(WORKER_CONNECTIONS_MAX)
        .acquire_timeout(WORKER_ACQUIRE_TIMEOUT)
        // A connection goes back with no transaction open, whatever became of the future that used it.
        .after_release(|connection, _| {
            Box::pin(async move {
                sqlx::query("rollback").execute(connection).await?;
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

async fn migrate_patiently(pool: &PgPool) -> Result<(), SchemaError> {
    let until = tokio::time::Instant::now() + START_WAIT;
    loop {
        match migrations::migrate(pool).await {
            Err(error) if error.is_unavailable() && tokio::time::Instant::now() < until => {
                tokio::time::sleep(START_RETRY_PERIOD).await;
            }
            other => return other,
        }
    }
}

/// Ready when some replica writes and every projection goes on.
async fn ready(pool: &PgPool) -> Result<(), String> {
    let unreadable = |_| "the checkpoints cannot be read".to_owned();
    let stopped: Vec<(String, String)> =
        sqlx::query_as("select projection, stopped from read.checkpoint where stopped is not null order by projection")
            .fetch_all(pool)
            .await
            .map_err(unreadable)?;
    if let Some((projection, why)) = stopped.first() {
        return Err(format!("{projection} is stopped: {why}"));
    }
    let written: bool = sqlx::query_scalar(
        "select exists (select 1 from read.projector_lease where until > now())",
    )
    .fetch_one(pool)
    .await
    .map_err(unreadable)?;
    if written {
        Ok(())
    } else {
        Err("no replica writes the read models at the moment".into())
    }
}

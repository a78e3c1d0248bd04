//! The crate as a service: what it is made of, and its life from start to end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use event_store::{Executor, JetStreamStore, topology};
use service_kit::http::Readiness;
use service_kit::signing::SigningKey;
use service_kit::vault::{self, Vault};
use service_kit::{Clock, Settings, Shutdown, nats, postgres};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::circuit::Circuits;
use crate::context::{Context, InHand, Providers, Trouble};
use crate::desk;
use crate::keys::Keys;
use crate::leader::{self, Ended};
use crate::lease::{Lease, Pulse};
use crate::port::Provider;
use crate::providers;

/// Connections to Postgres: keys are asked for one by one, and remembered.
const POOL_CONNECTIONS_MAX: u32 = 8;
/// Pause before the lead is sought again after a leader could not go on.
const PAUSE: Duration = Duration::from_secs(1);

/// What the notifier is made of. Cheap clones of what a process shares.
#[derive(Clone)]
pub struct Deps {
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// The write path of the process.
    pub executor: Executor,
    /// The broker, for the bucket and the desk.
    pub nats: async_nats::Client,
    /// What opens personal data and signs webhooks.
    pub keys: Arc<dyn Keys>,
    /// The clock.
    pub clock: Clock,
}

impl Deps {
    /// Connects a process of its own.
    ///
    /// # Errors
    /// When a server stays away for a minute, is not migrated, or the signing key cannot be read.
    pub async fn connect(settings: Arc<Settings>, role: &str) -> anyhow::Result<Self> {
        let installation = SigningKey::load_or_create(&settings.signing_key_file)
            .context("the signing key")?
            .installation_key()
            .context("the installation's key")?;
        let pool = postgres::connect(settings.database_url()?, role, POOL_CONNECTIONS_MAX).await?;
        postgres::wait_until_migrated(&pool, &vault::migrator()).await?;
        let client = nats::connect(&settings, role).await?;
        let store = JetStreamStore::connect_when_migrated(client.clone())
            .await
            .context("the event log")?;
        Ok(Self {
            keys: Arc::new(Vault::new(pool, &installation)?),
            executor: Executor::new(Arc::new(store)),
            nats: client,
            clock: Clock::system(),
            settings,
        })
    }
}

/// The notifier, ready to run.
pub struct Service {
    context: Arc<Context>,
    nats: async_nats::Client,
    bucket: async_nats::jetstream::kv::Store,
    instance: String,
}

impl Service {
    /// Opens the bucket, and the providers that the settings name.
    ///
    /// # Errors
    /// When the bucket is not there (`waybill migrate` makes it), or a provider's settings cannot be used.
    pub async fn new(deps: Deps) -> anyhow::Result<Self> {
        let providers = providers::all(&deps.settings)?;
        Self::with_providers(deps, providers).await
    }

    /// The same with these providers.
    ///
    /// # Errors
    /// As [`Service::new`].
    pub async fn with_providers(
        deps: Deps,
        providers: Vec<Arc<dyn Provider>>,
    ) -> anyhow::Result<Self> {
        let bucket = async_nats::jetstream::new(deps.nats.clone())
            .get_key_value(topology::NOTIFIER)
            .await
            .context("the bucket notifier cannot be opened, run `waybill migrate`")?;
        let context = Context {
            executor: deps.executor,
            clock: deps.clock,
            keys: deps.keys,
            providers: Providers::new(providers),
            circuits: Circuits::default(),
            pulse: Pulse::default(),
            in_hand: InHand::default(),
            trouble: Trouble::default(),
            public_url: deps.settings.public_url.clone(),
            shop_name: crate::templates::shop_name(&deps.settings),
        };
        Ok(Self {
            context: Arc::new(context),
            nats: deps.nats,
            bucket,
            instance: deps.settings.instance.clone(),
        })
    }

    /// What must hold for it to be of use: the broker answers, and it could lead when it was its turn. One that waits for
    /// the lead is ready to take it.
    pub fn readiness(&self) -> Readiness {
        let readiness = Readiness::new();
        self.add_readiness(&readiness);
        readiness
    }

    /// The same, beside what else a process needs.
    pub fn add_readiness(&self, readiness: &Readiness) {
        let (nats, trouble) = (self.nats.clone(), self.context.trouble.clone());
        readiness.check("notifier", move || {
            let said = match (nats.connection_state(), trouble.get()) {
                (async_nats::connection::State::Connected, None) => Ok(()),
                (async_nats::connection::State::Connected, Some(why)) => Err(why),
                (other, _) => Err(format!("the broker is {other}")),
            };
            async move { said }
        });
    }

    /// Tells people what happened until the shutdown begins; then what is being sent is finished, and the lead given
    /// back.
    ///
    /// # Errors
    /// When the desk cannot be opened, or the log turns out not to be the one that was worked with.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let desk = desk::start(self.nats.clone()).await.map_err(|error| {
            anyhow::anyhow!("the NATS service `notifications` cannot be started: {error}")
        })?;
        let working = async {
            tokio::join!(
                desk.run(Arc::clone(&self.context), shutdown.token().clone()),
                self.lead(shutdown.token()),
            )
        };
        tokio::select! {
            _ = working => Ok(()),
            rewound = self.context.executor.store().rewound() => Err(rewound.into()),
        }
    }

    async fn lead(&self, shutdown: &CancellationToken) {
        let mut lease = Lease::new(self.bucket.clone(), &self.instance);
        let pulse = &self.context.pulse;
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = lease.acquire(pulse) => {}
                () = shutdown.cancelled() => break,
            }
            metrics::gauge!("waybill_notifier_leads").set(1.0);
            let stop = CancellationToken::new();
            let leading = leader::lead(&self.context, self.bucket.clone(), &stop);
            let ended = {
                tokio::pin!(leading);
                let keeping = lease.keep(pulse);
                tokio::pin!(keeping);
                tokio::select! {
                    ended = &mut leading => ended,
                    () = &mut keeping => Err(Ended::Lost),
                    () = shutdown.cancelled() => {
                        stop.cancel();
                        // The lead is kept while what is being sent is finished.
                        tokio::select! {
                            ended = &mut leading => ended,
                            () = &mut keeping => Err(Ended::Lost),
                        }
                    }
                }
            };
            metrics::gauge!("waybill_notifier_leads").set(0.0);
            lease.release(pulse).await;
            match ended {
                Ok(()) => {}
                Err(Ended::Lost) => tracing::info!("this notifier does not lead any more"),
                Err(Ended::Failed(error)) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "this notifier cannot lead now");
                    self.context.trouble.set(Some(error));
                    tokio::select! {
                        () = sleep(PAUSE) => {}
                        () = shutdown.cancelled() => {}
                    }
                }
            }
        }
    }
}

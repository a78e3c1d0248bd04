//! The crate as a service: what it is made of, and its life from start to end.

use std::sync::Arc;

use anyhow::Context as _;
use domain::fulfilment::Policy;
use event_store::{Executor, JetStreamStore};
use service_kit::http::Readiness;
use service_kit::payment::ProviderAccount;
use service_kit::signing::SigningKey;
use service_kit::{Clock, Settings, Shutdown, nats};

use crate::desk;
use crate::provider::{PaymentProvider, Stripe};
use crate::runner::{self, Context};
use crate::status::{Board, Buckets};

/// What the orchestrator is made of. Cheap clones of what a process shares.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// The write path of the process.
    pub executor: Executor,
    /// The broker, for consumers, buckets and the desk.
    pub nats: async_nats::Client,
    /// The payment provider.
    pub provider: ProviderAccount,
    /// The clock.
    pub clock: Clock,
}

impl Deps {
    /// Connects a process of its own.
    ///
    /// # Errors
    /// When the broker cannot be reached, is not migrated within a minute, or the signing key cannot be read.
    pub async fn connect(settings: Arc<Settings>, role: &str) -> anyhow::Result<Self> {
        let client = nats::connect(&settings, role).await?;
        let store = JetStreamStore::connect_when_migrated(client.clone()).await?;
        let installation =
            SigningKey::load_or_create(&settings.signing_key_file)?.installation_key()?;
        Ok(Self {
            provider: ProviderAccount::of(&settings, &installation),
            executor: Executor::new(Arc::new(store)),
            nats: client,
            clock: Clock::system(),
            settings,
        })
    }
}

/// The orchestrator, ready to run.
pub struct Service {
    context: Arc<Context>,
    nats: async_nats::Client,
    instance: String,
}

impl Service {
    /// Opens the buckets and the stream; asks the payment provider that the settings name, in Stripe's language.
    ///
    /// # Errors
    /// When they are not there (`waybill migrate` makes them), or the provider's settings cannot be used.
    pub async fn new(deps: Deps) -> anyhow::Result<Self> {
        let settings = &deps.settings;
        let provider = Stripe::new(
            &deps.provider,
            &settings.public_url,
            settings.payment_answer_deadline,
            settings.time_to_pay,
        )?;
        Self::with_provider(deps, Arc::new(provider)).await
    }

    /// The same with a payment provider that speaks another language.
    ///
    /// # Errors
    /// As [`Service::new`].
    pub async fn with_provider(
        deps: Deps,
        provider: Arc<dyn PaymentProvider>,
    ) -> anyhow::Result<Self> {
        let Deps {
            settings,
            executor,
            nats,
            clock,
            ..
        } = deps;
        let policy = Policy {
            time_to_pay: settings.time_to_pay,
            hold_expiry: settings.hold_expiry,
            answer_deadline: settings.payment_answer_deadline,
            unknown_budget: settings.payment_unknown_budget,
            ..Policy::default()
        };
        let buckets = Buckets::open(nats.clone()).await?;
        let jetstream = async_nats::jetstream::new(nats.clone());
        let events = jetstream
            .get_stream_no_info(event_store::topology::EVENTS)
            .await
            .context("the stream EVENTS cannot be opened, run `waybill migrate`")?;
        let board = Board::new(buckets);
        let context = Context::new(executor, clock, provider, policy, board, events);
        Ok(Self {
            context: Arc::new(context),
            nats,
            instance: settings.instance.clone(),
        })
    }

    /// What must hold for it to be of use.
    pub fn readiness(&self) -> Readiness {
        let readiness = Readiness::new();
        let context = Arc::clone(&self.context);
        readiness.check("sagas", move || {
            let said = match context.gate.shut_because() {
                Some(why) => Err(why),
                None if context.pulse.is_felt() => Ok(()),
                None => Err("it has not been able to say that it is alive for too long".to_owned()),
            };
            async move { said }
        });
        readiness
    }

    /// Works sagas and answers operators until the shutdown begins; then what is under way is finished, and the shares
    /// are given back.
    ///
    /// # Errors
    /// When the desk cannot be opened, or the log turns out not to be the one that was worked with: then everything is
    /// let go of at once, as nothing of it may be finished on another log.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let desk = desk::start(self.nats.clone()).await.map_err(|error| {
            anyhow::anyhow!("the NATS service `saga` cannot be started: {error}")
        })?;
        let working = async {
            tokio::join!(
                desk.run(Arc::clone(&self.context), shutdown.token().clone()),
                runner::run(
                    Arc::clone(&self.context),
                    &self.instance,
                    shutdown.token().clone()
                ),
            )
        };
        tokio::select! {
            _ = working => Ok(()),
            rewound = self.context.executor.store().rewound() => Err(rewound.into()),
        }
    }
}

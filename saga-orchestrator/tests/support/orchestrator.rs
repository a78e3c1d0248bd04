//! Orchestrators with a runtime of their own each, so that a kill takes everything with it in the middle of whatever
//! it was doing.

use std::sync::Arc;
use std::time::Duration;

use event_store::{Executor, JetStreamStore};
use saga_orchestrator::provider::PaymentProvider;
use saga_orchestrator::{Deps, Service};
use service_kit::payment::ProviderAccount;
use service_kit::{Clock, Settings, SettingsArgs, Shutdown};
use tokio::runtime::Runtime;

use super::sandbox::{ANSWER_DEADLINE, Provider};
use super::shop::Shop;

pub struct Orchestrator {
    runtime: Option<Runtime>,
    shutdown: Shutdown,
    ended: Option<std::sync::mpsc::Receiver<()>>,
}

pub fn settings() -> Settings {
    let mut settings = SettingsArgs::default().resolve().unwrap();
    settings.payment_answer_deadline = ANSWER_DEADLINE;
    settings.public_url = "http://shop.test".into();
    settings
}

impl Orchestrator {
    pub fn start(shop: &Shop, provider: &Provider) -> Self {
        Self::start_as(shop, provider.account(), settings())
    }

    pub fn start_as(shop: &Shop, account: ProviderAccount, settings: Settings) -> Self {
        Self::start_with(shop, account, settings, None)
    }

    /// One that asks a provider of the test's own.
    pub fn start_with(
        shop: &Shop,
        account: ProviderAccount,
        settings: Settings,
        provider: Option<Arc<dyn PaymentProvider>>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let shutdown = Shutdown::new();
        let (ends, url) = (shutdown.clone(), shop.server.url());
        let (tell, ended) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let nats = async_nats::connect(url).await.unwrap();
            let store = JetStreamStore::connect(nats.clone()).await.unwrap();
            let deps = Deps {
                settings: Arc::new(settings),
                executor: Executor::new(Arc::new(store)),
                nats,
                provider: account,
                clock: Clock::system(),
            };
            let service = match provider {
                Some(provider) => Service::with_provider(deps, provider).await,
                None => Service::new(deps).await,
            };
            service.unwrap().run(ends).await.unwrap();
            tell.send(()).unwrap();
        });
        Self {
            runtime: Some(runtime),
            shutdown,
            ended: Some(ended),
        }
    }

    /// Everything stops where it is; nothing is said to anybody.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// An orderly end.
    pub async fn stop(mut self) {
        self.shutdown.begin();
        let ended = self.ended.take().unwrap();
        tokio::task::spawn_blocking(move || ended.recv_timeout(Duration::from_secs(20)).unwrap())
            .await
            .unwrap();
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

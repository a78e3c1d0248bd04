//! Notifiers with a runtime of their own each, so that a kill takes everything with it in the middle of whatever it was
//! doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_store::{Executor, JetStreamStore};
use notifier::port::Provider;
use notifier::{Deps, Service};
use service_kit::{Clock, SettingsArgs, Shutdown};
use tokio::runtime::Runtime;

use super::brink::{Brink, Brinkman};
use super::shop::{Shop, within};

pub struct Notifier {
    runtime: Option<Runtime>,
    shutdown: Shutdown,
    reached: Arc<AtomicBool>,
    ended: std::sync::mpsc::Receiver<()>,
}

/// How a notifier differs from an ordinary one.
#[derive(Default, Clone)]
pub struct Odd {
    pub brink: Option<Brink>,
    pub clock: Option<Clock>,
    pub url: Option<String>,
}

impl Notifier {
    pub fn start(shop: &Shop, providers: &[Arc<dyn Provider>]) -> Self {
        Self::start_odd(shop, providers, Odd::default())
    }

    pub fn start_at_the_brink(shop: &Shop, providers: &[Arc<dyn Provider>], brink: Brink) -> Self {
        let odd = Odd {
            brink: Some(brink),
            ..Odd::default()
        };
        Self::start_odd(shop, providers, odd)
    }

    pub fn start_odd(shop: &Shop, providers: &[Arc<dyn Provider>], odd: Odd) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let shutdown = Shutdown::new();
        let reached = Arc::new(AtomicBool::new(false));
        let (ends, mark) = (shutdown.clone(), Arc::clone(&reached));
        let (keys, providers) = (shop.keys(), providers.to_vec());
        let url = odd.url.clone().unwrap_or_else(|| shop.server.url());
        let (tell, ended) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let nats = async_nats::connect(url).await.unwrap();
            let store = JetStreamStore::connect(nats.clone()).await.unwrap();
            let store = Brinkman::new(Arc::new(store), odd.brink, mark);
            let deps = Deps {
                settings: Arc::new(SettingsArgs::default().resolve().unwrap()),
                executor: Executor::new(Arc::new(store)),
                nats,
                keys,
                clock: odd.clock.unwrap_or_else(Clock::system),
            };
            let service = Service::with_providers(deps, providers).await.unwrap();
            service.run(ends).await.unwrap();
            let _ = tell.send(());
        });
        Self {
            runtime: Some(runtime),
            shutdown,
            reached,
            ended,
        }
    }

    /// Waits until it stands where it is to die, and kills it there.
    pub async fn dies_there(self) {
        let reached = Arc::clone(&self.reached);
        within("the notifier reaches the point where it dies", || {
            let reached = reached.load(Ordering::SeqCst);
            async move { reached.then_some(()) }
        })
        .await;
        self.kill();
    }

    /// Everything stops where it is; nothing is said to anybody.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// An orderly end.
    pub async fn stop(self) {
        self.shutdown.begin();
        let Self { runtime, ended, .. } = self;
        tokio::task::spawn_blocking(move || {
            ended.recv_timeout(Duration::from_secs(30)).unwrap();
            if let Some(runtime) = runtime {
                runtime.shutdown_background();
            }
        })
        .await
        .unwrap();
    }
}

//! A shop of processes on a broker whose files can be exchanged, with a copy of them from before its last order.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use async_nats::jetstream;
use dev_servers::{Finder, NatsOptions, NatsServer};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Deployment, Layout, Market, Person, Role, Servers, within};
use tokio::task::spawn_blocking;

use crate::WAYBILL;

const RUNBOOK: &str = "docs/runbooks/log-rewound.md";

pub struct House {
    pub shop: Deployment,
    nats: Arc<NatsServer>,
    servers: Servers,
    market: Market,
    product: String,
    buyer: Person,
    /// Confirmed after the copy was made.
    last_order: String,
    folder: TempDir,
}

/// Where a broker keeps everything.
pub fn store(data: &Path) -> PathBuf {
    data.join("store")
}

/// Where it keeps the events alone, below that.
pub fn events(store: &Path) -> PathBuf {
    find(store, "EVENTS").expect("the stream's folder")
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .find_map(|path| match path.file_name().is_some_and(|it| it == name) {
            true => Some(path),
            false => find(&path, name),
        })
}

pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}

/// Puts a copy in a folder's place, and the folder aside.
pub fn exchange(place: &Path, copy_of_it: &Path, aside: &Path) {
    std::fs::rename(place, aside).unwrap();
    copy(copy_of_it, place);
}

impl House {
    pub async fn new() -> Self {
        let nats = spawn_blocking(|| NatsServer::temporary_with(NatsOptions::with_default_sync));
        let nats = Arc::new(nats.await.unwrap().unwrap());
        let servers = Servers {
            nats: nats.url(),
            database: dev_servers::fresh_database().await.unwrap(),
            sandbox_database: dev_servers::fresh_database().await.unwrap(),
        };
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        let shop = Deployment::start(WAYBILL, servers.clone(), layout).await;
        let market = Market::open(&shop).await;
        let product = market.product(1000, 50).await.id;
        let buyer = market.customer(&shop).await;
        let mut house = Self {
            shop,
            nats,
            servers,
            market,
            product,
            buyer,
            last_order: String::new(),
            folder,
        };
        house.sells(false).await;
        let (older, before) = (house.path("older"), house.log_end().await);
        house
            .while_the_broker_is_down(move |data| copy(&store(data), &older))
            .await;
        house.sells(false).await;
        // Each role has left a word of how far it has come; the next process would go on from there.
        within("how far the roles have come lies in the tail", || async {
            let told = house.complete_to().await.min(house.remembered().await);
            (told > before).then_some(())
        })
        .await;
        house
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.nats.url()).await.unwrap()
    }

    async fn log_end(&self) -> u64 {
        let context = jetstream::new(self.client().await);
        let mut stream = context.get_stream("EVENTS").await.unwrap();
        stream.info().await.unwrap().state.last_sequence
    }

    async fn complete_to(&self) -> u64 {
        let context = jetstream::new(self.client().await);
        let bucket = context.get_key_value("saga_status").await.unwrap();
        let mut most = 0;
        for share in 0..16 {
            let told = bucket.get(format!("_complete_to.{share:x}")).await.unwrap();
            let told = told.map(|value| String::from_utf8(value.to_vec()).unwrap());
            let told = told.unwrap_or_default();
            let position = told.split(' ').next().and_then(|told| told.parse().ok());
            most = most.max(position.unwrap_or(0));
        }
        most
    }

    async fn remembered(&self) -> u64 {
        let context = jetstream::new(self.client().await);
        let bucket = context.get_key_value("snapshots").await.unwrap();
        let told = bucket.get("_log").await.unwrap();
        let told: Option<Value> = told.map(|told| serde_json::from_slice(&told).unwrap());
        told.map_or(0, |told| told["position"].as_u64().unwrap())
    }

    /// Stops the broker, lets its data be exchanged, and starts it again.
    pub async fn while_the_broker_is_down(&self, change: impl FnOnce(&Path) + Send + 'static) {
        let nats = Arc::clone(&self.nats);
        spawn_blocking(move || {
            nats.stop();
            change(nats.data_dir());
            nats.restart().unwrap();
        })
        .await
        .unwrap();
    }

    /// Somebody goes on with the older copy, until its log is longer than ours.
    pub async fn grown_elsewhere(&self) {
        let (data, older) = (self.path("elsewhere"), self.path("older"));
        std::fs::create_dir(&data).unwrap();
        copy(&older, &store(&data));
        let (place, end) = (data.clone(), self.log_end().await);
        let start = move || {
            let options = NatsOptions::with_default_sync(NatsOptions::new(place));
            NatsServer::start(&Finder::new(), options).unwrap()
        };
        let nats = spawn_blocking(start).await.unwrap();
        let servers = Servers {
            nats: nats.url(),
            ..self.servers.clone()
        };
        let mut shop = Deployment::prepare(WAYBILL, servers, layout(self.folder.path()));
        shop.again(Role::CommandApi, 0);
        let ready = format!("{}/readyz", shop.url(Role::CommandApi, 0));
        within("the other command-api is ready", || async {
            let answer = reqwest::get(&ready).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        let admin = shop.person("admin", None).await;
        let context = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
        let mut stream = context.get_stream("EVENTS").await.unwrap();
        let mut number = 0;
        while stream.info().await.unwrap().state.last_sequence < end + 5 {
            number += 1;
            let product = json!({
                "sku": format!("other-{number}"), "name": "Thing", "brand": "P", "category": "things",
                "unit_cost": {"amount": 400, "currency": "EUR"},
            });
            admin.post("/v1/products", &product).await.ok();
        }
        drop(shop);
        spawn_blocking(move || drop(nats)).await.unwrap();
        std::fs::remove_dir_all(&older).unwrap();
        copy(&store(&data), &older);
    }

    /// Orders one and waits until it is wholly through. `anew`: nothing of before is known to the shop any more.
    pub async fn sells(&mut self, anew: bool) {
        if anew {
            self.market = Market::open(&self.shop).await;
            self.product = self.market.product(1000, 50).await.id;
            self.buyer = self.market.customer(&self.shop).await;
        }
        let lines = json!([{"product_id": self.product, "quantity": 1}]);
        within("the shop takes orders", || async {
            let checked = self.buyer.check(&self.market.partner, &lines).await;
            (checked.status == 200).then_some(())
        })
        .await;
        let order = self
            .buyer
            .order(&self.market.partner, &self.product, 1, "pm_card_visa");
        self.last_order = order.await;
        self.buyer
            .order_becomes(&self.last_order, "confirmed")
            .await;
    }

    pub async fn shows_the_last_order(&self) {
        let path = format!("/v1/orders/{}", self.last_order);
        assert_eq!(self.buyer.get(&path).await.ok()["status"], "confirmed");
    }

    async fn unready(&self, role: Role) -> Option<String> {
        let url = format!("{}/readyz?verbose", self.shop.url(role, 0));
        let answer = reqwest::get(&url).await.ok()?;
        (!answer.status().is_success()).then_some(answer.text().await.ok()?)
    }

    /// Whoever adds to the log has ended and says why; whoever builds from it stands still and says why. The log is left
    /// as it was found.
    pub async fn is_stopped(&mut self, why: &str) {
        let end = self.log_end().await;
        self.end_by_themselves(why).await;
        within("the projector is not ready", || async {
            self.unready(Role::Projector)
                .await
                .filter(|said| said.contains(why))
        })
        .await;
        assert_eq!(self.log_end().await, end, "nothing was added");
    }

    /// Whoever is started again, be it by a supervisor, ends for the same reason.
    pub async fn stays_stopped(&mut self, why: &str) {
        let end = self.log_end().await;
        for role in [Role::CommandApi, Role::SagaOrchestrator] {
            self.shop.again(role, 0);
        }
        self.end_by_themselves(why).await;
        assert_eq!(self.log_end().await, end, "nothing was added");
    }

    async fn end_by_themselves(&mut self, why: &str) {
        let begun = tokio::time::Instant::now();
        let limit = std::time::Duration::from_secs(60);
        for (role, task) in [
            (Role::CommandApi, "commands over the broker failed: "),
            (Role::SagaOrchestrator, "the saga orchestrator failed: "),
        ] {
            let ended = |house: &mut Self| {
                let name = format!("{role:?}").to_lowercase();
                let fallen = house.shop.fallen();
                fallen
                    .iter()
                    .any(|fallen| fallen.replace('-', "").starts_with(&name))
            };
            while !ended(self) {
                assert!(begun.elapsed() < limit, "{role:?} ends because {why}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            let last_words = format!("waybill: {task}{why}");
            within(&format!("{role:?} says {last_words}"), || async {
                let said = self.shop.said(role, 0);
                let line = said.lines().find(|line| line.starts_with(&last_words))?;
                line.contains(RUNBOOK).then_some(())
            })
            .await;
        }
    }

    async fn emptied(&self, buckets: &[&str]) {
        let context = jetstream::new(self.client().await);
        for bucket in buckets {
            let stream = context.get_stream(format!("KV_{bucket}")).await.unwrap();
            stream.purge().await.unwrap();
        }
    }

    /// An orchestrator that remembers nothing finds in the bucket of the sagas that it is another log.
    pub async fn takes_no_sagas(&mut self, why: &str) {
        self.emptied(&["snapshots"]).await;
        self.shop.again(Role::SagaOrchestrator, 0);
        within("the new orchestrator takes no sagas", || async {
            let said = self.unready(Role::SagaOrchestrator).await?;
            (said.contains(why) && said.contains(RUNBOOK)).then_some(())
        })
        .await;
    }

    /// The log is taken for the truth, step by step as the runbook has it.
    pub async fn taken_for_the_truth(&mut self) {
        self.emptied(&["saga_status", "saga_attention"]).await;
        self.shop.operator(&["projections", "rebuild"]).await;
        self.shop.again(Role::CommandApi, 0);
        self.shop.ready().await;
        self.sells(true).await;
        self.is_what_the_log_says().await;
    }

    pub async fn is_what_the_log_says(&self) {
        for projection in projector::read_models::all() {
            let name = projection.name();
            let verified = self.shop.operator(&["projections", "verify", name]).await;
            assert!(verified.contains("is what the log says"), "{verified}");
        }
    }
}

/// Keys are of the folder, so that others can go on with the same shop.
fn layout(folder: &Path) -> Layout {
    let key = folder.join("signing.key").display().to_string();
    Layout::single().with("WAYBILL_SIGNING_KEY_FILE", &key)
}

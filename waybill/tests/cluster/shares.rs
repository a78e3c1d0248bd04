//! Two saga orchestrators: the owner is killed or frozen while the provider works for it, and each order is charged once.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream;
use event_schema::subject::share;
use serde_json::Value;
use testkit::{Layout, Role, within};
use tokio::time::Instant;
use uuid::Uuid;

use crate::crowd::Crowd;
use crate::rounds;
use crate::stage::{Broker, Stage};

/// The design promises 10 s; this machine may have other things to do.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(20);
/// An answer that comes late is no answer: shorter than the slow card, which takes 8 s.
const ANSWER_DEADLINE: &str = "3s";

impl Stage {
    /// The orchestrator that owns an order's share, as operators read it.
    async fn owner(&self, order: &str) -> usize {
        let bucket = jetstream::new(self.client().await)
            .get_key_value("saga_status")
            .await
            .unwrap();
        let order: Uuid = order.parse().unwrap();
        let key = format!("_owner.{:x}", share(order));
        let instance = within("the share has an owner", || async {
            let value = bucket.get(&key).await.ok()??;
            let owner: Value = serde_json::from_slice(&value).unwrap();
            let instance = owner["instance"].as_str().unwrap().to_owned();
            (!instance.is_empty()).then_some(instance)
        })
        .await;
        self.deployment.number(Role::SagaOrchestrator, &instance)
    }

    /// An order whose authorisation is under way at the provider.
    async fn order_in_flight(&self, product: &str) -> String {
        let buyer = self.market.customer(&self.deployment).await;
        let partner = &self.market.partner;
        let order = buyer.buys(partner, product, 1, "pm_waybill_slow").await;
        within("the provider has set the money aside", || async {
            let ledger = self.deployment.ledger(&order).await;
            (ledger["totals"]["authorised"].as_i64()? > 0).then_some(())
        })
        .await;
        order
    }
}

async fn owners_come_and_go(broker: impl Future<Output = Broker>, layout: Layout) {
    let layout = layout.with("WAYBILL_PAYMENT_ANSWER_DEADLINE", ANSWER_DEADLINE);
    let mut stage = Stage::on(broker, layout).await;
    let plenty = stage.market.product(1000, 100_000).await;
    let crowd = Crowd::gathers(&stage, &plenty, 2).await;
    let mut in_flight = BTreeSet::new();
    for round in 0..rounds(2, 8) {
        crowd.goes_on(5).await;
        let order = stage.order_in_flight(&plenty.id).await;
        let owner = stage.owner(&order).await;
        let frozen = round % 2 == 1;
        if frozen {
            stage.deployment.freeze(Role::SagaOrchestrator, owner).await;
        } else {
            stage.deployment.kill9(Role::SagaOrchestrator, owner).await;
        }
        let gone = Instant::now();
        within("another one owns the share", || async {
            (stage.owner(&order).await != owner).then_some(())
        })
        .await;
        let taken_over = gone.elapsed();
        let ended = stage.market.admin.order_ends(&order).await;
        assert_eq!(ended["status"], "confirmed", "{ended}");
        let how = if frozen { "frozen" } else { "killed" };
        eprintln!(
            "an orchestrator was {how}: its share has another owner after {taken_over:?}, the order is confirmed after {:?}",
            gone.elapsed()
        );
        assert!(taken_over < TAKEOVER_LIMIT, "{how}: {taken_over:?}");
        let confirmed = gone.elapsed();
        if confirmed >= TAKEOVER_LIMIT {
            let history = stage
                .deployment
                .operator(&["events", "show", "fulfilment", &order])
                .await;
            let calls = stage.deployment.ledger(&order).await["calls"].to_string();
            panic!("{how}: confirmed after {confirmed:?}\n{history}\n{calls}");
        }
        if frozen {
            stage.deployment.wake(Role::SagaOrchestrator, owner).await;
        } else {
            stage.deployment.again(Role::SagaOrchestrator, owner);
        }
        stage.deployment.ready().await;
        in_flight.insert(order);
    }
    crowd.goes_on(5).await;
    let (plenty, heard) = crowd.ends().await;
    let mut accepted = heard.accepted;
    accepted.extend(in_flight);
    stage.books_balance(&[plenty], &accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_killed_or_frozen_in_the_middle_of_an_effect_is_followed_and_each_order_charged_once()
 {
    owners_come_and_go(Broker::one(), Layout::twice()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_follow_each_other_on_three_brokers_too() {
    owners_come_and_go(Broker::three(), Layout::twice().on_three_brokers()).await;
}

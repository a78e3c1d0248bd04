//! Processes that start in the wrong order or at the wrong moment: each waits for what it needs.

use std::sync::Arc;
use std::time::Duration;

use dev_servers::Postgres;
use testkit::Layout;

use crate::leader::DEAD_FOR;
use crate::stage::{Broker, Stage, blocking};

/// Time enough for every process to find out that something is missing; it may wait for a minute.
const MISSING_FOR: Duration = Duration::from_secs(5);

impl Stage {
    /// Somebody buys something, and the books balance.
    async fn sells_something(mut self) {
        let product = self.market.product(1000, 5).await;
        let buyer = self.market.customer(&self.deployment).await;
        let partner = &self.market.partner;
        let order = buyer.buys(partner, &product.id, 2, "pm_card_visa").await;
        let endings = self.books_balance(&[product], &[order].into()).await;
        assert_eq!(endings, [("confirmed".to_owned(), 1)].into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_before_anybody_has_migrated_wait_for_it() {
    let postgres = async { blocking(|| Postgres::temporary().unwrap()).await };
    let layout = Layout::single();
    let stage = Stage::when_prepared(Broker::one(), postgres, layout, async |deployment| {
        deployment.launch_all();
        tokio::time::sleep(MISSING_FOR).await;
        assert_eq!(deployment.fallen(), Vec::<String>::new());
        deployment.operator(&["migrate"]).await;
        deployment.ready().await;
    })
    .await;
    stage.sells_something().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_before_their_servers_wait_for_them() {
    let mut stage = Stage::on(Broker::one(), Layout::single()).await;
    stage.deployment.kill9_all().await;
    let servers = (
        Arc::clone(stage.broker.server()),
        Arc::clone(&stage.postgres),
    );
    let servers = blocking(move || {
        servers.0.kill9();
        servers.1.kill9();
        servers
    })
    .await;
    stage.deployment.launch_all();
    tokio::time::sleep(MISSING_FOR).await;
    blocking(move || {
        servers.0.restart().unwrap();
        servers.1.restart().unwrap();
    })
    .await;
    stage.deployment.ready().await;
    stage.sells_something().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_while_nobody_leads_the_stream_wait_for_a_leader() {
    let layout = Layout::single().on_three_brokers();
    let mut stage = Stage::on(Broker::three(), layout).await;
    stage.deployment.kill9_all().await;
    let victim = stage.leader().await;
    stage.broker.member_dies(victim).await;
    stage.deployment.launch_all();
    stage.deployment.ready().await;
    tokio::time::sleep(DEAD_FOR).await;
    assert_eq!(stage.deployment.fallen(), Vec::<String>::new());
    stage.broker.member_comes_back(victim).await;
    stage.sells_something().await;
}

//! A log that was recreated, or has lost its tail, stops the projections with a word of what to do.

use std::sync::Arc;

use event_schema::Position;
use event_store::InMemoryStore;

use super::fixtures::{Exchangeable, a_busy_day};
use crate::status::{self, ProjectionStatus, Running};
use crate::testing::stories::{product, received};
use crate::testing::{Open, PATIENCE, Shop, eventually};
use uuid::Uuid;

/// A projector over a log that is exchanged for another one while nobody looks.
async fn after_an_exchange(keeps_identity: bool, other: impl AsyncFn(&Shop)) -> Open {
    let log = Arc::new(Exchangeable::new(keeps_identity).await);
    let shop = Shop::with_log(log.clone()).await.open().await;
    a_busy_day(&shop.shop, 2).await;
    shop.catch_up().await;
    let shop = shop.close().await;
    log.exchange(InMemoryStore::new());
    other(&shop).await;
    shop.open().await
}

async fn stopped(shop: &Open) -> Vec<ProjectionStatus> {
    eventually("every projection is stopped", async || {
        let projections = status::list(&shop.shop.pool, &*shop.shop.store)
            .await
            .ok()?;
        projections
            .iter()
            .all(|projection| projection.status == Running::Stopped)
            .then_some(projections)
    })
    .await
}

#[tokio::test]
async fn a_recreated_log_stops_the_projections_until_they_are_rebuilt() {
    let mug = Uuid::now_v7();
    let shop = after_an_exchange(false, async |shop| {
        shop.happens([product(mug, None, "mug"), received(mug, 4)])
            .await;
    })
    .await;
    for projection in stopped(&shop).await {
        let message = projection.message.unwrap();
        assert!(message.contains("the log was recreated"), "{message}");
        assert!(
            message.contains(&format!("waybill projections rebuild {}", projection.name)),
            "{message}"
        );
    }
    let report = shop.readiness.report().await;
    assert!(
        report[0].1.as_ref().unwrap_err().contains("is stopped"),
        "{report:?}"
    );
    // Who asks for a position of the new log is not answered from rows of the old one.
    let asked = [("waybill-min-position", "1"), ("waybill-wait-ms", "0")];
    let got = shop.get_with("/v1/catalog", None, &asked).await;
    assert_eq!((got.status.as_u16(), got.code()), (503, "not_caught_up"));

    for projection in crate::read_models::all() {
        shop.workshop
            .rebuild(projection.name(), |_| {})
            .await
            .unwrap();
    }
    assert_eq!(
        shop.ask(&format!("/v1/inventory/{mug}")).await.body["received"],
        4
    );
    shop.happens([received(mug, 1)]).await;
    assert_eq!(
        shop.ask(&format!("/v1/inventory/{mug}")).await.body["received"],
        5
    );
    assert!(
        shop.ask("/v1/orders").await.ids().is_empty(),
        "nothing of the old log is left"
    );
    eventually("the projector is ready again", async || {
        shop.readiness
            .report()
            .await
            .iter()
            .all(|(_, said)| said.is_ok())
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_log_that_lost_its_tail_stops_the_projections() {
    let shop = after_an_exchange(true, async |shop| {
        shop.happens([product(Uuid::now_v7(), None, "mug")]).await;
    })
    .await;
    for projection in stopped(&shop).await {
        let message = projection.message.unwrap();
        assert!(
            message.contains("has lost its tail: it ends at 1"),
            "{message}"
        );
    }
    // What is lost can be looked at, and the log that is left can be taken for the truth.
    let verified = shop.workshop.verify("orders", |_| {}).await.unwrap();
    assert_eq!(verified.position, Position(1));
    let difference = verified.difference.unwrap().to_string();
    assert!(
        difference.contains("the log says there is none"),
        "{difference}"
    );
    for projection in crate::read_models::all() {
        let name = projection.name();
        let rebuilt = shop.workshop.rebuild(name, |_| {}).await.unwrap();
        assert_eq!(rebuilt.position, Position(1), "{name}");
    }
    shop.happens([product(Uuid::now_v7(), None, "cup")]).await;
    assert_eq!(shop.ask("/v1/products").await.ids().len(), 2);
    assert!(shop.ask("/v1/orders").await.ids().is_empty());
}

#[tokio::test]
async fn a_log_that_lost_its_tail_and_grew_again_is_noticed_by_the_event_at_the_checkpoint() {
    let shop = after_an_exchange(true, async |shop| {
        a_busy_day(shop, 5).await;
    })
    .await;
    for projection in stopped(&shop).await {
        let message = projection.message.unwrap();
        assert!(
            message.contains("lost its tail and grown again"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn rows_that_were_never_built_take_any_log() {
    let log = Arc::new(Exchangeable::new(false).await);
    let shop = Shop::with_log(log.clone()).await.open().await;
    shop.catch_up().await;
    let shop = shop.close().await;
    log.exchange(InMemoryStore::new());
    let shop = shop.open().await;
    let caught_up = shop.happens([product(Uuid::now_v7(), None, "mug")]);
    tokio::time::timeout(PATIENCE, caught_up).await.unwrap();
    assert_eq!(shop.ask("/v1/products").await.ids().len(), 1);
}

//! A poison event holds back its own key, and nothing else.

use std::sync::Arc;

use event_schema::{Position, Recorded, order, product};
use serde_json::json;
use service_kit::{Role, Shutdown};
use uuid::Uuid;

use super::fixtures::{Broken, Choking, a_busy_day};
use crate::apply::{Applied, Applier};
use crate::parking::PARKED_KEYS_MAX;
use crate::projection::Projection;
use crate::read_models::catalogue::Catalogue;
use crate::read_models::inventory::Inventory;
use crate::read_models::orders::Orders;
use crate::schema::Schema;
use crate::status::{self, Running};
use crate::testing::stories::{AnOrder, product as added, received};
use crate::testing::{ADMIN, Shop, eventually, from_the_future, to};

#[tokio::test]
async fn a_poison_event_parks_its_order_and_the_others_go_on() {
    let shop = Shop::new().await.open().await;
    let (poisoned, healthy) = (AnOrder::new(), AnOrder::new());
    shop.happens(poisoned.by_card(&shop.shop).await).await;
    shop.happens(healthy.by_card(&shop.shop).await).await;
    let Position(first) = shop
        .happens([from_the_future("order", poisoned.id, "order.gift_wrapped")])
        .await;
    shop.happens(poisoned.declined()).await;
    let Position(last) = shop.happens(healthy.declined()).await;

    let got = shop.ask(&format!("/v1/orders/{}", healthy.id)).await;
    assert_eq!(
        (got.body["status"].as_str(), got.header("waybill-held")),
        (Some("cancelled"), None)
    );

    // Without a position: what there is, and a word that more is held back.
    let path = format!("/v1/orders/{}", poisoned.id);
    let got = shop.ask(&path).await;
    assert_eq!(
        (got.status.as_u16(), got.body["status"].as_str()),
        (200, Some("pending_payment"))
    );
    let held = got.header("waybill-held").unwrap();
    assert_eq!(held, format!("orders/{}@{first}", poisoned.id));

    // With a later position the answer would be wrong.
    let asked = |position: u64| [("waybill-min-position", position.to_string())];
    for (position, status) in [(first - 1, 200), (first, 503), (last, 503)] {
        let [(name, value)] = asked(position);
        let got = shop
            .get_with(&path, Some((Role::Admin, ADMIN)), &[(name, &value)])
            .await;
        assert_eq!(got.status.as_u16(), status, "at {position}");
        assert!(status == 200 || got.code() == "held");
    }

    let projections = status::list(&shop.shop.pool, &*shop.shop.store)
        .await
        .unwrap();
    let orders = projections
        .iter()
        .find(|projection| projection.name == "orders")
        .unwrap();
    assert_eq!(
        (orders.status, orders.lag, orders.parked.len()),
        (Running::Live, 0, 1)
    );
    assert_eq!(
        (orders.parked[0].key, orders.parked[0].position),
        (poisoned.id, first)
    );
    assert!(
        orders.parked[0].cause.contains("order.gift_wrapped"),
        "{}",
        orders.parked[0].cause
    );

    // The list says that something is missing.
    let list = shop.ask("/v1/orders").await;
    assert!(
        list.header("waybill-held")
            .unwrap()
            .contains(&poisoned.id.to_string())
    );
}

#[tokio::test]
async fn a_saga_with_an_event_that_cannot_be_read_is_listed_among_those_that_need_a_person() {
    let shop = Shop::new().await.open().await;
    let (damaged, newer, healthy) = (AnOrder::new(), AnOrder::new(), AnOrder::new());
    for order in [&damaged, &newer, &healthy] {
        shop.happens(order.by_card(&shop.shop).await).await;
    }
    shop.happens([from_the_future(
        "fulfilment",
        damaged.id,
        "fulfilment.step_ended",
    )])
    .await;
    shop.happens([from_the_future("fulfilment", newer.id, "fulfilment.paused")])
        .await;

    let shown = async |id: Uuid| {
        let saga = shop.ask(&format!("/v1/sagas/{id}")).await.body;
        let text = |field: &str| saga[field].as_str().unwrap_or("none").to_owned();
        (text("status"), text("cause"), text("deadline"))
    };
    let needs = |cause: &str| ("needs_operator".into(), cause.into(), "none".into());
    assert_eq!(shown(damaged.id).await, needs("poisoned"));
    assert_eq!(shown(newer.id).await, needs("version_unsupported"));
    let (status, cause, _) = shown(healthy.id).await;
    assert_eq!((status.as_str(), cause.as_str()), ("running", "none"));

    let listed = async |status: &str| {
        let page = shop.ask(&format!("/v1/sagas?status={status}")).await.body;
        let ids = page["data"].as_array().unwrap().iter();
        let mut ids: Vec<Uuid> = ids
            .map(|saga| saga["id"].as_str().unwrap().parse().unwrap())
            .collect();
        ids.sort();
        ids
    };
    let mut set_aside = vec![damaged.id, newer.id];
    set_aside.sort();
    assert_eq!(listed("needs_operator").await, set_aside);
    assert_eq!(listed("running").await, [healthy.id]);
    let one = shop.ask(&format!("/v1/sagas/{}", newer.id)).await.body;
    assert!(
        one["detail"].as_str().unwrap().contains("newer build"),
        "{one}"
    );
}

#[tokio::test]
async fn an_order_whose_first_event_is_poison_is_held_and_not_denied() {
    let shop = Shop::new().await.open().await;
    let order = Uuid::now_v7();
    shop.happens([to(order, [order::Event::from(order::Confirmed {})])])
        .await;
    let got = shop.ask(&format!("/v1/orders/{order}")).await;
    assert_eq!((got.status.as_u16(), got.code()), (503, "held"));
}

#[tokio::test]
async fn what_the_database_refuses_is_poison_too() {
    let shop = Shop::new().await.open().await;
    let (mug, pot) = (Uuid::now_v7(), Uuid::now_v7());
    // Postgres holds no NUL in a text.
    shop.happens([added(mug, None, "mu\0g"), added(pot, None, "pot")])
        .await;
    assert_eq!(shop.ask("/v1/products").await.ids(), [pot.to_string()]);
    let projections = shop.ask("/v1/projections").await;
    let catalogue = projections.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|projection| projection["name"] == "catalogue")
        .unwrap()
        .clone();
    assert_eq!(
        (&catalogue["status"], &catalogue["parked"][0]["key"]),
        (&json!("live"), &json!(mug))
    );
}

#[tokio::test]
async fn a_cured_order_is_read_again_from_the_log_and_is_as_if_nothing_had_happened() {
    let shop = Shop::new().await;
    let (sick, healthy) = (AnOrder::new(), AnOrder::new());
    let choking = Choking::on(sick.id);
    crate::migrate(&shop.pool).await.unwrap();
    let shutdown = Shutdown::new();
    let worker = shop.worker(vec![Arc::new(choking.clone()), Arc::new(Catalogue)], "one");
    let running = tokio::spawn(worker.run(shutdown.clone()));
    shop.happens(sick.by_card(&shop).await).await;
    shop.happens(healthy.by_card(&shop).await).await;
    shop.happens(sick.held()).await;
    shop.wait_until_caught_up(&["orders"]).await;
    let count = async || -> i64 {
        sqlx::query_scalar("select count(*) from read.orders")
            .fetch_one(&shop.pool)
            .await
            .unwrap()
    };
    assert_eq!(count().await, 1);

    choking.is_cured();
    assert!(status::resume(&shop.pool, "orders").await.unwrap());
    eventually("the parked order is released", async || {
        let parked: i64 = sqlx::query_scalar("select count(*) from read.parked")
            .fetch_one(&shop.pool)
            .await
            .unwrap();
        (parked == 0).then_some(())
    })
    .await;
    // Events after the cure are applied on top, as always.
    shop.happens(sick.confirmed()).await;
    shop.wait_until_caught_up(&["orders"]).await;
    let status: String = sqlx::query_scalar("select status from read.orders where id = $1")
        .bind(sick.id)
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(status, "confirmed");
    shutdown.begin();
    running.await.unwrap();

    let workshop = crate::Workshop::new(&shop.pool, Arc::clone(&shop.store), shop.vault.clone());
    assert!(workshop.verify("orders", |_| {}).await.unwrap().is_same());
}

#[tokio::test]
async fn a_projection_that_parks_without_end_is_stopped_with_a_word_of_what_to_do() {
    let shop = Shop::new().await;
    let removed = || product::Event::from(product::Removed {});
    // Products that were never added: every one of them is poison.
    let mut left = PARKED_KEYS_MAX + 1;
    while left > 0 {
        let now = left.min(200);
        shop.happens((0..now).map(|_| to(Uuid::now_v7(), [removed()])))
            .await;
        left -= now;
    }
    let shop = shop.open().await;
    let stopped = eventually("the catalogue is stopped", async || {
        let projections = status::list(&shop.shop.pool, &*shop.shop.store)
            .await
            .ok()?;
        projections
            .into_iter()
            .find(|p| p.name == Catalogue.name() && p.status == Running::Stopped)
    })
    .await;
    assert!(
        stopped
            .message
            .unwrap()
            .contains("waybill projections resume catalogue")
    );
    let report = shop.readiness.report().await;
    assert!(
        report
            .iter()
            .any(|(name, said)| name == "projections" && said.is_err()),
        "{report:?}"
    );
    shop.shop
        .wait_until_caught_up(&["orders", "inventory", "customers"])
        .await;
}

#[tokio::test]
async fn an_event_that_never_came_is_noticed_by_the_next_one_of_its_history() {
    let shop = Shop::new().await;
    crate::migrate(&shop.pool).await.unwrap();
    let (mug, pot) = (Uuid::now_v7(), Uuid::now_v7());
    let order = AnOrder {
        product: mug,
        ..AnOrder::new()
    };
    shop.happens([
        added(mug, None, "mug"),
        added(pot, None, "pot"),
        received(mug, 5),
        received(pot, 5),
    ])
    .await;
    shop.happens(order.by_card(&shop).await).await;
    shop.happens(order.held()).await;
    shop.happens([received(mug, 1), received(pot, 1)]).await;
    shop.happens(order.confirmed()).await;
    let whole = shop.store.read(Position(0), 1_000, None).await.unwrap();
    // As if a reader had lost them: the second event of the mug's stock, and the order's authorisation.
    let lost = |event: &Recorded| {
        (event.aggregate_id() == Some(mug) && event.event_type == "inventory.held")
            || event.event_type == "payment.authorised"
    };
    let lossy: Vec<Recorded> = whole.into_iter().filter(|event| !lost(event)).collect();

    let pool = crate::worker_pool(&shop.pool);
    let holder: Arc<str> = "one".into();
    sqlx::query("insert into read.projector_lease values ('worker', $1, 'infinity')")
        .bind(&*holder)
        .execute(&pool)
        .await
        .unwrap();
    for (projection, key) in [
        (Arc::new(Inventory) as Arc<dyn Projection>, mug),
        (Arc::new(Orders) as Arc<dyn Projection>, order.id),
    ] {
        let name = projection.name();
        let mut connection = pool.acquire().await.unwrap();
        crate::checkpoint::ensure(&mut connection, &Schema::LIVE, &[name])
            .await
            .unwrap();
        let applier = Applier {
            projection,
            schema: Schema::LIVE,
            personal: crate::Personal::new(shop.vault.clone()),
            holder: Arc::clone(&holder),
            log: "log".into(),
        };
        let applied = applier
            .apply(&pool, Position(0), &lossy, 0.0)
            .await
            .unwrap();
        assert!(
            matches!(applied, Applied::Committed { parked: 1, .. }),
            "{name}: {applied:?}"
        );
        let parked = crate::parking::list(&mut connection, &Schema::LIVE, name)
            .await
            .unwrap();
        assert_eq!(parked[0].key, key);
        assert!(
            parked[0].cause.contains("rebuild the projection"),
            "{}",
            parked[0].cause
        );
    }
    let stock: i64 =
        sqlx::query_scalar("select received from read.inventory where product_id = $1")
            .bind(pot)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(stock, 6, "what is whole goes on");
}

#[tokio::test]
async fn a_projection_that_cannot_write_stops_alone_and_goes_on_when_it_can() {
    let shop = Shop::new().await;
    crate::migrate(&shop.pool).await.unwrap();
    let broken = Broken::default();
    let projections: Vec<Arc<dyn Projection>> = vec![
        Arc::new(broken.clone()),
        Arc::new(Catalogue),
        Arc::new(Inventory),
    ];
    let shutdown = Shutdown::new();
    let running = tokio::spawn(shop.worker(projections, "one").run(shutdown.clone()));
    a_busy_day(&shop, 6).await;
    shop.wait_until_caught_up(&["catalogue", "inventory"]).await;
    let stopped = eventually("the orders are stopped", async || {
        let projections = status::list(&shop.pool, &*shop.store).await.ok()?;
        projections
            .into_iter()
            .find(|p| p.name == "orders" && p.status == Running::Stopped)
    })
    .await;
    let message = stopped.message.unwrap();
    assert!(
        message.contains("nonsense") && message.contains("waybill projections resume orders"),
        "{message}"
    );
    assert!(stopped.parked.is_empty(), "no event is to blame");

    broken.is_cured();
    assert!(status::resume(&shop.pool, "orders").await.unwrap());
    shop.wait_until_caught_up(&["orders", "catalogue", "inventory"])
        .await;
    assert_eq!(shop.rows().await["orders"].len(), 6);
    shutdown.begin();
    running.await.unwrap();
}

//! What operators type: decode, events, projections, token.

use serde_json::Value;
use testkit::Shop;

use crate::WAYBILL;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_and_the_read_models_can_be_looked_at_and_built_anew_while_the_shop_serves() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    let customer = shop.customer();
    let order = customer.order(&partner, &lamp, 2, "pm_card_visa").await;
    let before = customer.order_becomes(&order, "confirmed").await;

    let now: Value = serde_json::from_str(
        &shop
            .operator(&["events", "show", "order", &order, "--json"])
            .await,
    )
    .unwrap();
    assert!(now["state"].get("Confirmed").is_some(), "{now}");
    let first = shop
        .operator(&["events", "show", "order", &order, "--at", "1", "--json"])
        .await;
    let first: Value = serde_json::from_str(&first).unwrap();
    assert!(first["state"].get("PendingPayment").is_some(), "{first}");
    assert_eq!(first["events"].as_array().map(Vec::len), Some(1));
    let then = now["events"][0]["recorded_at"].as_str().unwrap();
    let by_time = shop
        .operator(&["events", "show", "order", &order, "--at", then, "--json"])
        .await;
    assert_eq!(serde_json::from_str::<Value>(&by_time).unwrap(), first);

    let tail = shop
        .operator(&[
            "events",
            "tail",
            "--no-follow",
            "--last",
            "3",
            "--subject",
            "evt.order.>",
        ])
        .await;
    assert!(
        tail.lines().last().unwrap().contains("order.confirmed"),
        "{tail}"
    );

    let projections = [
        "catalogue",
        "customers",
        "inbox",
        "inventory",
        "orders",
        "providers",
        "resources",
        "sales",
    ];
    for projection in projections {
        let verified = shop.operator(&["projections", "verify", projection]).await;
        assert!(verified.contains("is what the log says"), "{verified}");
    }
    let rebuilt = shop.operator(&["projections", "rebuild"]).await;
    assert_eq!(rebuilt.lines().count(), projections.len(), "{rebuilt}");
    assert_eq!(
        customer.get(&format!("/v1/orders/{order}")).await.ok(),
        before
    );

    let token = shop.operator(&["token", "--role", "admin"]).await;
    let admin = testkit::Person::new(&shop.url(), token.trim());
    assert_eq!(
        admin.get("/v1/orders").await.ok()["data"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_aggregate_and_a_missing_shop_are_named() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let nobody = uuid::Uuid::nil().to_string();
    let output = shop
        .command(&["events", "show", "order", &nobody])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("has no events"),
        "{said}"
    );
    shop.stop().await;
    let output = shop.command(&["projections", "ls"]).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("nothing runs on the data folder"),
        "{said}"
    );
}

//! The story that `waybill up` prints, run line by line in a shell, and seen with what the `nats` CLI asks for.

use std::process::Stdio;

use async_nats::jetstream;
use serde_json::Value;
use testkit::Shop;
use tokio::process::Command;

use crate::WAYBILL;

/// Runs shell lines; fails at the first that fails.
async fn shell(lines: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", lines])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_story_works_line_by_line() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    // The lines for the nats CLI need a program that not every machine has; below is what they ask the broker for.
    let story = shop.story();
    let lines: Vec<_> = story
        .lines()
        .filter(|line| !line.starts_with("nats "))
        .collect();
    let said = shell(&format!("{}\necho HAPPY=$HAPPY", lines.join("\n"))).await;

    let orders: Vec<Value> = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|json| json.get("saga").is_some())
        .collect();
    let mut endings: Vec<_> = orders
        .iter()
        .map(|order| {
            (
                order["status"].as_str().unwrap(),
                order["status_reason"].as_str(),
            )
        })
        .collect();
    // Either of the two who want the last bell may get it.
    endings[2..4].sort_unstable_by_key(|(status, _)| std::cmp::Reverse(*status));
    assert_eq!(
        endings,
        [
            ("confirmed", None),
            ("cancelled", Some("payment_declined")),
            ("confirmed", None),
            ("cancelled", Some("out_of_stock")),
            ("cancelled", Some("customer_cancelled")),
        ]
    );
    assert!(said.contains("order.confirmed"), "waybill events show");
    for projection in ["catalogue", "customers", "inbox", "inventory", "orders"] {
        assert!(
            said.contains(&format!("\n{projection} ")),
            "waybill projections ls: {projection}"
        );
    }

    let happy = said.split("HAPPY=").nth(1).unwrap().trim().to_owned();
    the_nats_cli_can_read_it(&mut shop, &happy).await;
    nobody_was_charged_for_what_was_cancelled(&shop, &orders).await;
    shop.stop().await;
}

async fn the_nats_cli_can_read_it(shop: &mut Shop, order: &str) {
    let client = async_nats::connect(shop.exported("NATS_URL"))
        .await
        .unwrap();
    // nats kv get saga_status fulfilment.<order>
    let bucket = jetstream::new(client.clone())
        .get_key_value("saga_status")
        .await
        .unwrap();
    let value = bucket
        .get(format!("fulfilment.{order}"))
        .await
        .unwrap()
        .unwrap();
    let text = std::str::from_utf8(&value).unwrap();
    assert!(text.starts_with(r#"{"status":"completed""#), "{text}");
    assert!(
        text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "one line of plain ASCII: {text}"
    );
    // nats req saga.show <order>
    let shown = client
        .request("saga.show", order.to_owned().into())
        .await
        .unwrap();
    let shown = std::str::from_utf8(&shown.payload).unwrap();
    assert!(
        shown.contains("COMPLETED") && shown.contains("captured 39.98 EUR"),
        "{shown}"
    );
    // nats req saga.list ''
    let listed = client.request("saga.list", "".into()).await.unwrap();
    assert!(
        std::str::from_utf8(&listed.payload)
            .unwrap()
            .contains(order)
    );
}

async fn nobody_was_charged_for_what_was_cancelled(shop: &Shop, orders: &[Value]) {
    for order in orders {
        let ledger = shop.ledger(order["id"].as_str().unwrap()).await;
        let captured = order["payment"]["amounts"]["captured"]["amount"].as_i64();
        assert_eq!(ledger["totals"]["kept"].as_i64(), captured, "{ledger}");
        assert_eq!(ledger["totals"]["held"].as_i64(), Some(0), "{ledger}");
    }
}

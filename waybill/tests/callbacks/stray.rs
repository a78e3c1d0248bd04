//! About an order that never existed: accepted, kept once, and found by a person with the lines of the run-book.

use serde_json::json;

use crate::stage::{Stage, event, event_id};

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_about_no_order_of_ours_is_kept_once_and_can_be_found() {
    let stage = Stage::open().await;
    let stranger = uuid::Uuid::now_v7().to_string();
    let mut all = Vec::new();
    for reference in [stranger.as_str(), "order 4711"] {
        let object = json!({
            "id": "pi_stray", "object": "payment_intent", "amount": 2100, "amount_received": 2100, "currency": "eur",
            "status": "succeeded", "metadata": {"order_id": reference},
        });
        let told = event("payment_intent.succeeded", &object);
        let first = stage.tells(0, &told).await.position;
        assert!(first.is_some(), "it is in the log");
        for replica in [1, 0, 1] {
            assert_eq!(stage.tells(replica, &told).await.position, first);
        }
        let strays = stage.strays(&told).await;
        assert_eq!(strays.len(), 1, "{strays:?}");
        assert_eq!(strays[0].order_reference.as_deref(), Some(reference));
        assert_eq!(strays[0].provider_payment_id.as_deref(), Some("pi_stray"));
        assert_eq!(stage.recorded(&told).await, 0);
        all.push(told);
    }
    // As the run-book has it: by the program, and over HTTP.
    let arguments = [
        "events",
        "tail",
        "--no-follow",
        "--subject",
        "evt.stray_callback.>",
    ];
    let tail = stage.deployment.operator(&arguments).await;
    let listed = stage
        .market
        .admin
        .get("/v1/events?subject=evt.stray_callback.%3E")
        .await
        .ok();
    for told in &all {
        assert!(tail.contains("stray_callback.received"), "{tail}");
        assert!(listed.to_string().contains(event_id(told)), "{listed}");
    }
}

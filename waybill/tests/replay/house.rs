//! Moving house: the log into a file, the file into a new broker; and no payment that was under way is made twice.

use serde_json::Value;
use testkit::{Shop, within};

use crate::ground::Ground;
use crate::provider::Provider;

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_moved_in_the_middle_of_a_payment_asks_before_it_pays() {
    let old = Ground::new().await;
    let mut shop = old.shop().await;
    let (partner, lamp) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    let customer = shop.customer();
    // The provider takes the money and is slow to say so; the shop dies before it hears of it.
    let order = customer.order(&partner, &lamp, 1, "pm_waybill_slow").await;
    within("the provider has the money", || async {
        let ledger = shop.ledger(&order).await;
        (ledger["totals"]["held"].as_i64()? > 0).then_some(())
    })
    .await;
    shop.kill9().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl").display().to_string();
    old.operator(&["events", "export", "--out", &file]).await;

    let asked = Provider::asked_on(&old).await;

    let new = old.moved_to().await;
    new.operator(&["events", "import", "--in", &file]).await;
    let mut shop = new.shop().await;
    shop.customer().order_becomes(&order, "confirmed").await;
    // Where the payment stands was looked up, and then it was taken: nothing was set aside a second time.
    let asked_now = Provider::asked_on(&new).await;
    let method = |call: &Value| call["method"].as_str().unwrap().to_owned();
    let operation = |call: &Value| call["operation"].as_str().unwrap().to_owned();
    let here = &asked_now[asked.len()..];
    assert_eq!(method(&here[0]), "GET", "{here:?}");
    let effects = here.iter().filter(|call| method(call) == "POST");
    assert_eq!(
        effects.map(operation).collect::<Vec<_>>(),
        ["capture"],
        "{here:?}"
    );
    let ledger = shop.ledger(&order).await;
    assert_eq!(
        ledger["intents"].as_array().map(Vec::len),
        Some(1),
        "{ledger}"
    );
    assert_eq!(ledger["totals"]["times_captured"], 1, "{ledger}");
    assert_eq!(ledger["totals"]["held"], 0, "{ledger}");
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_starts_on_a_half_imported_log_and_a_changed_file_is_refused() {
    let old = Ground::new().await;
    let mut shop = old.shop().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let file = path("log.jsonl");
    old.operator(&["events", "export", "--out", &file]).await;
    let (done, said) = old.tries(&["events", "export", "--out", &file]).await;
    assert!(!done && said.contains("exists already"), "{said}");
    let part = path("part.jsonl");
    old.operator(&[
        "events",
        "export",
        "--subject",
        "evt.product.>",
        "--out",
        &part,
    ])
    .await;
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines {
        serde_json::from_str::<Value>(line).unwrap();
    }
    shop.stop().await;

    let new = Ground::new().await;
    let refused = async |file: &str, told: &str| {
        let (done, said) = new.tries(&["events", "import", "--in", file]).await;
        assert!(!done && said.contains(told), "{said}");
    };
    refused(&part, "it holds only evt.product.>").await;
    let cut = path("cut.jsonl");
    std::fs::write(&cut, lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    refused(&cut, "the file ends in the middle").await;
    let changed = path("changed.jsonl");
    std::fs::write(&changed, text.replace("Actor\":\"admin", "Actor\":\"Admin")).unwrap();
    refused(&changed, "was changed since it was written").await;

    let garbled = path("garbled.jsonl");
    std::fs::write(&garbled, text.replacen(lines[6], "{\"position\":6", 1)).unwrap();
    refused(&garbled, "line 7 cannot be read").await;
    let without_one = path("without_one.jsonl");
    std::fs::write(
        &without_one,
        text.replacen(&format!("{}\n", lines[6]), "", 1),
    )
    .unwrap();
    refused(
        &without_one,
        "line 7 has the message of position 7, and position 6 is due",
    )
    .await;
    let nothing_yet = new.client().await;
    let nothing_yet = async_nats::jetstream::new(nothing_yet)
        .get_stream("EVENTS")
        .await;
    assert!(nothing_yet.is_err(), "no file was good enough to begin");

    // Broken off: the broker goes away for good in the middle, and comes back with what it had.
    new.operator(&["migrate"]).await;
    let client = new.client().await;
    let source = event_store::Source {
        fingerprint: serde_json::from_str::<Value>(lines.last().unwrap()).unwrap()["sha256"]
            .as_str()
            .unwrap()
            .to_owned(),
        messages: lines.len() as u64 - 2,
    };
    drop(event_store::Import::begin(client, 1, source).await.unwrap());
    for role in [
        "command-api",
        "projector",
        "saga-orchestrator",
        "up",
        "migrate",
    ] {
        let (done, said) = new.tries(&[role]).await;
        assert!(
            !done && said.contains("is being filled by `waybill events import`"),
            "{role}: {said}"
        );
    }
    new.operator(&["events", "import", "--in", &file]).await;
    let mut shop = new.shop().await;
    new.caught_up().await;
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_can_be_filled_and_read_while_nobody_works_in_it() {
    let mut shop = Shop::start(crate::WAYBILL, &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (running, stopped, again) = (path("1"), path("2"), path("3"));
    shop.operator(&["events", "export", "--out", &running])
        .await;
    shop.stop().await;
    shop.operator(&["events", "export", "--out", &stopped])
        .await;
    assert!(std::fs::read(&running).unwrap() == std::fs::read(&stopped).unwrap());

    let data = path("data");
    let elsewhere = async |arguments: &[&str]| {
        let output = shop
            .command(arguments)
            .env("WAYBILL_DATA_DIR", &data)
            .output()
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    elsewhere(&["events", "import", "--in", &running]).await;
    elsewhere(&["events", "export", "--out", &again]).await;
    // The same log but for its name, and so for the digest.
    let body = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[1..lines.len() - 1].to_vec()
    };
    assert!(
        body(&again) == body(&running),
        "message by message, to the time they were first stored"
    );
}

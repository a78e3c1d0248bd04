//! `waybill load`: short loads on shops of this machine, and what is told of them. Nothing here says how fast anything has
//! to be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::process::Output;

use serde_json::{Value, json};
use testkit::Shop;
use tokio::process::Command;

const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// What holds for every load that went well.
fn nothing_was_lost(report: &Value, orders: u64) {
    assert_eq!(report["broken"], json!([]), "{report}");
    assert_eq!(report["lost"], 0, "{report}");
    let phases = report["phases"].as_array().unwrap();
    let sent: u64 = phases
        .iter()
        .map(|phase| phase["sent"].as_u64().unwrap())
        .sum();
    assert_eq!(
        sent + report["held_back"].as_u64().unwrap(),
        orders,
        "every order that was to arrive did: {report}"
    );
    let acknowledged = report["acknowledged"].as_u64().unwrap();
    assert!(acknowledged > 0, "{report}");
    let found = report["found"].as_object().unwrap().values();
    let found: u64 = found.map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(found, acknowledged, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spike_arrives_whether_or_not_it_is_answered_and_loses_nothing_and_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("spike.html");
    let output = Command::new(WAYBILL)
        .args([
            "load",
            "--profile",
            "spike",
            "--rate",
            "2",
            "--factor",
            "10",
        ])
        .args(["--before", "3s", "--spike", "2s", "--after", "4s"])
        .args(["--customers", "4", "--json", "--html"])
        .arg(&page)
        .output()
        .await
        .unwrap();
    let report = report(&output);
    assert!(output.status.success(), "{report}");
    nothing_was_lost(&report, 6 + 40 + 8);
    assert_eq!(report["profile"], "spike");
    let phases = report["phases"].as_array().unwrap().iter();
    let rates: Vec<u64> = phases
        .map(|phase| phase["rate"].as_u64().unwrap())
        .collect();
    assert_eq!(rates, [2, 20, 2]);
    assert_eq!(report["seconds"].as_array().unwrap().len(), 9);
    assert!(report["lag_max"].is_u64(), "{report}");
    assert!(report["usual_p99_us"].as_f64().unwrap() > 0.0);
    // Orders of a shop with enough of everything end well.
    assert_eq!(report["found"]["confirmed"], report["acknowledged"]);

    let page = std::fs::read_to_string(&page).unwrap();
    assert_eq!(page.matches("<svg ").count(), 3, "rate, latency, lag");
    assert!(
        page.contains("orders a second") && page.contains("usual"),
        "{page}"
    );
    for outside in ["src=", "href=", "@import"] {
        assert!(!page.contains(outside), "it fetches nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_runs_is_loaded_by_its_key_or_in_a_customers_name() {
    let mut shop = Shop::start(WAYBILL, &[]).await;
    let url = shop.url();
    let output = shop
        .command(&[
            "load",
            "--profile",
            "steady",
            "--rate",
            "4",
            "--before",
            "3s",
        ])
        .args(["--customers", "2", "--json", "--url", &url])
        .output()
        .await
        .unwrap();
    let told = report(&output);
    assert!(output.status.success(), "{told}");
    nothing_was_lost(&told, 12);
    assert_eq!(told["shop"], "running");

    let (customer, partner, lamp) = (
        shop.exported("CUSTOMER"),
        shop.exported("PARTNER"),
        shop.exported("LAMP"),
    );
    let output = shop
        .command(&[
            "load",
            "--profile",
            "steady",
            "--rate",
            "10",
            "--before",
            "2s",
        ])
        .args(["--json", "--url", &url, "--token", &customer])
        .args(["--partner", &partner, "--product", &lamp])
        .output()
        .await
        .unwrap();
    let told = report(&output);
    assert!(output.status.success(), "{told}");
    nothing_was_lost(&told, 20);
    assert_eq!(
        (&told["customers"], &told["lag_max"]),
        (&json!(1), &Value::Null)
    );
}

#[tokio::test]
async fn a_load_that_is_out_of_all_proportion_is_refused_before_anything_is_started() {
    for (arguments, why) in [
        (["--rate", "2000", "--factor", "100"], "orders"),
        (["--rate", "1", "--after", "2h"], "it would take"),
    ] {
        let output = Command::new(WAYBILL)
            .args(["load", "--url", "http://127.0.0.1:9"])
            .args(arguments)
            .output()
            .await
            .unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{said}");
    }
}

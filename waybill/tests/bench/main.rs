//! Every bench, for a very short time: it ends, and what it prints can be read and makes sense. Nothing here says how
//! fast anything has to be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod safety;

use serde_json::Value;
use tokio::process::Command;

pub const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");

/// A bench's standard output; it has to succeed.
async fn bench(arguments: &[&str]) -> String {
    let output = Command::new(WAYBILL)
        .arg("bench")
        .args(arguments)
        .env("WAYBILL_LOG", "warn")
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A bench's report, after the checks that hold for all of them.
async fn report(arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.push("--json");
    let report: Value = serde_json::from_str(&bench(&all).await).unwrap();
    for setting in [
        "fsync",
        "sync_interval",
        "replicas",
        "nats_server",
        "cores",
        "build",
        "seconds",
    ] {
        assert!(
            report["settings"].get(setting).is_some(),
            "no {setting}: {report}"
        );
    }
    assert!(
        report["settings"]["disk_fsync_p50_us_after"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    let rows = report["rows"].as_array().unwrap();
    let sides = |side: &str| rows.iter().filter(|row| row["side"] == side).count();
    assert!(sides("ours") > 0 && sides("raw") > 0, "{report}");
    for row in rows {
        assert!(row["count"].as_u64().unwrap() > 0, "{row}");
        let rates = row["rounds"]
            .as_array()
            .unwrap()
            .iter()
            .chain([&row["rate"]]);
        rates.for_each(|rate| assert!(rate.as_f64().unwrap() > 0.0, "{row}"));
        if let Some(times) = row.get("latency") {
            let times =
                ["p50_us", "p90_us", "p99_us", "max_us"].map(|name| times[name].as_f64().unwrap());
            assert!(times[0] > 0.0 && times.is_sorted(), "{row}");
        }
    }
    for ratio in report["ratios"].as_array().unwrap() {
        let figures = ["lowest", "ratio", "highest"].map(|name| ratio[name].as_f64().unwrap());
        assert!(
            figures[0] > 0.0 && figures[2].is_finite() && figures.is_sorted(),
            "{ratio}"
        );
    }
    report
}

fn row<'a>(report: &'a Value, id: &str) -> &'a Value {
    let rows = report["rows"].as_array().unwrap();
    rows.iter()
        .find(|row| row["id"] == id)
        .unwrap_or_else(|| panic!("no row {id}: {report}"))
}

fn has_ratio(report: &Value, id: &str) -> bool {
    report["ratios"]
        .as_array()
        .unwrap()
        .iter()
        .any(|ratio| ratio["id"] == id)
}

#[tokio::test(flavor = "multi_thread")]
async fn append_sets_commands_against_publishes_and_batches() {
    let report = report(&[
        "append",
        "--seconds",
        "3",
        "--rounds",
        "2",
        "--callers",
        "1,8",
    ])
    .await;
    assert_eq!(report["settings"]["fsync"], true);
    assert!(report["settings"]["header_bytes"].as_u64().unwrap() > 100);
    let ours = row(&report, "ours.8");
    assert_eq!(ours["unit"], "commands/s");
    assert!(
        ours["also"]["batch_messages"]["max"].as_u64().unwrap() >= 1,
        "{ours}"
    );
    assert!(row(&report, "raw.1")["latency"]["p99_us"].is_f64());
    for ratio in [
        "ours.1/raw.1",
        "ours.8/raw.8",
        "ours.8/raw.batch.64",
        "ours.8/raw.batch.256",
    ] {
        assert!(has_ratio(&report, ratio), "{ratio}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn append_takes_commands_of_several_events_on_one_product_without_fsync() {
    let arguments = [
        "append",
        "--seconds",
        "2",
        "--rounds",
        "1",
        "--callers",
        "4",
        "--events",
        "3",
        "--hot",
        "--no-fsync",
    ];
    let report = report(&arguments).await;
    assert_eq!(report["settings"]["fsync"], false);
    let ours = row(&report, "ours.4");
    let (commands, events) = (&ours["rate"], &ours["also"]["events_per_second"]);
    let per_command = events.as_f64().unwrap() / commands.as_f64().unwrap();
    assert!((per_command - 3.0).abs() < 0.1, "{ours}");
    assert_eq!(
        ours["also"].get("conflicts"),
        None,
        "one process has no conflicts with itself"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn project_sets_rows_against_upserts_and_copy_and_sees_rows_appear() {
    let arguments = [
        "project",
        "--seconds",
        "6",
        "--rounds",
        "1",
        "--orders",
        "60",
        "--trickle",
        "50",
    ];
    let report = report(&arguments).await;
    let settings = &report["settings"];
    assert_eq!(settings["orders"], 60);
    assert_eq!(settings["rows_in_tables"], 60);
    assert!(
        settings["relevant_events"].as_u64().unwrap() > 500,
        "{settings}"
    );
    assert!(
        settings["rows_written_a_run"].as_u64().unwrap() >= 60,
        "{settings}"
    );
    assert!(
        has_ratio(&report, "ours.alone/raw.upserts") && has_ratio(&report, "ours.alone/raw.copy")
    );
    let (seen, answered) = (
        row(&report, "ours.visible"),
        row(&report, "ours.visible.answered"),
    );
    assert_eq!(seen["latency"]["samples"], seen["count"]);
    let p50 = |row: &Value| row["latency"]["p50_us"].as_f64().unwrap();
    assert!(p50(answered) <= p50(seen), "{answered} {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_sets_a_rebuild_against_bare_consumption() {
    let arguments = [
        "replay",
        "--seconds",
        "6",
        "--rounds",
        "1",
        "--orders",
        "60",
        "--projection",
        "inventory",
    ];
    let report = report(&arguments).await;
    let events = report["settings"]["events"].as_u64().unwrap();
    for id in ["raw.consume", "ours.follow", "ours.decode", "ours.rebuild"] {
        assert_eq!(
            row(&report, id)["count"],
            events,
            "each reads all of the log"
        );
    }
    assert!(
        has_ratio(&report, "ours.decode/raw.consume")
            && has_ratio(&report, "ours.rebuild/raw.consume")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn load_reads_cold_from_snapshots_and_warm() {
    let arguments = [
        "load",
        "--seconds",
        "20",
        "--rounds",
        "1",
        "--sizes",
        "12,300",
        "--filler",
        "0",
    ];
    let report = report(&arguments).await;
    assert_eq!(
        report["settings"]["broker_restarted_before_each_round"],
        true
    );
    for events in [12, 300] {
        let cold = row(&report, &format!("ours.cold.{events}"));
        assert_eq!(cold["also"]["loads"]["kind=whole"], cold["count"]);
        let snapshot = row(&report, &format!("ours.snapshot.{events}"));
        assert_eq!(
            snapshot["also"]["loads"]["kind=snapshot"],
            snapshot["count"]
        );
        assert!(
            row(&report, &format!("ours.warm.{events}"))["also"]["loads"]["kind=warm"].is_u64()
        );
        assert!(has_ratio(
            &report,
            &format!("ours.cold.{events}/raw.read.{events}")
        ));
    }
    let idle = "ours.appends.idle";
    for (id, loads) in [
        (idle, None),
        ("ours.appends.beside", Some("kind=snapshot")),
        ("ours.appends.beside.whole", Some("kind=whole")),
    ] {
        let appends = row(&report, id);
        assert_eq!(appends["latency"]["samples"], appends["count"], "{appends}");
        if let Some(loads) = loads {
            // Of aggregates with a past, which nobody who only appends loads.
            assert!(appends["also"]["loads"][loads].is_u64(), "{appends}");
            assert!(has_ratio(&report, &format!("{id}/{idle}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn saga_places_orders_and_loses_none_to_a_kill() {
    let arguments = [
        "saga",
        "--seconds",
        "6",
        "--rounds",
        "1",
        "--callers",
        "2",
        "--kill-every",
        "1s",
    ];
    let report = report(&arguments).await;
    let orders = row(&report, "ours.orders");
    assert_eq!(orders["latency"]["samples"], orders["count"]);
    assert!(has_ratio(&report, "ours.orders/raw.sandbox"));
    assert_eq!(row(&report, "ours.killed")["also"]["lost"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_tells_everybody_once_although_one_call_in_seven_fails() {
    let arguments = [
        "notify",
        "--seconds",
        "30",
        "--notifications",
        "60",
        "--latency",
        "20ms",
        "--fail-every",
        "7",
    ];
    let report = report(&arguments).await;
    let ours = row(&report, "ours.notifications");
    assert_eq!(ours["count"], 60, "{ours}");
    assert_eq!(ours["also"]["statuses"]["sent"], 60, "{ours}");
    assert_eq!(ours["also"]["duplicates"], 0, "{ours}");
    assert!(ours["also"]["attempts"].as_u64().unwrap() > 60, "{ours}");
    assert!(
        ours["also"]["peak_memory_mib"].as_u64().unwrap() > 0,
        "{ours}"
    );
    assert!(has_ratio(&report, "ours.notifications/raw.calls"));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_sets_posts_against_the_write_path_and_a_bare_echo() {
    let arguments = [
        "http",
        "--seconds",
        "4",
        "--rounds",
        "1",
        "--callers",
        "1,4",
    ];
    let report = report(&arguments).await;
    for callers in [1, 4] {
        let ours = row(&report, &format!("ours.http.{callers}"));
        assert_eq!(ours["latency"]["samples"], ours["count"]);
        for other in ["ours.append", "raw.echo"] {
            let ratio = format!("ours.http.{callers}/{other}.{callers}");
            assert!(has_ratio(&report, &ratio), "{ratio}: {report}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_shows_no_conflict_of_two_processes_to_any_caller() {
    let arguments = ["hot", "--seconds", "8", "--rounds", "1", "--callers", "8"];
    let report = report(&arguments).await;
    assert_eq!(row(&report, "ours.hot")["also"]["conflicts"], 0);
    let two = row(&report, "ours.hot.two");
    assert_eq!(two["also"]["turned_away"], 0, "{two}");
    assert_eq!(two["latency"]["samples"], two["count"]);
    for ratio in [
        "ours.hot/ours.spread",
        "ours.others.meanwhile/ours.others.idle",
    ] {
        assert!(has_ratio(&report, ratio), "{ratio}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_goes_on_while_queries_are_answered() {
    let arguments = [
        "rebuild",
        "--seconds",
        "8",
        "--rounds",
        "1",
        "--orders",
        "60",
    ];
    let report = report(&arguments).await;
    let settings = &report["settings"];
    assert_eq!(
        row(&report, "ours.project")["count"],
        settings["relevant_events"]
    );
    assert_eq!(row(&report, "ours.rebuild")["count"], settings["events"]);
    for ratio in [
        "ours.rebuild/ours.project",
        "ours.queries.meanwhile/ours.queries.idle",
    ] {
        assert!(has_ratio(&report, ratio), "{ratio}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_weighs_each_role_and_the_broker_while_orders_wait() {
    let report = report(&["memory", "--seconds", "30", "--orders", "100"]).await;
    assert_eq!(report["settings"]["live_aggregates"], 300);
    assert_eq!(report["settings"]["touched_by_commands"], 100);
    for role in ["command-api", "projector", "saga-orchestrator"] {
        let role = row(&report, &format!("ours.{role}"));
        assert_eq!(role["unit"], "MB");
        let peak = role["also"]["peak_megabytes"].as_f64().unwrap();
        assert!(peak >= role["rate"].as_f64().unwrap() - 1.0, "{role}");
    }
    for broker in ["raw.broker", "raw.broker.rest"] {
        assert_eq!(row(&report, broker)["unit"], "KB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_a_table() {
    let text = bench(&[
        "append",
        "--seconds",
        "1",
        "--rounds",
        "1",
        "--callers",
        "2",
    ])
    .await;
    for wanted in [
        "waybill bench append",
        "ours, 2 callers",
        "raw publishes, 2 callers",
        "p99",
        "sync interval always",
        "ours : raw",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    }
}

//! The workflow runs the script that people run, on what a clean clone has, and the script holds a change to everything
//! that the project promises.

use std::process::Command;

use serde_yaml_ng::Value;

use crate::{project, read};

fn workflow() -> Value {
    serde_yaml_ng::from_str(&read(".github/workflows/ci.yml")).unwrap()
}

fn steps(workflow: &Value) -> &Vec<Value> {
    workflow["jobs"]["check"]["steps"].as_sequence().unwrap()
}

#[test]
fn the_workflow_runs_the_very_script_that_people_run_and_all_rounds_of_the_tests() {
    let workflow = workflow();
    let runs: Vec<&str> = steps(&workflow)
        .iter()
        .filter_map(|step| step["run"].as_str())
        .collect();
    assert_eq!(runs, ["bash .ci/run"]);
    let long = steps(&workflow)
        .iter()
        .any(|step| step["env"]["WAYBILL_LONG_TESTS"].as_i64() == Some(1));
    assert!(long, "tests that go in rounds run all of them");
    assert!(read("CONTRIBUTING.md").contains("bash .ci/run"));
}

#[test]
fn every_change_is_checked_with_no_more_rights_than_reading_and_within_a_limit() {
    let workflow = workflow();
    // `on` is read as it is written, and as the boolean that old readers make of it.
    let on = workflow
        .get("on")
        .or_else(|| workflow.get(Value::Bool(true)))
        .unwrap();
    assert!(on.get("pull_request").is_some(), "{on:?}");
    assert_eq!(on["push"]["branches"][0], "main");
    let rights = workflow["permissions"].as_mapping().unwrap();
    assert_eq!((rights.len(), &rights["contents"]), (1, &"read".into()));
    assert!(
        workflow["jobs"]["check"]["timeout-minutes"]
            .as_u64()
            .unwrap()
            <= 120
    );
    for step in steps(&workflow) {
        let Some(action) = step["uses"].as_str() else {
            continue;
        };
        // A tag can be moved to something else; a commit cannot.
        let commit = action.split_once('@').unwrap().1;
        let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(is_commit, "{action}");
    }
    // The corpus of stored events is checked over the whole history.
    assert_eq!(steps(&workflow)[0]["with"]["fetch-depth"].as_u64(), Some(0));
}

#[test]
fn the_script_checks_form_lints_dependencies_stored_events_and_all_tests_and_stops_at_the_first_no()
{
    let script = read(".ci/run");
    for part in [
        "set -euo pipefail",
        "cargo fmt --all --check",
        "cargo clippy --workspace --all-targets --locked -- -D warnings",
        "cargo deny check bans licenses sources",
        "event-schema/corpus/*.msgpack",
        "cargo test --workspace --locked",
    ] {
        assert!(script.contains(part), "{part}");
    }
    // A script that cannot be read would fail in the middle.
    let read = Command::new("bash")
        .arg("-n")
        .arg(project(".ci/run"))
        .output()
        .unwrap();
    assert!(read.status.success(), "{read:?}");
}

#[test]
fn the_fuzzer_makes_up_the_same_requests_in_every_run() {
    let test = read("waybill/tests/openapi/fuzzed.rs");
    let seed = test.split_once("const SEED: &str = \"").unwrap().1;
    let digits = seed.split_once('"').unwrap().0;
    assert!(!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    assert!(test.contains("\"--seed\", SEED"));
    assert!(!test.contains("#[ignore"));
}

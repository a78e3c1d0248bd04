//! `docs/features.md` is true: every test that it names exists, every route that it names is served, and no route is
//! missing from it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::document::{document, operations};

/// Columns between the bars of a row.
const AREA: usize = 1;
const CAPABILITY: usize = 2;
const WAYS_IN: usize = 3;
const TESTS: usize = 4;
/// What is said instead of tests where a capability is not built yet.
const NOT_YET: &str = "not yet";
/// Areas that the design names; a table without one of them has lost rows.
const AREAS: [&str; 16] = [
    "Customers, auth",
    "Cloud resources",
    "Partners, catalogue",
    "Inventory",
    "Orders",
    "Payments",
    "Fulfilment saga",
    "Delivery",
    "Notifications",
    "Analytics",
    "Gateway",
    "gRPC",
    "Broker door",
    "Replay",
    "Ops",
    "Delivery of the software",
];
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The table's rows, each cut at its bars.
fn rows() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("docs/features.md")).unwrap();
    let cells = |line: &str| line.split(" | ").map(cell).collect::<Vec<_>>();
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(cells);
    // The first is the heading.
    rows.skip(1)
        .map(|mut row| {
            row.insert(0, String::new());
            row
        })
        .collect()
}

fn cell(text: &str) -> String {
    text.trim_start_matches("| ")
        .trim_end_matches(" |")
        .trim()
        .to_owned()
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_table_of_features_names_exists() {
    let mut named = 0;
    for row in rows() {
        let capability = &row[CAPABILITY];
        let mut tests = quoted(&row[TESTS]).peekable();
        assert!(
            tests.peek().is_some() || row[TESTS].starts_with(NOT_YET),
            "{capability}: which test shows it?"
        );
        for test in tests {
            let (file, name) = test
                .split_once("::")
                .unwrap_or_else(|| panic!("{test} is not a path::name"));
            let source = std::fs::read_to_string(root().join(file))
                .unwrap_or_else(|error| panic!("{capability}: {file}: {error}"));
            assert!(
                source.contains(&format!("fn {name}(")),
                "{capability}: there is no test {name} in {file}"
            );
            named += 1;
        }
    }
    assert!(named > 60, "{named}");
}

#[test]
fn every_area_of_the_design_has_its_rows() {
    let areas: BTreeSet<String> = rows().into_iter().map(|mut row| row.remove(AREA)).collect();
    assert_eq!(areas, AREAS.map(str::to_owned).into());
}

#[tokio::test]
async fn the_table_of_features_names_the_routes_that_there_are() {
    let document = document().await;
    let served: BTreeSet<String> = operations(&document)
        .into_iter()
        .map(|(route, _)| route)
        .collect();
    let rows = rows();
    let named: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| quoted(&row[WAYS_IN]))
        .map(|words| words.split('?').next().unwrap_or_default())
        .filter(|words| {
            let mut methods = METHODS.iter();
            methods.any(|method| words.starts_with(&format!("{method} /v1/")))
        })
        .map(str::to_owned)
        .collect();
    let api: BTreeSet<String> = served
        .into_iter()
        .filter(|route| route.contains("/v1/"))
        .collect();
    let unlisted: Vec<_> = api.difference(&named).collect();
    assert!(
        unlisted.is_empty(),
        "no row has these routes: {unlisted:#?}"
    );
    let unserved: Vec<_> = named.difference(&api).collect();
    assert!(unserved.is_empty(), "nobody serves: {unserved:#?}");
}

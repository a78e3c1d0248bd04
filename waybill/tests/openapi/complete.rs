//! Every route, every error and an example of each are in the one document, whichever service has the route.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::document::{document, operations};

/// What any route can answer, whatever it does.
const ANYWHERE: [&str; 3] = ["429", "500", "503"];

#[tokio::test]
async fn every_route_has_a_name_of_its_own_a_sentence_and_an_area() {
    let document = document().await;
    let areas: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    let mut names = BTreeMap::new();
    for (route, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        if let Some(other) = names.insert(name, route.clone()) {
            panic!("{route} and {other} are both called {name}");
        }
        assert!(operation["summary"].is_string(), "{route} says nothing");
        for tag in operation["tags"].as_array().unwrap() {
            let tag = tag.as_str().unwrap();
            assert!(
                areas.contains(tag),
                "{route}: nobody describes the area {tag}"
            );
        }
    }
    assert!(names.len() > 60, "{}", names.len());
}

#[tokio::test]
async fn every_error_of_every_route_names_its_codes_and_shows_a_problem() {
    let document = document().await;
    for (route, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            !responses.contains_key("default"),
            "{route}: nothing is undocumented when anything is documented"
        );
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{route} never succeeds"
        );
        for needed in ANYWHERE {
            assert!(responses.contains_key(needed), "{route}: {needed}");
        }
        for (status, response) in responses
            .iter()
            .filter(|(status, _)| status.as_str() >= "400")
        {
            let problem = &response["content"]["application/problem+json"];
            assert_eq!(
                problem["schema"]["$ref"], "#/components/schemas/Problem",
                "{route} {status}"
            );
            let example = &problem["example"];
            assert_eq!(
                example["status"].to_string(),
                *status,
                "{route} {status}: {example}"
            );
            let code = example["code"].as_str().unwrap();
            assert_eq!(example["type"], format!("urn:waybill:problem:{code}"));
            let retry = response["headers"]["Retry-After"].is_object();
            assert_eq!(
                retry,
                ["429", "503"].contains(&status.as_str()),
                "{route} {status}"
            );
        }
    }
}

#[tokio::test]
async fn every_answer_that_has_a_body_has_a_form() {
    let document = document().await;
    for (route, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let forms = response["content"].as_object().into_iter().flatten();
            // A picture is its media type.
            for (kind, content) in forms.filter(|(kind, _)| !kind.starts_with("image/")) {
                assert!(content["schema"].is_object(), "{route} {status} {kind}");
            }
        }
    }
}

#[tokio::test]
async fn every_text_that_a_caller_sends_has_an_example() {
    let document = document().await;
    let mut missing = BTreeSet::new();
    for (route, operation) in operations(&document) {
        let content = operation["requestBody"]["content"].as_object();
        for (kind, content) in content.into_iter().flatten() {
            let shown = content.get("example").is_some() || content.get("examples").is_some();
            // Files are not shown, and a provider's events are described by the provider.
            if !shown && kind == "application/json" && !route.contains("/webhooks/payments/") {
                texts_without_example(&document, &content["schema"], &route, &mut missing);
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Texts that are not of a fixed form or choice.
fn texts_without_example(
    document: &Value,
    schema: &Value,
    at: &str,
    missing: &mut BTreeSet<String>,
) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{at}: {reference} is nowhere")),
        None => schema,
    };
    if ["example", "examples", "enum", "format", "const"]
        .iter()
        .any(|told| schema.get(told).is_some())
    {
        return;
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        for one in schema[choice].as_array().into_iter().flatten() {
            texts_without_example(document, one, at, missing);
        }
    }
    if schema["items"].is_object() {
        texts_without_example(document, &schema["items"], &format!("{at}[]"), missing);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        texts_without_example(document, property, &format!("{at} {name}"), missing);
    }
    let is_text = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "string"),
        kind => kind == "string",
    };
    if is_text {
        missing.insert(at.to_owned());
    }
}

//! Sagas by hand, at a door behind which no orchestrator runs. With one it is the whole program's tests' turn.

use http::Method;
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::shop::Shop;

const VERBS: [&str; 5] = ["retry", "skip", "resolve", "abort", "close"];

/// A command that every verb accepts.
fn complete() -> Value {
    json!({"step": "refund", "outcome": "ok", "evidence": "re_1", "reason": "ticket 4711"})
}

#[tokio::test]
async fn without_an_orchestrator_the_caller_is_told_that_nothing_was_ordered_and_to_come_back() {
    let shop = Shop::open().await;
    for verb in VERBS {
        let path = format!("/v1/sagas/{}/{verb}", Uuid::now_v7());
        let told = shop
            .admin(Method::POST, &path)
            .new_key()
            .json(&complete())
            .send()
            .await;
        told.is_problem(503, "orchestrator_unavailable");
        assert!(told.header("retry-after").parse::<u64>().unwrap() > 0);
        let detail = told.body["detail"].as_str().unwrap();
        assert!(detail.contains("nothing was ordered"), "{detail}");
        for role in [Role::Customer, Role::Partner, Role::Deliverer] {
            shop.by(role, Uuid::now_v7(), Method::POST, &path)
                .new_key()
                .json(&complete())
                .send()
                .await
                .is_problem(403, "forbidden");
        }
    }
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_before_anybody_is_asked() {
    let shop = Shop::open().await;
    let id = Uuid::now_v7();
    for (verb, body, pointers) in [
        ("close", json!({}), vec!["/reason"]),
        ("abort", json!({"reason": ""}), vec!["/reason"]),
        (
            "retry",
            json!({"reason": "x", "dry_run": "yes"}),
            vec!["/dry_run"],
        ),
        (
            "retry",
            json!({"reason": "x", "stepp": "refund"}),
            vec!["/stepp"],
        ),
        ("skip", json!({"reason": "x"}), vec!["/step"]),
        (
            "resolve",
            json!({"step": "refunds", "outcome": "done", "evidence": " ", "reason": "x"}),
            vec!["/step", "/outcome", "/evidence"],
        ),
        (
            "close",
            json!({"order_id": Uuid::now_v7(), "reason": "x"}),
            vec!["/order_id"],
        ),
    ] {
        let told = shop
            .admin(Method::POST, &format!("/v1/sagas/{id}/{verb}"))
            .new_key()
            .json(&body)
            .send()
            .await;
        told.is_problem(422, "invalid");
        let errors = told.body["errors"].as_array().unwrap().iter();
        let named: Vec<_> = errors
            .map(|error| error["pointer"].as_str().unwrap())
            .collect();
        assert_eq!(named, pointers, "{verb} {body}");
    }
    shop.admin(Method::POST, "/v1/sagas/nonsense/close")
        .new_key()
        .json(&complete())
        .send()
        .await
        .is_problem(404, "not_found");
}

#[test]
fn the_document_has_an_example_for_every_command_of_a_saga() {
    let document = serde_json::to_value(command_api::openapi()).unwrap();
    for verb in VERBS {
        let operation = &document["paths"][format!("/v1/sagas/{{id}}/{verb}")]["post"];
        let body = &operation["requestBody"]["content"]["application/json"];
        assert!(body["example"]["reason"].is_string(), "{verb}: {body}");
        for status in [
            "200", "202", "400", "404", "409", "413", "415", "422", "429", "503",
        ] {
            assert!(
                operation["responses"][status].is_object(),
                "{verb} {status}"
            );
        }
        let key = operation["parameters"].as_array().unwrap().iter();
        let key: Vec<_> = key.filter(|one| one["name"] == "Idempotency-Key").collect();
        assert_eq!(key.len(), 1, "{verb}");
        assert_eq!(key[0]["required"], true, "{verb}");
    }
    let answer = &document["components"]["schemas"]["SagaCommanded"];
    assert!(
        answer["properties"]["would"]["example"].is_array(),
        "{answer}"
    );
}

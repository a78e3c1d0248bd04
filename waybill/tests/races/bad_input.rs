//! What is not there, what is old, and what cannot be read, at every route that it can happen to.

use serde_json::Value;
use testkit::{Answer, answer};

use crate::stage::Stage;

/// One byte more than is taken.
const TOO_LARGE_BYTES: usize = 1024 * 1024 + 1;

fn is_problem(answer: &Answer, status: u16, code: &str) -> bool {
    answer.status.as_u16() == status && answer.body["code"] == code
}

/// All of them at once: a list says more than the first.
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_nobody_has_is_404_at_every_route_with_an_id() {
    let stage = Stage::open().await;
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for route in &stage.routes {
        // Signed messages are refused for their signature; there is no other way to send them.
        if route.ids().is_empty() || route.has_tag("webhooks") {
            continue;
        }
        let user = stage.user(route).await;
        let path = stage.path_to_nothing(route);
        let body = stage.body(route).await;
        let before = stage.log_end().await;
        let told = answer(route.request(&user, &path, body.as_ref())).await;
        if !is_problem(&told, 404, "not_found") {
            wrong.push(format!("{} {path}: {told:?}", route.method));
        }
        assert_eq!(stage.log_end().await, before, "{path} left something");
        tried += 1;
    }
    none(&wrong);
    assert!(tried > 30, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_is_412_at_every_route_with_if_match() {
    let stage = Stage::open().await;
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for route in &stage.routes {
        // Files are no JSON; the one route that takes one is tried with a picture by its own tests.
        if route.header("If-Match").is_none() || route.takes_a_form() {
            continue;
        }
        let (user, path) = match route.name.as_str() {
            // What the caller's token names is changed, so he has to be somebody.
            "change_me" | "delete_me" => (stage.customer.clone(), route.path.clone()),
            // A step that is not due is refused for that, whatever the caller has seen.
            "cancel_order" | "make_order_ready" | "assign_order" | "deliver_order" => {
                let (user, order) = stage.order_before(&route.name).await;
                (user, route.path.replace("{id}", &order))
            }
            "unassign_resource" => {
                stage.assign().await;
                (stage.user(route).await, stage.path(route))
            }
            _ => (stage.user(route).await, stage.path(route)),
        };
        let body = stage.body(route).await;
        let request = route
            .request(&user, &path, body.as_ref())
            .header("If-Match", "\"987654\"");
        let told = answer(request).await;
        if !is_problem(&told, 412, "stale_version") {
            wrong.push(format!("{} {path}: {told:?}", route.method));
        }
        tried += 1;
    }
    none(&wrong);
    assert!(tried > 10, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_read_are_refused_alike_at_every_route() {
    let stage = Stage::open().await;
    let (mut wrong, mut tried) = (Vec::new(), 0);
    let large = format!("\"{}\"", "x".repeat(TOO_LARGE_BYTES));
    for route in &stage.routes {
        if !route.takes_json() || route.has_tag("webhooks") {
            continue;
        }
        let user = stage.user(route).await;
        let path = stage.path(route);
        let send = |kind: &'static str, body: String| {
            let request = route
                .request(&user, &path, None)
                .header("Content-Type", kind);
            answer(request.body(body))
        };
        let json = "application/json";
        let unknown = r#"{"no_such_field": 1}"#;
        for (kind, body, status, code) in [
            (json, "{\"a\":", 400, "unreadable_json"),
            (json, "", 400, "unreadable_json"),
            ("text/plain", "{}", 415, "unsupported_media_type"),
            (json, &large, 413, "body_too_large"),
            (json, "[]", 422, "invalid"),
            (json, unknown, 422, "invalid"),
        ] {
            let told = send(kind, body.to_owned()).await;
            if !is_problem(&told, status, code) {
                let body = &body[..body.len().min(40)];
                wrong.push(format!("{} {path} {kind} {body}: {told:?}", route.method));
            }
        }
        // A field that there is not is named.
        let told = send(json, unknown.to_owned()).await;
        let named = told.body["errors"].as_array().into_iter().flatten();
        let pointers: Vec<&Value> = named.map(|error| &error["pointer"]).collect();
        if !pointers.iter().any(|pointer| **pointer == "/no_such_field") {
            wrong.push(format!("{} {path}: {told:?}", route.method));
        }
        tried += 1;
    }
    none(&wrong);
    assert!(tried > 20, "{tried}");
}

//! A partner's system that takes every webhook: `POST /webhooks/{name}`. It answers 200 and keeps what came with the
//! headers of Standard Webhooks; it does not check the signature, because it does not know the secret.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::Sandbox;
use crate::answer::{Language, answer};
use crate::message::{Message, Via};

/// What tells a message, its age and its sender.
const SHOWN: [&str; 4] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "user-agent",
];

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new().route("/webhooks/{name}", post(take))
}

async fn take(
    State(sandbox): State<Sandbox>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let data: Option<Value> = serde_json::from_slice(&body).ok();
    let kind = data
        .as_ref()
        .and_then(|data| Some(data.get("type")?.as_str()?.to_owned()));
    let shown = SHOWN.iter().filter_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    let message = Message {
        subject: kind,
        // Byte for byte as signed.
        text: Some(String::from_utf8_lossy(&body).into_owned()),
        headers: shown.collect(),
        data,
        ..Message::new(Via::Webhook, name)
    };
    answer(&sandbox, message, &Partner).await
}

struct Partner;

impl Language for Partner {
    fn taken(&self, _message: &Message) -> Response {
        Json(json!({ "received": true })).into_response()
    }

    fn too_many(&self) -> Response {
        ([("retry-after", "1")], StatusCode::TOO_MANY_REQUESTS).into_response()
    }

    fn unavailable(&self) -> Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }

    fn rejected(&self) -> Response {
        (StatusCode::BAD_REQUEST, "not understood").into_response()
    }

    fn dead(&self) -> Response {
        StatusCode::GONE.into_response()
    }
}

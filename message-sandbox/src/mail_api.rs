//! A mail API of Resend's shape: `POST /emails` with an `Idempotency-Key`, `GET /emails/{id}`.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::Sandbox;
use crate::answer::{Language, answer};
use crate::message::{Message, Via};

const KEY_CHARS_MAX: usize = 256;
const RECIPIENTS_MAX: usize = 50;

/// A mail as the API takes it.
#[derive(Debug, Deserialize)]
struct Mail {
    from: String,
    to: OneOrMore,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    html: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/emails", post(send))
        .route("/emails/{id}", get(show))
}

fn error(status: u16, name: &str, message: &str) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({ "statusCode": status, "name": name, "message": message });
    (code, Json(body)).into_response()
}

fn bearer(headers: &HeaderMap) -> bool {
    headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .is_some_and(|key| !key.trim().is_empty())
}

async fn send(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if !bearer(&headers) {
        return error(
            401,
            "missing_api_key",
            "Missing API key in the authorization header.",
        );
    }
    let key = match headers.get("idempotency-key").map(|value| value.to_str()) {
        None => None,
        Some(Ok(key)) if (1..=KEY_CHARS_MAX).contains(&key.len()) => Some(key.to_owned()),
        Some(_) => {
            return error(
                400,
                "invalid_idempotency_key",
                "The key must be between 1-256 chars.",
            );
        }
    };
    let mail: Mail = match serde_json::from_slice(&body) {
        Ok(mail) => mail,
        Err(problem) => return error(422, "validation_error", &problem.to_string()),
    };
    let to = match mail.to {
        OneOrMore::One(to) => vec![to],
        OneOrMore::More(to) => to,
    };
    let usable = |address: &String| address.contains('@') && !address.contains(['\r', '\n']);
    if to.is_empty() || to.len() > RECIPIENTS_MAX || !to.iter().all(usable) {
        return error(422, "validation_error", "Invalid `to` field.");
    }
    if !usable(&mail.from) {
        return error(422, "invalid_from_address", "Invalid `from` field.");
    }
    if mail.text.is_none() && mail.html.is_none() {
        return error(
            422,
            "missing_required_field",
            "Missing `html` or `text` field.",
        );
    }
    let fingerprint = hex::encode(digest::digest(&digest::SHA256, &body));
    let message = Message {
        from: Some(mail.from),
        subject: mail.subject,
        text: mail.text,
        html: mail.html,
        headers: mail.headers,
        fingerprint: key.is_some().then_some(fingerprint),
        key,
        ..Message::new(Via::MailApi, to.join(", "))
    };
    answer(&sandbox, message, &Resend).await
}

async fn show(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    if !bearer(&headers) {
        return error(
            401,
            "missing_api_key",
            "Missing API key in the authorization header.",
        );
    }
    let found = Uuid::parse_str(&id)
        .ok()
        .and_then(|id| sandbox.store().find(id));
    match found.filter(|message| message.via == Via::MailApi) {
        Some(message) => Json(json!({
            "object": "email", "id": message.id, "to": [message.to], "from": message.from,
            "created_at": message.arrived_at, "subject": message.subject, "html": message.html,
            "text": message.text, "last_event": "delivered",
        }))
        .into_response(),
        None => error(404, "not_found", "Email not found"),
    }
}

struct Resend;

impl Language for Resend {
    fn taken(&self, message: &Message) -> Response {
        Json(json!({ "id": message.id })).into_response()
    }

    fn other_content(&self) -> Response {
        error(
            409,
            "invalid_idempotent_request",
            "Same idempotency key used with a different request payload.",
        )
    }

    fn too_many(&self) -> Response {
        let answer = error(429, "rate_limit_exceeded", "Too many requests.");
        ([("retry-after", "1")], answer).into_response()
    }

    fn unavailable(&self) -> Response {
        error(503, "service_unavailable", "The service is not available.")
    }

    fn rejected(&self) -> Response {
        error(422, "validation_error", "Invalid `to` field.")
    }

    fn dead(&self) -> Response {
        self.rejected()
    }
}

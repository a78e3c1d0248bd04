//! Firebase Cloud Messaging, HTTP v1: `POST /token` turns an assertion of the service account into an access token,
//! `POST /v1/projects/{project}/messages:send` takes a push under it. A push knows no idempotency key.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Sandbox;
use crate::answer::{Language, answer};
use crate::message::{Message, Via};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOKEN_LIVES: Duration = Duration::from_secs(3_600);
/// The oldest are forgotten, and their holders fetch new ones.
const TOKENS_MAX: usize = 100;
/// Google's own limit.
const DATA_BYTES_MAX: usize = 4_096;

/// The access tokens that were granted. They are gone with the process, as they may be at any time.
#[derive(Debug, Default)]
pub(crate) struct Granted(Mutex<VecDeque<(String, Timestamp)>>);

impl Granted {
    fn grant(&self) -> Option<String> {
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        let token = format!("ya29.{}", hex::encode(secret));
        let until = Timestamp::now().checked_add(TOKEN_LIVES).ok()?;
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push_back((token.clone(), until));
        while tokens.len() > TOKENS_MAX {
            tokens.pop_front();
        }
        Some(token)
    }

    fn holds(&self, token: &str) -> bool {
        let now = Timestamp::now();
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens
            .iter()
            .any(|(known, until)| known == token && *until > now)
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: String,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Envelope {
    message: Push,
}

#[derive(Deserialize)]
struct Push {
    #[serde(default)]
    token: String,
    #[serde(default)]
    notification: Option<Notification>,
    #[serde(default)]
    data: Option<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
struct Notification {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    body: Option<String>,
}

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/token", post(token))
        .route("/v1/projects/{project}/{call}", post(send))
}

async fn token(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    let refused = |name: &str, why: &str| {
        let body = json!({ "error": name, "error_description": why });
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    };
    let mut fields = form_urlencoded::parse(&body);
    let mut field = |wanted: &str| {
        fields
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    if field("grant_type").as_deref() != Some(GRANT) {
        return refused("unsupported_grant_type", "Invalid grant_type");
    }
    let assertion = form_urlencoded::parse(&body)
        .find(|(name, _)| name == "assertion")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let account = sandbox.account();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[account.token_uri()]);
    validation.set_issuer(&[account.email()]);
    let key = DecodingKey::from_rsa_der(account.public_key());
    match decode::<Claims>(&assertion, &key, &validation) {
        Err(error) => refused("invalid_grant", &format!("Invalid JWT: {error}")),
        Ok(told) if !told.claims.scope.split(' ').any(|scope| scope == SCOPE) => {
            refused("invalid_scope", "The scope of the account's only service is missing")
        }
        Ok(told) if told.claims.exp - told.claims.iat > 3_600 || told.claims.iss.is_empty() => {
            refused("invalid_grant", "Token must be a short-lived token (60 minutes)")
        }
        Ok(_) => match sandbox.granted().grant() {
            Some(token) => Json(json!({
                "access_token": token, "expires_in": TOKEN_LIVES.as_secs() - 1, "token_type": "Bearer",
            }))
            .into_response(),
            None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
    }
}

fn error(status: u16, name: &str, message: &str, code: Option<&str>) -> Response {
    let http = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let details = code.map(|code| {
        json!([{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }])
    });
    let mut error = json!({ "code": status, "message": message, "status": name });
    if let Some(details) = details {
        error["details"] = details;
    }
    (http, Json(json!({ "error": error }))).into_response()
}

async fn send(
    State(sandbox): State<Sandbox>,
    Path((project, call)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if call != "messages:send" {
        return error(404, "NOT_FOUND", "There is no such method.", None);
    }
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if !bearer.is_some_and(|token| sandbox.granted().holds(token)) {
        let why = "Request had invalid authentication credentials.";
        return error(401, "UNAUTHENTICATED", why, None);
    }
    if project != sandbox.account().project() {
        let why = "SenderId mismatch";
        return error(403, "PERMISSION_DENIED", why, Some("SENDER_ID_MISMATCH"));
    }
    let invalid = |why: &str| error(400, "INVALID_ARGUMENT", why, Some("INVALID_ARGUMENT"));
    let push = match serde_json::from_slice::<Envelope>(&body) {
        Ok(envelope) => envelope.message,
        Err(problem) => return invalid(&format!("Invalid JSON payload received. {problem}")),
    };
    if push.token.is_empty() {
        return invalid("The registration token is not a valid FCM registration token");
    }
    if push
        .data
        .iter()
        .flat_map(|data| data.values())
        .any(|value| !value.is_string())
    {
        return invalid("Invalid value at 'message.data': values are strings");
    }
    if body.len() > DATA_BYTES_MAX * 2 {
        return invalid("Android message is too big");
    }
    let (title, text) = match push.notification {
        Some(notification) => (notification.title, notification.body),
        None => (None, None),
    };
    let message = Message {
        subject: title,
        text,
        data: push.data.map(Value::Object),
        ..Message::new(Via::Fcm, push.token)
    };
    answer(&sandbox, message, &Fcm { project: &project }).await
}

struct Fcm<'a> {
    project: &'a str,
}

impl Language for Fcm<'_> {
    fn taken(&self, message: &Message) -> Response {
        let name = format!("projects/{}/messages/{}", self.project, message.id);
        Json(json!({ "name": name })).into_response()
    }

    fn too_many(&self) -> Response {
        let why = "Quota exceeded for quota metric.";
        let answer = error(429, "RESOURCE_EXHAUSTED", why, Some("QUOTA_EXCEEDED"));
        ([("retry-after", "1")], answer).into_response()
    }

    fn unavailable(&self) -> Response {
        error(
            503,
            "UNAVAILABLE",
            "The service is currently unavailable.",
            Some("UNAVAILABLE"),
        )
    }

    fn rejected(&self) -> Response {
        let why = "The registration token is not a valid FCM registration token";
        error(400, "INVALID_ARGUMENT", why, Some("INVALID_ARGUMENT"))
    }

    fn dead(&self) -> Response {
        error(
            404,
            "NOT_FOUND",
            "Requested entity was not found.",
            Some("UNREGISTERED"),
        )
    }
}

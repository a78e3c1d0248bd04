//! An SMS API of Twilio's shape: `POST` and `GET /2010-04-01/Accounts/{sid}/Messages.json`. It knows no idempotency key.

use std::borrow::Cow;
use std::collections::HashMap;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::{Value, json};

use crate::Sandbox;
use crate::answer::{Language, answer};
use crate::message::{Message, Via};

const TEXT_CHARS_MAX: usize = 1_600;
const PAGE_MAX: usize = 1_000;
const PAGE: usize = 50;

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new().route(
        "/2010-04-01/Accounts/{account}/Messages.json",
        post(send).get(list),
    )
}

fn error(status: u16, code: u32, message: &str) -> Response {
    let http = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({ "code": code, "message": message, "more_info": more, "status": status });
    (http, Json(body)).into_response()
}

/// Account and token by Basic authentication; any token is believed.
fn is_account(headers: &HeaderMap, account: &str) -> bool {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|value| STANDARD.decode(value.trim()).ok());
    let Some((user, token)) = given.as_deref().and_then(|bytes| {
        let colon = bytes.iter().position(|byte| *byte == b':')?;
        Some((&bytes[..colon], &bytes[colon + 1..]))
    }) else {
        return false;
    };
    user == account.as_bytes() && !token.is_empty()
}

/// A number in the form of E.164.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or("");
    (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn fields(bytes: &[u8]) -> HashMap<Cow<'_, str>, Cow<'_, str>> {
    form_urlencoded::parse(bytes).collect()
}

/// Twilio's ids are 34 characters.
fn sid(message: &Message) -> String {
    format!("SM{}", message.id.simple())
}

fn shown(account: &str, message: &Message) -> Value {
    let date = rfc_2822(message.arrived_at);
    json!({
        "sid": sid(message), "account_sid": account, "to": message.to, "from": message.from, "body": message.text,
        "status": "delivered", "direction": "outbound-api", "num_segments": "1", "error_code": null,
        "date_created": date, "date_sent": date, "date_updated": date,
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{}.json", sid(message)),
    })
}

fn rfc_2822(at: Timestamp) -> Option<String> {
    rfc2822::DateTimePrinter::new()
        .timestamp_to_string(&at)
        .ok()
}

async fn send(
    State(sandbox): State<Sandbox>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_account(&headers, &account) {
        return error(401, 20003, "Authenticate");
    }
    let fields = fields(&body);
    let field = |name: &str| {
        fields
            .get(name)
            .map(|value| value.trim())
            .unwrap_or_default()
    };
    let (to, text) = (field("To"), field("Body"));
    let from = match field("From") {
        "" => field("MessagingServiceSid"),
        from => from,
    };
    if from.is_empty() {
        return error(400, 21603, "A 'From' phone number is required.");
    }
    if !is_number(to) {
        return error(400, 21211, &format!("Invalid 'To' Phone Number: {to}"));
    }
    if text.is_empty() {
        return error(400, 21602, "Message body is required.");
    }
    if text.chars().count() > TEXT_CHARS_MAX {
        return error(
            400,
            21617,
            "The concatenated message body exceeds the 1600 character limit.",
        );
    }
    let message = Message {
        from: Some(from.to_owned()),
        text: Some(text.to_owned()),
        ..Message::new(Via::SmsApi, to)
    };
    answer(&sandbox, message, &Twilio { account: &account }).await
}

/// Newest first, of one number and not before a day or a moment.
async fn list(
    State(sandbox): State<Sandbox>,
    Path(account): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    if !is_account(&headers, &account) {
        return error(401, 20003, "Authenticate");
    }
    let query = query.unwrap_or_default();
    let fields = fields(query.as_bytes());
    let number = |name: &str, usual: usize| match fields.get(name) {
        Some(text) => text.parse().ok(),
        None => Some(usual),
    };
    let (Some(size), Some(page)) = (number("PageSize", PAGE), number("Page", 0)) else {
        return error(400, 20001, "PageSize and Page are numbers");
    };
    let size = size.clamp(1, PAGE_MAX);
    let to = fields.get("To");
    let found: Vec<_> = sandbox
        .store()
        .newest()
        .into_iter()
        .filter(|message| message.via == Via::SmsApi)
        .filter(|message| to.is_none_or(|to| message.to == to.trim()))
        .collect();
    let of_page: Vec<_> = found
        .iter()
        .skip(page.saturating_mul(size))
        .take(size)
        .map(|message| shown(&account, message))
        .collect();
    let more = found.len() > (page + 1).saturating_mul(size);
    let next = more.then(|| {
        let mut next = form_urlencoded::Serializer::new(String::new());
        if let Some(to) = to {
            next.append_pair("To", to);
        }
        next.append_pair("PageSize", &size.to_string());
        next.append_pair("Page", &(page + 1).to_string());
        format!(
            "/2010-04-01/Accounts/{account}/Messages.json?{}",
            next.finish()
        )
    });
    Json(json!({ "messages": of_page, "page": page, "page_size": size, "next_page_uri": next }))
        .into_response()
}

struct Twilio<'a> {
    account: &'a str,
}

impl Language for Twilio<'_> {
    fn taken(&self, message: &Message) -> Response {
        let mut body = shown(self.account, message);
        body["status"] = json!("queued");
        (StatusCode::CREATED, Json(body)).into_response()
    }

    fn too_many(&self) -> Response {
        error(429, 20429, "Too Many Requests")
    }

    fn unavailable(&self) -> Response {
        error(503, 20503, "Service Unavailable")
    }

    fn rejected(&self) -> Response {
        error(400, 21211, "Invalid 'To' Phone Number")
    }

    fn dead(&self) -> Response {
        error(400, 21610, "Attempt to send to unsubscribed recipient")
    }
}

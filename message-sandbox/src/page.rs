//! `GET /messages`: what people would have got, for people; `GET /messages.json`: the same for programs; `DELETE` of
//! either forgets it. The page needs nothing from elsewhere, and a mail's HTML can do nothing in it: it stands in a frame
//! without scripts, and the page's policy lets nothing be loaded.

use std::fmt::Write as _;

use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::json;

use crate::Sandbox;
use crate::message::{Channel, Message};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    details{border:1px solid #ccc;border-radius:.4rem;margin:.5rem 0;padding:.3rem .8rem}summary{cursor:pointer}\
    summary b{display:inline-block;min-width:5rem}time,.note{color:#666;font-size:.9rem}\
    pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f6f6;padding:.6rem;border-radius:.3rem}\
    iframe{width:100%;height:24rem;border:1px solid #ddd;border-radius:.3rem;background:#fff}\
    dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9rem}dd{margin:0;overflow-wrap:anywhere}";
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
const SHOWN_MAX: usize = 200;

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/messages") }))
        .route("/messages", get(page).delete(clear))
        .route("/messages.json", get(list).delete(clear))
}

/// What is asked for.
#[derive(Default)]
struct Asked {
    channel: Option<Channel>,
    to: Option<String>,
    order: Option<String>,
}

impl Asked {
    fn read(query: Option<String>) -> Result<Self, String> {
        let mut asked = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "channel" => {
                    let found = Channel::ALL.into_iter().find(|c| c.name() == value);
                    asked.channel =
                        Some(found.ok_or("channel is email, sms, push or webhook".to_owned())?);
                }
                "to" => asked.to = Some(value.into_owned()),
                "order" => asked.order = Some(value.into_owned()),
                other => return Err(format!("`{other}` is not one of channel, to, order")),
            }
        }
        Ok(asked)
    }

    fn fits(&self, message: &Message) -> bool {
        self.channel.is_none_or(|wanted| wanted == message.channel)
            && self
                .to
                .as_ref()
                .is_none_or(|to| message.to.contains(to.as_str()))
            && self
                .order
                .as_ref()
                .is_none_or(|order| is_about(message, order))
    }
}

/// By its header, its data or its text.
fn is_about(message: &Message, order: &str) -> bool {
    let in_headers = message.headers.values().any(|value| value.contains(order));
    let in_data = || {
        message
            .data
            .as_ref()
            .is_some_and(|data| data.to_string().contains(order))
    };
    let in_text = || {
        message
            .text
            .as_ref()
            .is_some_and(|text| text.contains(order))
    };
    in_headers || in_data() || in_text()
}

async fn list(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let asked = match Asked::read(query) {
        Ok(asked) => asked,
        Err(why) => {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response();
        }
    };
    let newest = sandbox.store().newest();
    let data: Vec<&Message> = newest
        .iter()
        .map(AsRef::as_ref)
        .filter(|message| asked.fits(message))
        .collect();
    Json(json!({ "data": data, "arrived": sandbox.store().arrived() })).into_response()
}

async fn clear(State(sandbox): State<Sandbox>) -> Response {
    match sandbox.store().clear() {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::error!(%error, "messages cannot be forgotten");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn page(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let asked = match Asked::read(query) {
        Ok(asked) => asked,
        Err(why) => return (StatusCode::BAD_REQUEST, why).into_response(),
    };
    let newest = sandbox.store().newest();
    let mut shown = String::new();
    let mut count = 0;
    for message in newest
        .iter()
        .filter(|message| asked.fits(message))
        .take(SHOWN_MAX)
    {
        write_message(&mut shown, message);
        count += 1;
    }
    if count == 0 {
        shown.push_str("<p>Nothing yet.</p>");
    }
    let filters: String = Channel::ALL
        .iter()
        .map(|channel| {
            format!(
                " · <a href=\"/messages?channel={0}\">{0}</a>",
                channel.name()
            )
        })
        .collect();
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Messages</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style><h1>What people would have got</h1>\
         <p class=\"note\">Newest first; load the page again to see more. Nothing of this left the machine. \
         <a href=\"/messages\">all</a>{filters} · <a href=\"/messages.json\">JSON</a></p>{shown}</html>"
    );
    let headers = [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ];
    (headers, Html(html)).into_response()
}

fn write_message(page: &mut String, message: &Message) {
    // Writing to a text cannot fail.
    let title = message
        .subject
        .as_deref()
        .or(message.text.as_deref())
        .unwrap_or("(nothing)");
    let title: String = title.chars().take(120).collect();
    let _ = write!(
        page,
        "<details><summary><b>{}</b> {} <i>to {}</i> <time>{}</time></summary>",
        message.channel.name(),
        escaped(&title),
        escaped(&message.to),
        message.arrived_at,
    );
    if let Some(text) = &message.text {
        let _ = write!(page, "<pre>{}</pre>", escaped(text));
    }
    if let Some(html) = &message.html {
        let _ = write!(
            page,
            "<iframe sandbox srcdoc=\"{}\" title=\"The mail\"></iframe>",
            escaped(html)
        );
    }
    page.push_str("<dl>");
    let mut term = |name: &str, value: &str| {
        let _ = write!(
            page,
            "<dt>{}</dt><dd>{}</dd>",
            escaped(name),
            escaped(value)
        );
    };
    if let Some(from) = &message.from {
        term("from", from);
    }
    for (name, value) in &message.headers {
        term(name, value);
    }
    if let (Some(data), Some(text)) = (&message.data, &message.text)
        && serde_json::from_str::<serde_json::Value>(text)
            .ok()
            .as_ref()
            != Some(data)
    {
        term("data", &data.to_string());
    }
    term("id", &message.id.to_string());
    page.push_str("</dl></details>");
}

/// As text and as the value of an attribute in double quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Via;

    #[test]
    fn nothing_of_a_message_becomes_part_of_the_page() {
        let evil = "\"></iframe><script>alert(1)</script><img src=x onerror='y'>";
        let message = Message {
            from: Some(evil.into()),
            subject: Some(evil.into()),
            text: Some(evil.into()),
            html: Some(evil.into()),
            headers: [(evil.to_owned(), evil.to_owned())].into(),
            data: Some(json!({ "x": evil })),
            ..Message::new(Via::Smtp, evil)
        };
        let mut page = String::new();
        write_message(&mut page, &message);
        for tag in ["<script", "<img", "onerror='"] {
            assert!(!page.contains(tag), "{page}");
        }
        assert_eq!(page.matches("<iframe").count(), 1);
        assert_eq!(page.matches("</iframe>").count(), 1);
    }
}

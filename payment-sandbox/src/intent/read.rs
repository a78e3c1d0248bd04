//! Questions about payment intents: one, a list, a search that lags.

use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::{Value, json};

use super::Intent;
use crate::{
    Sandbox,
    call::{self, About},
    error::{ApiError, Failure},
    fault::Operation,
    id,
    incoming::Incoming,
    page::{self, Page},
};

pub(super) async fn retrieve(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Response {
    call::read(
        &sandbox,
        &incoming,
        Operation::Get,
        About::intent(&id),
        find(&sandbox, &incoming, &id),
    )
    .await
}

async fn find(sandbox: &Sandbox, incoming: &Incoming, id: &str) -> Result<Value, Failure> {
    incoming.form.allow(&["client_secret"])?;
    if !id::is_plausible(id) {
        return Err(ApiError::no_such("payment intent", id).into());
    }
    let intent: Option<Intent> =
        sqlx::query_as("select * from sandbox.payment_intents where id = $1")
            .bind(id)
            .fetch_optional(sandbox.pool())
            .await?;
    Ok(intent
        .ok_or_else(|| ApiError::no_such("payment intent", id))?
        .to_json(sandbox.config()))
}

pub(super) async fn list(State(sandbox): State<Sandbox>, incoming: Incoming) -> Response {
    call::read(
        &sandbox,
        &incoming,
        Operation::List,
        About::default(),
        newest(&sandbox, &incoming),
    )
    .await
}

async fn newest(sandbox: &Sandbox, incoming: &Incoming) -> Result<Value, Failure> {
    incoming.form.allow(&page::PARAMETERS)?;
    let page = Page::parse(&incoming.form)?;
    let after = match &page.starting_after {
        Some(after) => Some(created_at(sandbox, after).await?),
        None => None,
    };
    let rows: Vec<Intent> = sqlx::query_as(
        "select * from sandbox.payment_intents
         where ($1::timestamptz is null or created_at >= $1)
           and ($2::timestamptz is null or created_at < $2)
           and ($3::timestamptz is null or (created_at, id) < ($3, $4))
         order by created_at desc, id desc limit $5",
    )
    .bind(page.from.map(ToSqlx::to_sqlx))
    .bind(page.until.map(ToSqlx::to_sqlx))
    .bind(after)
    .bind(&page.starting_after)
    .bind(page.fetch())
    .fetch_all(sandbox.pool())
    .await?;
    let objects = rows
        .iter()
        .map(|intent| intent.to_json(sandbox.config()))
        .collect();
    Ok(page.list("/v1/payment_intents", objects))
}

async fn created_at(sandbox: &Sandbox, id: &str) -> Result<jiff_sqlx::Timestamp, Failure> {
    let at = sqlx::query_scalar("select created_at from sandbox.payment_intents where id = $1")
        .bind(id)
        .fetch_optional(sandbox.pool())
        .await?;
    at.ok_or_else(|| ApiError::no_such_parameter("payment intent", id, "starting_after").into())
}

pub(super) async fn search(State(sandbox): State<Sandbox>, incoming: Incoming) -> Response {
    call::read(
        &sandbox,
        &incoming,
        Operation::Search,
        About::default(),
        matches(&sandbox, &incoming),
    )
    .await
}

async fn matches(sandbox: &Sandbox, incoming: &Incoming) -> Result<Value, Failure> {
    incoming.form.allow(&["query", "limit", "page"])?;
    let page = Page::parse(&incoming.form)?;
    let query = Query::parse(incoming.form.required("query")?)?;
    let skip: i64 = incoming
        .form
        .integer_at_least("page", 0)?
        .unwrap_or_default();
    // An index is built behind the ledger: what is younger than this is not in it yet.
    let indexed_until = Timestamp::now() - sandbox.config().search_lag;
    let rows: Vec<Intent> = sqlx::query_as(
        "select * from sandbox.payment_intents
         where created_at <= $1 and metadata @> $2
           and ($3::text is null or status = $3) and ($4::text is null or currency = $4)
         order by created_at desc, id desc offset $5 limit $6",
    )
    .bind(indexed_until.to_sqlx())
    .bind(Value::Object(query.metadata))
    .bind(query.status)
    .bind(query.currency)
    .bind(skip)
    .bind(page.fetch())
    .fetch_all(sandbox.pool())
    .await?;
    let objects: Vec<Value> = rows
        .iter()
        .map(|intent| intent.to_json(sandbox.config()))
        .collect();
    let mut found = page.list("/v1/payment_intents/search", objects);
    let next = found["has_more"]
        .as_bool()
        .unwrap_or_default()
        .then(|| (skip + page.limit).to_string());
    found["object"] = json!("search_result");
    found["next_page"] = json!(next);
    Ok(found)
}

/// The part of Stripe's search language that is spoken here: clauses joined by AND, exact matches only.
#[derive(Debug, Default, PartialEq)]
struct Query {
    metadata: serde_json::Map<String, Value>,
    status: Option<String>,
    currency: Option<String>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let refuse = || {
            ApiError::invalid(
                "'query' is made of metadata['key']:'value', status:'value' and currency:'value', joined by AND.",
            )
            .param("query")
        };
        let mut query = Self::default();
        let mut rest = text.trim();
        loop {
            let (field, after_field) = if let Some(inner) = rest.strip_prefix("metadata[") {
                let (key, after) = quoted(inner).ok_or_else(refuse)?;
                (
                    Field::Metadata(key),
                    after.strip_prefix(']').ok_or_else(refuse)?,
                )
            } else if let Some(after) = rest.strip_prefix("status") {
                (Field::Status, after)
            } else if let Some(after) = rest.strip_prefix("currency") {
                (Field::Currency, after)
            } else {
                return Err(refuse());
            };
            let (value, after) = after_field
                .strip_prefix(':')
                .and_then(quoted)
                .ok_or_else(refuse)?;
            match field {
                Field::Metadata(key) => drop(query.metadata.insert(key, json!(value))),
                Field::Status => query.status = Some(value),
                Field::Currency => query.currency = Some(value.to_ascii_lowercase()),
            }
            let after = after.trim_start();
            if after.is_empty() {
                return Ok(query);
            }
            rest = after.strip_prefix("AND ").ok_or_else(refuse)?.trim_start();
        }
    }
}

enum Field {
    Metadata(String),
    Status,
    Currency,
}

/// A text in single or double quotes with backslash escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|first| matches!(first, '\'' | '"'))?;
    let mut value = String::new();
    let mut escaped = false;
    for (at, next) in text.char_indices().skip(1) {
        match next {
            _ if escaped => {
                value.push(next);
                escaped = false;
            }
            '\\' => escaped = true,
            _ if next == quote => return Some((value, &text[at + next.len_utf8()..])),
            _ => value.push(next),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_metadata_status_and_currency() {
        let query = Query::parse(
            "metadata['order_id']:'a\\'b' AND status:\"succeeded\" AND currency:'EUR'",
        )
        .unwrap();
        assert_eq!(query.metadata["order_id"], "a'b");
        assert_eq!(query.status.as_deref(), Some("succeeded"));
        assert_eq!(query.currency.as_deref(), Some("eur"));
    }

    #[test]
    fn a_query_in_another_language_is_refused() {
        for bad in [
            "",
            "order_id:'1'",
            "metadata['a']:'b",
            "metadata['a']",
            "metadata['a']:'b' OR status:'x'",
            "status:5",
        ] {
            assert!(Query::parse(bad).is_err(), "{bad}");
        }
    }
}

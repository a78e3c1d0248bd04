//! Questions about refunds.

use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff_sqlx::ToSqlx;
use serde_json::Value;

use super::Refund;
use crate::{
    Sandbox,
    call::{self, About},
    error::{ApiError, Failure},
    fault::Operation,
    id,
    incoming::Incoming,
    page::Page,
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
        About::default(),
        find(&sandbox, &incoming, &id),
    )
    .await
}

async fn find(sandbox: &Sandbox, incoming: &Incoming, id: &str) -> Result<Value, Failure> {
    incoming.form.allow(&[])?;
    let missing = || ApiError::no_such("refund", id);
    if !id::is_plausible(id) {
        return Err(missing().into());
    }
    let refund: Option<Refund> = sqlx::query_as("select * from sandbox.refunds where id = $1")
        .bind(id)
        .fetch_optional(sandbox.pool())
        .await?;
    Ok(refund.ok_or_else(missing)?.to_json())
}

pub(super) async fn list(State(sandbox): State<Sandbox>, incoming: Incoming) -> Response {
    let about = incoming
        .form
        .text("payment_intent")
        .ok()
        .flatten()
        .map(About::intent)
        .unwrap_or_default();
    call::read(
        &sandbox,
        &incoming,
        Operation::List,
        about,
        newest(&sandbox, &incoming),
    )
    .await
}

async fn newest(sandbox: &Sandbox, incoming: &Incoming) -> Result<Value, Failure> {
    let form = &incoming.form;
    form.allow(&[
        "limit",
        "starting_after",
        "created",
        "payment_intent",
        "charge",
    ])?;
    let page = Page::parse(form)?;
    let after: Option<jiff_sqlx::Timestamp> = match &page.starting_after {
        Some(after) => Some(
            sqlx::query_scalar("select created_at from sandbox.refunds where id = $1")
                .bind(after)
                .fetch_optional(sandbox.pool())
                .await?
                .ok_or_else(|| ApiError::no_such_parameter("refund", after, "starting_after"))?,
        ),
        None => None,
    };
    let rows: Vec<Refund> = sqlx::query_as(
        "select * from sandbox.refunds
         where ($1::timestamptz is null or created_at >= $1)
           and ($2::timestamptz is null or created_at < $2)
           and ($3::timestamptz is null or (created_at, id) < ($3, $4))
           and ($5::text is null or payment_intent = $5) and ($6::text is null or charge = $6)
         order by created_at desc, id desc limit $7",
    )
    .bind(page.from.map(ToSqlx::to_sqlx))
    .bind(page.until.map(ToSqlx::to_sqlx))
    .bind(after)
    .bind(&page.starting_after)
    .bind(form.text("payment_intent")?)
    .bind(form.text("charge")?)
    .bind(page.fetch())
    .fetch_all(sandbox.pool())
    .await?;
    Ok(page.list("/v1/refunds", rows.iter().map(Refund::to_json).collect()))
}

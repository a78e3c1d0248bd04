//! Questions about checkout sessions.

use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;

use super::Session;
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
        About::session(&id),
        find(&sandbox, &incoming, &id),
    )
    .await
}

async fn find(sandbox: &Sandbox, incoming: &Incoming, id: &str) -> Result<Value, Failure> {
    incoming.form.allow(&[])?;
    let missing = || ApiError::no_such("checkout session", id);
    if !id::is_plausible(id) {
        return Err(missing().into());
    }
    let session = Session::find(sandbox.pool(), id)
        .await?
        .ok_or_else(missing)?;
    Ok(session.to_json(sandbox.config(), Timestamp::now()))
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
    let form = &incoming.form;
    form.allow(&[
        "limit",
        "starting_after",
        "created",
        "payment_intent",
        "status",
    ])?;
    let page = Page::parse(form)?;
    let status = form.choice("status", &["open", "complete", "expired"])?;
    let after: Option<jiff_sqlx::Timestamp> = match &page.starting_after {
        Some(after) => Some(
            sqlx::query_scalar("select created_at from sandbox.checkout_sessions where id = $1")
                .bind(after)
                .fetch_optional(sandbox.pool())
                .await?
                .ok_or_else(|| {
                    ApiError::no_such_parameter("checkout session", after, "starting_after")
                })?,
        ),
        None => None,
    };
    let now = Timestamp::now();
    // The status as shown: an open session whose time is over counts as expired.
    let rows: Vec<Session> = sqlx::query_as(
        "select session.*, intent.status as intent_status
         from sandbox.checkout_sessions session
         left join sandbox.payment_intents intent on intent.id = session.intent_id
         where ($1::timestamptz is null or session.created_at >= $1)
           and ($2::timestamptz is null or session.created_at < $2)
           and ($3::timestamptz is null or (session.created_at, session.id) < ($3, $4))
           and ($5::text is null or (session.intent_id = $5 and session.status = 'complete'))
           and ($6::text is null or $6 = case
                   when session.status = 'open' and session.expires_at <= $7 then 'expired'
                   else session.status end)
         order by session.created_at desc, session.id desc limit $8",
    )
    .bind(page.from.map(ToSqlx::to_sqlx))
    .bind(page.until.map(ToSqlx::to_sqlx))
    .bind(after)
    .bind(&page.starting_after)
    .bind(form.text("payment_intent")?)
    .bind(status)
    .bind(now.to_sqlx())
    .bind(page.fetch())
    .fetch_all(sandbox.pool())
    .await?;
    let objects = rows
        .iter()
        .map(|session| session.to_json(sandbox.config(), now))
        .collect();
    Ok(page.list("/v1/checkout/sessions", objects))
}

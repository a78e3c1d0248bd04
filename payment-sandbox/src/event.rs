//! `GET /v1/events`: what was announced, whether or not anybody has received it.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::types::Json;

use crate::{
    Sandbox,
    call::{self, About},
    error::{ApiError, Failure},
    fault::Operation,
    id,
    incoming::Incoming,
    page::Page,
};

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/v1/events", get(list))
        .route("/v1/events/{id}", get(retrieve))
}

async fn retrieve(
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
    let missing = || ApiError::no_such("event", id);
    if !id::is_plausible(id) {
        return Err(missing().into());
    }
    let body: Option<Json<Value>> =
        sqlx::query_scalar("select body::json from sandbox.events where id = $1")
            .bind(id)
            .fetch_optional(sandbox.pool())
            .await?;
    Ok(body.ok_or_else(missing)?.0)
}

async fn list(State(sandbox): State<Sandbox>, incoming: Incoming) -> Response {
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
    form.allow(&["limit", "starting_after", "created", "type"])?;
    let page = Page::parse(form)?;
    let after: Option<i64> = match &page.starting_after {
        Some(after) => Some(
            sqlx::query_scalar("select seq from sandbox.events where id = $1")
                .bind(after)
                .fetch_optional(sandbox.pool())
                .await?
                .ok_or_else(|| ApiError::no_such_parameter("event", after, "starting_after"))?,
        ),
        None => None,
    };
    let bodies: Vec<Json<Value>> = sqlx::query_scalar(
        "select body::json from sandbox.events
         where ($1::timestamptz is null or created_at >= $1)
           and ($2::timestamptz is null or created_at < $2)
           and ($3::bigint is null or seq < $3) and ($4::text is null or type = $4)
         order by seq desc limit $5",
    )
    .bind(page.from.map(ToSqlx::to_sqlx))
    .bind(page.until.map(ToSqlx::to_sqlx))
    .bind(after)
    .bind(form.text("type")?)
    .bind(page.fetch())
    .fetch_all(sandbox.pool())
    .await?;
    Ok(page.list(
        "/v1/events",
        bodies.into_iter().map(|body| body.0).collect(),
    ))
}

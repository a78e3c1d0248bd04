//! Failures on demand, for tests: `POST /sandbox/faults`. They are rows, so they survive a restart and strike
//! exactly as often as ordered, however many sandboxes share the ledger.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Executor, FromRow, Postgres};

use crate::{
    Sandbox,
    call::About,
    error::{ApiError, Failure},
};

const TIMES_MAX: i32 = 1_000;
const DELAY_MS_MAX: i64 = 120_000;
/// The longest delay that can be ordered.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(DELAY_MS_MAX.unsigned_abs());

/// What a call wants, as far as faults and the ledger's list of calls tell calls apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Create a payment intent.
    Create,
    Confirm,
    Capture,
    Cancel,
    Refund,
    /// Create a checkout session.
    Session,
    Expire,
    /// Read one object by its id.
    Get,
    /// Any list.
    List,
    Search,
}

/// How a call is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// 500, nothing done; remembered under the key, as a provider does that failed after it had begun.
    #[serde(rename = "500")]
    ServerError,
    /// 500 although it was done; remembered under the key.
    #[serde(rename = "500_after")]
    ServerErrorAfter,
    /// 429, nothing done and nothing remembered.
    #[serde(rename = "429")]
    TooManyRequests,
    /// The connection is dropped, nothing done.
    #[serde(rename = "drop_before")]
    DropBefore,
    /// Done, then the connection is dropped.
    #[serde(rename = "drop_after")]
    DropAfter,
    /// Done, answered `delay_ms` later.
    #[serde(rename = "delay")]
    Delay,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ServerError => "500",
            Self::ServerErrorAfter => "500_after",
            Self::TooManyRequests => "429",
            Self::DropBefore => "drop_before",
            Self::DropAfter => "drop_after",
            Self::Delay => "delay",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [
            Self::ServerError,
            Self::ServerErrorAfter,
            Self::TooManyRequests,
            Self::DropBefore,
            Self::DropAfter,
            Self::Delay,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
    }
}

impl Operation {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Confirm => "confirm",
            Self::Capture => "capture",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
            Self::Session => "session",
            Self::Expire => "expire",
            Self::Get => "get",
            Self::List => "list",
            Self::Search => "search",
        }
    }
}

/// A failure that strikes now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) delay: Duration,
}

/// Which faults may strike: a replayed answer can be lost on the way, but not become another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strikes {
    FirstExecution,
    Replay,
}

/// Takes the oldest fault that fits, if there is one. It is used up when the surrounding transaction commits.
pub(crate) async fn take<'e>(
    executor: impl Executor<'e, Database = Postgres>,
    operation: Operation,
    about: &About,
    strikes: Strikes,
) -> Result<Option<Fault>, sqlx::Error> {
    let row: Option<(String, i64)> = sqlx::query_as(
        "with target as materialized (
             select coalesce($2,
                 (select order_id from sandbox.payment_intents where id = $3),
                 (select order_id from sandbox.checkout_sessions where id = $4)) as order_id)
         delete from sandbox.faults where id = (
             select fault.id from sandbox.faults fault, target
             where fault.operation = $1
               and (fault.order_id is null or fault.order_id = target.order_id)
               and ($5 or fault.kind not in ('500', '500_after'))
             order by fault.id limit 1 for update of fault skip locked)
         returning kind, delay_ms",
    )
    .bind(operation.as_str())
    .bind(&about.order_id)
    .bind(&about.intent_id)
    .bind(&about.session_id)
    .bind(strikes == Strikes::FirstExecution)
    .fetch_optional(executor)
    .await?;
    Ok(row.and_then(|(kind, delay_ms)| {
        Some(Fault {
            kind: Kind::parse(&kind)?,
            delay: Duration::from_millis(delay_ms.unsigned_abs()),
        })
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    operation: Operation,
    kind: Kind,
    #[serde(default = "once")]
    times: i32,
    #[serde(default)]
    delay_ms: i64,
    /// Only calls about this order fail; without it, the next calls whosever they are.
    order_id: Option<String>,
}

fn once() -> i32 {
    1
}

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new().route("/sandbox/faults", post(order).get(list).delete(clear))
}

async fn order(
    State(sandbox): State<Sandbox>,
    order: Result<Json<Order>, JsonRejection>,
) -> Response {
    let Json(order) = match order {
        Ok(order) => order,
        Err(rejection) => return ApiError::invalid(rejection.body_text()).into_response(),
    };
    if !(1..=TIMES_MAX).contains(&order.times) {
        return ApiError::invalid(format!("'times' must be from 1 to {TIMES_MAX}."))
            .param("times")
            .into_response();
    }
    if !(0..=DELAY_MS_MAX).contains(&order.delay_ms) {
        return ApiError::invalid(format!("'delay_ms' must be from 0 to {DELAY_MS_MAX}."))
            .param("delay_ms")
            .into_response();
    }
    if order.order_id.as_ref().is_some_and(|id| id.contains('\0')) {
        return ApiError::invalid("'order_id' contains a NUL character.")
            .param("order_id")
            .into_response();
    }
    let inserted = sqlx::query(
        "insert into sandbox.faults (operation, kind, delay_ms, order_id)
         select $1, $2, $3, $4 from generate_series(1, $5)",
    )
    .bind(order.operation.as_str())
    .bind(order.kind.as_str())
    .bind(order.delay_ms)
    .bind(&order.order_id)
    .bind(order.times)
    .execute(sandbox.pool())
    .await;
    match inserted {
        Ok(_) => (StatusCode::CREATED, Json(json!({ "ordered": order.times }))).into_response(),
        Err(error) => Failure::from(error).into_api_error().into_response(),
    }
}

/// Faults that wait, alike ones together.
#[derive(Debug, Serialize, FromRow)]
struct Waiting {
    operation: String,
    kind: String,
    delay_ms: i64,
    order_id: Option<String>,
    times: i64,
}

async fn list(State(sandbox): State<Sandbox>) -> Response {
    let waiting: Result<Vec<Waiting>, sqlx::Error> = sqlx::query_as(
        "select operation, kind, delay_ms, order_id, count(*) as times from sandbox.faults
         group by operation, kind, delay_ms, order_id order by min(id)",
    )
    .fetch_all(sandbox.pool())
    .await;
    match waiting {
        Ok(waiting) => Json(json!({ "faults": waiting })).into_response(),
        Err(error) => Failure::from(error).into_api_error().into_response(),
    }
}

async fn clear(State(sandbox): State<Sandbox>) -> Response {
    match sqlx::query("delete from sandbox.faults")
        .execute(sandbox.pool())
        .await
    {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => Failure::from(error).into_api_error().into_response(),
    }
}

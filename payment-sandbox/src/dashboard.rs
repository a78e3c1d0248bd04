//! What people do in a provider's dashboard, past the shop: `POST /sandbox/capture?order_id=` takes an order's held money.

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;

use crate::{
    Sandbox,
    error::{ApiError, Failure},
    form::Form,
    intent::Capture,
    work::{Cause, Work},
};

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new().route("/sandbox/capture", post(capture))
}

async fn capture(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let order_id = Form::parse(query.unwrap_or_default().as_bytes()).and_then(|form| {
        form.allow(&["order_id"])?;
        form.required("order_id").map(str::to_owned)
    });
    let captured = match order_id {
        Ok(order_id) => take(&sandbox, &order_id).await,
        Err(error) => Err(error.into()),
    };
    match captured {
        Ok(intent) => Json(json!({ "captured": intent })).into_response(),
        Err(failure) => failure.into_api_error().into_response(),
    }
}

/// The newest payment of the order that is held. What is announced is announced as for any capture.
async fn take(sandbox: &Sandbox, order_id: &str) -> Result<String, Failure> {
    let mut work = Work::begin(sandbox.pool(), sandbox.config(), Cause::default()).await?;
    let held: Option<String> = sqlx::query_scalar(
        "select id from sandbox.payment_intents where order_id = $1 and amount_capturable > 0
         order by created_at desc, id limit 1",
    )
    .bind(order_id)
    .fetch_optional(&mut *work.tx)
    .await?;
    let held = held.ok_or_else(|| {
        ApiError::invalid(format!("No money is held for the order '{order_id}'.")).param("order_id")
    })?;
    Capture::whole(&held).execute(&mut work).await?;
    if work.commit().await? {
        sandbox.outbox().notify_one();
    }
    Ok(held)
}

//! The tester's view: everything that the provider knows about an order, and sums over all orders.

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::Value;
use sqlx::PgPool;

use crate::{
    Sandbox,
    error::{ApiError, Failure},
    form::Form,
};

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/sandbox/ledger", get(order))
        .route("/sandbox/ledger/totals", get(totals))
}

async fn order(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let order_id = Form::parse(query.unwrap_or_default().as_bytes()).and_then(|form| {
        form.allow(&["order_id"])?;
        form.required("order_id").map(str::to_owned)
    });
    let order_id = match order_id {
        Ok(order_id) => order_id,
        Err(error) => return error.into_response(),
    };
    answer(of_order(sandbox.pool(), &order_id).await)
}

async fn totals(State(sandbox): State<Sandbox>) -> Response {
    answer(of_all(sandbox.pool()).await)
}

fn answer(result: Result<Value, sqlx::Error>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => ApiError::into_response(Failure::from(error).into_api_error()),
    }
}

/// One statement, so that what it shows is one moment of the ledger.
async fn of_order(pool: &PgPool, order_id: &str) -> Result<Value, sqlx::Error> {
    sqlx::query_scalar(
        "with intents as (
             select intent.*,
                    coalesce((select sum(amount) from sandbox.charges charge
                              where charge.payment_intent = intent.id and charge.status = 'succeeded'), 0) as authorised,
                    coalesce((select sum(amount_captured) from sandbox.charges charge
                              where charge.payment_intent = intent.id), 0) as captured,
                    coalesce((select sum(amount_refunded) from sandbox.charges charge
                              where charge.payment_intent = intent.id), 0) as refunded
             from sandbox.payment_intents intent
             where intent.order_id = $1)
         select json_build_object(
             'order_id', $1,
             'totals', (select json_build_object(
                 'authorised', coalesce(sum(authorised), 0)::bigint,
                 'held', coalesce(sum(amount_capturable), 0)::bigint,
                 'captured', coalesce(sum(captured), 0)::bigint,
                 'refunded', coalesce(sum(refunded), 0)::bigint,
                 'kept', coalesce(sum(captured - refunded), 0)::bigint,
                 'times_captured', count(*) filter (where captured > 0)) from intents),
             'intents', (select coalesce(json_agg(json_build_object(
                 'id', id, 'created_at', created_at, 'status', status, 'currency', currency, 'amount', amount,
                 'authorised', authorised::bigint, 'held', amount_capturable, 'captured', captured::bigint,
                 'refunded', refunded::bigint, 'payment_method', payment_method, 'session_id', session_id,
                 'cancellation_reason', cancellation_reason, 'metadata', metadata,
                 'charges', (select coalesce(json_agg(json_build_object(
                         'id', charge.id, 'created_at', charge.created_at, 'status', charge.status, 'amount', charge.amount,
                         'captured', charge.amount_captured, 'refunded', charge.amount_refunded,
                         'failure_code', charge.failure_code, 'decline_code', charge.decline_code)
                         order by charge.created_at, charge.id), '[]')
                     from sandbox.charges charge where charge.payment_intent = intents.id),
                 'refunds', (select coalesce(json_agg(json_build_object(
                         'id', refund.id, 'created_at', refund.created_at, 'status', refund.status,
                         'amount', refund.amount, 'reason', refund.reason, 'metadata', refund.metadata)
                         order by refund.created_at, refund.id), '[]')
                     from sandbox.refunds refund where refund.payment_intent = intents.id))
                 order by created_at, id), '[]') from intents),
             'sessions', (select coalesce(json_agg(json_build_object(
                 'id', id, 'created_at', created_at, 'expires_at', expires_at, 'status', status,
                 'amount_total', amount_total, 'currency', currency, 'intent_id', intent_id)
                 order by created_at, id), '[]')
                 from sandbox.checkout_sessions where order_id = $1),
             'calls', (select coalesce(json_agg(json_build_object(
                 'received_at', received_at, 'request_id', request_id, 'operation', operation, 'method', method,
                 'path', path, 'idempotency_key', idempotency_key, 'replayed', replayed, 'status', status,
                 'error_code', error_code, 'delivery', delivery, 'fault', fault,
                 'intent_id', intent_id, 'session_id', session_id) order by seq), '[]')
                 from (select * from sandbox.calls where order_id = $1 order by seq desc limit 1000) latest),
             'webhooks', (select coalesce(json_agg(json_build_object(
                 'id', id, 'type', type, 'created_at', created_at, 'attempts', attempts, 'delivered_at', delivered_at,
                 'gave_up_at', gave_up_at, 'last_status', last_status, 'last_error', last_error) order by seq), '[]')
                 from (select * from sandbox.events where order_id = $1 order by seq desc limit 1000) latest))",
    )
    .bind(order_id)
    .fetch_one(pool)
    .await
}

async fn of_all(pool: &PgPool) -> Result<Value, sqlx::Error> {
    sqlx::query_scalar(
        "with per_order as (
             select intent.order_id, count(*) filter (where charge.amount_captured > 0) as times_captured,
                    sum(charge.amount_captured - charge.amount_refunded) as kept
             from sandbox.charges charge
             join sandbox.payment_intents intent on intent.id = charge.payment_intent
             where intent.order_id is not null
             group by intent.order_id)
         select json_build_object(
             'intents', (select count(*) from sandbox.payment_intents),
             'by_status', (select coalesce(json_object_agg(status, total), '{}')
                 from (select status, count(*) as total from sandbox.payment_intents group by status) by_status),
             'held', (select coalesce(sum(amount_capturable), 0)::bigint from sandbox.payment_intents),
             'captured', (select coalesce(sum(amount_captured), 0)::bigint from sandbox.charges),
             'refunded', (select coalesce(sum(amount_refunded), 0)::bigint from sandbox.charges),
             'orders_captured_more_than_once', (select count(*) from per_order where times_captured > 1),
             'examples', (select coalesce(json_agg(order_id), '[]')
                 from (select order_id from per_order where times_captured > 1 order by order_id limit 20) example),
             'webhooks_waiting', (select count(*) from sandbox.events where delivered_at is null and gave_up_at is null))",
    )
    .fetch_one(pool)
    .await
}

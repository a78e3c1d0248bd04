//! Charges: one attempt on a card each. The intent's row is locked whenever one is written.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use jiff_sqlx::ToSqlx;
use serde_json::{Value, json};
use sqlx::FromRow;

use crate::{
    Sandbox,
    call::{self, About},
    card::Decline,
    error::{ApiError, Failure},
    fault::Operation,
    id,
    incoming::Incoming,
    intent::Intent,
    work::Work,
};

/// A row of `sandbox.charges`.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) created_at: jiff_sqlx::Timestamp,
    pub(crate) payment_intent: String,
    pub(crate) amount: i64,
    pub(crate) amount_captured: i64,
    pub(crate) amount_refunded: i64,
    pub(crate) currency: String,
    pub(crate) status: String,
    pub(crate) payment_method: String,
    pub(crate) failure_code: Option<String>,
    pub(crate) decline_code: Option<String>,
    pub(crate) failure_message: Option<String>,
}

impl Charge {
    /// Writes an attempt: with a decline it failed, otherwise `amount` is authorised.
    pub(crate) async fn attempt(
        work: &mut Work<'_>,
        intent: &Intent,
        token: &str,
        amount: i64,
        decline: Option<Decline>,
    ) -> Result<Self, sqlx::Error> {
        let charge = Self {
            id: id::new("ch"),
            created_at: work.now.to_sqlx(),
            payment_intent: intent.id.clone(),
            amount,
            amount_captured: 0,
            amount_refunded: 0,
            currency: intent.currency.clone(),
            status: if decline.is_some() {
                "failed"
            } else {
                "succeeded"
            }
            .to_owned(),
            payment_method: token.to_owned(),
            failure_code: decline.map(|decline| decline.code.to_owned()),
            decline_code: decline
                .and_then(|decline| decline.decline_code)
                .map(str::to_owned),
            failure_message: decline.map(|decline| decline.message.to_owned()),
        };
        sqlx::query(
            "insert into sandbox.charges (id, created_at, payment_intent, amount, currency, status, payment_method,
                                          failure_code, decline_code, failure_message)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(&charge.id)
        .bind(charge.created_at)
        .bind(&charge.payment_intent)
        .bind(charge.amount)
        .bind(&charge.currency)
        .bind(&charge.status)
        .bind(&charge.payment_method)
        .bind(&charge.failure_code)
        .bind(&charge.decline_code)
        .bind(&charge.failure_message)
        .execute(&mut *work.tx)
        .await?;
        Ok(charge)
    }

    /// The attempt that took or holds this intent's money.
    pub(crate) async fn successful(
        work: &mut Work<'_>,
        intent_id: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(
            "select * from sandbox.charges where payment_intent = $1 and status = 'succeeded'",
        )
        .bind(intent_id)
        .fetch_optional(&mut *work.tx)
        .await
    }

    pub(crate) async fn save_amounts(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update sandbox.charges set amount_captured = $2, amount_refunded = $3 where id = $1",
        )
        .bind(&self.id)
        .bind(self.amount_captured)
        .bind(self.amount_refunded)
        .execute(&mut *work.tx)
        .await?;
        Ok(())
    }

    /// As the API shows it. The metadata is the intent's: it is copied to each charge.
    pub(crate) fn to_json(&self, metadata: &Value) -> Value {
        let failed = self.status == "failed";
        json!({
            "id": self.id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": self.amount_refunded,
            "captured": self.amount_captured > 0,
            "created": self.created_at.to_jiff().as_second(),
            "currency": self.currency,
            "disputed": false,
            "failure_code": self.failure_code,
            "failure_message": self.failure_message,
            "livemode": false,
            "metadata": metadata,
            "outcome": {
                "network_status": if failed { "declined_by_network" } else { "approved_by_network" },
                "reason": self.decline_code,
                "type": if failed { "issuer_declined" } else { "authorized" },
            },
            "paid": !failed,
            "payment_intent": self.payment_intent,
            "payment_method": self.payment_method,
            "refunded": self.amount_captured > 0 && self.amount_refunded == self.amount_captured,
            "status": self.status,
        })
    }
}

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new().route("/v1/charges/{id}", get(retrieve))
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
    if !id::is_plausible(id) {
        return Err(ApiError::no_such("charge", id).into());
    }
    let charge: Option<Charge> = sqlx::query_as("select * from sandbox.charges where id = $1")
        .bind(id)
        .fetch_optional(sandbox.pool())
        .await?;
    let charge = charge.ok_or_else(|| ApiError::no_such("charge", id))?;
    let metadata: Value =
        sqlx::query_scalar("select metadata from sandbox.payment_intents where id = $1")
            .bind(&charge.payment_intent)
            .fetch_one(sandbox.pool())
            .await?;
    Ok(charge.to_json(&metadata))
}

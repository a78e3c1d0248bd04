//! Refunds: money given back, never more than was captured.

mod create;
mod read;
mod settle;

use std::collections::BTreeMap;

use axum::{
    Router,
    routing::{get, post},
};
use serde_json::{Value, json};
use sqlx::{FromRow, types::Json};

pub(crate) use self::{create::Create, settle::settle_due};
use crate::{Sandbox, intent::Intent, work::Work};

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/v1/refunds", post(create::handle).get(read::list))
        .route("/v1/refunds/{id}", get(read::retrieve))
}

/// A row of `sandbox.refunds`.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Refund {
    pub(crate) id: String,
    pub(crate) created_at: jiff_sqlx::Timestamp,
    pub(crate) payment_intent: String,
    pub(crate) charge: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) failure_reason: Option<String>,
    pub(crate) settles_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) settles_to: Option<String>,
    pub(crate) metadata: Json<BTreeMap<String, String>>,
}

impl Refund {
    /// As the API shows it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "charge": self.charge,
            "created": self.created_at.to_jiff().as_second(),
            "currency": self.currency,
            "failure_reason": self.failure_reason,
            "metadata": self.metadata.0,
            "payment_intent": self.payment_intent,
            "reason": self.reason,
            "status": self.status,
        })
    }

    /// Announces the refund in line with its intent's events.
    fn announce(&self, work: &mut Work<'_>, event: &'static str, intent: &Intent) {
        work.record(event, self.to_json(), &intent.id, intent.order_id());
    }
}

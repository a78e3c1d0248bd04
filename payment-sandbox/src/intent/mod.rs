//! Payment intents: the life of one amount of money, from asking to captured or let go.
//!
//! ```text
//! requires_payment_method ⇄ requires_confirmation → requires_action → (requires_capture → succeeded) | succeeded
//!            ↑ declined ────────────────┴ processing ┘                        │
//!            └──────────────────────── canceled ←──────────────────────────────┘
//! ```

mod authorise;
mod cancel;
mod capture;
mod confirm;
mod create;
mod read;
mod settle;

use std::{collections::BTreeMap, fmt};

use axum::{
    Router,
    routing::{get, post},
};
use jiff_sqlx::ToSqlx;
use serde_json::{Value, json};
use sqlx::{FromRow, types::Json};

pub(crate) use self::{
    authorise::{Attempt, approve, attempt, refuse_authentication},
    cancel::{Cancel, cancel_with_its_session},
    capture::Capture,
    confirm::{Confirm, delivery_of},
    create::{AMOUNT_MAX, CAPTURE_METHODS, Create, NewIntent, currency, open, order_of},
    settle::settle_due,
};
use crate::{Sandbox, charge::Charge, config::Config, work::Work};

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/v1/payment_intents", post(create::handle).get(read::list))
        .route("/v1/payment_intents/search", get(read::search))
        .route("/v1/payment_intents/{id}", get(read::retrieve))
        .route("/v1/payment_intents/{id}/confirm", post(confirm::handle))
        .route("/v1/payment_intents/{id}/capture", post(capture::handle))
        .route("/v1/payment_intents/{id}/cancel", post(cancel::handle))
}

/// Where an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::Canceled => "canceled",
            Self::Succeeded => "succeeded",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored status that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("the ledger holds the unknown status `{0}`")]
pub(crate) struct UnknownStatus(String);

impl TryFrom<String> for Status {
    type Error = UnknownStatus;

    fn try_from(text: String) -> Result<Self, UnknownStatus> {
        [
            Self::RequiresPaymentMethod,
            Self::RequiresConfirmation,
            Self::RequiresAction,
            Self::Processing,
            Self::RequiresCapture,
            Self::Canceled,
            Self::Succeeded,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or(UnknownStatus(text))
    }
}

/// A row of `sandbox.payment_intents`.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Intent {
    pub(crate) id: String,
    pub(crate) created_at: jiff_sqlx::Timestamp,
    pub(crate) amount: i64,
    pub(crate) amount_capturable: i64,
    pub(crate) amount_received: i64,
    pub(crate) currency: String,
    #[sqlx(try_from = "String")]
    pub(crate) status: Status,
    pub(crate) capture_method: String,
    pub(crate) payment_method: Option<String>,
    pub(crate) latest_charge: Option<String>,
    pub(crate) client_secret: String,
    pub(crate) last_payment_error: Option<Json<Value>>,
    pub(crate) return_url: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) cancellation_reason: Option<String>,
    pub(crate) canceled_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) session_id: Option<String>,
    pub(crate) settles_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) metadata: Json<BTreeMap<String, String>>,
}

impl Intent {
    pub(crate) fn order_id(&self) -> Option<&str> {
        self.metadata.get("order_id").map(String::as_str)
    }

    pub(crate) fn metadata_json(&self) -> Value {
        json!(self.metadata.0)
    }

    /// Reads the intent and keeps everybody else from changing it until the work ends.
    pub(crate) async fn lock(work: &mut Work<'_>, id: &str) -> Result<Option<Self>, sqlx::Error> {
        let intent: Option<Self> =
            sqlx::query_as("select * from sandbox.payment_intents where id = $1 for update")
                .bind(id)
                .fetch_optional(&mut *work.tx)
                .await?;
        if let Some(intent) = &intent {
            work.touched.intent_id = Some(intent.id.clone());
            work.touched.order_id = intent.order_id().map(str::to_owned);
        }
        Ok(intent)
    }

    pub(crate) async fn insert(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        sqlx::query(
            "insert into sandbox.payment_intents (id, created_at, amount, currency, status, capture_method, payment_method,
                                                  client_secret, return_url, description, session_id, metadata)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(&self.id)
        .bind(self.created_at)
        .bind(self.amount)
        .bind(&self.currency)
        .bind(self.status.as_str())
        .bind(&self.capture_method)
        .bind(&self.payment_method)
        .bind(&self.client_secret)
        .bind(&self.return_url)
        .bind(&self.description)
        .bind(&self.session_id)
        .bind(&self.metadata)
        .execute(&mut *work.tx)
        .await?;
        work.touched.intent_id = Some(self.id.clone());
        work.touched.order_id = self.order_id().map(str::to_owned);
        Ok(())
    }

    /// Writes everything that can change.
    pub(crate) async fn save(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update sandbox.payment_intents set
                 amount_capturable = $2, amount_received = $3, status = $4, payment_method = $5, latest_charge = $6,
                 last_payment_error = $7, return_url = $8, cancellation_reason = $9, canceled_at = $10, settles_at = $11
             where id = $1",
        )
        .bind(&self.id)
        .bind(self.amount_capturable)
        .bind(self.amount_received)
        .bind(self.status.as_str())
        .bind(&self.payment_method)
        .bind(&self.latest_charge)
        .bind(&self.last_payment_error)
        .bind(&self.return_url)
        .bind(&self.cancellation_reason)
        .bind(self.canceled_at)
        .bind(self.settles_at)
        .execute(&mut *work.tx)
        .await?;
        Ok(())
    }

    /// Announces the intent as it stands now.
    pub(crate) fn announce(&self, work: &mut Work<'_>, event: &'static str) {
        let object = self.to_json(work.config);
        work.record(event, object, &self.id, self.order_id());
    }

    /// Announces one of the intent's charges.
    pub(crate) fn announce_charge(
        &self,
        work: &mut Work<'_>,
        event: &'static str,
        charge: &Charge,
    ) {
        work.record(
            event,
            charge.to_json(&self.metadata_json()),
            &self.id,
            self.order_id(),
        );
    }

    /// As the API shows it.
    pub(crate) fn to_json(&self, config: &Config) -> Value {
        let next_action = (self.status == Status::RequiresAction).then(|| {
            json!({
                "type": "redirect_to_url",
                "redirect_to_url": {
                    "url": config.page_url(&format!("pay/intents/{}", self.id)),
                    "return_url": self.return_url,
                },
            })
        });
        // Stripe leaves a refused method out: the caller must bring another one.
        let payment_method = self
            .payment_method
            .as_ref()
            .filter(|_| self.status != Status::RequiresPaymentMethod);
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": self.amount_capturable,
            "amount_received": self.amount_received,
            "canceled_at": self.canceled_at.map(|at| at.to_jiff().as_second()),
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "client_secret": self.client_secret,
            "confirmation_method": "automatic",
            "created": self.created_at.to_jiff().as_second(),
            "currency": self.currency,
            "description": self.description,
            "last_payment_error": self.last_payment_error,
            "latest_charge": self.latest_charge,
            "livemode": false,
            "metadata": self.metadata.0,
            "next_action": next_action,
            "payment_method": payment_method,
            "payment_method_types": ["card"],
            "status": self.status.as_str(),
        })
    }

    /// From now on the intent's time runs: it settles after the configured delay.
    fn settle_later(&mut self, work: &Work<'_>) {
        self.settles_at = Some((work.now + work.config.settle_delay).to_sqlx());
    }
}

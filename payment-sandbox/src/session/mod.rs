//! Checkout sessions: a hosted page on which a customer pays once, or does not.
//!
//! `open` ends as `complete` or as `expired`; who is first is decided by the lock on the session's row.
//! Wherever both are locked, the session is locked before its intent.

mod create;
mod expire;
mod pay;
mod read;

use std::collections::BTreeMap;

use axum::{
    Router,
    routing::{get, post},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{FromRow, PgPool, types::Json};

pub(crate) use self::{
    create::Create,
    expire::{Expire, expire_overdue},
    pay::{Confirmation, Payment, authenticate, pay},
};
use crate::{Sandbox, config::Config, intent, work::Work};

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route(
            "/v1/checkout/sessions",
            post(create::handle).get(read::list),
        )
        .route("/v1/checkout/sessions/{id}", get(read::retrieve))
        .route("/v1/checkout/sessions/{id}/expire", post(expire::handle))
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Open,
    Complete,
    Expired,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Expired => "expired",
        }
    }
}

/// A stored status that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("the ledger holds the unknown session status `{0}`")]
pub(crate) struct UnknownStatus(String);

impl TryFrom<String> for Status {
    type Error = UnknownStatus;

    fn try_from(text: String) -> Result<Self, UnknownStatus> {
        [Self::Open, Self::Complete, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownStatus(text))
    }
}

/// One line of what is sold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LineItem {
    pub(crate) name: String,
    pub(crate) unit_amount: i64,
    pub(crate) quantity: i64,
}

/// A row of `sandbox.checkout_sessions`, with the state of its intent where that was asked for.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) created_at: jiff_sqlx::Timestamp,
    pub(crate) expires_at: jiff_sqlx::Timestamp,
    #[sqlx(try_from = "String")]
    pub(crate) status: Status,
    pub(crate) amount_total: i64,
    pub(crate) currency: String,
    pub(crate) line_items: Json<Vec<LineItem>>,
    pub(crate) success_url: String,
    pub(crate) cancel_url: Option<String>,
    pub(crate) client_reference_id: Option<String>,
    pub(crate) customer_email: Option<String>,
    pub(crate) capture_method: String,
    pub(crate) intent_id: Option<String>,
    pub(crate) metadata: Json<BTreeMap<String, String>>,
    pub(crate) payment_intent_metadata: Json<BTreeMap<String, String>>,
    pub(crate) order_id: Option<String>,
    pub(crate) intent_status: Option<String>,
}

impl Session {
    /// Reads the session and keeps everybody else from changing it until the work ends.
    pub(crate) async fn lock(work: &mut Work<'_>, id: &str) -> Result<Option<Self>, sqlx::Error> {
        let session: Option<Self> = sqlx::query_as(
            "select *, null::text as intent_status from sandbox.checkout_sessions where id = $1 for update",
        )
        .bind(id)
        .fetch_optional(&mut *work.tx)
        .await?;
        if let Some(session) = &session {
            work.touched.session_id = Some(session.id.clone());
            work.touched.order_id.clone_from(&session.order_id);
        }
        Ok(session)
    }

    /// Reads the session as it stands.
    pub(crate) async fn find(pool: &PgPool, id: &str) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(
            "select session.*, intent.status as intent_status
             from sandbox.checkout_sessions session
             left join sandbox.payment_intents intent on intent.id = session.intent_id
             where session.id = $1",
        )
        .bind(id)
        .fetch_optional(pool)
        .await
    }

    /// An open session whose time is over can no longer be paid, whether or not that has been written yet.
    pub(crate) fn status_at(&self, now: Timestamp) -> Status {
        match self.status {
            Status::Open if self.expires_at.to_jiff() <= now => Status::Expired,
            status => status,
        }
    }

    /// Where the customer goes after paying.
    pub(crate) fn success_url(&self) -> String {
        self.success_url.replace("{CHECKOUT_SESSION_ID}", &self.id)
    }

    /// Announces the session as it stands now, in line with its intent's events.
    pub(crate) fn announce(&self, work: &mut Work<'_>, event: &'static str) {
        let object = self.to_json(work.config, work.now);
        let key = self.intent_id.clone().unwrap_or_else(|| self.id.clone());
        work.record(event, object, &key, self.order_id.as_deref());
    }

    /// As the API shows it.
    pub(crate) fn to_json(&self, config: &Config, now: Timestamp) -> Value {
        let status = self.status_at(now);
        let intent = self
            .intent_id
            .as_ref()
            .filter(|_| status == Status::Complete);
        let paid = self.intent_status.as_deref() == Some(intent::Status::Succeeded.as_str());
        json!({
            "id": self.id,
            "object": "checkout.session",
            "amount_subtotal": self.amount_total,
            "amount_total": self.amount_total,
            "cancel_url": self.cancel_url,
            "client_reference_id": self.client_reference_id,
            "created": self.created_at.to_jiff().as_second(),
            "currency": self.currency,
            "customer_email": self.customer_email,
            "expires_at": self.expires_at.to_jiff().as_second(),
            "livemode": false,
            "metadata": self.metadata.0,
            "mode": "payment",
            "payment_intent": intent,
            "payment_method_types": ["card"],
            // Held money is not paid yet: that follows with the capture.
            "payment_status": if paid { "paid" } else { "unpaid" },
            "status": status.as_str(),
            "success_url": self.success_url,
            "url": (status == Status::Open).then(|| config.page_url(&format!("pay/{}", self.id))),
        })
    }

    async fn save(&self, work: &mut Work<'_>) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update sandbox.checkout_sessions set status = $2, intent_id = $3 where id = $1",
        )
        .bind(&self.id)
        .bind(self.status.as_str())
        .bind(&self.intent_id)
        .execute(&mut *work.tx)
        .await?;
        Ok(())
    }
}

/// Locks the session of an intent, if it has one, and tells whether that session is still open.
pub(crate) async fn lock_of_intent(
    work: &mut Work<'_>,
    intent_id: &str,
) -> Result<bool, sqlx::Error> {
    let session_id: Option<String> = sqlx::query_scalar(
        "select session_id from sandbox.payment_intents where id = $1 and session_id is not null",
    )
    .bind(intent_id)
    .fetch_optional(&mut *work.tx)
    .await?;
    let Some(session_id) = session_id else {
        return Ok(false);
    };
    let session = Session::lock(work, &session_id).await?;
    Ok(session.is_some_and(|session| session.status_at(work.now) == Status::Open))
}

//! `POST /v1/checkout/sessions`.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;

use super::{LineItem, Session, Status};
use crate::{
    Sandbox,
    call::{self, About, Answer, Command},
    error::{ApiError, Failure},
    fault::Operation,
    form::Form,
    id,
    incoming::Incoming,
    intent,
    work::Work,
};

const EXPIRY_LEAST: SignedDuration = SignedDuration::from_mins(30);
const EXPIRY_MOST: SignedDuration = SignedDuration::from_hours(24);
const LINE_ITEMS_MAX: usize = 100;

const PARAMETERS: &[&str] = &[
    "automatic_tax",
    "cancel_url",
    "client_reference_id",
    "customer",
    "customer_email",
    "expires_at",
    "line_items",
    "locale",
    "metadata",
    "mode",
    "payment_intent_data",
    "payment_method_types",
    "submit_type",
    "success_url",
];

/// A checked request for a new session.
pub(crate) struct Create {
    expires_at: Option<Timestamp>,
    line_items: Vec<LineItem>,
    amount_total: i64,
    currency: String,
    success_url: String,
    cancel_url: Option<String>,
    client_reference_id: Option<String>,
    customer_email: Option<String>,
    capture_method: &'static str,
    metadata: BTreeMap<String, String>,
    payment_intent_metadata: BTreeMap<String, String>,
}

pub(super) async fn handle(State(sandbox): State<Sandbox>, incoming: Incoming) -> Response {
    let order = intent::order_of(&incoming.form, "metadata[order_id]")
        .or_else(|| intent::order_of(&incoming.form, "payment_intent_data[metadata][order_id]"));
    let command = Create::parse(&incoming.form).map(Command::CreateSession);
    call::run(
        &sandbox,
        incoming,
        Operation::Session,
        About::order(order),
        command,
    )
    .await
}

impl Create {
    fn parse(form: &Form) -> Result<Self, ApiError> {
        form.allow(PARAMETERS)?;
        if form.required("mode")? != "payment" {
            return Err(ApiError::invalid("The only 'mode' here is 'payment'.").param("mode"));
        }
        for entry in form.entries("payment_method_types") {
            if form.text(&entry)? != Some("card") {
                return Err(
                    ApiError::invalid("The only payment method type here is 'card'.").param(&entry),
                );
            }
        }
        form.required("success_url")?;
        let success_url = form.url("success_url")?.unwrap_or_default();
        let (line_items, amount_total, currency) = line_items(form)?;
        Ok(Self {
            expires_at: expires_at(form, Timestamp::now())?,
            line_items,
            amount_total,
            currency,
            success_url,
            cancel_url: form.url("cancel_url")?,
            client_reference_id: form.text("client_reference_id")?.map(str::to_owned),
            customer_email: form.text("customer_email")?.map(str::to_owned),
            capture_method: form
                .choice(
                    "payment_intent_data[capture_method]",
                    intent::CAPTURE_METHODS,
                )?
                .unwrap_or("automatic"),
            metadata: form.metadata("metadata")?,
            payment_intent_metadata: form.metadata("payment_intent_data[metadata]")?,
        })
    }

    pub(crate) async fn execute(self, work: &mut Work<'_>) -> Result<Answer, Failure> {
        let order_id = self
            .metadata
            .get("order_id")
            .or_else(|| self.payment_intent_metadata.get("order_id"))
            .cloned();
        let session = Session {
            id: id::new("cs_test"),
            created_at: work.now.to_sqlx(),
            expires_at: self.expires_at.unwrap_or(work.now + EXPIRY_MOST).to_sqlx(),
            status: Status::Open,
            amount_total: self.amount_total,
            currency: self.currency,
            line_items: Json(self.line_items),
            success_url: self.success_url,
            cancel_url: self.cancel_url,
            client_reference_id: self.client_reference_id,
            customer_email: self.customer_email,
            capture_method: self.capture_method.to_owned(),
            intent_id: None,
            metadata: Json(self.metadata),
            payment_intent_metadata: Json(self.payment_intent_metadata),
            order_id,
            intent_status: None,
        };
        sqlx::query(
            "insert into sandbox.checkout_sessions (id, created_at, expires_at, status, amount_total, currency, line_items,
                 success_url, cancel_url, client_reference_id, customer_email, capture_method, metadata,
                 payment_intent_metadata)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(&session.id)
        .bind(session.created_at)
        .bind(session.expires_at)
        .bind(session.status.as_str())
        .bind(session.amount_total)
        .bind(&session.currency)
        .bind(&session.line_items)
        .bind(&session.success_url)
        .bind(&session.cancel_url)
        .bind(&session.client_reference_id)
        .bind(&session.customer_email)
        .bind(&session.capture_method)
        .bind(&session.metadata)
        .bind(&session.payment_intent_metadata)
        .execute(&mut *work.tx)
        .await?;
        work.touched.session_id = Some(session.id.clone());
        Ok(Answer::now(session.to_json(work.config, work.now)))
    }
}

fn expires_at(form: &Form, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let Some(second) = form.integer("expires_at")? else {
        return Ok(None);
    };
    let refuse = || {
        ApiError::invalid("'expires_at' must be at least 30 minutes and at most 24 hours from now.")
            .param("expires_at")
    };
    let expires_at = Timestamp::from_second(second).map_err(|_| refuse())?;
    let ahead = expires_at.duration_since(now);
    // The caller's whole seconds against our finer clock: a fraction of a second is not worth a refusal.
    if ahead < EXPIRY_LEAST - SignedDuration::from_secs(1)
        || ahead > EXPIRY_MOST + SignedDuration::from_secs(1)
    {
        return Err(refuse());
    }
    Ok(Some(expires_at))
}

fn line_items(form: &Form) -> Result<(Vec<LineItem>, i64, String), ApiError> {
    let entries = form.entries("line_items");
    if entries.is_empty() {
        return Err(ApiError::parameter(
            "parameter_missing",
            "line_items",
            "A session needs at least one line item.",
        ));
    }
    if entries.len() > LINE_ITEMS_MAX {
        return Err(ApiError::invalid(format!(
            "A session may have at most {LINE_ITEMS_MAX} line items."
        ))
        .param("line_items"));
    }
    let mut items = Vec::with_capacity(entries.len());
    let mut total = 0_i64;
    let mut currency: Option<String> = None;
    for entry in entries {
        let line_currency = intent::currency(form, &format!("{entry}[price_data][currency]"))?;
        if currency.get_or_insert_with(|| line_currency.clone()) != &line_currency {
            return Err(
                ApiError::invalid("All line items must have the same currency.").param(&entry),
            );
        }
        let item = LineItem {
            name: form
                .required(&format!("{entry}[price_data][product_data][name]"))?
                .to_owned(),
            unit_amount: form.required_integer(&format!("{entry}[price_data][unit_amount]"), 0)?,
            quantity: form.required_integer(&format!("{entry}[quantity]"), 1)?,
        };
        let too_large = || {
            ApiError::parameter(
                "amount_too_large",
                &entry,
                format!("The total must be at most {}.", intent::AMOUNT_MAX),
            )
        };
        total = item
            .unit_amount
            .checked_mul(item.quantity)
            .and_then(|line| total.checked_add(line))
            .filter(|total| *total <= intent::AMOUNT_MAX)
            .ok_or_else(too_large)?;
        items.push(item);
    }
    if total < 1 {
        return Err(ApiError::parameter(
            "amount_too_small",
            "line_items",
            "The total must be at least 1.",
        ));
    }
    Ok((items, total, currency.unwrap_or_default()))
}

//! `POST /v1/refunds`.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;

use super::Refund;
use crate::{
    Sandbox,
    call::{self, About, Answer, Command},
    card::Card,
    charge::Charge,
    error::{ApiError, Failure},
    fault::Operation,
    form::Form,
    id,
    incoming::Incoming,
    intent::{self, Intent},
    work::Work,
};

const REASONS: &[&str] = &["duplicate", "fraudulent", "requested_by_customer"];

/// A checked request to give money back.
pub(crate) struct Create {
    target: Target,
    amount: Option<i64>,
    reason: Option<&'static str>,
    metadata: BTreeMap<String, String>,
}

enum Target {
    Intent(String),
    Charge(String),
}

pub(super) async fn handle(State(sandbox): State<Sandbox>, incoming: Incoming) -> Response {
    let about = About {
        order_id: intent::order_of(&incoming.form, "metadata[order_id]"),
        ..incoming
            .form
            .text("payment_intent")
            .ok()
            .flatten()
            .map(About::intent)
            .unwrap_or_default()
    };
    let command = Create::parse(&incoming.form).map(Command::CreateRefund);
    call::run(&sandbox, incoming, Operation::Refund, about, command).await
}

impl Create {
    fn parse(form: &Form) -> Result<Self, ApiError> {
        form.allow(&["payment_intent", "charge", "amount", "metadata", "reason"])?;
        let target = match (form.text("payment_intent")?, form.text("charge")?) {
            (Some(intent), None) if id::is_plausible(intent) => Target::Intent(intent.to_owned()),
            (Some(intent), None) => {
                return Err(ApiError::no_such_parameter(
                    "payment intent",
                    intent,
                    "payment_intent",
                ));
            }
            (None, Some(charge)) if id::is_plausible(charge) => Target::Charge(charge.to_owned()),
            (None, Some(charge)) => {
                return Err(ApiError::no_such_parameter("charge", charge, "charge"));
            }
            (Some(_), Some(_)) => {
                return Err(ApiError::parameter(
                    "parameters_exclusive",
                    "charge",
                    "Give 'payment_intent' or 'charge', not both.",
                ));
            }
            (None, None) => {
                return Err(ApiError::parameter(
                    "parameter_missing",
                    "payment_intent",
                    "A refund needs a 'payment_intent' or a 'charge'.",
                ));
            }
        };
        Ok(Self {
            target,
            amount: form.integer_at_least("amount", 1)?,
            reason: form.choice("reason", REASONS)?,
            metadata: form.metadata("metadata")?,
        })
    }

    pub(crate) async fn execute(self, work: &mut Work<'_>) -> Result<Answer, Failure> {
        let intent = lock(work, &self.target).await?;
        let captured = Charge::successful(work, &intent.id)
            .await?
            .filter(|charge| charge.amount_captured > 0);
        let Some(mut charge) = captured else {
            return Err(Failure::Refused(
                ApiError::invalid(format!(
                    "There is nothing to give back: nothing was captured, the payment intent's status is {}.",
                    intent.status
                ))
                .code("payment_intent_unexpected_state")
                .payment_intent(intent.to_json(work.config)),
            ));
        };
        let left = charge.amount_captured - charge.amount_refunded;
        let amount = self.amount.unwrap_or(left);
        if left == 0 {
            return Err(Failure::Refused(
                ApiError::invalid("Everything that was captured has been given back already.")
                    .code("charge_already_refunded")
                    .charge(&charge.id),
            ));
        }
        if amount > left {
            return Err(Failure::Refused(
                ApiError::parameter(
                    "amount_too_large",
                    "amount",
                    format!(
                        "{amount} cannot be given back: only {left} is left of what was captured."
                    ),
                )
                .charge(&charge.id),
            ));
        }
        let card = intent.payment_method.as_deref().and_then(Card::parse);
        if card == Some(Card::RefundRefused) {
            return Err(Failure::Refused(
                ApiError::invalid(
                    "The card's issuer does not take money back: the account is closed.",
                )
                .code("charge_not_refundable")
                .charge(&charge.id),
            ));
        }
        let settles_to = match card {
            Some(Card::RefundPending) => Some("succeeded"),
            Some(Card::RefundFailsLater) => Some("failed"),
            Some(_) | None => None,
        };
        let refund = Refund {
            id: id::new("re"),
            created_at: work.now.to_sqlx(),
            payment_intent: intent.id.clone(),
            charge: charge.id.clone(),
            amount,
            currency: intent.currency.clone(),
            status: if card == Some(Card::RefundPending) {
                "pending"
            } else {
                "succeeded"
            }
            .to_owned(),
            reason: self.reason.map(str::to_owned),
            failure_reason: None,
            settles_at: settles_to.map(|_| (work.now + work.config.settle_delay).to_sqlx()),
            settles_to: settles_to.map(str::to_owned),
            metadata: Json(self.metadata),
        };
        insert(work, &refund).await?;
        // A pending refund counts as given back, or two of them could exceed what was captured.
        charge.amount_refunded += amount;
        charge.save_amounts(work).await?;
        refund.announce(work, "refund.created", &intent);
        // Told of the request, whether or not the money has arrived: what becomes of it is told of the refund.
        intent.announce_charge(work, "charge.refunded", &charge);
        Ok(Answer::now(refund.to_json()))
    }
}

async fn lock(work: &mut Work<'_>, target: &Target) -> Result<Intent, Failure> {
    let (intent_id, missing) = match target {
        Target::Intent(id) => (
            Some(id.clone()),
            ApiError::no_such_parameter("payment intent", id, "payment_intent"),
        ),
        Target::Charge(id) => (
            sqlx::query_scalar("select payment_intent from sandbox.charges where id = $1")
                .bind(id)
                .fetch_optional(&mut *work.tx)
                .await?,
            ApiError::no_such_parameter("charge", id, "charge"),
        ),
    };
    match intent_id {
        Some(id) => Intent::lock(work, &id).await?.ok_or_else(|| missing.into()),
        None => Err(missing.into()),
    }
}

async fn insert(work: &mut Work<'_>, refund: &Refund) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into sandbox.refunds (id, created_at, payment_intent, charge, amount, currency, status, reason,
                                      settles_at, settles_to, metadata)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&refund.id)
    .bind(refund.created_at)
    .bind(&refund.payment_intent)
    .bind(&refund.charge)
    .bind(refund.amount)
    .bind(&refund.currency)
    .bind(&refund.status)
    .bind(&refund.reason)
    .bind(refund.settles_at)
    .bind(&refund.settles_to)
    .bind(&refund.metadata)
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

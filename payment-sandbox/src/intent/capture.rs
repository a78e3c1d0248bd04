//! `POST /v1/payment_intents/{id}/capture`: takes held money, once.

use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{Intent, Status, confirm::unexpected_state};
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
    work::Work,
};

const PARAMETERS: &[&str] = &[
    "amount_to_capture",
    "metadata",
    "statement_descriptor",
    "statement_descriptor_suffix",
];

/// A checked request to capture.
pub(crate) struct Capture {
    id: String,
    amount: Option<i64>,
}

pub(super) async fn handle(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Response {
    let command = Capture::parse(&id, &incoming.form).map(Command::CaptureIntent);
    call::run(
        &sandbox,
        incoming,
        Operation::Capture,
        About::intent(&id),
        command,
    )
    .await
}

impl Capture {
    /// All that is held.
    pub(crate) fn whole(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            amount: None,
        }
    }

    fn parse(id: &str, form: &Form) -> Result<Self, ApiError> {
        form.allow(PARAMETERS)?;
        if !id::is_plausible(id) {
            return Err(ApiError::no_such("payment intent", id));
        }
        Ok(Self {
            id: id.to_owned(),
            amount: form.integer_at_least("amount_to_capture", 1)?,
        })
    }

    pub(crate) async fn execute(self, work: &mut Work<'_>) -> Result<Answer, Failure> {
        let mut intent = Intent::lock(work, &self.id)
            .await?
            .ok_or_else(|| ApiError::no_such("payment intent", &self.id))?;
        if intent.status != Status::RequiresCapture {
            return Err(unexpected_state(work, &intent, "captured"));
        }
        let amount = self.amount.unwrap_or(intent.amount_capturable);
        if amount > intent.amount_capturable {
            return Err(Failure::Refused(
                ApiError::parameter(
                    "amount_too_large",
                    "amount_to_capture",
                    format!(
                        "{amount} cannot be captured: only {} is held.",
                        intent.amount_capturable
                    ),
                )
                .payment_intent(intent.to_json(work.config)),
            ));
        }
        if intent.payment_method.as_deref().and_then(Card::parse) == Some(Card::CaptureRefused) {
            return Err(Failure::Refused(
                ApiError::card(
                    "card_declined",
                    "The card's issuer refuses to pay out what it had authorised.",
                )
                .decline_code(Some("generic_decline"))
                .payment_intent(intent.to_json(work.config)),
            ));
        }
        // What is held has exactly one successful charge; without it the ledger contradicts itself.
        let mut charge = Charge::successful(work, &intent.id)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?;
        charge.amount_captured = amount;
        charge.save_amounts(work).await?;
        intent.status = Status::Succeeded;
        intent.amount_received = amount;
        // A rest that was held and not taken is let go.
        intent.amount_capturable = 0;
        intent.save(work).await?;
        intent.announce_charge(work, "charge.captured", &charge);
        intent.announce(work, "payment_intent.succeeded");
        Ok(Answer::now(intent.to_json(work.config)))
    }
}

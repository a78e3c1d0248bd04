//! `POST /v1/payment_intents/{id}/cancel`: lets held money go.

use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff_sqlx::ToSqlx;

use super::{Intent, Status, confirm::unexpected_state};
use crate::{
    Sandbox,
    call::{self, About, Answer, Command},
    card::Card,
    error::{ApiError, Failure},
    fault::Operation,
    form::Form,
    id,
    incoming::Incoming,
    session,
    work::Work,
};

const REASONS: &[&str] = &[
    "duplicate",
    "fraudulent",
    "requested_by_customer",
    "abandoned",
];

/// A checked request to cancel.
pub(crate) struct Cancel {
    id: String,
    reason: Option<&'static str>,
}

pub(super) async fn handle(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Response {
    let command = Cancel::parse(&id, &incoming.form).map(Command::CancelIntent);
    call::run(
        &sandbox,
        incoming,
        Operation::Cancel,
        About::intent(&id),
        command,
    )
    .await
}

impl Cancel {
    fn parse(id: &str, form: &Form) -> Result<Self, ApiError> {
        form.allow(&["cancellation_reason"])?;
        if !id::is_plausible(id) {
            return Err(ApiError::no_such("payment intent", id));
        }
        Ok(Self {
            id: id.to_owned(),
            reason: form.choice("cancellation_reason", REASONS)?,
        })
    }

    pub(crate) async fn execute(self, work: &mut Work<'_>) -> Result<Answer, Failure> {
        // The session before its intent, as everywhere: two locks in one order cannot wait for each other.
        let session_is_open = session::lock_of_intent(work, &self.id).await?;
        let mut intent = Intent::lock(work, &self.id)
            .await?
            .ok_or_else(|| ApiError::no_such("payment intent", &self.id))?;
        if session_is_open {
            return Err(Failure::Refused(
                ApiError::invalid("This payment intent belongs to an open checkout session. Expire the session instead.")
                    .code("payment_intent_unexpected_state")
                    .payment_intent(intent.to_json(work.config)),
            ));
        }
        match intent.status {
            Status::Canceled | Status::Succeeded => {
                return Err(unexpected_state(work, &intent, "canceled"));
            }
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresAction
            | Status::Processing
            | Status::RequiresCapture => {}
        }
        if intent.status == Status::RequiresCapture
            && intent.payment_method.as_deref().and_then(Card::parse) == Some(Card::VoidRefused)
        {
            return Err(Failure::Refused(
                ApiError::invalid("The card's issuer refuses to let the authorised amount go.")
                    .code("intent_invalid_state")
                    .payment_intent(intent.to_json(work.config)),
            ));
        }
        cancel(work, &mut intent, self.reason).await?;
        Ok(Answer::now(intent.to_json(work.config)))
    }
}

/// Cancels what an expired session leaves behind. The session's lock is held.
pub(crate) async fn cancel_with_its_session(
    work: &mut Work<'_>,
    intent_id: &str,
) -> Result<(), sqlx::Error> {
    let Some(mut intent) = Intent::lock(work, intent_id).await? else {
        return Ok(());
    };
    match intent.status {
        Status::RequiresPaymentMethod
        | Status::RequiresConfirmation
        | Status::RequiresAction
        | Status::Processing
        | Status::RequiresCapture => cancel(work, &mut intent, Some("automatic")).await,
        Status::Canceled | Status::Succeeded => Ok(()),
    }
}

async fn cancel(
    work: &mut Work<'_>,
    intent: &mut Intent,
    reason: Option<&'static str>,
) -> Result<(), sqlx::Error> {
    intent.status = Status::Canceled;
    intent.amount_capturable = 0;
    intent.cancellation_reason = reason.map(str::to_owned);
    intent.canceled_at = Some(work.now.to_sqlx());
    intent.settles_at = None;
    intent.save(work).await?;
    intent.announce(work, "payment_intent.canceled");
    Ok(())
}

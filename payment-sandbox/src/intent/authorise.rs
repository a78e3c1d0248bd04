//! An attempt to charge a card, and what follows from it. Whoever attempts holds the intent's lock.

use serde_json::{Value, json};
use sqlx::types::Json;

use super::{Intent, Status};
use crate::{
    card::{AUTHENTICATION_FAILED, AUTHENTICATION_REQUIRED, Card, Decline},
    charge::Charge,
    error::{ApiError, Failure},
    work::Work,
};

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Held, or taken at once when the intent captures automatically.
    Authorised,
    /// The customer has to act first.
    NeedsAction,
    /// It will be known later.
    Processing,
    /// The issuer said no; the failed charge's id.
    Declined(Decline, String),
}

/// Tries the card on the intent. `on_session` tells whether a customer is there who could confirm.
pub(crate) async fn attempt(
    work: &mut Work<'_>,
    intent: &mut Intent,
    token: &str,
    on_session: bool,
) -> Result<Attempt, Failure> {
    let card = Card::from_parameter(token, "payment_method")?;
    intent.payment_method = Some(token.to_owned());
    match card {
        Card::Declined(decline) => decline_with(work, intent, decline).await,
        Card::AuthenticationRequired if !on_session => {
            decline_with(work, intent, AUTHENTICATION_REQUIRED).await
        }
        Card::AuthenticationRequired => {
            intent.status = Status::RequiresAction;
            intent.last_payment_error = None;
            intent.save(work).await?;
            intent.announce(work, "payment_intent.requires_action");
            Ok(Attempt::NeedsAction)
        }
        Card::Processing => {
            intent.status = Status::Processing;
            intent.last_payment_error = None;
            intent.settle_later(work);
            intent.save(work).await?;
            intent.announce(work, "payment_intent.processing");
            Ok(Attempt::Processing)
        }
        Card::ServerErrorOnce => {
            if first_time(work, token, intent.order_id().unwrap_or_default()).await? {
                // Refused, not invalid: the provider had begun, so this answer is what the key will repeat.
                return Err(Failure::Refused(ApiError::internal()));
            }
            approve(work, intent).await
        }
        Card::Good
        | Card::Timeout
        | Card::Slow
        | Card::CaptureRefused
        | Card::VoidRefused
        | Card::AmountMismatch
        | Card::RefundRefused
        | Card::RefundPending
        | Card::RefundFailsLater => approve(work, intent).await,
    }
}

/// The issuer agrees: the money is held, or taken when the intent captures automatically.
pub(crate) async fn approve(work: &mut Work<'_>, intent: &mut Intent) -> Result<Attempt, Failure> {
    let token = intent.payment_method.clone().unwrap_or_default();
    let authorised = match Card::parse(&token) {
        // At least one unit: a charge over nothing is none.
        Some(Card::AmountMismatch) => (intent.amount - 1).max(1),
        Some(_) | None => intent.amount,
    };
    let mut charge = Charge::attempt(work, intent, &token, authorised, None).await?;
    intent.latest_charge = Some(charge.id.clone());
    intent.last_payment_error = None;
    intent.settles_at = None;
    if intent.capture_method == "manual" {
        intent.status = Status::RequiresCapture;
        intent.amount_capturable = authorised;
        intent.save(work).await?;
        intent.announce_charge(work, "charge.succeeded", &charge);
        intent.announce(work, "payment_intent.amount_capturable_updated");
    } else {
        intent.status = Status::Succeeded;
        intent.amount_received = authorised;
        charge.amount_captured = authorised;
        charge.save_amounts(work).await?;
        intent.save(work).await?;
        intent.announce_charge(work, "charge.succeeded", &charge);
        intent.announce(work, "payment_intent.succeeded");
    }
    Ok(Attempt::Authorised)
}

/// The customer was asked to confirm and said no.
pub(crate) async fn refuse_authentication(
    work: &mut Work<'_>,
    intent: &mut Intent,
) -> Result<Attempt, Failure> {
    decline_with(work, intent, AUTHENTICATION_FAILED).await
}

async fn decline_with(
    work: &mut Work<'_>,
    intent: &mut Intent,
    decline: Decline,
) -> Result<Attempt, Failure> {
    let token = intent.payment_method.clone().unwrap_or_default();
    let charge = Charge::attempt(work, intent, &token, intent.amount, Some(decline)).await?;
    intent.status = Status::RequiresPaymentMethod;
    intent.latest_charge = Some(charge.id.clone());
    intent.last_payment_error = Some(Json(error_of(&token, decline, &charge.id)));
    intent.settles_at = None;
    intent.save(work).await?;
    intent.announce_charge(work, "charge.failed", &charge);
    intent.announce(work, "payment_intent.payment_failed");
    Ok(Attempt::Declined(decline, charge.id))
}

fn error_of(token: &str, decline: Decline, charge: &str) -> Value {
    json!({
        "type": "card_error",
        "code": decline.code,
        "decline_code": decline.decline_code,
        "message": decline.message,
        "charge": charge,
        "payment_method": { "id": token, "object": "payment_method", "type": "card" },
    })
}

/// The API's answer to a declined attempt: 402, with the intent as it stands.
pub(super) fn declined(
    work: &Work<'_>,
    intent: &Intent,
    decline: Decline,
    charge: &str,
) -> Failure {
    Failure::Refused(
        ApiError::card(decline.code, decline.message)
            .decline_code(decline.decline_code)
            .charge(charge)
            .payment_intent(intent.to_json(work.config)),
    )
}

/// Whether this token misbehaves for this order for the first time.
async fn first_time(work: &mut Work<'_>, token: &str, scope: &str) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "insert into sandbox.spent_tokens (token, scope) values ($1, $2) on conflict do nothing",
    )
    .bind(token)
    .bind(scope)
    .execute(&mut *work.tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

//! What a customer does on the hosted pages: pay a session, confirm or refuse an intent that asks for it.

use super::{Session, Status, expire::expire};
use crate::{
    Sandbox,
    call::Delivery,
    card::Decline,
    error::Failure,
    intent::{self, Attempt, Intent, NewIntent},
    work::{Cause, Work},
};

/// How an attempt to pay a session went.
pub(crate) enum Payment {
    /// Paid, now or before. How the customer's browser learns of it depends on the card.
    Complete(Session, Delivery),
    /// The customer must confirm on the page of this intent.
    Confirm(String),
    /// The card was declined; the session stays open.
    Declined(Session, Decline),
    /// Too late.
    Expired(Session),
    NoSuchSession,
}

/// How a confirmation went.
pub(crate) enum Confirmation {
    /// The intent went on; where the customer goes next, if somewhere is known.
    Done(Option<String>),
    /// The customer refused; the same.
    Refused(Option<String>),
    /// The intent does not wait for a confirmation (any more).
    NotWaiting,
    NoSuchIntent,
}

/// Pays the session with a card. Whoever holds the session's lock first, payer or expirer, wins.
pub(crate) async fn pay(
    sandbox: &Sandbox,
    session_id: &str,
    token: &str,
) -> Result<Payment, Failure> {
    let mut work = Work::begin(sandbox.pool(), sandbox.config(), Cause::default()).await?;
    let Some(mut session) = Session::lock(&mut work, session_id).await? else {
        return Ok(Payment::NoSuchSession);
    };
    match session.status_at(work.now) {
        // A second click on the same button pays nothing more.
        Status::Complete => return Ok(Payment::Complete(session, Delivery::Now)),
        Status::Expired => {
            if session.status == Status::Open {
                expire(&mut work, &mut session).await?;
                finish(sandbox, work).await?;
            }
            return Ok(Payment::Expired(session));
        }
        Status::Open => {}
    }
    let mut intent = intent_of(&mut work, &mut session).await?;
    let payment = match intent::attempt(&mut work, &mut intent, token, true).await {
        Ok(Attempt::Declined(decline, _charge)) => Payment::Declined(session, decline),
        Ok(Attempt::NeedsAction) => Payment::Confirm(intent.id),
        Ok(Attempt::Authorised | Attempt::Processing) => {
            let delivery = intent::delivery_of(&work, token);
            complete(&mut work, &mut session, &intent).await?;
            Payment::Complete(session, delivery)
        }
        // A card that fails once has been noted as having failed.
        Err(failure @ Failure::Refused(_)) => {
            finish(sandbox, work).await?;
            return Err(failure);
        }
        Err(failure) => return Err(failure),
    };
    finish(sandbox, work).await?;
    Ok(payment)
}

/// The customer's word on an intent that requires action.
pub(crate) async fn authenticate(
    sandbox: &Sandbox,
    intent_id: &str,
    approved: bool,
) -> Result<Confirmation, Failure> {
    let mut work = Work::begin(sandbox.pool(), sandbox.config(), Cause::default()).await?;
    let session_id: Option<Option<String>> =
        sqlx::query_scalar("select session_id from sandbox.payment_intents where id = $1")
            .bind(intent_id)
            .fetch_optional(&mut *work.tx)
            .await?;
    let mut session = match session_id {
        None => return Ok(Confirmation::NoSuchIntent),
        Some(None) => None,
        Some(Some(id)) => Session::lock(&mut work, &id).await?,
    };
    if session
        .as_ref()
        .is_some_and(|session| session.status_at(work.now) != Status::Open)
    {
        return Ok(Confirmation::NotWaiting);
    }
    let Some(mut intent) = Intent::lock(&mut work, intent_id).await? else {
        return Ok(Confirmation::NoSuchIntent);
    };
    if intent.status != intent::Status::RequiresAction {
        return Ok(Confirmation::NotWaiting);
    }
    let confirmation = if approved {
        intent::approve(&mut work, &mut intent).await?;
        let mut next = intent.return_url.clone();
        if let Some(session) = &mut session {
            complete(&mut work, session, &intent).await?;
            next = Some(session.success_url());
        }
        Confirmation::Done(next)
    } else {
        intent::refuse_authentication(&mut work, &mut intent).await?;
        // Back to the session's page, where another card can be tried.
        let page = session
            .as_ref()
            .map(|session| sandbox.config().page_url(&format!("pay/{}", session.id)));
        Confirmation::Refused(page.or_else(|| intent.return_url.clone()))
    };
    finish(sandbox, work).await?;
    Ok(confirmation)
}

/// The session's one intent: made at the first attempt, used again after a decline.
async fn intent_of(work: &mut Work<'_>, session: &mut Session) -> Result<Intent, Failure> {
    if let Some(id) = &session.intent_id {
        return Ok(Intent::lock(work, id)
            .await?
            .ok_or(sqlx::Error::RowNotFound)?);
    }
    let new = NewIntent {
        amount: session.amount_total,
        currency: session.currency.clone(),
        capture_method: session.capture_method.clone(),
        payment_method: None,
        return_url: Some(session.success_url()),
        description: None,
        session_id: Some(session.id.clone()),
        metadata: session.payment_intent_metadata.0.clone(),
    };
    let intent = intent::open(work, new).await?;
    session.intent_id = Some(intent.id.clone());
    session.save(work).await?;
    Ok(intent)
}

async fn complete(
    work: &mut Work<'_>,
    session: &mut Session,
    intent: &Intent,
) -> Result<(), sqlx::Error> {
    session.status = Status::Complete;
    session.intent_status = Some(intent.status.as_str().to_owned());
    session.save(work).await?;
    session.announce(work, "checkout.session.completed");
    Ok(())
}

async fn finish(sandbox: &Sandbox, work: Work<'_>) -> Result<(), sqlx::Error> {
    if work.commit().await? {
        sandbox.outbox().notify_one();
    }
    Ok(())
}

//! Letting go what is set aside, and making sure that nothing can be set aside by a call that is still on its way:
//! the create is sent again under its key, and what it names is cancelled. If the money turns out to be taken, that
//! is the answer, and giving it back is another effect.

use event_schema::{Money, Timestamp};

use super::{Means, Outcome, Past, Searched, by_id, found, key_lives, though_answered};
use crate::provider::{
    Call, Fault, Payment, PaymentProvider, PaymentStatus, Search, Session, SessionStatus,
};

pub(super) async fn run(
    provider: &dyn PaymentProvider,
    call: &Call,
    authorisation: &Call,
    means: &Means,
    past: Past,
    now: Timestamp,
) -> Result<Outcome, Fault> {
    match means {
        Means::Card { token, payment_id } => {
            let payment = match payment_id {
                Some(id) => provider.payment(id).await?,
                None => card_payment(provider, authorisation, token, now).await?,
            };
            match payment {
                Some(payment) => cancel(provider, payment, &key(call, "", past)).await,
                None => Ok(Outcome::NothingToVoid),
            }
        }
        Means::Checkout { session_id } => {
            let session = match session_id {
                Some(id) => provider.session(id).await?,
                None => opened_session(provider, authorisation, now).await?,
            };
            match session {
                Some(session) => close(provider, call, session, past).await,
                None => Ok(Outcome::NothingToVoid),
            }
        }
    }
}

/// Whether it is let go, or taken, already; nothing while it has to be asked for.
pub(super) async fn look(
    provider: &dyn PaymentProvider,
    authorisation: &Call,
    means: &Means,
) -> Result<Search<Outcome>, Fault> {
    let search = match means {
        Means::Card {
            payment_id: Some(id),
            ..
        } => by_id(provider.payment(id).await?),
        Means::Card {
            payment_id: None, ..
        } => provider.find_payment(authorisation).await?,
        Means::Checkout { session_id } => {
            let session = match session_id {
                Some(id) => by_id(provider.session(id).await?),
                None => provider.find_session(authorisation).await?,
            };
            match session {
                Search::Found(Session {
                    payment_id: Some(id),
                    ..
                }) => by_id(provider.payment(&id).await?),
                Search::Found(_) | Search::Nothing => Search::Nothing,
                Search::CutOff => Search::CutOff,
            }
        }
    };
    Ok(match search {
        Search::Found(payment) => by_id(settled(&payment)),
        Search::Nothing => Search::Nothing,
        Search::CutOff => Search::CutOff,
    })
}

/// The payment that the authorisation has made or, by being sent again under its key, makes now; `None` when it
/// provably has none and never will.
async fn card_payment(
    provider: &dyn PaymentProvider,
    authorisation: &Call,
    token: &str,
    now: Timestamp,
) -> Result<Option<Payment>, Fault> {
    match found(provider.find_payment(authorisation).await?) {
        Ok(payment) => Ok(Some(payment)),
        Err(searched) if key_lives(authorisation, now) => nothing_if_refused(
            provider.create_payment(authorisation, token).await,
            searched,
        ),
        Err(searched) => nothing_if_seen(searched),
    }
}

async fn opened_session(
    provider: &dyn PaymentProvider,
    authorisation: &Call,
    now: Timestamp,
) -> Result<Option<Session>, Fault> {
    match found(provider.find_session(authorisation).await?) {
        Ok(session) => Ok(Some(session)),
        Err(searched) if key_lives(authorisation, now) => {
            nothing_if_refused(provider.create_session(authorisation).await, searched)
        }
        Err(searched) => nothing_if_seen(searched),
    }
}

/// Without the key only a search that saw everything proves that there is nothing.
fn nothing_if_seen<T>(searched: Searched) -> Result<Option<T>, Fault> {
    match searched {
        Searched::Nothing => Ok(None),
        Searched::CutOff => Err(Fault::Unknown {
            detail: "too much to list at the provider since the intent".into(),
            reachable: true,
            after: None,
            replayed: false,
        }),
    }
}

/// A create that is refused has set nothing aside, and neither has one whose remembered failure is only repeated, if
/// nothing is to be seen of it.
fn nothing_if_refused<T>(
    created: Result<T, Fault>,
    searched: Searched,
) -> Result<Option<T>, Fault> {
    match created {
        Ok(created) => Ok(Some(created)),
        Err(Fault::Refused { .. } | Fault::WrongState { .. }) => Ok(None),
        Err(Fault::Unknown { replayed: true, .. }) => nothing_if_seen(searched),
        // The search before it was answered.
        Err(fault) => Err(though_answered(fault)),
    }
}

/// The effect id, and for every later try one of its own: cancelling twice is harmless, but a refusal that the
/// provider remembers from before would be repeated for ever under one key.
fn key(call: &Call, verb: &str, past: Past) -> String {
    match past.tries() {
        0 => format!("{}{verb}", call.key()),
        tries => format!("{}{verb}-{tries}", call.key()),
    }
}

async fn cancel(
    provider: &dyn PaymentProvider,
    payment: Payment,
    key: &str,
) -> Result<Outcome, Fault> {
    if let Some(outcome) = settled(&payment) {
        return Ok(outcome);
    }
    match provider.cancel(&payment.id, key).await {
        Ok(payment) => Ok(settled(&payment).unwrap_or_else(still_open)),
        Err(Fault::Refused { code, message } | Fault::WrongState { code, message }) => {
            let refused = Outcome::Refused { code, message };
            Ok(match provider.payment(&payment.id).await? {
                None => Outcome::Voided,
                Some(payment) if payment.status == PaymentStatus::Processing => still_open(),
                Some(payment) => settled(&payment).unwrap_or(refused),
            })
        }
        // The payment has just been read, or made.
        Err(fault) => Err(though_answered(fault)),
    }
}

async fn close(
    provider: &dyn PaymentProvider,
    call: &Call,
    session: Session,
    past: Past,
) -> Result<Outcome, Fault> {
    let session = if session.status == SessionStatus::Open {
        match provider.expire(&session.id, &key(call, "", past)).await {
            Ok(session) => session,
            // Paid, or expired, in this moment.
            Err(Fault::Refused { code, message } | Fault::WrongState { code, message }) => {
                match provider.session(&session.id).await? {
                    None => return Ok(Outcome::Voided),
                    Some(session) if session.status == SessionStatus::Open => {
                        return Ok(Outcome::Refused { code, message });
                    }
                    Some(session) => session,
                }
            }
            // The checkout has just been read, or opened.
            Err(fault) => return Err(though_answered(fault)),
        }
    } else {
        session
    };
    let Some(payment_id) = session.payment_id else {
        return Ok(match session.status {
            SessionStatus::Expired => Outcome::Voided,
            SessionStatus::Open | SessionStatus::Complete => still_open(),
        });
    };
    match provider.payment(&payment_id).await? {
        Some(payment) => cancel(provider, payment, &key(call, "-cancel", past)).await,
        None => Ok(Outcome::Voided),
    }
}

/// What needs no cancelling any more.
fn settled(payment: &Payment) -> Option<Outcome> {
    match &payment.status {
        PaymentStatus::Cancelled { .. } => Some(Outcome::Voided),
        PaymentStatus::Captured => Some(Outcome::Captured {
            payment_id: payment.id.clone(),
            amount: Money::new(payment.received, payment.amount.currency),
        }),
        PaymentStatus::New
        | PaymentStatus::Declined { .. }
        | PaymentStatus::AwaitsCustomer { .. }
        | PaymentStatus::Processing
        | PaymentStatus::Authorised => None,
    }
}

fn still_open() -> Outcome {
    Outcome::Unknown {
        detail: "the provider has not let it go yet".into(),
        reachable: true,
        after: None,
    }
}

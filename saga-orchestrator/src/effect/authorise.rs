//! Setting the money aside: by a card in one call, or by a hosted checkout that the customer goes through.

use event_schema::Timestamp;

use super::{Outcome, Past, key_lives, never, of_payment};
use crate::provider::{Call, Fault, PaymentProvider, Search, Session, SessionStatus};

/// How the money is set aside, and what the history already knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// A card.
    Card {
        /// The provider's name for the card.
        token: String,
        /// The provider's payment, once recorded.
        payment_id: Option<String>,
    },
    /// A hosted checkout.
    Checkout {
        /// The provider's checkout, once recorded.
        session_id: Option<String>,
    },
}

pub(super) async fn run(
    provider: &dyn PaymentProvider,
    call: &Call,
    means: &Means,
    past: Past,
    now: Timestamp,
) -> Result<Outcome, Fault> {
    if past == Past::FirstCall {
        return send(provider, call, means).await;
    }
    if let Some(outcome) = look(provider, call, means).await? {
        return Ok(outcome);
    }
    if !key_lives(call, now) {
        return Ok(never("the provider lists nothing of it a day after", call.effect_id));
    }
    match send(provider, call, means).await {
        // It remembers a failure of its own under the key, and what it lists shows that nothing came of it.
        Err(Fault::Unknown { detail, replayed: true, .. }) => {
            Ok(never(&format!("the provider only repeats a failure, and lists nothing: {detail}"), call.effect_id))
        }
        other => other,
    }
}

/// What the provider has of the call; `None` when it provably has nothing that was ever tried.
pub(super) async fn look(
    provider: &dyn PaymentProvider,
    call: &Call,
    means: &Means,
) -> Result<Option<Outcome>, Fault> {
    match means {
        Means::Card { payment_id, .. } => {
            let found = match payment_id {
                Some(id) => provider.payment(id).await?,
                None => found(provider.find_payment(call).await?)?,
            };
            Ok(found.and_then(of_payment))
        }
        Means::Checkout { session_id } => {
            let found = match session_id {
                Some(id) => provider.session(id).await?,
                None => found(provider.find_session(call).await?)?,
            };
            match found {
                Some(session) => of_session(provider, session).await.map(Some),
                None => Ok(None),
            }
        }
    }
}

/// A search that was cut off proves nothing, and the same call under the same key is asked only when it is certain
/// that nothing was found or certain that it is harmless; a cut-off search is neither, so it stays unknown.
pub(super) fn found<T>(search: Search<T>) -> Result<Option<T>, Fault> {
    match search {
        Search::Found(found) => Ok(Some(found)),
        Search::Nothing => Ok(None),
        Search::CutOff => Err(Fault::Unknown {
            detail: "too much to list at the provider since the intent".into(),
            reachable: true,
            replayed: false,
        }),
    }
}

async fn send(provider: &dyn PaymentProvider, call: &Call, means: &Means) -> Result<Outcome, Fault> {
    match means {
        Means::Card { token, .. } => {
            let payment = provider.create_payment(call, token).await?;
            Ok(of_payment(payment).unwrap_or_else(|| Outcome::Unknown {
                detail: "the provider has not tried the card yet".into(),
                reachable: true,
            }))
        }
        Means::Checkout { .. } => of_session(provider, provider.create_session(call).await?).await,
    }
}

async fn of_session(provider: &dyn PaymentProvider, session: Session) -> Result<Outcome, Fault> {
    let expired = || Outcome::Refused {
        code: SESSION_EXPIRED.into(),
        message: "the hosted checkout was not paid in time".into(),
    };
    match (session.status, session.page, session.payment_id) {
        (SessionStatus::Open, Some(page), payment_id) => {
            Ok(Outcome::ActionRequired { page, session_id: Some(session.id), payment_id })
        }
        (SessionStatus::Open, None, _) => Ok(Outcome::Unknown {
            detail: "the open checkout has no page".into(),
            reachable: true,
        }),
        // What the payment says counts, even for a session that has expired since.
        (SessionStatus::Complete | SessionStatus::Expired, _, Some(id)) => {
            let payment = provider.payment(&id).await?.and_then(of_payment);
            Ok(match (payment, session.status) {
                (Some(Outcome::Refused { .. }) | None, SessionStatus::Expired) => expired(),
                (Some(outcome), _) => outcome,
                (None, _) => Outcome::Unknown {
                    detail: "the checkout is complete, and its payment is not to be seen yet".into(),
                    reachable: true,
                },
            })
        }
        (SessionStatus::Expired, _, None) => Ok(expired()),
        (SessionStatus::Complete, _, None) => Ok(Outcome::Unknown {
            detail: "the checkout is complete, and names no payment yet".into(),
            reachable: true,
        }),
    }
}

/// Our code for a hosted checkout that nobody can pay at any more.
pub const SESSION_EXPIRED: &str = "session_expired";

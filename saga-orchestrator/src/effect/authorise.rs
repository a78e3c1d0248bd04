//! Setting the money aside: by a card in one call, or by a hosted checkout that the customer goes through.

use event_schema::Timestamp;

use super::{Outcome, Past, by_id, found, key_lives, of_payment, spent, though_answered};
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
    let searched = match found(look(provider, call, means).await?) {
        Ok(outcome) => return Ok(outcome),
        Err(searched) => searched,
    };
    if !key_lives(call, now) {
        return Ok(spent(
            searched,
            "the provider shows nothing of it a day after",
            call.effect_id,
        ));
    }
    match send(provider, call, means).await.map_err(though_answered) {
        // It remembers a failure of its own under the key.
        Err(Fault::Unknown {
            detail,
            replayed: true,
            ..
        }) => {
            let detail =
                format!("the provider only repeats a failure, and shows nothing of it: {detail}");
            Ok(spent(searched, &detail, call.effect_id))
        }
        other => other,
    }
}

/// What became of the call, as far as the provider shows anything that was ever tried.
pub(super) async fn look(
    provider: &dyn PaymentProvider,
    call: &Call,
    means: &Means,
) -> Result<Search<Outcome>, Fault> {
    match means {
        Means::Card { payment_id, .. } => {
            let search = match payment_id {
                Some(id) => by_id(provider.payment(id).await?),
                None => provider.find_payment(call).await?,
            };
            Ok(match search {
                Search::Found(payment) => by_id(of_payment(payment)),
                Search::Nothing => Search::Nothing,
                Search::CutOff => Search::CutOff,
            })
        }
        Means::Checkout { session_id } => {
            let search = match session_id {
                Some(id) => by_id(provider.session(id).await?),
                None => provider.find_session(call).await?,
            };
            Ok(match search {
                Search::Found(session) => Search::Found(of_session(provider, session).await?),
                Search::Nothing => Search::Nothing,
                Search::CutOff => Search::CutOff,
            })
        }
    }
}

async fn send(
    provider: &dyn PaymentProvider,
    call: &Call,
    means: &Means,
) -> Result<Outcome, Fault> {
    match means {
        Means::Card { token, .. } => {
            let payment = provider.create_payment(call, token).await?;
            Ok(of_payment(payment).unwrap_or_else(|| Outcome::Unknown {
                detail: "the provider has not tried the card yet".into(),
                reachable: true,
                after: None,
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
        (SessionStatus::Open, Some(page), payment_id) => Ok(Outcome::ActionRequired {
            page,
            session_id: Some(session.id),
            payment_id,
        }),
        (SessionStatus::Open, None, _) => Ok(Outcome::Unknown {
            detail: "the open checkout has no page".into(),
            reachable: true,
            after: None,
        }),
        // What the payment says counts, even for a session that has expired since.
        (SessionStatus::Complete | SessionStatus::Expired, _, Some(id)) => {
            let payment = provider.payment(&id).await?.and_then(of_payment);
            Ok(match (payment, session.status) {
                (Some(Outcome::Refused { .. }) | None, SessionStatus::Expired) => expired(),
                (Some(outcome), _) => outcome,
                (None, _) => Outcome::Unknown {
                    detail: "the checkout is complete, and its payment is not to be seen yet"
                        .into(),
                    reachable: true,
                    after: None,
                },
            })
        }
        (SessionStatus::Expired, _, None) => Ok(expired()),
        (SessionStatus::Complete, _, None) => Ok(Outcome::Unknown {
            detail: "the checkout is complete, and names no payment yet".into(),
            reachable: true,
            after: None,
        }),
    }
}

/// Our code for a hosted checkout that nobody can pay at any more.
pub const SESSION_EXPIRED: &str = "session_expired";

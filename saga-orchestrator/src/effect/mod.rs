//! What it takes to run one effect without ever doing it twice: when to call, when to look first, when the same call
//! under the same key is the way out, and what proves that nothing was done.
//!
//! A first try of an effect whose intent was recorded under our own eyes is simply called. Every other try may follow
//! a call that nobody knows the end of, so it looks first: by the recorded id, else by our reference. While the
//! provider remembers the key, "not found" is answered by the same call under the same key, which cannot do it twice.

use std::time::Duration;

use event_schema::ids::EffectId;
use event_schema::{Money, Timestamp};

use crate::provider::{Call, Fault, Payment, PaymentProvider, PaymentStatus, Search};

mod authorise;
mod capture;
mod refund;
mod void;

pub use authorise::{Means, SESSION_EXPIRED};

/// How long the provider remembers a key, less a margin for clocks that differ.
const KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60 - 30 * 60);

/// How an effect's try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The money is set aside.
    Authorised {
        /// The provider's payment.
        payment_id: String,
        /// How much the provider holds.
        amount: Money,
    },
    /// The customer has to act.
    ActionRequired {
        /// The page.
        page: String,
        /// The hosted checkout, if it is one.
        session_id: Option<String>,
        /// The payment, if there is one already.
        payment_id: Option<String>,
    },
    /// The money is taken.
    Captured {
        /// The provider's payment.
        payment_id: String,
        /// How much was taken.
        amount: Money,
    },
    /// Nothing is set aside any more.
    Voided,
    /// Nothing was ever set aside, and nothing can be any more.
    NothingToVoid,
    /// The money is given back.
    Refunded {
        /// The provider's refund.
        refund_id: String,
        /// How much.
        amount: Money,
    },
    /// A definite no.
    Refused {
        /// The provider's code.
        code: String,
        /// The provider's words.
        message: String,
    },
    /// The refund failed at the provider, at once or after it had seemed to succeed.
    RefundFailed {
        /// The provider's refund.
        refund_id: String,
        /// How much.
        amount: Money,
        /// The provider's code.
        code: String,
        /// The provider's words.
        message: String,
    },
    /// Certainly not done; ask again later.
    Retry {
        /// What was seen.
        detail: String,
        /// When the provider wants to be asked again.
        after: Option<Duration>,
        /// Whether the provider answered at all.
        reachable: bool,
    },
    /// Nobody knows; look it up.
    Unknown {
        /// What was seen.
        detail: String,
        /// Whether the provider answered at all.
        reachable: bool,
        /// When the provider wants to be asked again.
        after: Option<Duration>,
    },
    /// Proven: this effect's call was never carried out and never will be under its key.
    NeverHappened {
        /// The proof, for people.
        detail: String,
    },
}

/// Which steps an effect can belong to, with what each needs to know.
#[derive(Debug, Clone)]
pub enum Task {
    /// Set the money aside.
    Authorise(Means),
    /// Take what is set aside.
    Capture {
        /// The payment.
        payment_id: String,
    },
    /// Let it go, or see to it that it cannot be set aside any more.
    Void {
        /// The call that may have set it aside, to find or to repeat it.
        authorisation: Call,
        /// How that call was made.
        means: Means,
    },
    /// Give it back.
    Refund {
        /// The payment.
        payment_id: String,
    },
}

/// What is known of earlier tries of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// The intent was recorded under our own eyes, and nobody has called yet.
    FirstCall,
    /// Somebody may have called: so many tries have ended without an end.
    MaybeCalled {
        /// Tries that ended as retry or unknown.
        tries: u32,
    },
}

impl Past {
    fn tries(self) -> u32 {
        match self {
            Self::FirstCall => 0,
            Self::MaybeCalled { tries } => tries,
        }
    }
}

/// Runs one try of an effect to its outcome.
pub async fn run(
    provider: &dyn PaymentProvider,
    call: &Call,
    task: &Task,
    past: Past,
    now: Timestamp,
) -> Outcome {
    let result = match task {
        Task::Authorise(means) => authorise::run(provider, call, means, past, now).await,
        Task::Capture { payment_id } => capture::run(provider, call, payment_id, past, now).await,
        Task::Void {
            authorisation,
            means,
        } => void::run(provider, call, authorisation, means, past, now).await,
        Task::Refund { payment_id } => refund::run(provider, call, payment_id, past, now).await,
    };
    result.unwrap_or_else(|fault| of_fault(fault, past))
}

/// What a look at the provider has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// This became of it.
    Found(Outcome),
    /// The provider shows nothing of it.
    Nothing,
    /// It could not be asked now.
    Failed(String),
}

/// The truth about an effect that somebody may have called, without calling anything into being.
pub async fn look_up(provider: &dyn PaymentProvider, call: &Call, task: &Task) -> Looked {
    let looked = match task {
        Task::Authorise(means) => authorise::look(provider, call, means).await,
        Task::Capture { payment_id } => capture::look(provider, payment_id).await,
        Task::Void {
            authorisation,
            means,
        } => void::look(provider, authorisation, means).await,
        Task::Refund { payment_id } => refund::look(provider, call, payment_id).await,
    };
    of_search(looked)
}

/// Whether anybody has given back all of what a call has taken, past us.
pub async fn look_for_refund(
    provider: &dyn PaymentProvider,
    call: &Call,
    payment_id: &str,
) -> Looked {
    of_search(refund::look_for_any(provider, call, payment_id).await)
}

fn of_search(looked: Result<Search<Outcome>, Fault>) -> Looked {
    match looked {
        Ok(Search::Found(outcome)) => Looked::Found(outcome),
        Ok(Search::Nothing) => Looked::Nothing,
        Ok(Search::CutOff) => {
            Looked::Failed("too much to list at the provider since the intent".into())
        }
        Err(fault) => Looked::Failed(fault.to_string()),
    }
}

/// What a fault means for the effect. "Not sent" is certain only for a call that nobody can have made before.
fn of_fault(fault: Fault, past: Past) -> Outcome {
    match fault {
        Fault::Refused { code, message } | Fault::WrongState { code, message } => {
            Outcome::Refused { code, message }
        }
        Fault::Later {
            detail,
            after,
            reachable,
        } => match past {
            Past::FirstCall => Outcome::Retry {
                detail,
                after,
                reachable,
            },
            // It says nothing about the earlier call, which may have been carried out.
            Past::MaybeCalled { .. } => Outcome::Unknown {
                detail,
                reachable,
                after,
            },
        },
        Fault::Unknown {
            detail,
            reachable,
            after,
            ..
        } => Outcome::Unknown {
            detail,
            reachable,
            after,
        },
    }
}

/// What broke after the same try's look-up had been answered: the provider can be reached, and it is this call that it
/// does not answer. Whoever is told so for longer than the patience lasts is not in an outage.
fn though_answered(fault: Fault) -> Fault {
    match fault {
        Fault::Unknown {
            detail,
            after,
            replayed,
            ..
        } => Fault::Unknown {
            detail,
            reachable: true,
            after,
            replayed,
        },
        other => other,
    }
}

fn key_lives(call: &Call, now: Timestamp) -> bool {
    now < call.key_since + KEY_LIFE
}

/// The end of the same call under a key that is spent. Only a search that saw everything proves that nothing was done.
fn spent(searched: Searched, detail: &str, effect: EffectId) -> Outcome {
    match searched {
        Searched::Nothing => Outcome::NeverHappened {
            detail: format!("{detail} (effect {effect})"),
        },
        Searched::CutOff => Outcome::Unknown {
            detail: detail.to_owned(),
            reachable: true,
            after: None,
        },
    }
}

/// A search that found nothing: with or without having seen everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Searched {
    Nothing,
    CutOff,
}

/// What was found, or how far the search that found nothing went.
fn found<T>(search: Search<T>) -> Result<T, Searched> {
    match search {
        Search::Found(found) => Ok(found),
        Search::Nothing => Err(Searched::Nothing),
        Search::CutOff => Err(Searched::CutOff),
    }
}

/// A read by id sees everything there is.
fn by_id<T>(read: Option<T>) -> Search<T> {
    read.map_or(Search::Nothing, Search::Found)
}

/// What the provider's payment says to somebody who wanted the money set aside.
fn of_payment(payment: Payment) -> Option<Outcome> {
    let Payment {
        id,
        status,
        amount,
        capturable,
        received,
    } = payment;
    let of = |minor| Money::new(minor, amount.currency);
    Some(match status {
        PaymentStatus::New => return None,
        PaymentStatus::Declined { code, message } => Outcome::Refused { code, message },
        PaymentStatus::AwaitsCustomer { page: Some(page) } => Outcome::ActionRequired {
            page,
            session_id: None,
            payment_id: Some(id),
        },
        PaymentStatus::AwaitsCustomer { page: None } => Outcome::Refused {
            code: "authentication_required".into(),
            message: "the card asks for a confirmation that no page is offered for".into(),
        },
        PaymentStatus::Processing => Outcome::Unknown {
            detail: "the provider is still processing it".into(),
            reachable: true,
            after: None,
        },
        PaymentStatus::Authorised => Outcome::Authorised {
            payment_id: id,
            amount: of(capturable),
        },
        PaymentStatus::Captured => Outcome::Captured {
            payment_id: id,
            amount: of(received),
        },
        PaymentStatus::Cancelled { reason } => Outcome::Refused {
            code: "canceled".into(),
            message: reason.unwrap_or_else(|| "the payment was cancelled".into()),
        },
    })
}

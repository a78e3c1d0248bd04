//! The port to the payment provider: single calls and what they can end in. It never guesses: a call that has no
//! usable answer is [`Fault::Unknown`], and only a definite "no" is [`Fault::Refused`].
//!
//! What to do about an answer (look it up, send it again, give up) is decided in [`crate::effect`].

use std::time::Duration;

use async_trait::async_trait;
use event_schema::ids::{EffectId, OrderId};
use event_schema::{Money, Timestamp};

mod stripe;

pub use stripe::{BuildError, Stripe};

/// What every call about one order's money carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whose money.
    pub order_id: OrderId,
    /// The call's stable id: our reference in the provider's metadata, and what the idempotency key is made of.
    pub effect_id: EffectId,
    /// How much.
    pub amount: Money,
    /// When the intent of this effect was recorded first: nothing of it can exist at the provider before.
    pub intended_at: Timestamp,
    /// How often the provider has refused the effect for good. Each time a person has it tried again after that, it
    /// has a key of its own: under the old one the provider would only repeat its refusal.
    pub refusals: u32,
    /// When the key was used first: how long the provider remembers it counts from here.
    pub key_since: Timestamp,
    /// Payments that signed callbacks have named as this order's: looked at before anything is listed, and believed only
    /// if the payment itself names this call.
    pub told: Vec<String>,
}

impl Call {
    /// The first call of an effect whose intent was recorded at this moment.
    pub fn new(
        order_id: OrderId,
        effect_id: EffectId,
        amount: Money,
        intended_at: Timestamp,
    ) -> Self {
        Self {
            order_id,
            effect_id,
            amount,
            intended_at,
            refusals: 0,
            key_since: intended_at,
            told: Vec::new(),
        }
    }

    /// The idempotency key.
    pub fn key(&self) -> String {
        match self.refusals {
            0 => self.effect_id.to_string(),
            refusals => format!("{}-again-{refusals}", self.effect_id),
        }
    }
}

/// A payment as the provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The provider's id of it.
    pub id: String,
    /// Where it stands.
    pub status: PaymentStatus,
    /// What it is about: the amount and currency that the provider was asked for.
    pub amount: Money,
    /// Set aside and not taken, in minor units.
    pub capturable: i64,
    /// Taken, in minor units.
    pub received: i64,
}

/// Where a payment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentStatus {
    /// Nothing was tried with a card yet.
    New,
    /// The card was refused.
    Declined {
        /// The provider's code.
        code: String,
        /// The provider's words.
        message: String,
    },
    /// The customer has to act on a page; `None` when the provider names none that we can send him to.
    AwaitsCustomer {
        /// The page.
        page: Option<String>,
    },
    /// The provider does not know yet itself.
    Processing,
    /// Set aside for us.
    Authorised,
    /// Taken.
    Captured,
    /// Let go, for good.
    Cancelled {
        /// The provider's reason, when it has one.
        reason: Option<String>,
    },
}

/// A hosted checkout as the provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The provider's id of it.
    pub id: String,
    /// Where it stands.
    pub status: SessionStatus,
    /// The page, while it is open.
    pub page: Option<String>,
    /// The payment that it led to, once there is one.
    pub payment_id: Option<String>,
}

/// Where a hosted checkout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// The customer may still pay.
    Open,
    /// The customer is through; the payment tells the rest.
    Complete,
    /// Nobody can pay there any more.
    Expired,
}

/// Money given back, as the provider has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The provider's id of it.
    pub id: String,
    /// Where it stands.
    pub status: RefundStatus,
    /// How much.
    pub amount: Money,
}

/// Where a refund stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundStatus {
    /// On its way; may still fail.
    Pending,
    /// Given back.
    Succeeded,
    /// It failed for good.
    Failed {
        /// The provider's reason.
        reason: String,
    },
}

/// How a search by our own reference ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search<T> {
    /// There it is.
    Found(T),
    /// Everything since the intent was listed, and it is not there.
    Nothing,
    /// It could not be listed to the end, or not at all: it may exist.
    CutOff,
}

/// A call that did not end in what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A definite no: nothing was done, and asking the same again changes nothing.
    #[error("refused: {code}: {message}")]
    Refused {
        /// The provider's code.
        code: String,
        /// The provider's words.
        message: String,
    },
    /// The thing is not in the state that the call needs; the truth has to be read.
    #[error("not possible now: {code}: {message}")]
    WrongState {
        /// The provider's code.
        code: String,
        /// The provider's words.
        message: String,
    },
    /// Certainly not done; ask again later.
    #[error("try again later: {detail}")]
    Later {
        /// What was seen.
        detail: String,
        /// When the provider wants to be asked again, if it said so.
        after: Option<Duration>,
        /// Whether the provider answered at all.
        reachable: bool,
    },
    /// Nobody knows whether it was done.
    #[error("no usable answer: {detail}")]
    Unknown {
        /// What was seen instead of an answer.
        detail: String,
        /// Whether the provider answered at all.
        reachable: bool,
        /// When the provider wants to be asked again, if it said so.
        after: Option<Duration>,
        /// The provider repeats a failure that it has remembered under the key: the same call will never end otherwise.
        replayed: bool,
    },
}

/// One payment provider. Every call ends within the answer deadline.
#[async_trait]
pub trait PaymentProvider: Send + Sync + 'static {
    /// The provider's id in events and routes.
    fn id(&self) -> &str;

    /// Sets money aside on a card, in one call.
    async fn create_payment(&self, call: &Call, token: &str) -> Result<Payment, Fault>;
    /// Opens a hosted checkout that sets money aside.
    async fn create_session(&self, call: &Call) -> Result<Session, Fault>;
    /// Takes what is set aside.
    async fn capture(&self, call: &Call, payment_id: &str) -> Result<Payment, Fault>;
    /// Lets go what is set aside or may still be. Harmless when repeated, so every try may have a key of its own.
    async fn cancel(&self, payment_id: &str, key: &str) -> Result<Payment, Fault>;
    /// Closes a hosted checkout, so that nobody can pay there any more. Harmless when repeated, as above.
    async fn expire(&self, session_id: &str, key: &str) -> Result<Session, Fault>;
    /// Gives taken money back.
    async fn refund(&self, call: &Call, payment_id: &str) -> Result<Refund, Fault>;

    /// Reads a payment by the provider's id; `None`: the provider has no such payment.
    async fn payment(&self, payment_id: &str) -> Result<Option<Payment>, Fault>;
    /// Reads a hosted checkout by the provider's id.
    async fn session(&self, session_id: &str) -> Result<Option<Session>, Fault>;
    /// Searches the payment that the call has made, by our own reference: among those that callbacks have named, then
    /// among all.
    async fn find_payment(&self, call: &Call) -> Result<Search<Payment>, Fault>;
    /// Searches the hosted checkout that the call has opened, by our own reference.
    async fn find_session(&self, call: &Call) -> Result<Search<Session>, Fault>;
    /// Searches the refund that the call has made, by our own reference.
    async fn find_refund(&self, call: &Call, payment_id: &str) -> Result<Search<Refund>, Fault>;
    /// Searches a refund of the call's whole sum by anybody, such as a person at the provider's dashboard.
    async fn find_whole_refund(
        &self,
        call: &Call,
        payment_id: &str,
    ) -> Result<Search<Refund>, Fault>;
}

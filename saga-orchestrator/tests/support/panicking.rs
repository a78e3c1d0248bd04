//! An adapter with a bug: it panics for one order, until it is repaired.

use std::sync::Mutex;

use async_trait::async_trait;
use event_schema::ids::OrderId;
use saga_orchestrator::provider::{
    Call, Fault, Payment, PaymentProvider, Refund, Search, Session, Stripe,
};

pub struct Panicking {
    inner: Stripe,
    victim: Mutex<Option<OrderId>>,
    struck: Mutex<usize>,
}

impl Panicking {
    pub fn new(inner: Stripe, victim: OrderId) -> Self {
        Self {
            inner,
            victim: Mutex::new(Some(victim)),
            struck: Mutex::default(),
        }
    }

    pub fn repair(&self) {
        *self.victim.lock().unwrap() = None;
    }

    /// How often it has panicked.
    pub fn struck(&self) -> usize {
        *self.struck.lock().unwrap()
    }

    fn strike(&self, call: &Call) {
        if *self.victim.lock().unwrap() == Some(call.order_id) {
            *self.struck.lock().unwrap() += 1;
            panic!("the adapter has a bug");
        }
    }
}

#[async_trait]
impl PaymentProvider for Panicking {
    fn id(&self) -> &str {
        self.inner.id()
    }

    async fn create_payment(&self, call: &Call, token: &str) -> Result<Payment, Fault> {
        self.strike(call);
        self.inner.create_payment(call, token).await
    }

    async fn create_session(&self, call: &Call) -> Result<Session, Fault> {
        self.strike(call);
        self.inner.create_session(call).await
    }

    async fn capture(&self, call: &Call, payment_id: &str) -> Result<Payment, Fault> {
        self.inner.capture(call, payment_id).await
    }

    async fn cancel(&self, payment_id: &str, key: &str) -> Result<Payment, Fault> {
        self.inner.cancel(payment_id, key).await
    }

    async fn expire(&self, session_id: &str, key: &str) -> Result<Session, Fault> {
        self.inner.expire(session_id, key).await
    }

    async fn refund(&self, call: &Call, payment_id: &str) -> Result<Refund, Fault> {
        self.inner.refund(call, payment_id).await
    }

    async fn payment(&self, payment_id: &str) -> Result<Option<Payment>, Fault> {
        self.inner.payment(payment_id).await
    }

    async fn session(&self, session_id: &str) -> Result<Option<Session>, Fault> {
        self.inner.session(session_id).await
    }

    async fn find_payment(&self, call: &Call) -> Result<Search<Payment>, Fault> {
        self.strike(call);
        self.inner.find_payment(call).await
    }

    async fn find_session(&self, call: &Call) -> Result<Search<Session>, Fault> {
        self.inner.find_session(call).await
    }

    async fn find_refund(&self, call: &Call, payment_id: &str) -> Result<Search<Refund>, Fault> {
        self.inner.find_refund(call, payment_id).await
    }

    async fn find_whole_refund(
        &self,
        call: &Call,
        payment_id: &str,
    ) -> Result<Search<Refund>, Fault> {
        self.inner.find_whole_refund(call, payment_id).await
    }
}

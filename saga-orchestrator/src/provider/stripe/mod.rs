//! The adapter for Stripe's API and every server that speaks it. It sends our order and effect id as metadata with
//! everything that it makes, and the effect id as the idempotency key, so that nothing is ever made twice and
//! everything can be found again.

use std::time::Duration;

use async_trait::async_trait;
use event_schema::Timestamp;
use event_schema::ids::OrderId;

use service_kit::payment::ProviderAccount;

use super::{Call, Fault, Payment, PaymentProvider, Refund, Search, Session};
use transport::{Reply, Transport};
use wire::{Page, WirePayment, WireRefund, WireSession};

mod transport;
mod wire;

/// How long before the recorded intent a list begins, for clocks that differ.
const CLOCK_MARGIN: Duration = Duration::from_secs(5 * 60);
/// How long a hosted checkout stays open at the provider if our own expiry never reaches it. Stripe refuses less than
/// 30 minutes from now; the rest leaves room to send the same call again after an outage.
const SESSION_LIFE: Duration = Duration::from_secs(2 * 60 * 60);
const PAGE_SIZE: usize = 100;
/// Bounds one look-up: beyond so many pages the search by metadata is asked instead.
const PAGES_MAX: usize = 20;

/// The adapter could not be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The base URL cannot be used.
    #[error("WAYBILL_PAYMENT_URL: {url:?} is not an http or https URL")]
    BaseUrl {
        /// What was given.
        url: String,
    },
    /// The key cannot be sent in a header.
    #[error("WAYBILL_PAYMENT_KEY: the key has characters that a header cannot carry")]
    ApiKey,
    /// No HTTP client could be made.
    #[error("the HTTP client for the payment provider could not be made")]
    Client(#[source] reqwest::Error),
}

/// A Stripe-compatible provider over HTTP.
#[derive(Debug)]
pub struct Stripe {
    id: String,
    transport: Transport,
    /// Where the provider's pages send the customer back to.
    public_url: String,
    session_life: Duration,
}

impl Stripe {
    /// `answer_deadline` bounds every call; `public_url` is where the provider's pages lead back to.
    pub fn new(
        account: &ProviderAccount,
        public_url: &str,
        answer_deadline: Duration,
        time_to_pay: Duration,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            id: account.id.clone(),
            transport: Transport::new(&account.url, &account.api_key, answer_deadline)?,
            public_url: public_url.trim_end_matches('/').to_owned(),
            // Long enough for a long time to pay, and never beyond the 24 hours that Stripe allows.
            session_life: (SESSION_LIFE + time_to_pay).min(Duration::from_secs(23 * 60 * 60)),
        })
    }

    fn return_url(&self, order: OrderId) -> String {
        format!("{}/v1/orders/{order}", self.public_url)
    }

    /// What a callback has named, if it is what the call has made. A list may lag, or not be answered; a read by id sees
    /// everything. What cannot be read is left to the list.
    async fn told_payment(&self, call: &Call) -> Result<Option<Payment>, Fault> {
        for id in &call.told {
            let Ok(id) = segment(id) else { continue };
            let path = format!("/v1/payment_intents/{id}");
            let read = self.transport.get(&path, &[]).await;
            let Ok(payment) = read.and_then(|reply| reply.read::<WirePayment>()) else {
                continue;
            };
            if payment.metadata.names(call) {
                return convert(payment).map(Some);
            }
        }
        Ok(None)
    }

    /// Pages through a list, newest first, until something fits.
    async fn list<W, T>(
        &self,
        path: &str,
        query: &[(&str, String)],
        fits: impl Fn(&W) -> bool,
    ) -> Result<Search<T>, Fault>
    where
        W: wire::Listed + TryInto<T, Error = wire::Unreadable>,
    {
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = query.to_vec();
            query.push(("limit", PAGE_SIZE.to_string()));
            query.extend(after.take().map(|id| ("starting_after", id)));
            let page: Page<W> = match self.transport.get(path, &query).await {
                Ok(reply) => reply.read()?,
                // A server that does not let us list says nothing about what it has.
                Err(Fault::Refused { .. } | Fault::WrongState { .. }) => return Ok(Search::CutOff),
                Err(fault) => return Err(fault),
            };
            let last = page.data.last().map(|item| item.id().to_owned());
            if let Some(found) = page.data.into_iter().find(|item| fits(item)) {
                return Ok(Search::Found(convert(found)?));
            }
            match last {
                Some(last) if page.has_more => after = Some(last),
                _ => return Ok(Search::Nothing),
            }
        }
        Ok(Search::CutOff)
    }
}

fn convert<W, T>(wire: W) -> Result<T, Fault>
where
    W: TryInto<T, Error = wire::Unreadable>,
{
    wire.try_into().map_err(|unreadable| Fault::Unknown {
        detail: unreadable.to_string(),
        reachable: true,
        after: None,
        replayed: false,
    })
}

fn one<W, T>(reply: &Reply) -> Result<T, Fault>
where
    W: serde::de::DeserializeOwned + TryInto<T, Error = wire::Unreadable>,
{
    convert(reply.read::<W>()?)
}

fn since(call: &Call) -> String {
    let from: Timestamp = call.intended_at - CLOCK_MARGIN;
    from.as_second().to_string()
}

fn metadata(prefix: &str, call: &Call) -> [(String, String); 2] {
    [
        (format!("{prefix}[order_id]"), call.order_id.to_string()),
        (format!("{prefix}[effect_id]"), call.effect_id.to_string()),
    ]
}

#[async_trait]
impl PaymentProvider for Stripe {
    fn id(&self) -> &str {
        &self.id
    }

    async fn create_payment(&self, call: &Call, token: &str) -> Result<Payment, Fault> {
        let mut form = vec![
            ("amount".to_owned(), call.amount.amount.to_string()),
            (
                "currency".to_owned(),
                call.amount.currency.code().to_ascii_lowercase(),
            ),
            ("payment_method".to_owned(), token.to_owned()),
            ("capture_method".to_owned(), "manual".to_owned()),
            ("confirm".to_owned(), "true".to_owned()),
            ("return_url".to_owned(), self.return_url(call.order_id)),
        ];
        form.extend(metadata("metadata", call));
        let key = call.key();
        one::<WirePayment, _>(
            &self
                .transport
                .post("/v1/payment_intents", &form, &key)
                .await?,
        )
    }

    async fn create_session(&self, call: &Call) -> Result<Session, Fault> {
        let back = self.return_url(call.order_id);
        let expires_at: Timestamp = call.intended_at + self.session_life;
        let mut form = vec![
            ("mode".to_owned(), "payment".to_owned()),
            ("success_url".to_owned(), back.clone()),
            ("cancel_url".to_owned(), back),
            ("client_reference_id".to_owned(), call.order_id.to_string()),
            ("expires_at".to_owned(), expires_at.as_second().to_string()),
            ("line_items[0][quantity]".to_owned(), "1".to_owned()),
            (
                "line_items[0][price_data][currency]".to_owned(),
                call.amount.currency.code().to_ascii_lowercase(),
            ),
            (
                "line_items[0][price_data][unit_amount]".to_owned(),
                call.amount.amount.to_string(),
            ),
            (
                "line_items[0][price_data][product_data][name]".to_owned(),
                format!("Order {}", call.order_id),
            ),
            (
                "payment_intent_data[capture_method]".to_owned(),
                "manual".to_owned(),
            ),
        ];
        form.extend(metadata("metadata", call));
        form.extend(metadata("payment_intent_data[metadata]", call));
        let key = call.key();
        one::<WireSession, _>(
            &self
                .transport
                .post("/v1/checkout/sessions", &form, &key)
                .await?,
        )
    }

    async fn capture(&self, call: &Call, payment_id: &str) -> Result<Payment, Fault> {
        let path = format!("/v1/payment_intents/{}/capture", segment(payment_id)?);
        let form = [(
            "amount_to_capture".to_owned(),
            call.amount.amount.to_string(),
        )];
        let key = call.key();
        one::<WirePayment, _>(&self.transport.post(&path, &form, &key).await?)
    }

    async fn cancel(&self, payment_id: &str, key: &str) -> Result<Payment, Fault> {
        let path = format!("/v1/payment_intents/{}/cancel", segment(payment_id)?);
        let form = [("cancellation_reason".to_owned(), "abandoned".to_owned())];
        one::<WirePayment, _>(&self.transport.post(&path, &form, key).await?)
    }

    async fn expire(&self, session_id: &str, key: &str) -> Result<Session, Fault> {
        let path = format!("/v1/checkout/sessions/{}/expire", segment(session_id)?);
        one::<WireSession, _>(&self.transport.post(&path, &[], key).await?)
    }

    async fn refund(&self, call: &Call, payment_id: &str) -> Result<Refund, Fault> {
        let mut form = vec![
            ("payment_intent".to_owned(), payment_id.to_owned()),
            ("amount".to_owned(), call.amount.amount.to_string()),
        ];
        form.extend(metadata("metadata", call));
        let key = call.key();
        one::<WireRefund, _>(&self.transport.post("/v1/refunds", &form, &key).await?)
    }

    async fn payment(&self, payment_id: &str) -> Result<Option<Payment>, Fault> {
        let Ok(id) = segment(payment_id) else {
            return Ok(None);
        };
        let path = format!("/v1/payment_intents/{id}");
        match self.transport.get(&path, &[]).await {
            Ok(reply) => one::<WirePayment, _>(&reply).map(Some),
            Err(fault) => absent(fault),
        }
    }

    async fn session(&self, session_id: &str) -> Result<Option<Session>, Fault> {
        let Ok(id) = segment(session_id) else {
            return Ok(None);
        };
        let path = format!("/v1/checkout/sessions/{id}");
        match self.transport.get(&path, &[]).await {
            Ok(reply) => one::<WireSession, _>(&reply).map(Some),
            Err(fault) => absent(fault),
        }
    }

    async fn find_payment(&self, call: &Call) -> Result<Search<Payment>, Fault> {
        if let Some(payment) = self.told_payment(call).await? {
            return Ok(Search::Found(payment));
        }
        let query = [("created[gte]", since(call))];
        let ours = |payment: &WirePayment| payment.metadata.names(call);
        match self
            .list::<WirePayment, _>("/v1/payment_intents", &query, ours)
            .await?
        {
            Search::CutOff => {
                // The search lags behind the list, so what it finds is true and what it misses proves nothing.
                let query = [(
                    "query",
                    format!("metadata['effect_id']:'{}'", call.effect_id),
                )];
                let searched = self
                    .transport
                    .get("/v1/payment_intents/search", &query)
                    .await;
                let page = searched.and_then(|reply| reply.read::<Page<WirePayment>>());
                match page.ok().and_then(|page| page.data.into_iter().find(ours)) {
                    Some(found) => convert(found).map(Search::Found),
                    None => Ok(Search::CutOff),
                }
            }
            listed => Ok(listed),
        }
    }

    async fn find_session(&self, call: &Call) -> Result<Search<Session>, Fault> {
        let query = [("created[gte]", since(call))];
        self.list::<WireSession, _>("/v1/checkout/sessions", &query, |session| {
            session.metadata.names(call)
        })
        .await
    }

    async fn find_refund(&self, call: &Call, payment_id: &str) -> Result<Search<Refund>, Fault> {
        let query = [("payment_intent", payment_id.to_owned())];
        self.list::<WireRefund, _>("/v1/refunds", &query, |refund| refund.metadata.names(call))
            .await
    }

    async fn find_whole_refund(
        &self,
        call: &Call,
        payment_id: &str,
    ) -> Result<Search<Refund>, Fault> {
        let query = [("payment_intent", payment_id.to_owned())];
        self.list::<WireRefund, _>("/v1/refunds", &query, |refund| {
            refund.gives_back(call.amount)
        })
        .await
    }
}

/// A read of something that is not there is an answer; one that is refused says nothing about what is there.
fn absent<T>(fault: Fault) -> Result<Option<T>, Fault> {
    match fault {
        Fault::WrongState { code, .. } if code == transport::RESOURCE_MISSING => Ok(None),
        Fault::Refused { code, message } | Fault::WrongState { code, message } => {
            Err(Fault::Unknown {
                detail: format!("the provider refuses to be asked: {code}: {message}"),
                reachable: true,
                after: None,
                replayed: false,
            })
        }
        other => Err(other),
    }
}

/// The provider's ids become part of a path: one with other characters than theirs is refused before it is sent.
fn segment(id: &str) -> Result<&str, Fault> {
    let plain = !id.is_empty()
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if plain {
        Ok(id)
    } else {
        Err(Fault::Refused {
            code: "unusable_id".into(),
            message: "the recorded id of the payment is not one that a provider gives".into(),
        })
    }
}

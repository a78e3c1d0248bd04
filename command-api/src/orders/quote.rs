//! Quotes: prices kept for a while in the KV bucket `quotes`, each used by one order.
//!
//! The value says when it expires and who has used it; the bucket's own age limit only tidies up. An order claims its
//! quote by compare-and-set before anything is appended, so of several orders one wins, and its own retry goes on.

use std::time::Duration;

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::{self, kv};
use serde::{Deserialize, Serialize};

use event_schema::ids::{CustomerId, OrderId, PartnerId, QuoteId};
use event_schema::order::Line;
use event_schema::{Money, Sealed, Timestamp};
use event_store::topology::QUOTES as BUCKET;

/// The longest that reading, keeping or claiming a quote takes.
const BUCKET_LIMIT: Duration = Duration::from_secs(4);
/// Claims are contended by a client's own retries; more rounds than this mean that something is wrong.
const CLAIM_ROUNDS_MAX: usize = 8;

/// Prices that hold for one customer until a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quote {
    /// Its id.
    pub(crate) id: QuoteId,
    /// Who asked.
    pub(crate) customer_id: CustomerId,
    /// Who sells.
    pub(crate) partner_id: PartnerId,
    /// What; each product once.
    pub(crate) lines: Vec<Line>,
    /// What all lines cost.
    pub(crate) total: Money,
    /// Where it would go; sealed already here.
    pub(crate) delivery_address: Sealed<String>,
    /// Whom to call; sealed already here.
    pub(crate) phone: Sealed<String>,
    /// Until when an order gets these prices.
    pub(crate) expires_at: Timestamp,
    /// The order that has claimed it.
    pub(crate) used_by: Option<OrderId>,
}

/// Why the bucket did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    /// The broker cannot be reached, or did not answer in time.
    #[error("the bucket `{BUCKET}` cannot be reached: {0}")]
    Unavailable(String),
    /// A value is not a quote.
    #[error("the quote {id} cannot be read")]
    Unreadable {
        /// Which.
        id: QuoteId,
        /// Why.
        source: serde_json::Error,
    },
}

/// Why an order does not get a quote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// There is none, or it is someone else's.
    #[error("there is no such quote")]
    NotFound,
    /// Its time is over.
    #[error("the quote expired at {0}; check again")]
    Expired(Timestamp),
    /// Another order has it.
    #[error("the quote was used by another order; check again")]
    Used,
    /// The bucket did not answer.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// The bucket of quotes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Quotes {
    bucket: kv::Store,
}

impl Quotes {
    /// Binds to the bucket, which the topology has made.
    pub(crate) async fn open(client: async_nats::Client) -> Result<Self, BucketError> {
        let bucket = jetstream::new(client)
            .get_key_value(BUCKET)
            .await
            .map_err(unavailable)?;
        Ok(Self { bucket })
    }

    /// Keeps a new quote.
    pub(crate) async fn keep(&self, quote: &Quote) -> Result<(), BucketError> {
        let value = encode(quote)?;
        within(async {
            self.bucket
                .create(key(quote.id), value.into())
                .await
                .map_err(unavailable)
        })
        .await?;
        Ok(())
    }

    /// Gives the quote to an order, unless it is someone else's, too old or used. The holder's own retry gets it again,
    /// even when the quote's time is over meanwhile: it was in time when it was claimed.
    pub(crate) async fn claim(
        &self,
        id: QuoteId,
        customer: CustomerId,
        order: OrderId,
        now: Timestamp,
    ) -> Result<Quote, ClaimError> {
        let mut last_error = String::from("it was claimed by others again and again");
        let rounds = async {
            for _ in 0..CLAIM_ROUNDS_MAX {
                let (quote, revision) = self.read(id).await?.ok_or(ClaimError::NotFound)?;
                if judge(&quote, customer, order, now)? == Verdict::Held {
                    return Ok(quote);
                }
                let claimed = Quote {
                    used_by: Some(order),
                    ..quote
                };
                match self
                    .bucket
                    .update(key(id), encode(&claimed)?.into(), revision)
                    .await
                {
                    Ok(_) => return Ok(claimed),
                    // Another one was faster, or the answer was lost: what is there now decides.
                    Err(error) => last_error = error.to_string(),
                }
            }
            Err(ClaimError::Bucket(BucketError::Unavailable(
                std::mem::take(&mut last_error),
            )))
        };
        match tokio::time::timeout(BUCKET_LIMIT, rounds).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ClaimError::Bucket(out_of_time())),
        }
    }

    /// The quote and its revision. What the nearest server does not have is asked of the leader, because a quote may be
    /// claimed a moment after it was kept.
    async fn read(&self, id: QuoteId) -> Result<Option<(Quote, u64)>, BucketError> {
        let near = self.bucket.entry(key(id)).await.map_err(unavailable)?;
        let (value, revision) = match near {
            Some(entry) if entry.operation == kv::Operation::Put => (entry.value, entry.revision),
            _ => {
                let subject = format!("$KV.{BUCKET}.{}", key(id));
                match self
                    .bucket
                    .stream
                    .get_last_raw_message_by_subject(&subject)
                    .await
                {
                    Ok(message) if !message.payload.is_empty() => {
                        (message.payload, message.sequence)
                    }
                    Ok(_) => return Ok(None),
                    Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                        return Ok(None);
                    }
                    Err(error) => return Err(unavailable(error)),
                }
            }
        };
        let quote = serde_json::from_slice(&value)
            .map_err(|source| BucketError::Unreadable { id, source })?;
        Ok(Some((quote, revision)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nobody has it yet.
    Free,
    /// This order has it already.
    Held,
}

/// Whether an order may have a quote. Whose it is comes first: a stranger learns nothing about it.
fn judge(
    quote: &Quote,
    customer: CustomerId,
    order: OrderId,
    now: Timestamp,
) -> Result<Verdict, ClaimError> {
    match quote.used_by {
        _ if quote.customer_id != customer => Err(ClaimError::NotFound),
        Some(holder) if holder == order => Ok(Verdict::Held),
        Some(_) => Err(ClaimError::Used),
        None if quote.expires_at <= now => Err(ClaimError::Expired(quote.expires_at)),
        None => Ok(Verdict::Free),
    }
}

fn key(id: QuoteId) -> String {
    id.to_string()
}

fn encode(quote: &Quote) -> Result<Vec<u8>, BucketError> {
    serde_json::to_vec(quote).map_err(|source| BucketError::Unreadable {
        id: quote.id,
        source,
    })
}

async fn within<T>(
    operation: impl Future<Output = Result<T, BucketError>>,
) -> Result<T, BucketError> {
    tokio::time::timeout(BUCKET_LIMIT, operation)
        .await
        .unwrap_or_else(|_| Err(out_of_time()))
}

fn unavailable(error: impl std::fmt::Display) -> BucketError {
    BucketError::Unavailable(error.to_string())
}

fn out_of_time() -> BucketError {
    BucketError::Unavailable(format!("no answer within {} s", BUCKET_LIMIT.as_secs()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use event_schema::{Currency, PersonalKey};

    use super::*;

    const ADA: CustomerId = CustomerId(Uuid::from_u128(1));
    const BOB: CustomerId = CustomerId(Uuid::from_u128(2));
    const ORDER: OrderId = OrderId(Uuid::from_u128(3));
    const OTHER_ORDER: OrderId = OrderId(Uuid::from_u128(4));

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn quote(used_by: Option<OrderId>) -> Quote {
        let id = Uuid::from_u128(9);
        let key = PersonalKey::generate().unwrap();
        let seal =
            |field: &str| Sealed::seal(&key, ADA.uuid(), id, field, &"secret".to_owned()).unwrap();
        Quote {
            id: QuoteId(id),
            customer_id: ADA,
            partner_id: PartnerId(Uuid::from_u128(5)),
            lines: Vec::new(),
            total: Money::zero(Currency::EUR),
            delivery_address: seal("delivery_address"),
            phone: seal("phone"),
            expires_at: at(100),
            used_by,
        }
    }

    #[test]
    fn a_quote_in_time_is_free_for_its_customer() {
        assert_eq!(
            judge(&quote(None), ADA, ORDER, at(99)).unwrap(),
            Verdict::Free
        );
    }

    #[test]
    fn a_quote_expires_to_the_moment() {
        assert!(matches!(
            judge(&quote(None), ADA, ORDER, at(100)),
            Err(ClaimError::Expired(_))
        ));
    }

    #[test]
    fn the_holder_goes_on_even_after_the_quotes_time() {
        assert_eq!(
            judge(&quote(Some(ORDER)), ADA, ORDER, at(5_000)).unwrap(),
            Verdict::Held
        );
    }

    #[test]
    fn a_quote_is_used_by_one_order() {
        assert!(matches!(
            judge(&quote(Some(ORDER)), ADA, OTHER_ORDER, at(50)),
            Err(ClaimError::Used)
        ));
    }

    #[test]
    fn someone_elses_quote_does_not_exist_whatever_became_of_it() {
        for used_by in [None, Some(ORDER), Some(OTHER_ORDER)] {
            assert!(matches!(
                judge(&quote(used_by), BOB, ORDER, at(50)),
                Err(ClaimError::NotFound)
            ));
        }
    }

    #[test]
    fn nothing_personal_of_a_kept_quote_can_be_read() {
        let json = serde_json::to_string(&quote(None)).unwrap();
        assert!(!json.contains("secret"), "{json}");
    }
}

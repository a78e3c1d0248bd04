//! What tests of several aggregates share: ids, money, moments, sealed text.

use event_schema::ids::{CustomerId, OrderId, PartnerId, ProductId, QuoteId};
use event_schema::{Currency, Money, Sealed, Timestamp, codec};
use uuid::Uuid;

/// Euro cents.
pub(crate) fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

pub(crate) fn mug() -> ProductId {
    ProductId(Uuid::from_u128(0xa1))
}

pub(crate) fn kettle() -> ProductId {
    ProductId(Uuid::from_u128(0xa2))
}

pub(crate) fn partner_id() -> PartnerId {
    PartnerId(Uuid::from_u128(0xb1))
}

pub(crate) fn customer_id() -> CustomerId {
    CustomerId(Uuid::from_u128(0xc1))
}

pub(crate) fn quote_id() -> QuoteId {
    QuoteId(Uuid::from_u128(0xd1))
}

/// The n-th order.
pub(crate) fn order(n: u128) -> OrderId {
    OrderId(Uuid::from_u128(0xe000 + n))
}

/// So many milliseconds after the tests' zero hour.
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_750_000_000_000 + ms).unwrap()
}

/// Somebody's sealed text; the same each time, which sealing itself never is.
pub(crate) fn sealed(field: &str) -> Sealed<String> {
    sealed_as(field, "c2VhbGVk")
}

/// Sealed text with a ciphertext of its own. Deciders never open it.
pub(crate) fn sealed_as(field: &str, ciphertext: &str) -> Sealed<String> {
    #[derive(serde::Serialize)]
    struct Stored<'a> {
        person: Uuid,
        origin: Uuid,
        field: &'a str,
        sealed: &'a str,
    }
    let stored = Stored {
        person: customer_id().uuid(),
        origin: Uuid::from_u128(2),
        field,
        sealed: ciphertext,
    };
    codec::decode(&codec::encode(&stored).unwrap()).unwrap()
}

//! What tests of several aggregates share: ids, money, moments, sealed text.

use event_schema::ids::{CustomerId, OrderId, PartnerId, ProductId, QuoteId};
use event_schema::{Currency, Money, PersonalKey, Sealed, Timestamp};
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

pub(crate) fn sealed(field: &str) -> Sealed<String> {
    let key = PersonalKey::from_bytes(&[7; 32]).unwrap();
    Sealed::seal(
        &key,
        customer_id().uuid(),
        Uuid::from_u128(2),
        field,
        &"somebody's".to_owned(),
    )
    .unwrap()
}

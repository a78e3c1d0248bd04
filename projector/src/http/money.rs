//! Money as answers show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount in minor units with its currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    /// Minor units: 1999 is 19.99 EUR.
    #[schema(example = 1999)]
    pub amount: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
}

impl Money {
    /// An amount out of its two columns.
    pub fn new(amount: i64, currency: impl Into<String>) -> Self {
        Self {
            amount,
            currency: currency.into(),
        }
    }
}

impl From<event_schema::Money> for Money {
    fn from(money: event_schema::Money) -> Self {
        Self::new(money.amount, money.currency.code())
    }
}

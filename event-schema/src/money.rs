//! Money in minor units with its currency. Every sum is checked: an overflow or a mixed currency is an error.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a sum could not be formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Two currencies met in one sum.
    #[error("{left} and {right} cannot be added")]
    CurrencyMismatch {
        /// Currency of the left side.
        left: Currency,
        /// Currency of the right side.
        right: Currency,
    },
    /// The sum does not fit 64 bits.
    #[error("the amount is too large")]
    Overflow,
}

/// An ISO 4217 currency code in use, such as `EUR`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");
    /// US dollar.
    pub const USD: Self = Self(*b"USD");

    /// The three letters.
    pub fn code(&self) -> &str {
        // Only ASCII letters get in, so the fallback is never seen.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many minor digits amounts have: 2 for EUR, 0 for JPY.
    pub fn minor_digits(&self) -> u16 {
        iso_currency::Currency::from_code(self.code())
            .and_then(|c| c.exponent())
            .unwrap_or(2)
    }
}

/// The text is not a currency code of ISO 4217 in capital letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an ISO 4217 currency code")]
pub struct UnknownCurrency(pub String);

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (
            <[u8; 3]>::try_from(text.as_bytes()),
            iso_currency::Currency::from_code(text),
        ) {
            (Ok(code), Some(_)) => Ok(Self(code)),
            _ => Err(UnknownCurrency(text.chars().take(16).collect())),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// An amount in minor units: `{"amount": 1999, "currency": "EUR"}` is 19.99 euro.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units; may be negative only in differences.
    pub amount: i64,
    /// The currency the amount is in.
    pub currency: Currency,
}

impl Money {
    /// An amount of minor units.
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Nothing, in a currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The sum of two amounts of one currency.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference of two amounts of one currency.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    /// So many times the amount.
    pub fn times(self, quantity: u32) -> Result<Self, MoneyError> {
        let amount = self
            .amount
            .checked_mul(i64::from(quantity))
            .ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }

    fn combine(self, other: Self, by: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch {
                left: self.currency,
                right: other.currency,
            });
        }
        let amount = by(self.amount, other.amount).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = usize::from(self.currency.minor_digits());
        let sign = if self.amount < 0 { "-" } else { "" };
        let text = format!(
            "{:0>width$}",
            self.amount.unsigned_abs(),
            width = digits + 1
        );
        let (major, minor) = text.split_at(text.len() - digits);
        let point = if digits == 0 { "" } else { "." };
        write!(f, "{sign}{major}{point}{minor} {}", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_of_two_currencies_do_not_add_up() {
        let mixed = Money::new(1, Currency::EUR).plus(Money::new(1, Currency::USD));
        assert_eq!(
            mixed,
            Err(MoneyError::CurrencyMismatch {
                left: Currency::EUR,
                right: Currency::USD
            })
        );
    }

    #[test]
    fn a_sum_that_does_not_fit_is_an_error_and_never_wraps() {
        assert_eq!(
            Money::new(i64::MAX, Currency::EUR).plus(Money::new(1, Currency::EUR)),
            Err(MoneyError::Overflow)
        );
        assert_eq!(
            Money::new(i64::MAX / 2, Currency::EUR).times(3),
            Err(MoneyError::Overflow)
        );
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(Money::new(1999, Currency::EUR).to_string(), "19.99 EUR");
        assert_eq!(Money::new(-5, Currency::EUR).to_string(), "-0.05 EUR");
        assert_eq!(
            Money::new(1999, "JPY".parse().unwrap()).to_string(),
            "1999 JPY"
        );
    }

    #[test]
    fn only_real_currencies_are_read() {
        for bad in ["eur", "EU", "EURO", "ZZZ", ""] {
            assert!(bad.parse::<Currency>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_added_can_be_taken_away(a in any::<i32>(), b in any::<i32>()) {
            let (a, b) = (Money::new(a.into(), Currency::EUR), Money::new(b.into(), Currency::EUR));
            prop_assert_eq!(a.plus(b).unwrap().minus(b).unwrap(), a);
        }
    }
}

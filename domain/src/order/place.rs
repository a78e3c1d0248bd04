//! A customer buys at the quoted prices. What the edge has checked is checked again: an order that does not add up
//! must never be a fact.

use std::collections::BTreeSet;

use event_schema::ids::{CustomerId, PartnerId, QuoteId};
use event_schema::money::MoneyError;
use event_schema::order::{self as event, Event, Line, PaymentMethod};
use event_schema::{Money, Sealed};

use super::{MOST_LINES, MOST_UNITS_OF_A_LINE, Rejection, State};

/// A customer buys.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The quote whose prices it has.
    pub quote_id: QuoteId,
    /// Who buys.
    pub customer_id: CustomerId,
    /// Who sells.
    pub partner_id: PartnerId,
    /// What; each product once.
    pub lines: Vec<Line>,
    /// What all lines cost.
    pub total: Money,
    /// Where it goes.
    pub delivery_address: Sealed<String>,
    /// Whom to call.
    pub phone: Sealed<String>,
    /// How it is paid.
    pub payment_method: PaymentMethod,
}

impl Place {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if let Some(known) = state.details() {
            // A quote is used by one order, so the quote tells a repeat.
            return if (known.quote_id, known.customer_id) == (self.quote_id, self.customer_id) {
                Ok(vec![])
            } else {
                Err(Rejection::AlreadyPlaced)
            };
        }
        self.check()?;
        let Self {
            quote_id,
            customer_id,
            partner_id,
            lines,
            total,
            delivery_address,
            phone,
            payment_method,
        } = self;
        Ok(vec![
            event::Placed {
                quote_id,
                customer_id,
                partner_id,
                lines,
                total,
                delivery_address,
                phone,
                payment_method,
            }
            .into(),
        ])
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.lines.is_empty() {
            return Err(Rejection::NoLines);
        }
        if self.lines.len() > MOST_LINES {
            return Err(Rejection::TooManyLines);
        }
        let mut products = BTreeSet::new();
        let mut total = Money::zero(self.total.currency);
        for line in &self.lines {
            let product_id = line.product_id;
            if !(1..=MOST_UNITS_OF_A_LINE).contains(&line.quantity) {
                return Err(Rejection::QuantityOutOfRange { product_id });
            }
            if !products.insert(product_id) {
                return Err(Rejection::ProductTwice { product_id });
            }
            if line.unit_price.amount < 1 || line.unit_price.times(line.quantity) != Ok(line.total)
            {
                return Err(Rejection::TotalsDoNotAddUp);
            }
            total = total.plus(line.total).map_err(|error| match error {
                MoneyError::CurrencyMismatch { .. } => Rejection::CurrencyMismatch,
                MoneyError::Overflow => Rejection::TotalsDoNotAddUp,
            })?;
        }
        if total != self.total {
            return Err(Rejection::TotalsDoNotAddUp);
        }
        Ok(())
    }
}

impl From<event::Placed> for Place {
    fn from(placed: event::Placed) -> Self {
        let event::Placed {
            quote_id,
            customer_id,
            partner_id,
            lines,
            total,
            delivery_address,
            phone,
            payment_method,
        } = placed;
        Self {
            quote_id,
            customer_id,
            partner_id,
            lines,
            total,
            delivery_address,
            phone,
            payment_method,
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;
    use event_schema::{Currency, Decider};
    use uuid::Uuid;

    use super::*;
    use crate::fixtures::{eur, mug};
    use crate::order::Order;
    use crate::order::fixtures::{cancelled, line, placed, two_mugs_and_a_kettle};

    fn place() -> Place {
        two_mugs_and_a_kettle().into()
    }

    fn of(lines: Vec<Line>, total: i64) -> Place {
        Place {
            lines,
            total: eur(total),
            ..place()
        }
    }

    #[test]
    fn an_order_is_placed_and_waits_for_its_money() {
        let state = given::<Order>([]).when(place()).then([placed()]);
        assert!(matches!(state, State::PendingPayment(details) if details.total == eur(4200)));
    }

    #[test]
    fn the_same_order_again_changes_nothing_whatever_became_of_it() {
        given::<Order>([placed()]).when(place()).then_nothing();
        given::<Order>([placed(), cancelled()])
            .when(place())
            .then_nothing();
    }

    #[test]
    fn another_order_cannot_take_the_id() {
        let other = Place {
            quote_id: QuoteId(Uuid::from_u128(9)),
            ..place()
        };
        given::<Order>([placed()])
            .when(other)
            .then_rejected(Rejection::AlreadyPlaced);
    }

    #[test]
    fn an_order_without_lines_or_with_too_many_is_refused() {
        given::<Order>([])
            .when(of(vec![], 0))
            .then_rejected(Rejection::NoLines);
        let many = |n: u128| {
            (0..n)
                .map(|n| line(Uuid::from_u128(n).into(), "mug", 1, 1))
                .collect::<Vec<_>>()
        };
        assert!(Order::decide(&State::NotPlaced, of(many(50), 50).into()).is_ok());
        given::<Order>([])
            .when(of(many(51), 51))
            .then_rejected(Rejection::TooManyLines);
    }

    #[test]
    fn a_line_buys_between_one_and_ten_thousand_units() {
        for quantity in [0, 10_001] {
            given::<Order>([])
                .when(of(
                    vec![line(mug(), "mug", quantity, 1)],
                    i64::from(quantity),
                ))
                .then_rejected(Rejection::QuantityOutOfRange { product_id: mug() });
        }
    }

    #[test]
    fn a_product_is_in_an_order_once() {
        let twice = vec![line(mug(), "mug", 1, 850), line(mug(), "mug", 1, 850)];
        given::<Order>([])
            .when(of(twice, 1700))
            .then_rejected(Rejection::ProductTwice { product_id: mug() });
    }

    #[test]
    fn an_order_is_paid_in_one_currency() {
        let mut mixed = place();
        mixed.lines[1].unit_price.currency = Currency::USD;
        mixed.lines[1].total.currency = Currency::USD;
        given::<Order>([])
            .when(mixed)
            .then_rejected(Rejection::CurrencyMismatch);
    }

    #[test]
    fn totals_that_do_not_add_up_or_do_not_fit_are_refused() {
        let one = || vec![line(mug(), "mug", 1, 850)];
        given::<Order>([])
            .when(of(one(), 849))
            .then_rejected(Rejection::TotalsDoNotAddUp);
        let mut wrong = one();
        wrong[0].total = eur(849);
        given::<Order>([])
            .when(of(wrong, 849))
            .then_rejected(Rejection::TotalsDoNotAddUp);
        let mut free = one();
        (free[0].unit_price, free[0].total) = (eur(0), eur(0));
        given::<Order>([])
            .when(of(free, 0))
            .then_rejected(Rejection::TotalsDoNotAddUp);
        let mut huge = place();
        for line in &mut huge.lines {
            (line.quantity, line.unit_price, line.total) = (1, eur(i64::MAX), eur(i64::MAX));
        }
        given::<Order>([])
            .when(huge)
            .then_rejected(Rejection::TotalsDoNotAddUp);
    }
}

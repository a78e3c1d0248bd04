//! What lines cost: adds them up, prices them, and says everything that speaks against them at once.

use std::collections::BTreeMap;

use uuid::Uuid;

use domain::inventory::Inventory;
use domain::offer::Offer;
use domain::order::{Line, MOST_LINES, MOST_UNITS_OF_A_LINE};
use domain::partner::Partner;
use domain::product::Product;
use event_schema::ids::{PartnerId, ProductId};
use event_schema::{Currency, Money, offer};
use event_store::{Stop, Work};
use service_kit::Validation;

use super::check::WantedLine;
use crate::fields;
use crate::problem::Refusal;

/// Lines as they are sent; those of one product are added up afterwards.
const SENT_LINES_MAX: usize = 500;

/// A product with all its lines added up, and where it was named first.
pub(super) struct Wanted {
    product_id: ProductId,
    quantity: u32,
    pointer: String,
}

/// One entry per product, in the order in which they were named.
pub(super) fn add_up(
    validation: &mut Validation,
    partner_id: PartnerId,
    lines: &[WantedLine],
) -> Vec<Wanted> {
    if lines.is_empty() {
        validation.add("/lines", "required", "an order needs at least one line");
    }
    if lines.len() > SENT_LINES_MAX {
        validation.refuse(
            "/lines",
            "quantity_out_of_range",
            format!("send at most {SENT_LINES_MAX} lines"),
        );
        return Vec::new();
    }
    let most = i64::from(MOST_UNITS_OF_A_LINE);
    let mut places: BTreeMap<Uuid, usize> = BTreeMap::new();
    let mut wanted: Vec<Wanted> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let pointer = format!("/lines/{index}");
        if line
            .partner_id
            .is_some_and(|other| other != partner_id.uuid())
        {
            let detail = "an order is one partner's, and this line names another";
            validation.refuse(format!("{pointer}/partner_id"), "mixed_partners", detail);
        }
        let at = format!("{pointer}/quantity");
        let units = fields::units(validation, &at, line.quantity, 1..=most)
            .and_then(|units| u32::try_from(units).ok());
        let Some(quantity) = units else { continue };
        let place = *places.entry(line.product_id).or_insert(wanted.len());
        match wanted.get_mut(place) {
            None => wanted.push(Wanted {
                product_id: ProductId(line.product_id),
                quantity,
                pointer,
            }),
            Some(known) => {
                // Both are at most 10 000, so the sum cannot overflow.
                known.quantity += quantity;
                if known.quantity > MOST_UNITS_OF_A_LINE {
                    let detail =
                        format!("all lines of this product together ask for more than {most}");
                    validation.refuse(at, "quantity_out_of_range", detail);
                    known.quantity = MOST_UNITS_OF_A_LINE;
                }
            }
        }
    }
    if wanted.len() > MOST_LINES {
        let detail = format!("an order has at most {MOST_LINES} products");
        validation.refuse("/lines", "quantity_out_of_range", detail);
    }
    wanted
}

/// What the lines cost, and how much there is of each.
pub(super) struct Priced {
    pub(super) lines: Vec<Line>,
    pub(super) available: Vec<u64>,
    pub(super) total: Money,
}

/// Prices every line, or says everything that speaks against it.
pub(super) fn price(
    work: &mut Work,
    partner_id: PartnerId,
    wanted: &[Wanted],
    expected: Option<Currency>,
) -> Result<Priced, Stop<Refusal>> {
    let products: Vec<Uuid> = wanted.iter().map(|line| line.product_id.uuid()).collect();
    let offers: Vec<Uuid> = wanted
        .iter()
        .map(|line| offer::id(partner_id, line.product_id))
        .collect();
    // Everything at once: one round of loading instead of four.
    work.prefetch::<Product>(&products);
    work.prefetch::<Offer>(&offers);
    work.prefetch::<Inventory>(&products);
    let partner = work.state::<Partner>(partner_id.uuid())?;
    let offers = work.states::<Offer>(&offers)?;
    let products = work.states::<Product>(&products)?;

    let mut validation = Validation::new();
    if !partner.buyable() {
        validation.add(
            "/partner_id",
            "unknown_partner",
            "this partner does not sell at the moment",
        );
    }
    let sells_any = offers.iter().any(|offer| offer.offered().is_some());
    let mut currency = expected;
    let mut total: Option<Money> = None;
    let mut lines = Vec::with_capacity(wanted.len());
    for ((line, product), offer) in wanted.iter().zip(&products).zip(&offers) {
        let pointer = format!("{}/product_id", line.pointer);
        let Some((identity, details)) = product.current() else {
            validation.refuse(pointer, "unknown_product", "there is no such product");
            continue;
        };
        let offered = match offer.offered() {
            Some(offered) if offered.active => offered,
            Some(_) => {
                validation.refuse(
                    pointer,
                    "unknown_product",
                    "the partner does not sell this product at the moment",
                );
                continue;
            }
            None if sells_any
                || identity
                    .partner_id
                    .is_some_and(|seller| seller != partner_id) =>
            {
                validation.refuse(
                    pointer,
                    "mixed_partners",
                    "this product is not the order's partner's",
                );
                continue;
            }
            None => {
                validation.refuse(
                    pointer,
                    "unknown_product",
                    "the partner does not sell this product",
                );
                continue;
            }
        };
        let price = offered.price;
        if *currency.get_or_insert(price.currency) != price.currency {
            let detail = format!("this product is sold in {}", price.currency);
            validation.refuse(pointer, "currency_mismatch", detail);
            continue;
        }
        let line_total = price.times(line.quantity);
        let sum = line_total.and_then(|cost| total.map_or(Ok(cost), |sum| sum.plus(cost)));
        let (Ok(line_total), Ok(sum)) = (line_total, sum) else {
            validation.refuse(pointer, "quantity_out_of_range", "the total is too large");
            continue;
        };
        total = Some(sum);
        lines.push(Line {
            product_id: line.product_id,
            sku: identity.sku.clone(),
            name: details.name.clone(),
            brand: details.brand.clone(),
            category: details.category.clone(),
            quantity: line.quantity,
            unit_price: price,
            unit_cost: details.unit_cost,
            total: line_total,
        });
    }
    let total = validation.finish_with(total).map_err(Stop::rejected)?;

    let mut available = Vec::with_capacity(lines.len());
    for line in &lines {
        let stock = work.state::<Inventory>(line.product_id.uuid())?;
        if stock.available < u64::from(line.quantity) {
            return Err(Stop::rejected(Refusal::out_of_stock(
                &line.name,
                line.product_id,
                stock.available,
            )));
        }
        available.push(stock.available);
    }
    Ok(Priced {
        lines,
        available,
        total,
    })
}

#[cfg(test)]
mod tests {
    use crate::fields::WholeNumber;

    use super::*;

    const PARTNER: PartnerId = PartnerId(Uuid::from_u128(1));

    fn line(product: u128, quantity: i128) -> WantedLine {
        WantedLine {
            product_id: Uuid::from_u128(product),
            quantity: WholeNumber(quantity),
            partner_id: None,
        }
    }

    type Added = Vec<(ProductId, u32)>;
    type Errors = Vec<(String, String)>;

    fn codes(lines: &[WantedLine]) -> (Added, Errors) {
        let mut validation = Validation::new();
        let wanted = add_up(&mut validation, PARTNER, lines);
        let errors = validation
            .finish()
            .err()
            .map(|problem| problem.body().errors.clone())
            .unwrap_or_default();
        (
            wanted
                .iter()
                .map(|line| (line.product_id, line.quantity))
                .collect(),
            errors
                .into_iter()
                .map(|error| (error.pointer, error.code.into_owned()))
                .collect(),
        )
    }

    #[test]
    fn lines_of_one_product_are_added_up_in_the_order_they_were_named() {
        let (wanted, errors) = codes(&[line(7, 2), line(8, 1), line(7, 3)]);
        assert_eq!(
            wanted,
            [
                (ProductId(Uuid::from_u128(7)), 5),
                (ProductId(Uuid::from_u128(8)), 1)
            ]
        );
        assert!(errors.is_empty());
    }

    #[test]
    fn each_line_and_the_sum_of_a_products_lines_stay_within_the_limits() {
        for quantity in [0, -1, 10_001, i128::MAX] {
            let (_, errors) = codes(&[line(7, quantity)]);
            assert_eq!(
                errors,
                [(
                    "/lines/0/quantity".to_owned(),
                    "quantity_out_of_range".to_owned()
                )]
            );
        }
        let (_, errors) = codes(&[line(7, 10_000), line(7, 1)]);
        assert_eq!(
            errors,
            [(
                "/lines/1/quantity".to_owned(),
                "quantity_out_of_range".to_owned()
            )]
        );
    }

    #[test]
    fn fifty_products_are_an_order_and_one_more_is_not() {
        let lines: Vec<_> = (0..50).map(|product| line(product, 1)).collect();
        assert!(codes(&lines).1.is_empty());
        let lines: Vec<_> = (0..51).map(|product| line(product, 1)).collect();
        assert_eq!(
            codes(&lines).1,
            [("/lines".to_owned(), "quantity_out_of_range".to_owned())]
        );
        assert_eq!(codes(&[]).1, [("/lines".to_owned(), "required".to_owned())]);
    }

    #[test]
    fn a_line_that_names_another_partner_is_refused() {
        let mixed = WantedLine {
            partner_id: Some(Uuid::from_u128(2)),
            ..line(7, 1)
        };
        assert_eq!(
            codes(&[mixed]).1,
            [(
                "/lines/0/partner_id".to_owned(),
                "mixed_partners".to_owned()
            )]
        );
        let same = WantedLine {
            partner_id: Some(PARTNER.uuid()),
            ..line(7, 1)
        };
        assert!(codes(&[same]).1.is_empty());
    }
}

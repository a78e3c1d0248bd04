//! POST /v1/orders/check: what an order would cost, kept as a quote. Changes nothing in the log.

use std::collections::BTreeMap;

use axum::extract::State;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::inventory::Inventory;
use domain::offer::Offer;
use domain::order::{Line, MOST_LINES, MOST_UNITS_OF_A_LINE};
use domain::partner::Partner;
use domain::product::Product;
use event_schema::ids::{CustomerId, PartnerId, ProductId, QuoteId};
use event_schema::{Currency, Money, Sealed, Timestamp, offer};
use event_store::{Stop, Work};
use service_kit::extract::Json;
use service_kit::{Caller, Problem, Validation};

use super::LineBody;
use super::quote::Quote;
use crate::answer::Answer;
use crate::documents::CommandProblems;
use crate::door::Door;
use crate::fields::{self, MoneyBody, WholeNumber};
use crate::problem::{self, Refusal};

/// Lines as they are sent; those of one product are added up afterwards.
const SENT_LINES_MAX: usize = 500;

/// What somebody thinks of buying.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CheckOrder {
    /// Who sells: an order is one partner's.
    partner_id: Uuid,
    /// What; lines of one product are added up, at most 50 products.
    #[schema(min_items = 1)]
    lines: Vec<WantedLine>,
    /// Where it shall go.
    #[schema(max_length = 500, example = "5 Elm Street, Springfield")]
    delivery_address: String,
    /// Whom to call.
    #[schema(max_length = 32, example = "+49 30 5550111")]
    phone: String,
    /// The currency that the customer expects; the offers' own if nothing is said.
    #[serde(default)]
    #[schema(example = "EUR")]
    currency: Option<String>,
}

/// One product and how many of it.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct WantedLine {
    product_id: Uuid,
    #[schema(minimum = 1, maximum = 10_000)]
    quantity: WholeNumber,
    /// May repeat the order's partner; another one is `mixed_partners`.
    #[serde(default)]
    partner_id: Option<Uuid>,
}

/// Prices that hold until `expires_at`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quote)]
pub(crate) struct QuoteBody {
    id: Uuid,
    /// The same as `id`, as placing an order calls it.
    quote_id: Uuid,
    partner_id: Uuid,
    lines: Vec<QuotedLine>,
    total: MoneyBody,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// One product, its price, and whether there is enough of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuotedLine {
    #[serde(flatten)]
    line: LineBody,
    /// Units that could be sold when the question was asked. Nothing is held yet.
    available: u64,
}

/// A product with all its lines added up, and where it was named first.
struct Wanted {
    product_id: ProductId,
    quantity: u32,
    pointer: String,
}

/// Says what an order would cost, and keeps the prices for ten minutes.
#[utoipa::path(
    post,
    path = "/v1/orders/check",
    tag = "orders",
    operation_id = "check_order",
    request_body = CheckOrder,
    responses(
        (status = 200, description = "A quote, good for one order of this customer", body = QuoteBody),
        (status = 409, description = "`out_of_stock`: more is asked for than can be sold right now; the detail names the \
            product. A quote holds no stock: an order that finds too little is accepted and then cancelled with the \
            reason `out_of_stock`.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`unknown_product`: there is none, it was removed, or the partner does not sell it; \
            `mixed_partners`: another partner's product; `quantity_out_of_range`: 1 to 10 000 of a product, at most 50 \
            products; `currency_mismatch`: prices in more than one currency, or in another than asked for; `invalid`: \
            another field, or the partner does not sell at the moment (`unknown_partner`)", body = Problem,
            content_type = "application/problem+json"),
        CommandProblems,
    ),
)]
pub(crate) async fn check_order(
    State(door): State<Door>,
    caller: Caller,
    Json(body): Json<CheckOrder>,
) -> Result<Answer<QuoteBody>, Problem> {
    let mut validation = Validation::new();
    let partner_id = PartnerId(body.partner_id);
    let wanted = add_up(&mut validation, partner_id, &body.lines);
    let delivery_address =
        fields::address(&mut validation, "/delivery_address", &body.delivery_address);
    let phone = fields::phone(&mut validation, "/phone", &body.phone);
    let currency = body
        .currency
        .as_ref()
        .and_then(|code| validation.check("/currency", code.parse::<Currency>()));
    validation.finish()?;

    let command = door.command("orders.check", &caller, None, &())?;
    let priced = door
        .execute(&command, |work| price(work, partner_id, &wanted, currency))
        .await?
        .value;

    let now = door.clock.now();
    let id = door.clock.new_id();
    let key = door.vault.personal_key(caller.subject).await?;
    let seal = |field: &str, value: &String| {
        Sealed::seal(&key, caller.subject, id, field, value)
            .map_err(|error| Problem::unexpected(&error))
    };
    let ttl =
        SignedDuration::try_from(door.quote_ttl).map_err(|error| Problem::unexpected(&error))?;
    let expires_at = now
        .checked_add(ttl)
        .map_err(|error| Problem::unexpected(&error))?;
    let quote = Quote {
        id: QuoteId(id),
        customer_id: CustomerId(caller.subject),
        partner_id,
        lines: priced.lines,
        total: priced.total,
        delivery_address: seal("delivery_address", &delivery_address)?,
        phone: seal("phone", &phone)?,
        expires_at,
        used_by: None,
    };
    door.quotes.keep(&quote).await.map_err(problem::of_bucket)?;
    let lines = quote.lines.iter().zip(priced.available);
    Ok(Answer::ok(QuoteBody {
        id,
        quote_id: id,
        partner_id: body.partner_id,
        lines: lines
            .map(|(line, available)| QuotedLine {
                line: line.into(),
                available,
            })
            .collect(),
        total: quote.total.into(),
        expires_at,
    }))
}

/// One entry per product, in the order in which they were named.
fn add_up(validation: &mut Validation, partner_id: PartnerId, lines: &[WantedLine]) -> Vec<Wanted> {
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
struct Priced {
    lines: Vec<Line>,
    available: Vec<u64>,
    total: Money,
}

/// Prices every line, or says everything that speaks against it.
fn price(
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
    use super::*;

    const PARTNER: PartnerId = PartnerId(Uuid::from_u128(1));

    fn line(product: u128, quantity: i128) -> WantedLine {
        WantedLine {
            product_id: Uuid::from_u128(product),
            quantity: WholeNumber(quantity),
            partner_id: None,
        }
    }

    fn codes(lines: &[WantedLine]) -> (Vec<(ProductId, u32)>, Vec<(String, String)>) {
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

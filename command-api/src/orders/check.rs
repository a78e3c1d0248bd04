//! POST /v1/orders/check: what an order would cost, kept as a quote. Changes nothing in the log.

use axum::extract::State;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::ids::{CustomerId, PartnerId, QuoteId};
use event_schema::{Currency, Sealed, Timestamp};
use service_kit::{Caller, Problem, Validation};

use super::LineBody;
use super::pricing::{add_up, price};
use super::quote::Quote;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::CommandProblems;
use crate::door::Door;
use crate::fields::{self, MoneyBody, WholeNumber};
use crate::problem;

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
    pub(super) product_id: Uuid,
    #[schema(minimum = 1, maximum = 10_000)]
    pub(super) quantity: WholeNumber,
    /// May repeat the order's partner; another one is `mixed_partners`.
    #[serde(default)]
    pub(super) partner_id: Option<Uuid>,
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
    Fields(body): Fields<CheckOrder>,
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

//! POST /v1/orders: a customer buys at the prices of a quote.
//!
//! The order's id is the command's, so a repeat is recognised before anything else is looked at: the quote may be gone,
//! the price changed, the stock sold. A new order claims its quote first, then everything is appended as one group: the
//! order, the money asked for, and the saga with its first intent. Whether there is enough stock is the saga's business.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::customer::{Customer, State as Account};
use domain::fulfilment::{self, Fulfilment};
use domain::order::{Command as Wanted, Details, Order, PaymentMethod, Place};
use domain::payment::Payment;
use event_schema::fulfilment::Event as SagaEvent;
use event_schema::ids::{CustomerId, OrderId, QuoteId};
use event_schema::order::Placed;
use event_schema::{EventSet, Subject, Timestamp, Version};
use event_store::{Stop, Work};
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation, VaultError};

use super::LineBody;
use super::quote::Quote;
use crate::answer::Answer;
use crate::body::Fields;
use crate::command::Command;
use crate::documents::{CommandProblems, Invalid, KeyRequired, NotFound};
use crate::door::Door;
use crate::fields::MoneyBody;
use crate::payment_providers;
use crate::problem::{self, Refusal};

/// The provider's name for a card.
const TOKEN_CHARS_MAX: usize = 255;

/// An order.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PlaceOrder {
    /// A quote of this customer, not used by another order and not expired.
    quote_id: Uuid,
    payment: PaymentWanted,
}

/// How the customer pays.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PaymentWanted {
    method: Method,
    /// For `card`: the provider's token for it, such as `pm_card_visa`.
    #[serde(default)]
    #[schema(max_length = 255, example = "pm_card_visa")]
    token: Option<String>,
}

/// By what means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PaymentMethod)]
enum Method {
    /// A card, by token.
    Card,
    /// The provider's hosted page; its address appears in the order as `payment.checkout_url`.
    Checkout,
}

/// An order that was accepted, as it was at that moment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct PlacedOrder {
    id: Uuid,
    /// The same as `id`, as others call it.
    order_id: Uuid,
    quote_id: Uuid,
    partner_id: Uuid,
    /// What it was when the order was accepted; `GET /v1/orders/{id}` tells how it goes on.
    #[schema(example = "pending_payment")]
    status: &'static str,
    lines: Vec<LineBody>,
    total: MoneyBody,
}

impl PlacedOrder {
    fn new(id: OrderId, placed: &Placed) -> Self {
        Self {
            id: id.uuid(),
            order_id: id.uuid(),
            quote_id: placed.quote_id.uuid(),
            partner_id: placed.partner_id.uuid(),
            status: "pending_payment",
            lines: placed.lines.iter().map(LineBody::from).collect(),
            total: placed.total.into(),
        }
    }
}

/// Places an order.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "orders",
    operation_id = "place_order",
    params(KeyRequired),
    request_body = PlaceOrder,
    responses(
        (status = 202, description = "The order is durable; paying, holding the stock and confirming go on in the \
            background", body = PlacedOrder, headers(
            ("Location" = String, description = "Where the order is"),
            ("ETag" = String, description = "The order's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        (status = 409, description = "`quote_expired`: check again; `quote_used`: another order has the quote; \
            `personal_data_erased`: the caller was erased; `provider_inactive`: the payment provider takes no new orders for now, or none on its hosted page", body = Problem,
            content_type = "application/problem+json"),
        NotFound, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn place_order(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Fields(body): Fields<PlaceOrder>,
) -> Result<Answer<PlacedOrder>, Problem> {
    let payment_method = method(body.payment)?;
    let (quote_id, customer) = (QuoteId(body.quote_id), CustomerId(caller.subject));
    let command = door.command(
        "orders.place",
        &caller,
        Some(&key),
        &(quote_id, &payment_method),
    )?;
    let id = OrderId(command.id().uuid());

    // Before the quote is claimed, which a refused order would only use up.
    let ask = |work: &mut Work| match placed_before(work, &command)? {
        Some(before) => Ok(Some(before)),
        None => {
            work.prefetch::<Customer>(&[customer.uuid()]);
            payment_providers::takes(work, &door.provider.id, &payment_method)?;
            not_erased(work, customer).map(|()| None)
        }
    };
    if let Some(placed) = door.execute(&command, ask).await?.value {
        return again(&door, &command, id, &placed).await;
    }
    let now = command.metadata.occurred_at;
    let quote = door
        .quotes
        .claim(quote_id, customer, id, now)
        .await
        .map_err(problem::of_claim)?;
    let placed = at_quoted_prices(quote, payment_method);
    let decide = |work: &mut Work| match placed_before(work, &command)? {
        Some(before) => Ok(Some(before)),
        None => place(&door, work, id, &placed, now).map(|()| None),
    };
    let executed = door.execute(&command, decide).await?;
    match executed.value {
        Some(before) => again(&door, &command, id, &before).await,
        None => Ok(accepted(id, &placed).at(executed.position)),
    }
}

/// Somebody erased may still hold a token and a quote; nobody could read where such an order goes.
fn not_erased(work: &mut Work, customer: CustomerId) -> Result<(), Stop<Refusal>> {
    match &*work.state::<Customer>(customer.uuid())? {
        Account::Erased => {
            let erased = VaultError::Erased(customer.uuid());
            Err(Stop::rejected(Problem::from(erased)))
        }
        Account::NotAdded | Account::Added(_) | Account::Deactivated(_) => Ok(()),
    }
}

/// The order that this very command has placed before, if it has.
fn placed_before(work: &mut Work, command: &Command) -> Result<Option<Placed>, Stop<Refusal>> {
    if command.has_created::<Order>(work)?.is_none() {
        return Ok(None);
    }
    let state = work.state::<Order>(command.id().uuid())?;
    Ok(state.details().cloned().map(|details| {
        let Details {
            quote_id,
            customer_id,
            partner_id,
            lines,
            total,
            delivery_address,
            phone,
            payment_method,
        } = details;
        Placed {
            quote_id,
            customer_id,
            partner_id,
            lines,
            total,
            delivery_address,
            phone,
            payment_method,
        }
    }))
}

/// The order, the money asked for and the saga with its first intent: one group, or nothing.
fn place(
    door: &Door,
    work: &mut Work,
    id: OrderId,
    placed: &Placed,
    now: Timestamp,
) -> Result<(), Stop<Refusal>> {
    work.prefetch::<Payment>(&[id.uuid()]);
    work.prefetch::<Fulfilment>(&[id.uuid()]);
    payment_providers::takes(work, &door.provider.id, &placed.payment_method)?;
    work.decide::<Order>(id.uuid(), Wanted::Place(Place::from(placed.clone())))?;
    let started = fulfilment::start(id, placed, &door.provider.id, now, &door.policy)
        .map_err(Stop::rejected)?;
    work.record::<Payment>(id.uuid(), started.payment)?;
    work.record::<Fulfilment>(id.uuid(), started.saga)?;
    Ok(())
}

/// The answer of the first time, to the letter; what became of the order since then is told by GET.
async fn again(
    door: &Door,
    command: &Command,
    id: OrderId,
    placed: &Placed,
) -> Result<Answer<PlacedOrder>, Problem> {
    // The group ended with the saga's events.
    let saga = Subject::history(SagaEvent::AGGREGATE, id.uuid());
    let position = door.position_of(command, &saga).await?;
    Ok(accepted(id, placed).at(position))
}

fn accepted(id: OrderId, placed: &Placed) -> Answer<PlacedOrder> {
    Answer::accepted(format!("/v1/orders/{id}"), PlacedOrder::new(id, placed)).version(Version(1))
}

fn at_quoted_prices(quote: Quote, payment_method: PaymentMethod) -> Placed {
    let Quote {
        id,
        customer_id,
        partner_id,
        lines,
        total,
        delivery_address,
        phone,
        ..
    } = quote;
    Placed {
        quote_id: id,
        customer_id,
        partner_id,
        lines,
        total,
        delivery_address,
        phone,
        payment_method,
    }
}

fn method(wanted: PaymentWanted) -> Result<PaymentMethod, Problem> {
    let mut validation = Validation::new();
    let token = wanted
        .token
        .as_deref()
        .map(str::trim)
        .filter(|token| !token.is_empty());
    let method = match (wanted.method, token) {
        (Method::Card, Some(token))
            if token.len() <= TOKEN_CHARS_MAX && token.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Some(PaymentMethod::Card {
                token: token.to_owned(),
            })
        }
        (Method::Card, Some(_)) => {
            validation.add(
                "/payment/token",
                "invalid",
                "this is not a token of the payment provider",
            );
            None
        }
        (Method::Card, None) => {
            validation.add(
                "/payment/token",
                "required",
                "paying by card needs the provider's token for it",
            );
            None
        }
        (Method::Checkout, None) => Some(PaymentMethod::Checkout),
        (Method::Checkout, Some(_)) => {
            validation.add(
                "/payment/token",
                "invalid",
                "the hosted page asks for the card itself",
            );
            None
        }
    };
    validation.finish_with(method)
}

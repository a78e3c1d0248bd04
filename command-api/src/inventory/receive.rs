//! POST /v1/inventory/{product_id}/receive: units arrived. Additive, so each command counts once, for ever.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::inventory::{Command as Wanted, Inventory, MOST_UNITS_AT_ONCE, Receive};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use super::StockBody;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, KeyRequired, NotFound, OutOfRange};
use crate::door::Door;
use crate::fields::{self, REASON_CHARS_MAX, WholeNumber};
use crate::problem::Refusal;

/// Units that arrived.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReceiveStock {
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000_000, example = 100)]
    quantity: WholeNumber,
    /// Why, for people.
    #[serde(default)]
    #[schema(max_length = 500, example = "delivery 4711")]
    reason: Option<String>,
}

/// Receives units.
#[utoipa::path(
    post,
    path = "/v1/inventory/{product_id}/receive",
    tag = "inventory",
    operation_id = "receive_stock",
    params(("product_id" = Uuid, Path, description = "The product"), KeyRequired),
    request_body = ReceiveStock,
    responses(
        (status = 200, description = "The stock as it is now", body = StockBody, headers(
            ("ETag" = String, description = "The stock's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, CommandProblems, OutOfRange,
    ),
)]
pub(crate) async fn receive_stock(
    State(door): State<Door>,
    caller: Caller,
    Path(product_id): Path<Uuid>,
    key: IdempotencyKey,
    Fields(body): Fields<ReceiveStock>,
) -> Result<Answer<StockBody>, Problem> {
    let mut validation = Validation::new();
    let most = i64::from(MOST_UNITS_AT_ONCE);
    let quantity = fields::units(&mut validation, "/quantity", body.quantity, 1..=most);
    let reason = fields::optional_line(
        &mut validation,
        "/reason",
        body.reason.as_deref(),
        REASON_CHARS_MAX,
    );
    let quantity = validation.finish_with(quantity.and_then(|units| u32::try_from(units).ok()))?;

    let command = door.command(
        "inventory.receive",
        &caller,
        Some(&key),
        &(product_id, quantity, &reason),
    )?;
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            work.prefetch::<Inventory>(&[product_id]);
            super::looked_after_by(&caller, work, product_id)?;
            let receive = Receive {
                quantity,
                reason: reason.clone(),
            };
            work.decide::<Inventory>(product_id, Wanted::Receive(receive))?;
        }
        let body = StockBody::of(product_id, &*work.state::<Inventory>(product_id)?);
        Ok::<_, Stop<Refusal>>((body, work.version::<Inventory>(product_id)?))
    };
    let executed = door.execute(&command, decide).await?;
    let (body, version) = executed.value;
    Ok(Answer::ok(body).at(executed.position).version(version))
}

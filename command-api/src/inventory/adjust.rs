//! POST /v1/inventory/{product_id}/adjust: the count of received units was wrong. Additive, like receiving.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::inventory::{Adjust, Command as Wanted, Inventory, MOST_UNITS_AT_ONCE};
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

/// A correction of the count.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AdjustStock {
    /// Signed change of `received`; not 0.
    #[schema(minimum = -1_000_000_000, maximum = 1_000_000_000, example = -2)]
    quantity: WholeNumber,
    /// Why, for people.
    #[serde(default)]
    #[schema(max_length = 500, example = "two broken")]
    reason: Option<String>,
}

/// Corrects the count.
#[utoipa::path(
    post,
    path = "/v1/inventory/{product_id}/adjust",
    tag = "inventory",
    operation_id = "adjust_stock",
    params(("product_id" = Uuid, Path, description = "The product"), KeyRequired),
    request_body = AdjustStock,
    responses(
        (status = 200, description = "The stock as it is now", body = StockBody, headers(
            ("ETag" = String, description = "The stock's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        (status = 409, description = "`insufficient_stock`: it would take away more than is available", body = Problem,
            content_type = "application/problem+json"),
        NotFound, CommandProblems, OutOfRange,
    ),
)]
pub(crate) async fn adjust_stock(
    State(door): State<Door>,
    caller: Caller,
    Path(product_id): Path<Uuid>,
    key: IdempotencyKey,
    Fields(body): Fields<AdjustStock>,
) -> Result<Answer<StockBody>, Problem> {
    let mut validation = Validation::new();
    let most = i64::from(MOST_UNITS_AT_ONCE);
    let quantity = fields::units(&mut validation, "/quantity", body.quantity, -most..=most);
    if quantity == Some(0) {
        validation.refuse(
            "/quantity",
            "quantity_out_of_range",
            "a change of 0 is none",
        );
    }
    let reason = fields::optional_line(
        &mut validation,
        "/reason",
        body.reason.as_deref(),
        REASON_CHARS_MAX,
    );
    let quantity = validation.finish_with(quantity)?;

    let command = door.command(
        "inventory.adjust",
        &caller,
        Some(&key),
        &(product_id, quantity, &reason),
    )?;
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            work.prefetch::<Inventory>(&[product_id]);
            super::looked_after_by(&caller, work, product_id)?;
            let adjust = Adjust {
                quantity,
                reason: reason.clone(),
            };
            work.decide::<Inventory>(product_id, Wanted::Adjust(adjust))?;
        }
        let body = StockBody::of(product_id, &*work.state::<Inventory>(product_id)?);
        Ok::<_, Stop<Refusal>>((body, work.version::<Inventory>(product_id)?))
    };
    let executed = door.execute(&command, decide).await?;
    let (body, version) = executed.value;
    Ok(Answer::ok(body).at(executed.position).version(version))
}

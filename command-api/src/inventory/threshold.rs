//! PUT /v1/inventory/{product_id}/threshold: at or below how many available units the stock counts as low.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::inventory::{Command as Wanted, Inventory, SetThreshold};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use super::StockBody;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{
    CommandProblems, IfMatchOptional, KeyOptional, NotFound, OutOfRange, Stale,
};
use crate::door::Door;
use crate::fields::{self, UNITS_MAX, WholeNumber};
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// What counts as low.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Threshold {
    /// The stock is low at or below this many available units.
    #[schema(minimum = 0, maximum = 1_000_000_000, example = 10)]
    low_stock_threshold: WholeNumber,
}

/// Sets what counts as low.
#[utoipa::path(
    put,
    path = "/v1/inventory/{product_id}/threshold",
    tag = "inventory",
    operation_id = "set_threshold",
    params(("product_id" = Uuid, Path, description = "The product"), KeyOptional, IfMatchOptional),
    request_body = Threshold,
    responses(
        (status = 200, description = "The stock as it is now", body = StockBody, headers(
            ("ETag" = String, description = "The stock's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, OutOfRange,
    ),
)]
pub(crate) async fn set_threshold(
    State(door): State<Door>,
    caller: Caller,
    Path(product_id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<Threshold>,
) -> Result<Answer<StockBody>, Problem> {
    let mut validation = Validation::new();
    let wanted = fields::units(
        &mut validation,
        "/low_stock_threshold",
        body.low_stock_threshold,
        0..=UNITS_MAX,
    );
    let low_stock_threshold =
        validation.finish_with(wanted.and_then(|units| u32::try_from(units).ok()))?;

    let content = (product_id, low_stock_threshold);
    let command = door.command("inventory.set_threshold", &caller, key.as_ref(), &content)?;
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            work.prefetch::<Inventory>(&[product_id]);
            super::looked_after_by(&caller, work, product_id)?;
            if_match
                .check(work.version::<Inventory>(product_id)?)
                .map_err(Stop::rejected)?;
            let set = SetThreshold {
                low_stock_threshold,
            };
            work.decide::<Inventory>(product_id, Wanted::SetThreshold(set))?;
        }
        let body = StockBody::of(product_id, &*work.state::<Inventory>(product_id)?);
        Ok::<_, Stop<Refusal>>((body, work.version::<Inventory>(product_id)?))
    };
    let executed = door.execute(&command, decide).await?;
    let (body, version) = executed.value;
    Ok(Answer::ok(body).at(executed.position).version(version))
}

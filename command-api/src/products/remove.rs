//! DELETE /v1/products/{id}: an admin or the partner whose product it is takes it out of the catalogue.

use axum::extract::State;
use uuid::Uuid;

use domain::product::{Command as Wanted, Product, Remove, State as ProductState};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use super::SKU_RULE;
use crate::answer::Answer;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// Removes a product. What was ordered stays; the SKU is free again.
#[utoipa::path(
    delete,
    path = "/v1/products/{id}",
    tag = "products",
    operation_id = "remove_product",
    params(("id" = Uuid, Path, description = "The product"), KeyOptional, IfMatchOptional),
    responses(
        (status = 204, description = "The product is removed, now or before", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn remove_product(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
) -> Result<Answer<()>, Problem> {
    // Removed is removed for good, so a repeat needs no record: the state says that it is already true.
    let command = door.command("products.remove", &caller, key.as_ref(), &id)?;
    let decide = |work: &mut Work| {
        let state = work.state::<Product>(id)?;
        match &*state {
            ProductState::NotAdded => Err(super::no_such_product()),
            ProductState::Removed { identity } => super::own(&caller, identity),
            ProductState::Added { identity, .. } => {
                super::own(&caller, identity)?;
                if_match
                    .check(work.version::<Product>(id)?)
                    .map_err(Stop::rejected)?;
                work.release(SKU_RULE, &identity.sku_key, id)?;
                work.decide::<Product>(id, Wanted::Remove(Remove))?;
                Ok::<_, Stop<Refusal>>(())
            }
        }
    };
    let executed = door.execute(&command, decide).await?;
    Ok(Answer::nothing().at(executed.position))
}

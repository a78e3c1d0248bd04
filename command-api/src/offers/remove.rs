//! DELETE /v1/partners/{id}/offers/{product_id}: a partner does not sell a product any more.

use axum::extract::State;
use uuid::Uuid;

use domain::offer::{Command as Wanted, Offer, Remove};
use domain::partner::Partner;
use event_schema::Version;
use event_schema::ids::{PartnerId, ProductId};
use event_schema::offer;
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use crate::answer::Answer;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// Removes an offer. Quotes that were given keep their price.
#[utoipa::path(
    delete,
    path = "/v1/partners/{id}/offers/{product_id}",
    tag = "offers",
    operation_id = "remove_offer",
    params(
        ("id" = Uuid, Path, description = "The partner"),
        ("product_id" = Uuid, Path, description = "The product"),
        KeyOptional, IfMatchOptional,
    ),
    responses(
        (status = 204, description = "There is no offer, now or before", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn remove_offer(
    State(door): State<Door>,
    caller: Caller,
    Path((id, product_id)): Path<(Uuid, Uuid)>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
) -> Result<Answer<()>, Problem> {
    super::own(&caller, id)?;
    let command = door.command("offers.remove", &caller, key.as_ref(), &(id, product_id))?;
    let offer_id = offer::id(PartnerId(id), ProductId(product_id));
    let decide = |work: &mut Work| {
        work.prefetch::<Offer>(&[offer_id]);
        if work.state::<Partner>(id)?.profile().is_none() {
            return Err(Stop::rejected(Refusal::not_found(
                "there is no such partner",
            )));
        }
        let version = work.version::<Offer>(offer_id)?;
        if version == Version::NONE {
            return Err(Stop::rejected(Refusal::not_found(
                "the partner never offered this product",
            )));
        }
        if !command.has_happened(work)? && work.state::<Offer>(offer_id)?.offered().is_some() {
            if_match.check(version).map_err(Stop::rejected)?;
            work.decide::<Offer>(offer_id, Wanted::Remove(Remove))?;
        }
        Ok(())
    };
    let executed = door.execute(&command, decide).await?;
    Ok(Answer::nothing().at(executed.position))
}

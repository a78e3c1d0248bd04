//! PUT /v1/partners/{id}/offers/{product_id}: a partner names a price, or another one, or pauses the offer.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::offer::{Command as Wanted, Offer, Set};
use domain::partner::Partner;
use domain::product::Product;
use event_schema::ids::{PartnerId, ProductId};
use event_schema::offer;
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::fields::{self, MoneyBody, Price};
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// An offer as it shall be.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SetOffer {
    /// Price of one unit.
    price: Price,
    /// Whether it can be bought now; it can if nothing is said.
    #[serde(default = "active")]
    #[schema(default = true)]
    active: bool,
}

fn active() -> bool {
    true
}

/// An offer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OfferAnswer)]
pub(crate) struct OfferBody {
    partner_id: Uuid,
    product_id: Uuid,
    price: MoneyBody,
    active: bool,
}

/// Sets an offer.
#[utoipa::path(
    put,
    path = "/v1/partners/{id}/offers/{product_id}",
    tag = "offers",
    operation_id = "set_offer",
    params(
        ("id" = Uuid, Path, description = "The partner"),
        ("product_id" = Uuid, Path, description = "The product"),
        KeyOptional, IfMatchOptional,
    ),
    request_body = SetOffer,
    responses(
        (status = 200, description = "The offer as it is now", body = OfferBody, headers(
            ("ETag" = String, description = "The offer's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn set_offer(
    State(door): State<Door>,
    caller: Caller,
    Path((id, product_id)): Path<(Uuid, Uuid)>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<SetOffer>,
) -> Result<Answer<OfferBody>, Problem> {
    super::own(&caller, id)?;
    let mut validation = Validation::new();
    let price = fields::money(&mut validation, "/price", &body.price, 1);
    let price = validation.finish_with(price)?;

    let content = (id, product_id, price, body.active);
    let command = door.command("offers.set", &caller, key.as_ref(), &content)?;
    let (partner_id, product_id) = (PartnerId(id), ProductId(product_id));
    let offer_id = offer::id(partner_id, product_id);
    let decide = |work: &mut Work| {
        if command.has_happened(work)? {
            return work.version::<Offer>(offer_id).map_err(Stop::from);
        }
        work.prefetch::<Offer>(&[offer_id]);
        work.prefetch::<Product>(&[product_id.uuid()]);
        if work.state::<Partner>(id)?.profile().is_none() {
            return Err(Stop::rejected(Refusal::not_found(
                "there is no such partner",
            )));
        }
        let product = work.state::<Product>(product_id.uuid())?;
        let another_partners =
            |seller: Option<PartnerId>| seller.is_some_and(|seller| seller != partner_id);
        match product.current() {
            Some((identity, _)) if !another_partners(identity.partner_id) => {}
            _ => {
                return Err(Stop::rejected(Refusal::not_found(
                    "there is no such product",
                )));
            }
        }
        if_match
            .check(work.version::<Offer>(offer_id)?)
            .map_err(Stop::rejected)?;
        let set = Set {
            partner_id,
            product_id,
            price,
            active: body.active,
        };
        work.decide::<Offer>(offer_id, Wanted::Set(set))?;
        work.version::<Offer>(offer_id).map_err(Stop::from)
    };
    let executed = door.execute(&command, decide).await?;
    let body = OfferBody {
        partner_id: id,
        product_id: product_id.uuid(),
        price: price.into(),
        active: body.active,
    };
    Ok(Answer::ok(body)
        .at(executed.position)
        .version(executed.value))
}

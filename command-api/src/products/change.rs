//! PATCH /v1/products/{id}: an admin or the partner whose product it is describes it anew; what is not named stays.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::product::{Change, Command as Wanted, Details, Product};
use event_schema::Money;
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use super::{Description, ProductBody};
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::fields::{self, Price};
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// What to change; what is not named stays, null takes an optional field away. The SKU never changes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangeProduct {
    #[serde(default)]
    #[schema(max_length = 200, example = "Mug")]
    name: Option<String>,
    #[serde(default)]
    #[schema(max_length = 200, example = "Clay & Co")]
    brand: Option<String>,
    #[serde(default)]
    #[schema(max_length = 200, example = "kitchen")]
    category: Option<String>,
    #[serde(default, deserialize_with = "fields::nullable")]
    #[schema(value_type = Option<String>, max_length = 200, example = "0.3 l")]
    size: Option<Option<String>>,
    #[serde(default, deserialize_with = "fields::nullable")]
    #[schema(value_type = Option<String>, max_length = 200, example = "blue")]
    color: Option<Option<String>>,
    #[serde(default, deserialize_with = "fields::nullable")]
    #[schema(value_type = Option<String>, max_length = 4000, example = "Keeps tea warm for an hour.")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "fields::nullable")]
    #[schema(value_type = Option<String>, max_length = 2048, example = "https://shop.example/mug.png")]
    picture_url: Option<Option<String>>,
    /// What one unit costs the seller from now on; orders that were placed keep theirs.
    #[serde(default)]
    unit_cost: Option<Price>,
}

/// Changes a product.
#[utoipa::path(
    patch,
    path = "/v1/products/{id}",
    tag = "products",
    operation_id = "change_product",
    params(("id" = Uuid, Path, description = "The product"), KeyOptional, IfMatchOptional),
    request_body = ChangeProduct,
    responses(
        (status = 200, description = "The product as it is now", body = ProductBody, headers(
            ("ETag" = String, description = "The product's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn change_product(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<ChangeProduct>,
) -> Result<Answer<ProductBody>, Problem> {
    let mut validation = Validation::new();
    let unit_cost = body
        .unit_cost
        .as_ref()
        .and_then(|price| fields::money(&mut validation, "/unit_cost", price, 0));
    validation.finish()?;
    let command = door.command("products.change", &caller, key.as_ref(), &(id, &body))?;
    let decide = |work: &mut Work| {
        let state = work.state::<Product>(id)?;
        let (identity, known) = state.current().ok_or_else(super::no_such_product)?;
        super::own(&caller, identity)?;
        if !command.has_happened(work)? {
            if_match
                .check(work.version::<Product>(id)?)
                .map_err(Stop::rejected)?;
            let details = changed(known, &body, unit_cost).map_err(Stop::rejected)?;
            work.decide::<Product>(id, Wanted::Change(Change { details }))?;
        }
        let state = work.state::<Product>(id)?;
        let (identity, details) = state.current().ok_or_else(super::no_such_product)?;
        let body = ProductBody::new(
            id,
            identity.sku.clone(),
            identity.partner_id,
            details.clone(),
        );
        Ok::<_, Stop<Refusal>>((body, work.version::<Product>(id)?))
    };
    let executed = door.execute(&command, decide).await?;
    let (body, version) = executed.value;
    Ok(Answer::ok(body).at(executed.position).version(version))
}

/// The description with what was asked for put in.
fn changed(
    known: &Details,
    wanted: &ChangeProduct,
    unit_cost: Option<Money>,
) -> Result<Details, Problem> {
    fn optional<'a>(
        wanted: &'a Option<Option<String>>,
        known: &'a Option<String>,
    ) -> Option<&'a str> {
        wanted.as_ref().unwrap_or(known).as_deref()
    }
    let description = Description {
        name: wanted.name.as_ref().unwrap_or(&known.name),
        brand: wanted.brand.as_ref().unwrap_or(&known.brand),
        category: wanted.category.as_ref().unwrap_or(&known.category),
        size: optional(&wanted.size, &known.size),
        color: optional(&wanted.color, &known.color),
        description: optional(&wanted.description, &known.description),
        picture_url: optional(&wanted.picture_url, &known.picture_url),
    };
    let mut validation = Validation::new();
    let details = super::check(
        &mut validation,
        &description,
        Some(unit_cost.unwrap_or(known.unit_cost)),
    );
    validation.finish_with(details)
}

//! POST /v1/products: an admin or a partner adds a product.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::partner::Partner;
use domain::product::{Add, Command as Wanted, Product};
use event_schema::Version;
use event_schema::ids::PartnerId;
use event_store::{Claim, Stop, Work};
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Role, Validation};

use super::{Description, ProductBody, SKU_RULE};
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, Invalid, KeyRequired, NotFound};
use crate::door::Door;
use crate::fields::{self, Price, SKU_CHARS_MAX};
use crate::problem::Refusal;

/// A product to add.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AddProduct {
    /// The seller's own name for it; belongs to one product at a time, in capital letters or not.
    #[schema(max_length = 100, example = "MUG-BLUE-1")]
    sku: String,
    #[schema(max_length = 200, example = "Blue mug")]
    name: String,
    #[serde(default)]
    #[schema(max_length = 200, example = "Corner Bakery")]
    brand: Option<String>,
    #[serde(default)]
    #[schema(max_length = 200, example = "kitchen")]
    category: Option<String>,
    #[serde(default)]
    #[schema(max_length = 200, example = "L")]
    size: Option<String>,
    #[serde(default)]
    #[schema(max_length = 200, example = "blue")]
    color: Option<String>,
    #[serde(default)]
    #[schema(max_length = 4000, example = "Keeps tea warm for an hour.")]
    description: Option<String>,
    #[serde(default)]
    #[schema(max_length = 2048, example = "https://shop.example/mug.png")]
    picture_url: Option<String>,
    /// What one unit costs the seller; the basis of profit.
    unit_cost: Price,
    /// The partner whose product it is. A partner's products are always his own; an admin's are the shop's unless he
    /// names a partner.
    #[serde(default)]
    partner_id: Option<Uuid>,
}

/// Adds a product.
#[utoipa::path(
    post,
    path = "/v1/products",
    tag = "products",
    operation_id = "add_product",
    params(KeyRequired),
    request_body = AddProduct,
    responses(
        (status = 201, description = "The product exists; its stock is empty", body = ProductBody, headers(
            ("Location" = String, description = "Where the product is"),
            ("ETag" = String, description = "The product's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        (status = 409, description = "`sku_taken`: another product has this SKU", body = Problem,
            content_type = "application/problem+json"),
        NotFound, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn add_product(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Fields(body): Fields<AddProduct>,
) -> Result<Answer<ProductBody>, Problem> {
    let mut validation = Validation::new();
    let sku = fields::line(&mut validation, "/sku", &body.sku, SKU_CHARS_MAX);
    let unit_cost = fields::money(&mut validation, "/unit_cost", &body.unit_cost, 0);
    let wanted = Description {
        name: &body.name,
        brand: body.brand.as_deref().unwrap_or_default(),
        category: body.category.as_deref().unwrap_or_default(),
        size: body.size.as_deref(),
        color: body.color.as_deref(),
        description: body.description.as_deref(),
        picture_url: body.picture_url.as_deref(),
    };
    let details = super::check(&mut validation, &wanted, unit_cost);
    let details = validation.finish_with(details)?;
    let partner_id = owner(&caller, body.partner_id)?;

    let command = door.command(
        "products.add",
        &caller,
        Some(&key),
        &(&sku, partner_id, &details),
    )?;
    let id = command.id().uuid();
    let sku_key = door
        .installation
        .keyed_hash(SKU_RULE, fields::normalised_sku(&sku).as_bytes());
    let add = Add {
        sku: sku.clone(),
        sku_key: sku_key.clone(),
        partner_id,
        details: details.clone(),
    };
    let decide = |work: &mut Work| {
        if let Some(position) = command.has_created::<Product>(work)? {
            return Ok(Some(position));
        }
        if let Some(partner) = partner_id
            && work.state::<Partner>(partner.uuid())?.profile().is_none()
        {
            return Err(Stop::rejected(Refusal::not_found(
                "there is no such partner",
            )));
        }
        if let Claim::Taken { .. } = work.claim(SKU_RULE, &sku_key, id)? {
            return Err(Stop::rejected(Refusal::sku_taken()));
        }
        work.decide::<Product>(id, Wanted::Add(add.clone()))?;
        Ok(None)
    };
    let executed = door.execute(&command, decide).await?;
    let position = executed.value.unwrap_or(executed.position);
    let body = ProductBody::new(id, sku, partner_id, details);
    Ok(Answer::created(format!("/v1/products/{id}"), body)
        .at(position)
        .version(Version(1)))
}

/// Whose product it will be.
fn owner(caller: &Caller, named: Option<Uuid>) -> Result<Option<PartnerId>, Problem> {
    if caller.is(Role::Admin) {
        return Ok(named.map(PartnerId));
    }
    match (caller.partner_id(), named) {
        (Some(own), Some(other)) if own != other => {
            Err(Problem::not_found("there is no such partner"))
        }
        (own, _) => Ok(own.map(PartnerId)),
    }
}

//! Products in the catalogue: added, described anew, removed.

mod add;
mod change;
mod remove;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::product::{Details, Identity};
use event_schema::Money;
use event_schema::ids::PartnerId;
use event_store::Stop;
use service_kit::{Access, ApiRouter, Caller, Role, Validation, routes};

use crate::door::Door;
use crate::fields::{self, MoneyBody, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use crate::problem::Refusal;

/// The rule that a SKU belongs to one product at a time.
const SKU_RULE: &str = "sku";
const ADMIN_OR_PARTNER: Access = Access::Roles(&[Role::Admin, Role::Partner]);

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN_OR_PARTNER, routes!(add::add_product))
        .routes(ADMIN_OR_PARTNER, routes!(change::change_product))
        .routes(ADMIN_OR_PARTNER, routes!(remove::remove_product))
}

/// A product.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ProductAnswer)]
pub(crate) struct ProductBody {
    id: Uuid,
    sku: String,
    /// The partner whose product it is; none for the shop's own.
    partner_id: Option<Uuid>,
    name: String,
    brand: String,
    category: String,
    size: Option<String>,
    color: Option<String>,
    description: Option<String>,
    picture_url: Option<String>,
    /// What one unit costs the seller.
    unit_cost: MoneyBody,
}

impl ProductBody {
    fn new(id: Uuid, sku: String, partner_id: Option<PartnerId>, details: Details) -> Self {
        let Details {
            name,
            brand,
            category,
            size,
            color,
            description,
            picture_url,
            unit_cost,
        } = details;
        Self {
            id,
            sku,
            partner_id: partner_id.map(PartnerId::uuid),
            name,
            brand,
            category,
            size,
            color,
            description,
            picture_url,
            unit_cost: unit_cost.into(),
        }
    }
}

/// A description as it is asked for, not looked at yet; `unit_cost` is checked on its own.
struct Description<'a> {
    name: &'a str,
    brand: &'a str,
    category: &'a str,
    size: Option<&'a str>,
    color: Option<&'a str>,
    description: Option<&'a str>,
    picture_url: Option<&'a str>,
}

/// A description with every field checked.
fn check(
    validation: &mut Validation,
    wanted: &Description<'_>,
    unit_cost: Option<Money>,
) -> Option<Details> {
    let short = |validation: &mut Validation, pointer: &str, text: &str| {
        fields::optional_line(validation, pointer, Some(text), NAME_CHARS_MAX).unwrap_or_default()
    };
    let name = fields::line(validation, "/name", wanted.name, NAME_CHARS_MAX);
    let brand = short(validation, "/brand", wanted.brand);
    let category = short(validation, "/category", wanted.category);
    let size = fields::optional_line(validation, "/size", wanted.size, NAME_CHARS_MAX);
    let color = fields::optional_line(validation, "/color", wanted.color, NAME_CHARS_MAX);
    let description = fields::optional_text(
        validation,
        "/description",
        wanted.description,
        TEXT_CHARS_MAX,
    );
    let picture_url = fields::web_address(validation, "/picture_url", wanted.picture_url);
    let unit_cost = unit_cost?;
    Some(Details {
        name,
        brand,
        category,
        size,
        color,
        description,
        picture_url,
        unit_cost,
    })
}

/// An admin may change any product, a partner his own; for everybody else it does not exist.
fn own(caller: &Caller, identity: &Identity) -> Result<(), Stop<Refusal>> {
    let is_his = caller
        .partner_id()
        .is_some_and(|partner| identity.partner_id == Some(PartnerId(partner)));
    if caller.is(Role::Admin) || is_his {
        Ok(())
    } else {
        Err(no_such_product())
    }
}

fn no_such_product() -> Stop<Refusal> {
    Stop::rejected(Refusal::not_found("there is no such product"))
}

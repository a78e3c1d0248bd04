//! Every route of this door in one list, each area adding its own.

use service_kit::ApiRouter;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

use crate::door::Door;
use crate::{
    customers, inventory, offers, orders, partners, products, projections, sagas, webhooks,
};

const AREAS: [(&str, &str); 9] = [
    ("customers", "People with a role"),
    ("partners", "Sellers"),
    ("products", "What can be sold"),
    ("offers", "Who sells what for how much"),
    ("inventory", "How much there is"),
    ("orders", "Check, place, cancel, prepare, take, deliver"),
    (
        "sagas",
        "What became of orders, and what a person can do about it",
    ),
    ("projections", "Read models by hand"),
    ("webhooks", "What the payment provider and partners tell us"),
];

/// All routes, each with its rule.
pub(crate) fn api() -> ApiRouter<Door> {
    let tag = |(name, description): (&str, &str)| {
        TagBuilder::new()
            .name(name)
            .description(Some(description))
            .build()
    };
    let document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Waybill")
                .version(env!("CARGO_PKG_VERSION"))
                .build(),
        )
        .tags(Some(AREAS.map(tag)))
        .build();
    [
        customers::register,
        partners::register,
        products::register,
        offers::register,
        inventory::register,
        orders::register,
        sagas::register,
        projections::register,
        webhooks::register,
    ]
    .into_iter()
    .fold(ApiRouter::new(document), |api, register| register(api))
}

/// The OpenAPI document of all commands.
#[must_use]
pub fn openapi() -> OpenApi {
    api().into_parts().1
}

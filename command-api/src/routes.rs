//! Every route of this door in one list, each area adding its own.

use service_kit::ApiRouter;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

use crate::door::Door;
use crate::{
    assignments, auth, customers, inventory, me, notification_agents, notification_deliveries,
    notifications, offers, orders, partners, payment_providers, products, projections, resources,
    sagas, webhooks,
};

const AREAS: [(&str, &str); 14] = [
    (
        "auth",
        "Signing up, in and out, and proving who one is; see `docs/identity.md`",
    ),
    ("me", "One's own account"),
    ("customers", "People with a role"),
    ("resources", "Cloud resources, and who has them"),
    ("partners", "Sellers"),
    ("products", "What can be sold"),
    ("offers", "Who sells what for how much"),
    ("inventory", "How much there is"),
    ("orders", "Check, place, cancel, prepare, take, deliver"),
    (
        "payment-providers",
        "By whom orders are paid, and whether new ones may be",
    ),
    ("notifications", "One's own inbox, and who is told what how"),
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
        auth::register,
        me::register,
        customers::register,
        resources::register,
        assignments::register,
        partners::register,
        products::register,
        offers::register,
        inventory::register,
        orders::register,
        payment_providers::register,
        notifications::register,
        notification_agents::register,
        notification_deliveries::register,
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

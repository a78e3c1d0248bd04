//! PATCH /v1/customers/{id}: an admin changes a person's name, role, or the partner that he acts for.

use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Role};

use super::edit::{Edit, edit};
use super::{AccountBody, stored};
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{
    AccountClosed, CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale,
};
use crate::door::Door;
use crate::fields;
use crate::if_match::IfMatch;

/// What to change; what is not named stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangeCustomer {
    /// Full name.
    #[serde(default)]
    #[schema(max_length = 200, example = "Ada King")]
    name: Option<String>,
    /// What the person may do.
    #[serde(default)]
    role: Option<Role>,
    /// Whom a partner's person acts for; needed with the role `partner`, and with no other.
    #[serde(default, deserialize_with = "nullable_id")]
    #[schema(value_type = Option<Uuid>)]
    partner_id: Option<Option<Uuid>>,
}

fn nullable_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Uuid>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes a customer. Another role, or another partner, ends the person's sessions.
#[utoipa::path(
    patch,
    path = "/v1/customers/{id}",
    tag = "customers",
    operation_id = "change_customer",
    params(("id" = Uuid, Path, description = "The customer"), KeyOptional, IfMatchOptional),
    request_body = ChangeCustomer,
    responses(
        (status = 200, description = "The customer as he is now", body = AccountBody, headers(
            ("ETag" = String, description = "The customer's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, AccountClosed, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn change_customer(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<ChangeCustomer>,
) -> Result<Answer<AccountBody>, Problem> {
    let wanted = Edit {
        name: body.name.clone(),
        role: body.role.map(stored),
        partner_id: body.partner_id,
        ..Edit::default()
    };
    let wanted = wanted.checked(fields::today(door.clock.now()))?;
    let command = door.command("customers.change", &caller, key.as_ref(), &(id, &body))?;
    edit(&door, &caller, &command, &if_match, id, wanted).await
}

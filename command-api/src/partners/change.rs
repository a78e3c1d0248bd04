//! PATCH /v1/partners/{id}: an admin changes business data; what is not named stays.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::partner::{Change, Command as Wanted, Partner};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use super::PartnerBody;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::fields;
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// What to change; what is not named stays.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangePartner {
    /// Name of the business.
    #[serde(default)]
    #[schema(max_length = 200, example = "Clay & Co Berlin")]
    title: Option<String>,
    /// The brand shown to customers.
    #[serde(default)]
    #[schema(max_length = 200, example = "Clay & Co")]
    brand: Option<String>,
    /// Business telephone number.
    #[serde(default)]
    #[schema(max_length = 32, example = "+49 30 5550100")]
    phone: Option<String>,
    /// Business e-mail address.
    #[serde(default)]
    #[schema(max_length = 254, example = "orders@clay.example")]
    email: Option<String>,
    /// Where orders are picked up.
    #[serde(default)]
    #[schema(max_length = 500, example = "Kastanienallee 1, Berlin")]
    address: Option<String>,
    /// Where the partner wants to be told of orders; null: nowhere any more.
    #[serde(default, deserialize_with = "fields::nullable")]
    #[schema(value_type = Option<String>, max_length = 2048, example = "https://clay.example/waybill")]
    webhook_url: Option<Option<String>>,
}

/// Changes a partner.
#[utoipa::path(
    patch,
    path = "/v1/partners/{id}",
    tag = "partners",
    operation_id = "change_partner",
    params(("id" = Uuid, Path, description = "The partner"), KeyOptional, IfMatchOptional),
    request_body = ChangePartner,
    responses(
        (status = 200, description = "The partner as it is now", body = PartnerBody, headers(
            ("ETag" = String, description = "The partner's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn change_partner(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<ChangePartner>,
) -> Result<Answer<PartnerBody>, Problem> {
    let command = door.command("partners.change", &caller, key.as_ref(), &(id, &body))?;
    let decide = |work: &mut Work| {
        let state = work.state::<Partner>(id)?;
        let Some(known) = state.profile() else {
            return Err(Stop::rejected(Refusal::not_found(
                "there is no such partner",
            )));
        };
        if !command.has_happened(work)? {
            if_match
                .check(work.version::<Partner>(id)?)
                .map_err(Stop::rejected)?;
            let mut wanted = known.clone();
            let ChangePartner {
                title,
                brand,
                phone,
                email,
                address,
                webhook_url,
            } = body.clone();
            wanted.title = title.unwrap_or(wanted.title);
            wanted.brand = brand.unwrap_or(wanted.brand);
            wanted.phone = phone.unwrap_or(wanted.phone);
            wanted.email = email.unwrap_or(wanted.email);
            wanted.address = address.unwrap_or(wanted.address);
            wanted.webhook_url = webhook_url.unwrap_or(wanted.webhook_url);
            let mut validation = Validation::new();
            let profile = super::check(&mut validation, &wanted);
            validation.finish().map_err(Stop::rejected)?;
            work.decide::<Partner>(id, Wanted::Change(Change { profile }))?;
        }
        let body = PartnerBody::of(id, &*work.state::<Partner>(id)?);
        let body =
            body.ok_or_else(|| Stop::rejected(Refusal::not_found("there is no such partner")))?;
        Ok((body, work.version::<Partner>(id)?))
    };
    let executed = door.execute(&command, decide).await?;
    let (body, version) = executed.value;
    Ok(Answer::ok(body).at(executed.position).version(version))
}

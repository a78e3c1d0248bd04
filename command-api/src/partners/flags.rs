//! POST /v1/partners/{id}/verify · /enable · /disable: an admin decides whether a partner can sell.

use axum::extract::State;
use uuid::Uuid;

use domain::partner::{Command as Wanted, Disable, Enable, Partner, Verify};
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use super::PartnerBody;
use crate::answer::Answer;
use crate::documents::{CommandProblems, Invalid, KeyOptional, NotFound};
use crate::door::Door;
use crate::problem::Refusal;

/// Says that somebody looked, and the business is what it says.
#[utoipa::path(
    post,
    path = "/v1/partners/{id}/verify",
    tag = "partners",
    operation_id = "verify_partner",
    params(("id" = Uuid, Path, description = "The partner"), KeyOptional),
    responses(
        (status = 200, description = "The partner is verified, now or before", body = PartnerBody, headers(
            ("ETag" = String, description = "The partner's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn verify_partner(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
) -> Result<Answer<PartnerBody>, Problem> {
    set(
        &door,
        "partners.verify",
        &caller,
        id,
        key.as_ref(),
        Wanted::Verify(Verify),
    )
    .await
}

/// Lets the partner sell.
#[utoipa::path(
    post,
    path = "/v1/partners/{id}/enable",
    tag = "partners",
    operation_id = "enable_partner",
    params(("id" = Uuid, Path, description = "The partner"), KeyOptional),
    responses(
        (status = 200, description = "The partner is enabled, now or before", body = PartnerBody, headers(
            ("ETag" = String, description = "The partner's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn enable_partner(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
) -> Result<Answer<PartnerBody>, Problem> {
    set(
        &door,
        "partners.enable",
        &caller,
        id,
        key.as_ref(),
        Wanted::Enable(Enable),
    )
    .await
}

/// Stops the partner from selling for now; what was ordered goes on.
#[utoipa::path(
    post,
    path = "/v1/partners/{id}/disable",
    tag = "partners",
    operation_id = "disable_partner",
    params(("id" = Uuid, Path, description = "The partner"), KeyOptional),
    responses(
        (status = 200, description = "The partner is disabled, now or before", body = PartnerBody, headers(
            ("ETag" = String, description = "The partner's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn disable_partner(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
) -> Result<Answer<PartnerBody>, Problem> {
    set(
        &door,
        "partners.disable",
        &caller,
        id,
        key.as_ref(),
        Wanted::Disable(Disable),
    )
    .await
}

async fn set(
    door: &Door,
    name: &str,
    caller: &Caller,
    id: Uuid,
    key: Option<&IdempotencyKey>,
    wanted: Wanted,
) -> Result<Answer<PartnerBody>, Problem> {
    let command = door.command(name, caller, key, &id)?;
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            work.decide::<Partner>(id, wanted.clone())?;
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

//! POST /v1/partners/{id}/webhooks/replay: an admin has all messages of a period sent to a partner's system once more.

use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::partner::Partner;
use event_store::Freshness;
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use super::{LIST, Replayed, desk};
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{Invalid, KeyOptional, NotFound, ReplayProblems};
use crate::door::{Door, LOG_LIMIT};
use crate::problem;

/// Which messages.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReplayWebhooks {
    /// Those that were intended from this moment on.
    #[schema(value_type = String, format = DateTime, example = "2026-11-21T08:00:00Z")]
    from: Timestamp,
    /// Up to this moment.
    #[schema(value_type = String, format = DateTime, example = "2026-11-21T09:00:00Z")]
    to: Timestamp,
}

/// Sends all messages of a period to a partner's system once more, each under its old `webhook-id`, by which the partner
/// tells a repeat: for a partner who has lost what he was told.
#[utoipa::path(
    post,
    path = "/v1/partners/{id}/webhooks/replay",
    tag = "partners",
    operation_id = "replay_partner_webhooks",
    params(("id" = Uuid, Path, description = "The partner"), KeyOptional),
    request_body = ReplayWebhooks,
    responses(
        (status = 202, description = "They will be sent once more; the list of messages shows what becomes of them", body = Replayed),
        NotFound, ReplayProblems, Invalid,
    ),
)]
pub(crate) async fn replay_partner_webhooks(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: Option<IdempotencyKey>,
    Fields(body): Fields<ReplayWebhooks>,
) -> Result<Answer<Replayed>, Problem> {
    let mut validation = Validation::new();
    if body.from > body.to {
        validation.add("/to", "invalid", "a period ends after it begins");
    }
    validation.finish()?;
    let load = door.executor.load::<Partner>(id, Freshness::Leader);
    let partner = match timeout(LOG_LIMIT, load).await {
        Ok(partner) => partner.map_err(problem::of_load)?,
        Err(_) => return Err(Problem::broker_unavailable()),
    };
    if partner.state.profile().is_none() {
        return Err(Problem::not_found("there is no such partner"));
    }
    let content = (id, &body);
    let command = door.command("partners.replay_webhooks", &caller, key.as_ref(), &content)?;
    let wanted = json!({"partner_id": id, "from": body.from, "to": body.to});
    let replayed = desk::order(&door.nats, &command, &wanted).await?;
    Ok(Answer::accepted(
        format!("{LIST}?partner_id={id}"),
        replayed,
    ))
}

//! DELETE /v1/notifications: the caller empties his inbox of what he has seen.

use axum::extract::State;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::IntoParams;

use domain::inbox::{ClearAll, Command as Wanted, Inbox};
use event_schema::Position;
use event_store::Work;
use service_kit::extract::Query;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use super::whose;
use crate::answer::Answer;
use crate::documents::{ClearAllProblems, Invalid, KeyOptional};
use crate::door::{Door, LOG_LIMIT};
use crate::problem;

/// Up to where.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Params {
    /// The position up to which the caller has seen his inbox: the `Waybill-Position` of the list, or the id of the last
    /// live message. What happened later stays. Without it everything goes that is in the inbox now.
    through: Option<u64>,
}

/// Takes everything out of the caller's inbox that he has seen, read or not; again is already true. What is for several
/// people stays in the inboxes of the others.
#[utoipa::path(
    delete,
    path = "/v1/notifications",
    tag = "notifications",
    operation_id = "clear_notifications",
    params(Params, KeyOptional),
    responses(
        (status = 204, description = "The inbox is empty up to there, since now or before", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        ClearAllProblems, Invalid,
    ),
)]
pub(crate) async fn clear_notifications(
    State(door): State<Door>,
    caller: Caller,
    Query(params): Query<Params>,
    key: Option<IdempotencyKey>,
) -> Result<Answer<()>, Problem> {
    let command = door.command(
        "notifications.clear_all",
        &caller,
        key.as_ref(),
        &params.through,
    )?;
    let through = match params.through {
        Some(through) => within_the_log(&door, Position(through)).await?,
        None => whose::newest(&door, &caller).await?.unwrap_or_default(),
    };
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            work.decide::<Inbox>(caller.subject, Wanted::ClearAll(ClearAll { through }))?;
        }
        Ok(())
    };
    let executed = door.execute(&command, decide).await?;
    Ok(Answer::nothing().at(executed.position))
}

/// Nobody can have seen what has not happened.
async fn within_the_log(door: &Door, through: Position) -> Result<Position, Problem> {
    let end = match timeout(LOG_LIMIT, door.executor.store().end()).await {
        Ok(end) => end.map_err(problem::of_load)?.position,
        Err(_) => return Err(Problem::broker_unavailable()),
    };
    if through <= end {
        return Ok(through);
    }
    let detail = format!("the log ends at position {end}, {through} was never given out by it");
    Err(Problem::bad_request("position_unknown", detail).with("position", end.0))
}

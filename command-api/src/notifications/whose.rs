//! Whether a notification is the caller's. The inbox is made of rows that this service does not have, so it asks the
//! projector over the broker's service `inbox`; what the caller has read or cleared before is known without asking.

use std::time::Duration;

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use async_nats::{Message, Request, RequestErrorKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use domain::inbox::Inbox;
use event_schema::Position;
use event_store::Freshness;
use service_kit::{Caller, Problem, Role};

use crate::door::{Door, LOG_LIMIT};
use crate::problem;

/// The service's name and the first token of its subjects.
const SERVICE: &str = "inbox";
/// How long the projector may take; one look into an index is much faster, but others may be asking too.
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
struct Placed {
    position: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Kept {
    history_id: Uuid,
}

/// Where in the log the event is that the caller's notification tells of; 404 for one that is not his, or is not at all.
pub(super) async fn place_of(
    door: &Door,
    caller: &Caller,
    notification: Uuid,
) -> Result<Position, Problem> {
    // What he has read or cleared was his: a repeat costs nobody a question.
    let load = door.executor.load::<Inbox>(caller.subject, Freshness::Any);
    let known = match timeout(LOG_LIMIT, load).await {
        Ok(inbox) => inbox
            .map_err(problem::of_load)?
            .state
            .place_of(notification.into()),
        Err(_) => return Err(Problem::broker_unavailable()),
    };
    if let Some(place) = known {
        return Ok(place);
    }
    let mut question = reader(caller);
    question["notification_id"] = json!(notification);
    let placed: Placed = ask(door, "find", &question).await?;
    placed.position.map(Position).ok_or_else(nothing)
}

/// Where in the log the event is that the newest of the caller's notifications tells of; none when he has none.
pub(super) async fn newest(door: &Door, caller: &Caller) -> Result<Option<Position>, Problem> {
    let placed: Placed = ask(door, "newest", &reader(caller)).await?;
    Ok(placed.position.map(Position))
}

/// The history in which a message that leaves the house is kept; 404 for one that is not there.
pub(crate) async fn history_of(door: &Door, delivery: Uuid) -> Result<Uuid, Problem> {
    let kept: Kept = ask(door, "delivery", &json!({"delivery_id": delivery})).await?;
    Ok(kept.history_id)
}

fn reader(caller: &Caller) -> Value {
    json!({
        "person": caller.subject, "partner_id": caller.partner_id(), "admin": caller.is(Role::Admin),
    })
}

fn nothing() -> Problem {
    Problem::not_found("there is no such notification, or message")
}

async fn ask<T: DeserializeOwned>(door: &Door, verb: &str, question: &Value) -> Result<T, Problem> {
    let request = Request::new()
        .payload(question.to_string().into())
        .timeout(Some(ANSWER_MAX));
    let answered = door
        .nats
        .send_request(format!("{SERVICE}.{verb}"), request)
        .await
        .map_err(|error| away(error.kind()))?;
    if let Some(problem) = refusal(&answered) {
        return Err(problem);
    }
    serde_json::from_slice(&answered.payload).map_err(|error| Problem::unexpected(&error))
}

/// Nobody has answered.
fn away(kind: RequestErrorKind) -> Problem {
    match kind {
        RequestErrorKind::NoResponders => no_projector("no projector runs at the moment"),
        RequestErrorKind::TimedOut => no_projector("the projector has not answered in time"),
        _ => Problem::broker_unavailable(),
    }
}

fn no_projector(detail: &str) -> Problem {
    Problem::unavailable("projector_unavailable", detail)
}

/// The projector's "no"; its codes are those of HTTP.
fn refusal(answered: &Message) -> Option<Problem> {
    let get = |name| answered.headers.as_ref()?.get(name);
    let code = get(NATS_SERVICE_ERROR_CODE)?;
    let detail = get(NATS_SERVICE_ERROR).map_or("the projector refused", |text| text.as_str());
    Some(match code.as_str() {
        "404" => nothing(),
        "503" => no_projector(detail),
        other => {
            tracing::error!(code = other, detail, "the projector does not understand us");
            Problem::internal()
        }
    })
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;

    fn told(code: &str) -> Problem {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_SERVICE_ERROR_CODE, code);
        headers.insert(NATS_SERVICE_ERROR, "because");
        let message = Message {
            subject: "_INBOX.x".into(),
            reply: None,
            payload: Default::default(),
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        };
        refusal(&message).unwrap()
    }

    #[test]
    fn the_projectors_no_and_its_silence_keep_their_meaning() {
        for (problem, status, code) in [
            (told("404"), 404, "not_found"),
            (told("503"), 503, "projector_unavailable"),
            (told("400"), 500, "internal"),
            (
                away(RequestErrorKind::NoResponders),
                503,
                "projector_unavailable",
            ),
            (
                away(RequestErrorKind::TimedOut),
                503,
                "projector_unavailable",
            ),
            (away(RequestErrorKind::Other), 503, "broker_unavailable"),
        ] {
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        }
    }
}

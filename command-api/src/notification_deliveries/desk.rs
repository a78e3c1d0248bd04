//! Asks the notifier's desk on the broker, and turns its answer into ours.

use std::time::Duration;

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind};
use serde_json::Value;

use service_kit::Problem;

use super::Replayed;
use crate::command::Command;

/// The one subject of the desk.
const SUBJECT: &str = "notifications.replay";
/// Longer than the desk takes for as many messages as one command sends, shorter than a request may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Orders it under the command's id, so that a repeat sends nothing more, and reads what became of it.
pub(super) async fn order(
    nats: &Client,
    command: &Command,
    wanted: &Value,
) -> Result<Replayed, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert("Accept", "application/json");
    headers.insert("Command-Id", command.id().to_string());
    let request = Request::new()
        .payload(wanted.to_string().into())
        .headers(headers)
        .timeout(Some(ANSWER_MAX));
    let answered = nats
        .send_request(SUBJECT.to_owned(), request)
        .await
        .map_err(|error| away(error.kind()))?;
    if let Some(problem) = refusal(&answered) {
        return Err(problem);
    }
    serde_json::from_slice(&answered.payload).map_err(|error| Problem::unexpected(&error))
}

/// Nobody has answered. Only when nobody was there is it known that nothing happened.
fn away(kind: RequestErrorKind) -> Problem {
    match kind {
        RequestErrorKind::NoResponders => Problem::unavailable(
            "notifier_unavailable",
            "no notifier runs at the moment; nothing was ordered",
        ),
        RequestErrorKind::TimedOut => Problem::timed_out(ANSWER_MAX),
        _ => Problem::broker_unavailable(),
    }
}

/// The desk's "no"; its codes are those of HTTP.
fn refusal(answered: &Message) -> Option<Problem> {
    let get = |name| Some(answered.headers.as_ref()?.get(name)?.as_str());
    let status = get(NATS_SERVICE_ERROR_CODE)?;
    let said = get(NATS_SERVICE_ERROR).unwrap_or("the notifier refused");
    // The header has the code before the sentence, for whoever sees nothing else.
    let detail = said.split_once(": ").map_or(said, |(_, detail)| detail);
    Some(match status {
        "400" => Problem::bad_request("invalid_request", detail),
        "404" => Problem::not_found(detail),
        "503" => Problem::unavailable("notifier_unavailable", detail),
        other => {
            tracing::error!(status = other, detail, "the notifier's desk failed");
            Problem::internal()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: &str, said: &str) -> Problem {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_SERVICE_ERROR_CODE, status);
        headers.insert(NATS_SERVICE_ERROR, said);
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
    fn the_desks_no_keeps_its_status_and_its_words() {
        for (status, ours) in [
            ("400", "invalid_request"),
            ("404", "not_found"),
            ("503", "notifier_unavailable"),
        ] {
            let problem = told(status, "some_code: because");
            assert_eq!(problem.status().as_u16().to_string(), status);
            assert_eq!(
                (problem.code(), problem.body().detail.as_deref()),
                (ours, Some("because"))
            );
        }
        assert_eq!(told("500", "x").code(), "internal");
    }

    #[test]
    fn silence_says_whether_something_may_have_been_ordered() {
        for (kind, code) in [
            (RequestErrorKind::NoResponders, "notifier_unavailable"),
            (RequestErrorKind::TimedOut, "timed_out"),
            (RequestErrorKind::Other, "broker_unavailable"),
        ] {
            assert_eq!(away(kind).code(), code);
        }
    }
}

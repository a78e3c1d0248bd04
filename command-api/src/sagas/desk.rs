//! Asks the desk of the saga-orchestrator on the broker, and turns its answer into ours.

use std::time::Duration;

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind};
use serde::Serialize;
use uuid::Uuid;

use service_kit::Problem;
use service_kit::problem::FieldError;
use service_kit::telemetry::traces;

use super::{Commanded, Verb};

/// The service's name and the first token of its subjects.
const SERVICE: &str = "saga";
/// The stable word of a refusal.
const ERROR_CODE: &str = "Waybill-Error-Code";
/// Longer than the desk takes to give up on the log, shorter than a request may take.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// What the desk refuses as invalid, and the member of the body that it speaks of.
const POINTERS: [(&str, &str); 3] = [
    ("reason_missing", "/reason"),
    ("evidence_missing", "/evidence"),
    ("payment_not_named", "/evidence"),
];

/// A command in the desk's words.
#[derive(Debug, Serialize)]
pub(super) struct Order {
    pub(super) order_id: Uuid,
    pub(super) command_id: Uuid,
    pub(super) actor: String,
    pub(super) step: Option<&'static str>,
    pub(super) outcome: Option<&'static str>,
    pub(super) evidence: Option<String>,
    pub(super) reason: String,
    pub(super) dry_run: bool,
}

/// Orders it, and reads what became of it.
pub(super) async fn order(nats: &Client, verb: Verb, order: &Order) -> Result<Commanded, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert("Accept", "application/json");
    if let Some(traceparent) = traces::traceparent() {
        headers.insert(traces::HEADER, traceparent);
    }
    let body = serde_json::to_vec(order).map_err(|error| Problem::unexpected(&error))?;
    let request = Request::new()
        .payload(body.into())
        .headers(headers)
        .timeout(Some(ANSWER_MAX));
    let answered = nats
        .send_request(format!("{SERVICE}.{}", verb.name()), request)
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
            "orchestrator_unavailable",
            "no saga-orchestrator runs at the moment; nothing was ordered",
        ),
        RequestErrorKind::TimedOut => Problem::timed_out(ANSWER_MAX),
        _ => Problem::broker_unavailable(),
    }
}

/// The desk's "no"; its codes are those of HTTP.
fn refusal(answered: &Message) -> Option<Problem> {
    let get = |name| Some(answered.headers.as_ref()?.get(name)?.as_str());
    let status = get(NATS_SERVICE_ERROR_CODE)?;
    let code = get(ERROR_CODE).unwrap_or("refused").to_owned();
    let said = get(NATS_SERVICE_ERROR).unwrap_or("the desk refused");
    // The header has the code before the sentence, for whoever sees nothing else.
    let detail = said
        .strip_prefix(&format!("{code}: "))
        .unwrap_or(said)
        .to_owned();
    Some(match status {
        "400" => Problem::bad_request(code, detail),
        "404" => Problem::not_found(detail),
        "409" => Problem::conflict(code, detail),
        "422" => invalid(code, detail),
        "503" => Problem::unavailable(code, detail),
        other => {
            tracing::error!(status = other, code, detail, "the desk of sagas failed");
            Problem::internal()
        }
    })
}

fn invalid(code: String, detail: String) -> Problem {
    let about = POINTERS.iter().find(|(known, _)| *known == code);
    let errors = about.map(|(known, pointer)| FieldError {
        pointer: (*pointer).to_owned(),
        code: (*known).into(),
        detail: detail.clone(),
    });
    Problem::unprocessable(code, detail).errors(errors.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: &str, code: &str) -> Problem {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_SERVICE_ERROR_CODE, status);
        headers.insert(NATS_SERVICE_ERROR, format!("{code}: because").as_str());
        headers.insert(ERROR_CODE, code);
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
    fn the_desks_no_keeps_its_status_its_code_and_its_words() {
        for (status, code, ours) in [
            ("400", "bad_request", "bad_request"),
            ("404", "not_found", "not_found"),
            ("409", "already_ended", "already_ended"),
            ("422", "payment_not_named", "payment_not_named"),
            ("422", "idempotency_key_reused", "idempotency_key_reused"),
            ("503", "busy", "busy"),
            ("500", "internal", "internal"),
        ] {
            let problem = told(status, code);
            assert_eq!(problem.status().as_str(), status);
            assert_eq!(problem.code(), ours);
            let detail = problem.body().detail.clone().unwrap();
            assert_eq!(detail == "because", status != "500", "{detail}");
        }
    }

    #[test]
    fn what_is_invalid_names_the_member_if_it_is_about_one() {
        let problem = told("422", "payment_not_named");
        assert_eq!(problem.body().errors[0].pointer, "/evidence");
        assert!(
            told("422", "idempotency_key_reused")
                .body()
                .errors
                .is_empty()
        );
    }

    #[test]
    fn silence_says_whether_something_can_have_happened() {
        let nobody = away(RequestErrorKind::NoResponders);
        assert_eq!(nobody.code(), "orchestrator_unavailable");
        let late = away(RequestErrorKind::TimedOut);
        assert_eq!(late.code(), "timed_out");
        let said = late.body().detail.clone().unwrap();
        assert!(said.contains("same Idempotency-Key"), "{said}");
        assert_eq!(away(RequestErrorKind::Other).code(), "broker_unavailable");
    }
}

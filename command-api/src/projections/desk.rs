//! Asks the projector's service on the broker, and turns its answer into ours.

use std::time::Duration;

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE};
use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind};
use serde::de::DeserializeOwned;
use serde_json::json;

use service_kit::Problem;

/// The service's name and the first token of its subjects.
const SERVICE: &str = "projections";
/// How long the projector may take to answer what it does at once.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a comparison may take; a request over HTTP may not take longer.
const VERIFY_MAX: Duration = Duration::from_secs(25);
/// When a projection is busy with a rebuild or a comparison, it is worth asking again after this.
const RETRY_AFTER_BUSY: Duration = Duration::from_secs(5);

/// What the projector can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Pause,
    Resume,
    Rebuild,
    Verify,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rebuild => "rebuild",
            Self::Verify => "verify",
        }
    }

    fn limit(self) -> Duration {
        match self {
            Self::Verify => VERIFY_MAX,
            Self::Pause | Self::Resume | Self::Rebuild => ANSWER_MAX,
        }
    }
}

/// Asks, and reads the answer.
pub(super) async fn ask<T: DeserializeOwned>(
    nats: &Client,
    verb: Verb,
    name: &str,
) -> Result<T, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert("Accept", "application/json");
    let request = Request::new()
        .payload(json!({ "name": name }).to_string().into())
        .headers(headers)
        .timeout(Some(verb.limit()));
    let answered = nats
        .send_request(format!("{SERVICE}.{}", verb.name()), request)
        .await
        .map_err(|error| away(error.kind(), verb, name))?;
    if let Some(problem) = refusal(&answered) {
        return Err(problem);
    }
    serde_json::from_slice(&answered.payload).map_err(|error| Problem::unexpected(&error))
}

/// Nobody has answered.
fn away(kind: RequestErrorKind, verb: Verb, name: &str) -> Problem {
    match (kind, verb) {
        (RequestErrorKind::NoResponders, _) => no_projector("no projector runs at the moment"),
        (RequestErrorKind::TimedOut, Verb::Verify) => Problem::unavailable(
            "not_finished",
            format!(
                "the comparison takes longer than {} s; it goes on; when it has ended, `waybill projections verify {name}` compares without a limit",
                VERIFY_MAX.as_secs()
            ),
        )
        .retry_after(RETRY_AFTER_BUSY),
        (RequestErrorKind::TimedOut, _) => no_projector("the projector has not answered in time"),
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
        "400" => Problem::bad_request("invalid_request", detail),
        "404" => Problem::not_found(detail),
        "409" => Problem::conflict("projection_busy", detail).retry_after(RETRY_AFTER_BUSY),
        "503" => no_projector(detail),
        other => {
            tracing::error!(code = other, detail, "the projector failed");
            Problem::internal()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: &str, text: &str) -> Problem {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_SERVICE_ERROR_CODE, code);
        headers.insert(NATS_SERVICE_ERROR, text);
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
    fn the_projectors_no_keeps_its_status_and_its_words() {
        for (code, status, ours) in [
            ("400", 400, "invalid_request"),
            ("404", 404, "not_found"),
            ("409", 409, "projection_busy"),
            ("503", 503, "projector_unavailable"),
            ("500", 500, "internal"),
        ] {
            let problem = told(code, "because");
            assert_eq!((problem.status().as_u16(), problem.code()), (status, ours));
            let detail = problem.body().detail.clone().unwrap();
            assert_eq!(detail == "because", status != 500, "{detail}");
        }
    }

    #[test]
    fn silence_is_told_by_what_was_asked() {
        let code = |kind, verb| away(kind, verb, "orders").code().to_owned();
        assert_eq!(
            code(RequestErrorKind::NoResponders, Verb::Verify),
            "projector_unavailable"
        );
        assert_eq!(
            code(RequestErrorKind::TimedOut, Verb::Verify),
            "not_finished"
        );
        assert_eq!(
            code(RequestErrorKind::TimedOut, Verb::Rebuild),
            "projector_unavailable"
        );
        assert_eq!(
            code(RequestErrorKind::Other, Verb::Pause),
            "broker_unavailable"
        );
    }
}

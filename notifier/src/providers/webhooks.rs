//! Calls of partners' systems, as Standard Webhooks says: one POST, signed under every secret that is believed at the
//! moment, with the delivery's id as `webhook-id`. The id is the same on each try, so a partner knows a repetition, and a
//! call whose outcome is unknown is simply made again.
//!
//! | Answer | Meaning |
//! |---|---|
//! | 2xx | taken |
//! | 410 | the partner wants no more: the webhook is switched off |
//! | 429, 408, 5xx, silence, no connection | later, with growing delays |
//! | everything else (400, 401, 404, a redirect) | a mistake at the other side that somebody may be mending: later, and from the [`REFUSALS_MAX`]th attempt on for good |
//! | an address that is never called | for good; one that leads into a private network as a refusal, because names change |

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_lc_rs::hmac;
use bytes::Bytes;
use event_schema::notification::Channel;
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE};
use secrecy::ExposeSecret;
use serde_json::json;
use service_kit::{Clock, standard_webhooks};

use super::http::{gone, later, rejected, sent};
use crate::outbound::{Answer, Outbound, OutboundError, TargetError};
use crate::port::{Address, Outcome, Outgoing, Provider, Recovery};

/// As long as anything is tried at all: a partner knows an id for ever.
const KEY_LIVES: Duration = Duration::from_secs(4 * 24 * 60 * 60);
/// An answer that nobody understands is final from this attempt on.
const REFUSALS_MAX: u32 = 5;
/// A partner that wants more is asked again by our own delays.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Partners' webhooks.
#[derive(Debug)]
pub struct Webhooks {
    outbound: Outbound,
    clock: Clock,
}

impl Webhooks {
    /// Through this guard.
    #[must_use]
    pub fn new(outbound: Outbound, clock: Clock) -> Self {
        Self { outbound, clock }
    }
}

#[async_trait]
impl Provider for Webhooks {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn channel(&self) -> Channel {
        Channel::Webhook
    }

    fn recovery(&self) -> Recovery {
        Recovery::Key { lives: KEY_LIVES }
    }

    fn serves(&self, to: &Address) -> bool {
        matches!(to, Address::Webhook { .. })
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let Address::Webhook { url, secrets, .. } = &message.to else {
            return rejected("not_a_webhook");
        };
        let keys: Vec<hmac::Key> = secrets
            .iter()
            .filter_map(|secret| standard_webhooks::key(secret.expose_secret()))
            .collect();
        let body = body(message);
        let id = message.delivery_id.to_string();
        // A time of its own for each try: partners refuse what is older than five minutes.
        let signed = standard_webhooks::sign(&id, &body, &keys, self.clock.now());
        let Some(mut headers) = signed else {
            return rejected("no_secret");
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        match self.outbound.post(url, headers, body).await {
            Ok(answer) => answered(&answer, message.attempt, self.clock.now().into()),
            Err(error) => silent(&error, message.attempt),
        }
    }
}

/// The same facts give the same bytes, whenever they are written.
fn body(message: &Outgoing) -> Bytes {
    let told = json!({
        "type": message.kind.as_str().replacen('_', ".", 1),
        "timestamp": message.intended_at,
        "data": message.content.data,
    });
    Bytes::from(told.to_string())
}

fn answered(answer: &Answer, attempt: u32, now: SystemTime) -> Outcome {
    let code = format!("http_{}", answer.status.as_u16());
    let wait = answer
        .retry_after(now)
        .map(|wait| wait.min(RETRY_AFTER_MAX));
    match answer.status.as_u16() {
        200..=299 => sent(None),
        410 => gone(&code),
        408 | 429 | 500.. => later(&code, wait),
        _ => refused(&code, attempt),
    }
}

/// A redirect or a 4xx, or an address that leads home.
fn refused(code: &str, attempt: u32) -> Outcome {
    if attempt < REFUSALS_MAX {
        later(code, None)
    } else {
        rejected(code)
    }
}

/// Whether it arrived or not: the next try has the same id.
fn silent(error: &OutboundError, attempt: u32) -> Outcome {
    match error {
        OutboundError::Target(TargetError::Form(_)) => rejected(error.code()),
        OutboundError::Target(TargetError::Address(_)) => refused(error.code(), attempt),
        OutboundError::Connect(_) | OutboundError::NoAnswer(_) | OutboundError::Client(_) => {
            later(error.code(), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::{HeaderMap, StatusCode};

    use super::super::test_kit::told;
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert("retry-after", text.parse().unwrap());
        }
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::new(),
            whole: true,
        }
    }

    fn meaning(status: u16, attempt: u32) -> String {
        told(&answered(&answer(status, None), attempt, UNIX_EPOCH))
    }

    #[test]
    fn each_answer_has_one_meaning() {
        for taken in [200, 201, 202, 204, 299] {
            assert_eq!(meaning(taken, 1), "sent -");
        }
        assert_eq!(meaning(410, 1), "gone http_410");
        for later in [408, 429, 500, 502, 503, 504, 599] {
            assert_eq!(meaning(later, 1), format!("transient http_{later}"));
            assert_eq!(meaning(later, 50), format!("transient http_{later}"));
        }
        for refused in [301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 413, 422] {
            assert_eq!(meaning(refused, 1), format!("transient http_{refused}"));
            assert_eq!(meaning(refused, 4), format!("transient http_{refused}"));
            assert_eq!(meaning(refused, 5), format!("rejected http_{refused}"));
        }
    }

    #[test]
    fn a_partner_may_ask_for_patience_but_not_for_ever() {
        let asked = |text| told(&answered(&answer(503, Some(text)), 1, UNIX_EPOCH));
        assert_eq!(asked("120"), "transient http_503 after 120s");
        assert_eq!(asked("99999999"), "transient http_503 after 86400s");
        assert_eq!(asked("soon"), "transient http_503");
    }
}

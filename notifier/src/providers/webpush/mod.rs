//! Pushes to browsers (RFC 8030): encrypted for the browser, signed for its push service, sent to the address that the
//! browser has named, which is somebody else's choice and goes through the guard of [`crate::outbound`].
//!
//! The protocol knows neither a key nor a question by which a push could be found again, so an unknown outcome stays
//! unknown. The delivery's id is the push's topic: one that still waits at the service is replaced by its repetition and
//! never shown twice.

mod encrypt;
mod subscription;
mod vapid;

use async_trait::async_trait;
use bytes::Bytes;
use event_schema::notification::Channel;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use service_kit::Clock;
use service_kit::settings::WebPushSettings;

use self::subscription::Subscription;
use super::http::{Reply, gone, later, of_failing, rejected, sent, unknown};
use super::push::{TTL, is_urgent, is_web_subscription, told};
use crate::outbound::{Outbound, OutboundError};
use crate::port::{Address, Outcome, Outgoing, Provider, Recovery};

const TTL_HEADER: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");
/// A push service's name for a message, as much of it as is kept.
const PROVIDER_ID_CHARS_MAX: usize = 100;
/// Of a push's text as much is shown.
const TEXT_CHARS_MAX: usize = 500;

/// Pushes to browsers.
#[derive(Debug)]
pub struct WebPush {
    settings: WebPushSettings,
    outbound: Outbound,
    clock: Clock,
}

impl WebPush {
    /// With this key, through this guard.
    #[must_use]
    pub fn new(settings: &WebPushSettings, outbound: Outbound, clock: Clock) -> Self {
        Self {
            settings: settings.clone(),
            outbound,
            clock,
        }
    }

    fn headers(&self, message: &Outgoing, to: &Subscription) -> Option<HeaderMap> {
        let vapid = vapid::authorization(&self.settings, &to.origin(), self.clock.now()).ok()?;
        let mut vapid = HeaderValue::from_str(&vapid).ok()?;
        vapid.set_sensitive(true);
        let urgency = if is_urgent(message.kind) {
            "high"
        } else {
            "normal"
        };
        // 32 letters, which is just what a topic may have.
        let topic = message.delivery_id.simple().to_string();
        Some(HeaderMap::from_iter([
            (AUTHORIZATION, vapid),
            (CONTENT_ENCODING, HeaderValue::from_static("aes128gcm")),
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            ),
            (TTL_HEADER, HeaderValue::from(TTL.as_secs())),
            (URGENCY, HeaderValue::from_static(urgency)),
            (TOPIC, HeaderValue::from_str(&topic).ok()?),
        ]))
    }
}

#[async_trait]
impl Provider for WebPush {
    fn name(&self) -> &'static str {
        "webpush"
    }

    fn channel(&self) -> Channel {
        Channel::Push
    }

    fn recovery(&self) -> Recovery {
        Recovery::Nothing
    }

    fn serves(&self, to: &Address) -> bool {
        matches!(to, Address::Device(token) if is_web_subscription(token))
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let Address::Device(token) = &message.to else {
            return rejected("not_a_device");
        };
        // What is no subscription will never be one.
        let Some(to) = Subscription::parse(token) else {
            return gone("unusable_subscription");
        };
        let Ok(body) = encrypt::encrypt(&to.keys, push(message).as_bytes()) else {
            return gone("unusable_keys");
        };
        let Some(headers) = self.headers(message, &to) else {
            return later("not_signed", None);
        };
        let endpoint = to.endpoint.as_str();
        match self
            .outbound
            .post(endpoint, headers, Bytes::from(body))
            .await
        {
            Ok(answer) => outcome(&Reply {
                status: answer.status.as_u16(),
                retry_after: answer.retry_after(self.clock.now().into()),
                location: answer
                    .headers
                    .get(LOCATION)
                    .and_then(|value| value.to_str().ok())
                    .map(str::to_owned),
                body: Vec::new(),
            }),
            Err(error) => of_error(&error),
        }
    }
}

/// What the browser's service worker is given.
fn push(message: &Outgoing) -> String {
    let told = told(message);
    let cut = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
    json!({
        "title": cut(told.title),
        "body": cut(told.body),
        "kind": message.kind.as_str(),
        "order_id": message.order_id,
        "delivery_id": message.delivery_id,
        "tag": message.delivery_id,
    })
    .to_string()
}

/// What an answer means.
fn outcome(reply: &Reply) -> Outcome {
    let cause = format!("http_{}", reply.status);
    match reply.status {
        200..=299 => sent(reply.location.as_deref().and_then(name_of)),
        404 | 410 => gone(&cause),
        408 => unknown(&cause),
        // Our signature is not accepted, which is the shop's to put right; and who has moved may come back.
        300..=399 | 401 | 403 | 429 => later(&cause, reply.retry_after),
        500.. => of_failing(reply.status, false, reply.retry_after),
        _ => rejected(&cause),
    }
}

/// What no answer means.
fn of_error(error: &OutboundError) -> Outcome {
    match error {
        OutboundError::Target(_) => rejected(error.code()),
        other if other.nothing_was_sent() => later(other.code(), None),
        other => unknown(other.code()),
    }
}

/// The last part of a message's address: the whole would let its reader act on the message.
fn name_of(location: &str) -> Option<String> {
    let path = location.split(['?', '#']).next()?;
    let name: String = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()?
        .chars()
        .filter(|c| c.is_ascii_graphic())
        .take(PROVIDER_ID_CHARS_MAX)
        .collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::test_kit::{Row, assert_table};

    #[test]
    fn every_answer_of_a_push_service_has_its_meaning() {
        let row = |status, meaning| Row(status, String::new(), meaning);
        assert_table(
            outcome,
            &[
                row(200, "sent -"),
                row(201, "sent -"),
                row(202, "sent -"),
                row(404, "gone http_404"),
                row(410, "gone http_410"),
                row(400, "rejected http_400"),
                row(405, "rejected http_405"),
                row(413, "rejected http_413"),
                row(401, "transient http_401"),
                row(403, "transient http_403"),
                row(408, "unknown http_408"),
                row(429, "transient http_429 after 7s"),
                row(302, "transient http_302 after 7s"),
                row(500, "unknown http_500"),
                row(502, "unknown http_502"),
                row(503, "transient http_503 after 7s"),
                row(504, "unknown http_504"),
            ],
        );
    }

    #[test]
    fn a_messages_name_is_the_end_of_its_address_and_no_more_than_a_name() {
        for (location, name) in [
            (
                "https://push.example/message/qDIYHNcfAIPP_5ITvURr",
                Some("qDIYHNcfAIPP_5ITvURr"),
            ),
            ("/m/7?key=secret", Some("7")),
            ("/m/", Some("m")),
            ("", None),
        ] {
            assert_eq!(name_of(location).as_deref(), name, "{location}");
        }
        assert_eq!(
            name_of(&"x".repeat(9_000)).map(|name| name.len()),
            Some(100)
        );
    }
}

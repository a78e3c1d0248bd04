//! E-mail by an HTTP API that speaks as Resend's does. A mail carries the delivery's id as its idempotency key, which the
//! API remembers for 24 hours: the same call under the same key is how an unknown outcome becomes a known one.

use std::time::Duration;

use async_trait::async_trait;
use event_schema::notification::Channel;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use service_kit::mail::mailbox;
use service_kit::settings::MailApiSettings;

use super::http::{Api, Reply, key_in_use, later, of_failing, rejected, sent, unknown};
use crate::port::{Address, Outcome, Outgoing, Provider, Recovery};

/// How long the API remembers a key.
const KEY_LIVES: Duration = Duration::from_secs(24 * 60 * 60);

/// E-mail by an HTTP API.
#[derive(Debug)]
pub struct Resend {
    api: Api,
    key: SecretString,
    from: String,
}

/// A mail that was taken.
#[derive(Deserialize)]
struct Taken {
    id: String,
}

/// An error in the API's own words.
#[derive(Deserialize)]
struct Refusal {
    name: String,
}

impl Resend {
    /// With this key, as this sender.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(settings: &MailApiSettings, from: &str) -> Result<Self, reqwest::Error> {
        Ok(Self {
            api: Api::at(&settings.url)?,
            key: settings.key.clone(),
            from: from.to_owned(),
        })
    }
}

#[async_trait]
impl Provider for Resend {
    fn name(&self) -> &'static str {
        "resend"
    }

    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn recovery(&self) -> Recovery {
        Recovery::Key { lives: KEY_LIVES }
    }

    fn serves(&self, to: &Address) -> bool {
        matches!(to, Address::Email { .. })
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let Address::Email { address, name } = &message.to else {
            return rejected("not_an_email_address");
        };
        let Ok(to) = mailbox(name.as_deref(), address) else {
            return rejected("unusable_address");
        };
        let mut headers = json!({});
        if let Some(order) = message.order_id {
            headers["Waybill-Order"] = json!(order);
        }
        let request = self
            .api
            .post("/emails")
            .bearer_auth(self.key.expose_secret())
            .header("Idempotency-Key", message.delivery_id.to_string())
            .json(&json!({
                "from": self.from,
                "to": [to.to_string()],
                "subject": message.content.subject,
                "text": message.content.text,
                "html": message.content.html,
                "headers": headers,
                "tags": [{ "name": "kind", "value": message.kind.as_str() }],
            }));
        match Api::exchange(request).await {
            Ok(reply) => outcome(&reply),
            Err(silence) => silence.into(),
        }
    }
}

/// What an answer means.
fn outcome(reply: &Reply) -> Outcome {
    if reply.is_success() {
        // Anything else than a mail's id is not the API's answer; the key tells what became of the mail.
        return match reply.read::<Taken>() {
            Some(taken) => sent(Some(taken.id)),
            None => unknown("unreadable_answer"),
        };
    }
    let name = reply.read::<Refusal>().map(|refusal| refusal.name);
    let said = name.as_deref().unwrap_or_default();
    match (reply.status, said) {
        // Another call under the key is being carried out, or one was made with other content: the key has been used.
        (409, "") => unknown("http_409"),
        (409, said) => key_in_use(said),
        (408, _) => unknown("http_408"),
        (429, _) => later(
            if said.is_empty() { "http_429" } else { said },
            reply.retry_after,
        ),
        // Key, sender and address of the API are the shop's to put right; the recipient is not to blame.
        (400 | 422, "invalid_from_address" | "missing_api_key" | "invalid_idempotency_key") => {
            later(said, None)
        }
        (400 | 413 | 422 | 451, said) if !said.is_empty() => rejected(said),
        (500.., _) => of_failing(reply.status, !said.is_empty(), reply.retry_after),
        (status, "") => later(&format!("http_{status}"), reply.retry_after),
        (_, said) => later(said, reply.retry_after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::test_kit::{Row, assert_table};

    #[test]
    fn every_answer_of_the_api_has_its_meaning() {
        let error = |name: &str| format!(r#"{{"statusCode":0,"name":"{name}","message":"no"}}"#);
        assert_table(
            outcome,
            &[
                Row(200, r#"{"id":"49a3999c"}"#.into(), "sent 49a3999c"),
                Row(
                    200,
                    "<html>hello</html>".into(),
                    "unknown unreadable_answer",
                ),
                Row(400, error("validation_error"), "rejected validation_error"),
                Row(
                    422,
                    error("missing_required_field"),
                    "rejected missing_required_field",
                ),
                Row(
                    422,
                    error("invalid_parameter"),
                    "rejected invalid_parameter",
                ),
                Row(
                    422,
                    error("invalid_from_address"),
                    "transient invalid_from_address",
                ),
                Row(
                    400,
                    error("invalid_idempotency_key"),
                    "transient invalid_idempotency_key",
                ),
                Row(400, "<html>a proxy</html>".into(), "transient http_400"),
                Row(401, error("missing_api_key"), "transient missing_api_key"),
                Row(
                    401,
                    error("restricted_api_key"),
                    "transient restricted_api_key",
                ),
                Row(403, error("invalid_api_key"), "transient invalid_api_key"),
                // A domain that is not verified yet.
                Row(403, error("validation_error"), "transient validation_error"),
                Row(404, error("not_found"), "transient not_found"),
                Row(404, "nginx".into(), "transient http_404"),
                Row(
                    405,
                    error("method_not_allowed"),
                    "transient method_not_allowed",
                ),
                Row(408, String::new(), "unknown http_408"),
                Row(
                    409,
                    error("concurrent_idempotent_requests"),
                    "key in use concurrent_idempotent_requests",
                ),
                Row(
                    409,
                    error("invalid_idempotent_request"),
                    "key in use invalid_idempotent_request",
                ),
                Row(409, String::new(), "unknown http_409"),
                Row(451, error("security_error"), "rejected security_error"),
                Row(
                    429,
                    error("rate_limit_exceeded"),
                    "transient rate_limit_exceeded after 7s",
                ),
                Row(
                    429,
                    error("daily_quota_exceeded"),
                    "transient daily_quota_exceeded after 7s",
                ),
                Row(429, String::new(), "transient http_429 after 7s"),
                Row(
                    500,
                    error("application_error"),
                    "transient http_500 after 7s",
                ),
                Row(500, String::new(), "unknown http_500"),
                Row(502, "<html>bad gateway</html>".into(), "unknown http_502"),
                Row(503, String::new(), "transient http_503 after 7s"),
                Row(504, String::new(), "unknown http_504"),
                Row(302, String::new(), "transient http_302 after 7s"),
            ],
        );
    }
}

//! Pushes to apps by Firebase Cloud Messaging's HTTP v1 API, as a service account.
//!
//! The API knows neither an idempotency key nor a question by which a push could be found again, so an unknown outcome
//! stays unknown. Each push carries the delivery's id as its tag: a device that is given it twice shows it once.

use std::time::Duration;

use async_trait::async_trait;
use event_schema::notification::Channel;
use serde::Deserialize;
use serde_json::json;
use service_kit::Clock;
use service_kit::settings::FcmSettings;

use super::google::{Account, AccountError};
use super::http::{Api, Reply, Silence, gone, later, of_failing, rejected, sent, unknown};
use super::push::{TTL, is_urgent, is_web_subscription, told};
use crate::port::{Address, Outcome, Outgoing, Provider, Recovery};

/// Pushes to apps.
#[derive(Debug)]
pub struct Fcm {
    api: Api,
    path: String,
    account: Account,
}

/// A push that was taken.
#[derive(Deserialize)]
struct Taken {
    name: String,
}

/// An error in the API's own words.
#[derive(Deserialize)]
struct Failure {
    error: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default, rename = "errorCode")]
    error_code: Option<String>,
    #[serde(default, rename = "fieldViolations")]
    field_violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: String,
}

impl Fcm {
    /// As this account.
    ///
    /// # Errors
    /// When no client can be made or the account's key is none.
    pub fn new(settings: &FcmSettings, clock: Clock) -> Result<Self, AccountError> {
        Ok(Self {
            api: Api::at(&settings.url).map_err(AccountError::Client)?,
            path: format!("/v1/projects/{}/messages:send", settings.project_id),
            account: Account::new(settings, clock)?,
        })
    }

    async fn exchange(&self, body: &serde_json::Value, bearer: &str) -> Result<Reply, Silence> {
        Api::exchange(self.api.post(&self.path).bearer_auth(bearer).json(body)).await
    }
}

#[async_trait]
impl Provider for Fcm {
    fn name(&self) -> &'static str {
        "fcm"
    }

    fn channel(&self) -> Channel {
        Channel::Push
    }

    fn recovery(&self) -> Recovery {
        Recovery::Nothing
    }

    fn serves(&self, to: &Address) -> bool {
        matches!(to, Address::Device(token) if !is_web_subscription(token))
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let Address::Device(token) = &message.to else {
            return rejected("not_a_device");
        };
        let body = push(message, token);
        let bearer = match self.account.bearer().await {
            Ok(bearer) => bearer,
            Err(cause) => return later(cause, None),
        };
        let mut ended = self.exchange(&body, &bearer).await;
        if matches!(&ended, Ok(reply) if reply.status == 401) {
            // Nothing was sent. The token may have been taken back before its time: a fresh one tells.
            self.account.forget(&bearer).await;
            ended = match self.account.bearer().await {
                Ok(bearer) => self.exchange(&body, &bearer).await,
                Err(cause) => return later(cause, None),
            };
        }
        match ended {
            Ok(reply) => outcome(&reply),
            Err(silence) => silence.into(),
        }
    }
}

/// The push as the API wants it. Data are strings there.
fn push(message: &Outgoing, token: &str) -> serde_json::Value {
    let told = told(message);
    let tag = message.delivery_id.to_string();
    let urgent = is_urgent(message.kind);
    let mut data = json!({ "kind": message.kind.as_str(), "delivery_id": tag });
    if let Some(order) = message.order_id {
        data["order_id"] = json!(order.to_string());
    }
    json!({
        "message": {
            "token": token,
            "notification": { "title": told.title, "body": told.body },
            "data": data,
            "android": {
                "priority": if urgent { "HIGH" } else { "NORMAL" },
                "ttl": format!("{}s", TTL.as_secs()),
                "notification": { "tag": tag },
            },
            "apns": {
                "headers": {
                    "apns-collapse-id": tag,
                    "apns-priority": if urgent { "10" } else { "5" },
                },
            },
        }
    })
}

/// What an answer means.
fn outcome(reply: &Reply) -> Outcome {
    if reply.is_success() {
        return match reply.read::<Taken>() {
            Some(taken) => sent(Some(taken.name)),
            None => unknown("unreadable_answer"),
        };
    }
    let Some(Failure { error }) = reply.read::<Failure>() else {
        return match reply.status {
            408 => unknown("http_408"),
            500.. => of_failing(reply.status, false, reply.retry_after),
            // Not the API's own: an address or a proxy that is the shop's to put right.
            status => later(&format!("http_{status}"), reply.retry_after),
        };
    };
    let of_fcm = error
        .details
        .iter()
        .find_map(|detail| detail.error_code.as_deref());
    let about_the_token = error
        .details
        .iter()
        .flat_map(|detail| &detail.field_violations)
        .any(|violation| violation.field == "message.token");
    let said = of_fcm.unwrap_or(&error.status);
    match (said, reply.status) {
        ("UNREGISTERED", _) | ("NOT_FOUND", 404) => gone(said),
        ("INVALID_ARGUMENT", _) if about_the_token => gone("invalid_token"),
        ("INVALID_ARGUMENT", _) => rejected(said),
        // The device belongs to another sender: it will never be ours, but the shop may have set the wrong account.
        ("SENDER_ID_MISMATCH", _) => rejected(said),
        ("QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED", _) | (_, 429) => later(said, reply.retry_after),
        (_, 408) => unknown("http_408"),
        (_, 500..) => of_failing(reply.status, true, reply.retry_after),
        // Account and rights are the shop's to put right: UNAUTHENTICATED, PERMISSION_DENIED, THIRD_PARTY_AUTH_ERROR.
        (said, _) => later(said, reply.retry_after),
    }
}

/// Longer than any push should wait for a device that is switched off.
const _: () = assert!(TTL.as_secs() <= Duration::from_secs(28 * 24 * 60 * 60).as_secs());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::test_kit::{Row, assert_table};

    #[test]
    fn every_answer_of_the_api_has_its_meaning() {
        let fcm = |status: &str, code: &str| {
            format!(
                r#"{{"error":{{"code":0,"message":"no","status":"{status}","details":[
                {{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}]}}}}"#
            )
        };
        let google = |status: &str| format!(r#"{{"error":{{"code":0,"status":"{status}"}}}}"#);
        let bad_token = r#"{"error":{"status":"INVALID_ARGUMENT","details":[
            {"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"},
            {"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.token"}]}]}}"#;
        assert_table(
            outcome,
            &[
                Row(
                    200,
                    r#"{"name":"projects/p/messages/1"}"#.into(),
                    "sent projects/p/messages/1",
                ),
                Row(
                    200,
                    "<html>hello</html>".into(),
                    "unknown unreadable_answer",
                ),
                Row(404, fcm("NOT_FOUND", "UNREGISTERED"), "gone unregistered"),
                Row(404, google("NOT_FOUND"), "gone not_found"),
                Row(
                    404,
                    "<html>nothing here</html>".into(),
                    "transient http_404",
                ),
                Row(400, bad_token.into(), "gone invalid_token"),
                Row(
                    400,
                    fcm("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
                    "rejected invalid_argument",
                ),
                Row(
                    403,
                    fcm("PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
                    "rejected sender_id_mismatch",
                ),
                Row(
                    403,
                    google("PERMISSION_DENIED"),
                    "transient permission_denied",
                ),
                Row(401, google("UNAUTHENTICATED"), "transient unauthenticated"),
                Row(
                    401,
                    fcm("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
                    "transient third_party_auth_error",
                ),
                Row(
                    429,
                    fcm("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
                    "transient quota_exceeded after 7s",
                ),
                Row(408, String::new(), "unknown http_408"),
                Row(
                    500,
                    fcm("INTERNAL", "INTERNAL"),
                    "transient http_500 after 7s",
                ),
                Row(
                    503,
                    fcm("UNAVAILABLE", "UNAVAILABLE"),
                    "transient http_503 after 7s",
                ),
                Row(500, String::new(), "unknown http_500"),
                Row(502, "<html>bad gateway</html>".into(), "unknown http_502"),
                Row(503, String::new(), "transient http_503 after 7s"),
                Row(504, String::new(), "unknown http_504"),
                Row(307, String::new(), "transient http_307 after 7s"),
            ],
        );
    }
}

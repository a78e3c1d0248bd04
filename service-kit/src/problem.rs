//! RFC 9457 problems: the one shape of every error that leaves Waybill over HTTP.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::openapi::{RefOr, schema::Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::http::request_id;

/// The media type of every problem.
pub const CONTENT_TYPE_PROBLEM: &str = "application/problem+json";

/// How long a caller is asked to wait when a server behind Waybill is away.
const RETRY_AFTER_UNAVAILABLE: Duration = Duration::from_secs(2);
/// How long a caller is asked to wait when too many want the same thing at once.
const RETRY_AFTER_BUSY: Duration = Duration::from_secs(1);

/// An error as the caller sees it. Boxed, because it travels as the `Err` of most handlers.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    body: ProblemBody,
    retry_after: Option<Duration>,
    challenge: Option<String>,
}

/// The JSON of a problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// A stable name of the kind of problem, `urn:waybill:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The stable code that programs branch on.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// The request's id, as in the header `x-request-id` and in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The fields that cannot be accepted, each with a JSON pointer into the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What else this kind of problem says, for example a position.
    #[serde(flatten)]
    #[schema(ignore)]
    pub more: BTreeMap<String, serde_json::Value>,
}

/// One field that cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the request body (or the name of the query parameter behind a slash).
    pub pointer: String,
    /// The stable code of this error.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// What is wrong, for a person.
    pub detail: String,
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        ProblemBody::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Problem")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ProblemBody::schemas(schemas);
    }
}

impl Problem {
    /// A problem of the given status and stable code; its title is the code in words.
    #[must_use]
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>) -> Self {
        let code = code.into();
        Self(Box::new(Inner {
            status,
            body: ProblemBody {
                kind: format!("urn:waybill:problem:{code}"),
                title: title(&code),
                status: status.as_u16(),
                detail: None,
                code,
                request_id: None,
                errors: Vec::new(),
                more: BTreeMap::new(),
            },
            retry_after: None,
            challenge: None,
        }))
    }

    /// Says what went wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.body.detail = Some(detail.into());
        self
    }

    /// Names the fields that cannot be accepted.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.body.errors = errors;
        self
    }

    /// Adds a member of the caller's choosing, for example `position`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.0.body.more.insert(name.into(), value.into());
        self
    }

    /// Asks the caller to come back after `after`, rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Sets the `WWW-Authenticate` header of a 401 or 403.
    #[must_use]
    pub fn challenge(mut self, challenge: impl Into<String>) -> Self {
        self.0.challenge = Some(challenge.into());
        self
    }

    /// 400: what came cannot be read at all.
    #[must_use]
    pub fn bad_request(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code).detail(detail)
    }

    /// 401: we do not know who is asking.
    #[must_use]
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated")
            .detail(detail)
            .challenge(r#"Bearer realm="waybill""#)
    }

    /// 403: we know who is asking, and he may not.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden")
            .detail(detail)
            .challenge(r#"Bearer realm="waybill", error="insufficient_scope""#)
    }

    /// 404: there is no such thing, or it is someone else's.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found").detail(detail)
    }

    /// 405: the address exists, the method does not.
    #[must_use]
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").detail(detail)
    }

    /// 409: a business "no" with its stable code.
    #[must_use]
    pub fn conflict(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code).detail(detail)
    }

    /// 412: the caller's `If-Match` names a version that is no longer the present one.
    #[must_use]
    pub fn stale_version(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "stale_version").detail(detail)
    }

    /// 413: the body is larger than `limit_bytes`.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
            .detail(format!("the body is larger than {limit_bytes} bytes"))
    }

    /// 415: the body is not of the media type that is expected here.
    #[must_use]
    pub fn unsupported_media_type(expected: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            .detail(format!("send the body as {expected}"))
    }

    /// 422 `invalid`: readable, and not acceptable, for the reasons in `errors`.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid");
        match errors.as_slice() {
            [] => problem.detail("the request cannot be accepted"),
            [only] => {
                let detail = only.detail.clone();
                problem.detail(detail).errors(errors)
            }
            many => {
                let detail = format!("{} fields cannot be accepted", many.len());
                problem.detail(detail).errors(errors)
            }
        }
    }

    /// 422 with a published code of its own, for example `idempotency_key_reused`.
    #[must_use]
    pub fn unprocessable(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code).detail(detail)
    }

    /// 429: this caller asks more than his share.
    #[must_use]
    pub fn too_many_requests(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited")
            .detail(detail)
            .retry_after(retry_after)
    }

    /// 500: our mistake. Says nothing about it; the log does, under the request's id.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").detail(
            "something went wrong on our side; the request id leads to it in the service's log",
        )
    }

    /// 500 for an error that nobody expected: logs it once with its whole chain and tells the caller nothing of it.
    #[must_use]
    pub fn unexpected(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %Chain(error), "unexpected error");
        Self::internal()
    }

    /// 503 with a code of the published list and `Retry-After`.
    #[must_use]
    pub fn unavailable(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code)
            .detail(detail)
            .retry_after(RETRY_AFTER_UNAVAILABLE)
    }

    /// 503 `busy`: too many want the same thing at once.
    #[must_use]
    pub fn busy(detail: impl Into<String>) -> Self {
        Self::unavailable("busy", detail).retry_after(RETRY_AFTER_BUSY)
    }

    /// 503 `broker_unavailable`.
    #[must_use]
    pub fn broker_unavailable() -> Self {
        Self::unavailable(
            "broker_unavailable",
            "the message broker cannot be reached at the moment; nothing was decided by this answer",
        )
    }

    /// 503 `database_unavailable`.
    #[must_use]
    pub fn database_unavailable() -> Self {
        Self::unavailable(
            "database_unavailable",
            "the database cannot be reached at the moment",
        )
    }

    /// 503 `not_caught_up`: the command is durable, the read side has not come to its position yet.
    #[must_use]
    pub fn not_caught_up(position: u64, reached: u64) -> Self {
        Self::unavailable(
            "not_caught_up",
            format!("position {position} was asked for, the read side has reached {reached}"),
        )
        .with("position", reached)
        .with("lag", position.saturating_sub(reached))
        .retry_after(RETRY_AFTER_BUSY)
    }

    /// 503 `held`: the rows asked for wait for a person, see `waybill projections ls`.
    #[must_use]
    pub fn held(detail: impl Into<String>) -> Self {
        Self::unavailable("held", detail).retry_after(Duration::from_secs(30))
    }

    /// 503 `newer_events`: a newer version of Waybill has written events that this one cannot read.
    #[must_use]
    pub fn newer_events(detail: impl Into<String>) -> Self {
        Self::unavailable("newer_events", detail).retry_after(Duration::from_secs(30))
    }

    /// 503 `timed_out`: the answer was not ready in time; what happened is unknown.
    #[must_use]
    pub fn timed_out(limit: Duration) -> Self {
        Self::unavailable(
            "timed_out",
            format!(
                "no answer within {} s; the outcome is unknown, so repeat the request with the same Idempotency-Key",
                limit.as_secs()
            ),
        )
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.body.code
    }

    /// The JSON that will be sent (still without the request's id).
    #[must_use]
    pub fn body(&self) -> &ProblemBody {
        &self.0.body
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.status.as_u16(), self.0.body.code)?;
        match &self.0.body.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner {
            status,
            mut body,
            retry_after,
            challenge,
        } = *self.0;
        if body.request_id.is_none() {
            body.request_id = request_id::current();
        }
        // Strings and numbers only: this serialisation has no way to fail, and an empty body would still be honest.
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_PROBLEM));
        if let Some(after) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if let Some(challenge) = challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// An error with all its causes on one line.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// At least one second: `Retry-After: 0` would invite a busy loop.
fn whole_seconds(after: Duration) -> u64 {
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    seconds.max(1)
}

fn title(code: &str) -> String {
    let mut title = code.replace('_', " ");
    if let Some(first) = title.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    title
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn json_of(response: Response) -> serde_json::Value {
        let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_is_sent_as_problem_json_with_all_its_members() {
        let response = Problem::conflict("quote_expired", "the quote ended at noon")
            .with("expires_at", "2026-11-21T12:00:00Z")
            .into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[CONTENT_TYPE], CONTENT_TYPE_PROBLEM);
        let json = json_of(response).await;
        assert_eq!(json["type"], "urn:waybill:problem:quote_expired");
        assert_eq!(json["title"], "Quote expired");
        assert_eq!(json["status"], 409);
        assert_eq!(json["detail"], "the quote ended at noon");
        assert_eq!(json["code"], "quote_expired");
        assert_eq!(json["expires_at"], "2026-11-21T12:00:00Z");
        assert!(json.get("errors").is_none());
    }

    #[tokio::test]
    async fn an_unexpected_error_tells_the_caller_nothing_of_itself() {
        let response =
            Problem::unexpected(&std::io::Error::other("password=hunter2")).into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!json_of(response).await.to_string().contains("hunter2"));
    }

    #[test]
    fn every_503_and_429_says_when_to_come_back() {
        for problem in [
            Problem::broker_unavailable(),
            Problem::database_unavailable(),
            Problem::busy("x"),
            Problem::not_caught_up(9, 4),
            Problem::held("x"),
            Problem::newer_events("x"),
            Problem::timed_out(Duration::from_secs(30)),
            Problem::too_many_requests("x", Duration::from_millis(20)),
        ] {
            let response = problem.into_response();
            let seconds: u64 = response.headers()[RETRY_AFTER]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!(seconds >= 1);
        }
    }

    #[test]
    fn retry_after_is_rounded_up_never_down() {
        assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(3)), 3);
        assert_eq!(whole_seconds(Duration::ZERO), 1);
    }

    #[test]
    fn a_401_challenges_and_a_403_names_the_missing_scope() {
        let response = Problem::unauthenticated("no token").into_response();
        assert_eq!(
            response.headers()[WWW_AUTHENTICATE],
            r#"Bearer realm="waybill""#
        );
        let response = Problem::forbidden("no").into_response();
        assert!(
            response.headers()[WWW_AUTHENTICATE]
                .to_str()
                .unwrap()
                .contains("insufficient_scope")
        );
    }

    #[test]
    fn not_caught_up_names_position_and_lag() {
        let problem = Problem::not_caught_up(10, 7);
        assert_eq!(problem.body().more["position"], 7);
        assert_eq!(problem.body().more["lag"], 3);
    }
}

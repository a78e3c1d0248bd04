//! A problem of the HTTP API as a gRPC status: the code by its kind, our stable code as the reason, fields and waiting
//! times as details.

use std::collections::HashMap;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// The domain of our reasons.
const DOMAIN: &str = "waybill";
/// Members of a problem that have a place of their own in a status.
const PLACED: [&str; 7] = [
    "type",
    "title",
    "status",
    "detail",
    "code",
    "request_id",
    "errors",
];

/// The status that an answer other than 2xx becomes.
pub(crate) fn of_problem(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Status {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| problem[name].as_str().unwrap_or_default();
    let reason = text("code");
    let message = match (text("detail"), text("title")) {
        ("", "") => status.canonical_reason().unwrap_or("refused"),
        ("", title) => title,
        (detail, _) => detail,
    };
    let mut more: HashMap<String, String> = HashMap::new();
    for (name, value) in problem.as_object().into_iter().flatten() {
        if !PLACED.contains(&name.as_str()) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            more.insert(name.clone(), value);
        }
    }
    let mut details = ErrorDetails::new();
    if !reason.is_empty() {
        details.set_error_info(reason, DOMAIN, more);
    }
    let violations: Vec<_> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(violation)
        .collect();
    if !violations.is_empty() {
        details.set_bad_request(violations);
    }
    if let Some(seconds) = retry_after_seconds(headers) {
        details.set_retry_info(Some(Duration::from_secs(seconds)));
    }
    if !text("request_id").is_empty() {
        details.set_request_info(text("request_id"), "");
    }
    Status::with_error_details(code(status, reason), message, details)
}

/// A refusal of a field before there is a request at all.
pub(crate) fn bad_field(field: &str, why: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("invalid", DOMAIN, HashMap::new());
    details.add_bad_request_violation(field, why);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {why}"), details)
}

fn code(status: StatusCode, reason: &str) -> Code {
    match (status.as_u16(), reason) {
        (401, _) => Code::Unauthenticated,
        (403, _) => Code::PermissionDenied,
        (404, _) => Code::NotFound,
        (405, _) => Code::Unimplemented,
        (409, "email_taken" | "sku_taken") => Code::AlreadyExists,
        (409, "conflict") | (412, _) => Code::Aborted,
        (409, _) => Code::FailedPrecondition,
        (429, _) => Code::ResourceExhausted,
        (400..=499, _) => Code::InvalidArgument,
        (503, "timed_out") => Code::DeadlineExceeded,
        (502..=504, _) => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// `/lines/0/quantity` is `lines.0.quantity` here.
fn violation(error: &Value) -> FieldViolation {
    let text = |name: &str| error[name].as_str().unwrap_or_default();
    let field = text("pointer").trim_start_matches('/').replace('/', ".");
    FieldViolation::new(field, text("detail"))
}

fn retry_after_seconds(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn status(number: u16, body: &Value) -> Status {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        of_problem(
            StatusCode::from_u16(number).unwrap(),
            &headers,
            body.to_string().as_bytes(),
        )
    }

    #[test]
    fn every_kind_of_no_has_its_code() {
        let expected = [
            (400, "idempotency_key_missing", Code::InvalidArgument),
            (401, "unauthenticated", Code::Unauthenticated),
            (403, "forbidden", Code::PermissionDenied),
            (404, "not_found", Code::NotFound),
            (409, "email_taken", Code::AlreadyExists),
            (409, "sku_taken", Code::AlreadyExists),
            (409, "too_late", Code::FailedPrecondition),
            (412, "stale_version", Code::Aborted),
            (413, "body_too_large", Code::InvalidArgument),
            (422, "invalid", Code::InvalidArgument),
            (429, "rate_limited", Code::ResourceExhausted),
            (500, "internal", Code::Internal),
            (503, "busy", Code::Unavailable),
            (503, "timed_out", Code::DeadlineExceeded),
        ];
        for (number, reason, code) in expected {
            assert_eq!(
                status(number, &json!({"code": reason})).code(),
                code,
                "{number} {reason}"
            );
        }
    }

    #[test]
    fn a_status_tells_reason_fields_waiting_time_and_request() {
        let status = status(
            422,
            &json!({
                "type": "urn:x", "title": "Invalid", "status": 422, "code": "invalid", "detail": "two are wrong",
                "request_id": "r-1", "position": 9,
                "errors": [{"pointer": "/lines/0/quantity", "code": "range", "detail": "at least 1"}],
            }),
        );
        assert_eq!(status.message(), "two are wrong");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("invalid", "waybill")
        );
        assert_eq!(info.metadata["position"], "9");
        let fields = &details.bad_request().unwrap().field_violations;
        assert_eq!(fields[0].field, "lines.0.quantity");
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(Duration::from_secs(7))
        );
        assert_eq!(details.request_info().unwrap().request_id, "r-1");
    }

    #[test]
    fn an_answer_without_a_problem_still_is_a_status() {
        let status = of_problem(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>");
        assert_eq!(status.code(), Code::Unavailable);
    }
}

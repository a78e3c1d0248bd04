//! Answers of refusal, in Stripe's shape, and the two ways in which an operation can fail.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use service_kit::postgres::is_unavailable;

/// What the caller is told. Boxed, because it travels through every `Result` of the crate.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct ApiError(Box<Body>);

#[derive(Debug)]
struct Body {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    decline_code: Option<&'static str>,
    message: Cow<'static, str>,
    param: Option<String>,
    charge: Option<String>,
    payment_intent: Option<Value>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Body {
            status,
            kind,
            code: None,
            decline_code: None,
            message: message.into(),
            param: None,
            charge: None,
            payment_intent: None,
        }))
    }

    /// 400: the request cannot be carried out as it stands.
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// 400 about one parameter.
    pub(crate) fn parameter(
        code: &'static str,
        param: &str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::invalid(message).code(code).param(param)
    }

    /// 402: the card's issuer said no.
    pub(crate) fn card(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYMENT_REQUIRED, "card_error", message).code(code)
    }

    /// 404 for an id in the path.
    pub(crate) fn no_such(kind: &str, id: &str) -> Self {
        let shown: String = id.chars().take(100).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            format!("There is no {kind} with the id '{shown}'."),
        )
        .code("resource_missing")
        .param("id")
    }

    /// 400 for an id in a parameter.
    pub(crate) fn no_such_parameter(kind: &str, id: &str, param: &str) -> Self {
        let shown: String = id.chars().take(100).collect();
        Self::parameter(
            "resource_missing",
            param,
            format!("There is no {kind} with the id '{shown}'."),
        )
    }

    pub(crate) fn unauthorised(message: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message)
    }

    pub(crate) fn unknown_route(method: &str, path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            format!("The sandbox does not know the request {method} {path}."),
        )
    }

    pub(crate) fn body_too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request_error",
            "The request's body is too large.",
        )
    }

    /// 400: the key was used before with something else.
    pub(crate) fn key_reused() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "idempotency_error",
            "This Idempotency-Key was first used with other parameters or another path. Use a new key for a new request.",
        )
    }

    /// 409: the first request under this key has not ended yet.
    pub(crate) fn key_in_use() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "idempotency_error",
            "Another request with this Idempotency-Key is being carried out now. Try again in a moment.",
        )
        .code("idempotency_key_in_use")
    }

    /// 429: the object is being worked on for longer than we are willing to wait.
    pub(crate) fn lock_timeout() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "invalid_request_error",
            "Another request is working on this object. Try again in a moment.",
        )
        .code("lock_timeout")
    }

    /// 429, only on demand.
    pub(crate) fn rate_limit() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "invalid_request_error",
            "Too many requests at once. Slow down.",
        )
        .code("rate_limit")
    }

    /// 500: nothing is said about whether anything was done.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "api_error",
            "The sandbox failed to carry out the request.",
        )
    }

    /// 503: the ledger is away, so nothing was begun or nothing is known.
    pub(crate) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "api_error",
            "The sandbox's ledger cannot be reached.",
        )
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.0.code = Some(code);
        self
    }

    pub(crate) fn decline_code(mut self, code: Option<&'static str>) -> Self {
        self.0.decline_code = code;
        self
    }

    pub(crate) fn param(mut self, param: &str) -> Self {
        self.0.param = Some(param.to_owned());
        self
    }

    pub(crate) fn charge(mut self, charge: &str) -> Self {
        self.0.charge = Some(charge.to_owned());
        self
    }

    /// Attaches the intent as it stands, so that the caller need not ask for it.
    pub(crate) fn payment_intent(mut self, intent: Value) -> Self {
        self.0.payment_intent = Some(intent);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(crate) fn error_code(&self) -> Option<&'static str> {
        self.0.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The body as Stripe writes it: absent fields are left out.
    pub(crate) fn to_json(&self) -> Value {
        let body = &self.0;
        let mut error = Map::new();
        error.insert("type".into(), json!(body.kind));
        error.insert("message".into(), json!(body.message));
        let optional = [
            ("code", body.code.map(|code| json!(code))),
            ("decline_code", body.decline_code.map(|code| json!(code))),
            ("param", body.param.as_ref().map(|param| json!(param))),
            ("charge", body.charge.as_ref().map(|charge| json!(charge))),
            ("payment_intent", body.payment_intent.clone()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                error.insert(name.into(), value);
            }
        }
        json!({ "error": error })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, axum::Json(self.to_json())).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"payment sandbox\""),
            );
        }
        response
    }
}

/// How an operation on the ledger ends when it does not succeed. The difference decides what is remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The request never began to be carried out: nothing is written, and its key stays free.
    #[error(transparent)]
    Invalid(ApiError),
    /// The request was carried out and the answer is no. What was written stays, and so does the answer.
    #[error(transparent)]
    Refused(ApiError),
    /// The ledger could not be read or written: nothing is written.
    #[error("the ledger could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl Failure {
    /// What the caller is told when nothing can be remembered.
    pub(crate) fn into_api_error(self) -> ApiError {
        match self {
            Self::Invalid(error) | Self::Refused(error) => error,
            Self::Database(error) if is_contention(&error) => ApiError::lock_timeout(),
            Self::Database(error) if is_unavailable(&error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the ledger cannot be reached"
                );
                ApiError::unavailable()
            }
            Self::Database(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the ledger refused a statement"
                );
                ApiError::internal()
            }
        }
    }
}

impl From<ApiError> for Failure {
    /// What is found wrong without an explicit decision is wrong with the request.
    fn from(error: ApiError) -> Self {
        Self::Invalid(error)
    }
}

/// Lock not available, statement cancelled by its time limit, deadlock, serialisation failure.
fn is_contention(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| matches!(code.as_ref(), "55P03" | "57014" | "40P01" | "40001"))
}

//! A request to `/v1` after its envelope was checked: key, content type, size, parameters.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use crate::{Sandbox, auth, error::ApiError, form::Form, id};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;

/// What every operation begins with.
pub(crate) struct Incoming {
    pub(crate) request_id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) form: Form,
    pub(crate) idempotency_key: Option<String>,
}

impl FromRequest<Sandbox> for Incoming {
    type Rejection = Response;

    async fn from_request(request: Request, sandbox: &Sandbox) -> Result<Self, Response> {
        let request_id = id::new("req");
        read(request, sandbox, request_id.clone())
            .await
            .map_err(|error| with_request_id(error.into_response(), &request_id))
    }
}

async fn read(
    request: Request,
    sandbox: &Sandbox,
    request_id: String,
) -> Result<Incoming, ApiError> {
    auth::check(request.headers(), &sandbox.config().api_key)?;
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let idempotency_key = idempotency_key(request.headers())?;
    let form = if method == Method::POST {
        check_content_type(request.headers())?;
        Form::parse(&body(request, sandbox).await?)?
    } else {
        Form::parse(request.uri().query().unwrap_or_default().as_bytes())?
    };
    Ok(Incoming {
        request_id,
        method,
        path,
        form,
        idempotency_key,
    })
}

async fn body(request: Request, sandbox: &Sandbox) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, sandbox)
        .await
        .map_err(|rejection: BytesRejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::body_too_large(),
            _ => ApiError::invalid("The request's body could not be read."),
        })
}

/// A body in another encoding would read as no parameters at all, which misleads.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(ApiError::invalid(
        "Send the parameters form-encoded (application/x-www-form-urlencoded).",
    ))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok("") => Ok(None),
        Ok(key) if key.len() <= IDEMPOTENCY_KEY_CHARS_MAX => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => Err(ApiError::invalid(format!(
            "An Idempotency-Key may have at most {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters."
        ))),
    }
}

/// Names the request in its answer, so that it can be found in the ledger.
pub(crate) fn with_request_id(mut response: Response, request_id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// What is not spoken here is refused in the same shape as everything else.
pub(crate) async fn unknown_route(method: Method, uri: Uri) -> ApiError {
    ApiError::unknown_route(method.as_str(), uri.path())
}

//! Pages of other origins: what a browser lets them ask and read.
//!
//! Nothing here protects the shop, which believes tokens and never where a page comes from. It tells browsers whose pages
//! may see our answers; without the setting they see none. Nobody is recognised by a cookie, so credentials of the browser
//! are never asked for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::settings::CorsOrigins;

/// What the API's routes are asked with.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What a page may send: every header that a route for people reads. Those of webhooks come from servers.
const SENT: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, waybill-min-position, \
     waybill-wait-ms, x-request-id",
);
/// What a page may read besides the few headers that browsers show anyway.
const SHOWN: HeaderValue = HeaderValue::from_static(
    "etag, location, retry-after, waybill-held, waybill-position, x-request-id",
);
/// So long a browser need not ask again, and so long it may miss that an origin was taken out of the setting.
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("600");
const ANY: HeaderValue = HeaderValue::from_static("*");
const VARIES: HeaderValue = HeaderValue::from_static("origin");
/// For machines beside us; no page has business there, whoever may read the rest.
const NOT_FOR_PAGES: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Answers a browser that asks first, and marks every other answer, refusals included, for the page that waits for it.
pub(super) async fn layer(
    State(origins): State<Arc<CorsOrigins>>,
    request: Request,
    next: Next,
) -> Response {
    if NOT_FOR_PAGES.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let allowed = allowed(&origins, request.headers());
    let asks_first = asks_first(&request);
    let mut response = if asks_first {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    // Also without an origin: else a cache would hand the answer for nobody's page to somebody's.
    headers.append(VARY, VARIES);
    if let Some(allowed) = allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if asks_first {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS);
        } else {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
        }
    }
    response
}

/// Whether a browser asks what it may send, before it sends it. Any other OPTIONS is a method like others.
fn asks_first(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What stands for the page's origin in the answer, if it may read it.
fn allowed(origins: &CorsOrigins, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut asked = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (asked.next(), asked.next()) else {
        return None;
    };
    match origins {
        CorsOrigins::Any => Some(ANY),
        CorsOrigins::These(origins) => origins
            .iter()
            .any(|allowed| allowed.as_bytes() == origin.as_bytes())
            .then(|| origin.clone()),
    }
}

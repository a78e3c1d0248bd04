//! What every request passes on its way in and out, outermost first: see `server.rs` for the order.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{ConnectInfo, MatchedPath, OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::client_address::{client_address, limit_key};
use super::health::{Behind, Readiness};
use super::rate_limit::{Key, Limiter};
use super::request_id;
use crate::auth::{Authentication, Role};
use crate::problem::Problem;
use crate::signing::{AuthError, Tokens};
use crate::telemetry::traces::{self, TRACE_TARGET};

/// A plain-text refusal of a library is a sentence; more than this is not one.
const MAX_PLAIN_REFUSAL_BYTES: usize = 4 * 1024;
/// Label of metrics for addresses that no route matches; the addresses themselves would be endless.
const NO_ROUTE: &str = "(none)";

/// A request that takes longer looks whether what it waits for is away.
const LOOK_BEHIND_AFTER: Duration = Duration::from_secs(5);
/// One silence may be chance; a check's answer is good for a second.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(1100);

/// What the layers share.
pub(super) struct Gate {
    pub(super) tokens: Option<Arc<Tokens>>,
    pub(super) trusted_hops: usize,
    pub(super) admin_nets: Option<Vec<IpNet>>,
    pub(super) limiter: Option<Limiter>,
    pub(super) in_flight: Semaphore,
    pub(super) time_limit: Duration,
    pub(super) readiness: Readiness,
}

/// Marks an answer whose plain text is meant for whoever asked, although its status is an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verbatim;

/// The address of the client behind a request, as far as we can know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// One log line and one measurement per request, inside a span with its id and route.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let method = known_method(request.method());
    let id = request_id::current().unwrap_or_default();
    let trace = trace(request.headers(), method, &route, &id);
    let trace_id = trace.in_scope(traces::trace_id);
    let span = tracing::info_span!(
        "request", http.method = method, http.route = %route, request.id = %id, trace.id = trace_id
    );
    let traced = trace.clone();
    async move {
        let started = Instant::now();
        let response = next.run(request).await;
        let elapsed = started.elapsed();
        let status = response.status().as_u16();
        traced.record("http.response.status_code", status);
        if response.status().is_server_error() {
            traced.record("otel.status_code", "ERROR");
        }
        let labels = [
            ("method", method.to_owned()),
            ("route", route.clone()),
            ("status", status.to_string()),
        ];
        metrics::counter!("waybill_http_requests_total", &labels).increment(1);
        metrics::histogram!("waybill_http_request_seconds", "method" => method, "route" => route.clone())
            .record(elapsed.as_secs_f64());
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        if is_probe(&route) {
            tracing::debug!(http.status = status, elapsed_ms, "answered");
        } else {
            tracing::info!(http.status = status, elapsed_ms, "answered");
        }
        response
    }
    .instrument(span)
    .instrument(trace)
    .await
}

/// Probes come every few seconds for ever.
fn is_probe(route: &str) -> bool {
    matches!(route, "/livez" | "/readyz" | "/metrics")
}

/// The span of a request, which goes on with the caller's trace or begins one.
fn trace(headers: &HeaderMap, method: &str, route: &str, id: &str) -> Span {
    if is_probe(route) {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: TRACE_TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request.id = id,
    );
    let caller = headers.get(traces::HEADER).map(HeaderValue::to_str);
    traces::go_on(&span, caller.and_then(Result::ok));
    span
}

/// Callers can make up methods without end; labels of metrics cannot be without end.
fn known_method(method: &Method) -> &'static str {
    [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ]
    .iter()
    .zip(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
    .find_map(|(known, name)| (known == method).then_some(name))
    .unwrap_or("other")
}

/// A panic becomes a 500 that says nothing of it; the panic hook has logged it.
pub(super) async fn catch_panic(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            metrics::counter!("waybill_http_panics_total").increment(1);
            tracing::error!("answering 500 after a panic");
            Problem::internal().into_response()
        }
    }
}

/// Refusals that a library wrote as plain text (or with no body at all) become problems, and answers get the headers
/// that all of them have.
pub(super) async fn speak_problem(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && !has_body_of_its_own(&response) {
        let allow = response.headers().get(ALLOW).cloned();
        let said = plain_text(response).await;
        let problem = match status {
            StatusCode::METHOD_NOT_ALLOWED => {
                Problem::method_not_allowed(format!("{method} is not possible at {path}"))
            }
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(status, "body_too_large").detail(said),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Problem::new(status, "unsupported_media_type").detail(said)
            }
            StatusCode::NOT_FOUND => Problem::not_found(format!("there is nothing at {path}")),
            StatusCode::UNPROCESSABLE_ENTITY => Problem::new(status, "invalid").detail(said),
            StatusCode::SERVICE_UNAVAILABLE => Problem::busy("try again in a moment"),
            _ if status.is_server_error() => {
                tracing::error!(%status, said, "a library answered with an error");
                Problem::internal()
            }
            _ => Problem::new(status, "unreadable_request").detail(said),
        };
        response = problem.into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Answers differ by caller; whoever wants one cached says so.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Finds out who is asking, once per request.
pub(super) async fn authenticate(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        // Only a request that did not come over a socket (a test) has no peer.
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |info| info.0.ip());
    let address = client_address(peer, request.headers(), gate.trusted_hops);
    let mut authentication = match &gate.tokens {
        Some(tokens) => who(tokens, request.headers()).await,
        None => Authentication::Anonymous,
    };
    if let (Authentication::Known(caller), Some(nets)) = (&authentication, &gate.admin_nets)
        && caller.is(Role::Admin)
        && !nets.iter().any(|net| net.contains(&address))
    {
        tracing::warn!(caller.id = %caller.subject, client.address = %address, "admin refused from this network");
        authentication = Authentication::Refused(AuthError::NetworkNotAllowed);
    }
    request.extensions_mut().insert(ClientAddress(address));
    request.extensions_mut().insert(authentication);
    next.run(request).await
}

async fn who(tokens: &Tokens, headers: &HeaderMap) -> Authentication {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return match headers.contains_key(AUTHORIZATION) {
            true => Authentication::Refused(AuthError::NotBearer),
            false => Authentication::Anonymous,
        };
    };
    let verified = match value.to_str() {
        Ok(value) => tokens.authenticate(value).await,
        Err(_) => Err(AuthError::NotBearer),
    };
    match verified {
        Ok(caller) => Authentication::Known(caller),
        Err(error) => Authentication::Refused(error),
    }
}

/// Lets a caller ask no more than his share, and the server do no more at once than it can.
pub(super) async fn limit(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    if let Some(limiter) = &gate.limiter {
        let key = match request.extensions().get::<Authentication>() {
            Some(Authentication::Known(caller)) => Key::Subject(caller.subject),
            _ => {
                let address = request
                    .extensions()
                    .get::<ClientAddress>()
                    .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.0);
                Key::Address(limit_key(address))
            }
        };
        if let Err(wait) = limiter.check(key) {
            metrics::counter!("waybill_http_rate_limited_total").increment(1);
            return Problem::too_many_requests(
                "you ask more often than this shop answers one caller",
                wait,
            )
            .into_response();
        }
    }
    let Ok(_permit) = gate.in_flight.try_acquire() else {
        metrics::counter!("waybill_http_shed_total").increment(1);
        return Problem::busy("too many requests are being answered at this moment")
            .into_response();
    };
    let needs: &[Behind] = if request.method().is_safe() {
        &[Behind::Database]
    } else {
        &[Behind::Broker, Behind::Database]
    };
    tokio::select! {
        biased;
        response = next.run(request) => response,
        away = is_away(&gate, needs) => match away {
            Behind::Broker => Problem::broker_unavailable(),
            Behind::Database => Problem::database_unavailable(),
        }
        .into_response(),
        () = tokio::time::sleep(gate.time_limit) => Problem::timed_out(gate.time_limit).into_response(),
    }
}

/// Ends when a request has waited long and one of these servers did not answer twice in a row: it may be away or hang,
/// and whoever waits is told so long before his time is over. A request that is slow for another reason goes on.
async fn is_away(gate: &Gate, needs: &[Behind]) -> Behind {
    let patience = LOOK_BEHIND_AFTER.min(gate.time_limit / 4);
    let mut suspected = None;
    loop {
        let pause = match suspected {
            None => patience,
            Some(_) => LOOK_AGAIN_AFTER.min(patience),
        };
        tokio::time::sleep(pause).await;
        let away = gate.readiness.away(needs).await;
        match away {
            Some(behind) if suspected == away => return behind,
            _ => suspected = away,
        }
    }
}

/// The answer to an address that no route has.
pub(super) async fn no_route(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

/// Whether an error answer already has a form: JSON of ours or of another API, gRPC, a page.
fn has_body_of_its_own(response: &Response) -> bool {
    if response.extensions().get::<Verbatim>().is_some() {
        return true;
    }
    match response.headers().get(CONTENT_TYPE) {
        Some(kind) => !kind.as_bytes().starts_with(b"text/plain"),
        None => false,
    }
}

async fn plain_text(response: Response) -> String {
    let body: Body = response.into_body();
    if body.is_end_stream() {
        return "the request cannot be accepted".to_owned();
    }
    let bytes = to_bytes(body, MAX_PLAIN_REFUSAL_BYTES)
        .await
        .unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

//! The sandbox as a service: its routes with health and metrics, its mail server, one shutdown for both.

use std::time::Duration;

use service_kit::Shutdown;
use service_kit::http::{HttpLimits, Readiness, ServerBuilder, serve as serve_http};
use tokio::net::TcpListener;

use crate::{Sandbox, fault, smtp};

/// Beyond the longest wait that anybody can order.
const TIME_LIMIT_MARGIN: Duration = Duration::from_secs(30);
/// A stand-in for services that take whatever one shop sends.
const IN_FLIGHT_MAX: usize = 4_096;

/// Serves HTTP and SMTP until the shutdown begins.
pub async fn serve(sandbox: &Sandbox, http: TcpListener, smtp: TcpListener, shutdown: &Shutdown) {
    let readiness = Readiness::new();
    let limits = HttpLimits {
        rate_limit: None,
        time_limit: fault::LATENCY_MAX + TIME_LIMIT_MARGIN,
        max_in_flight: IN_FLIGHT_MAX,
        ..HttpLimits::default()
    };
    let router = ServerBuilder::new(limits)
        .readiness(readiness.clone())
        .other_routes(sandbox.router())
        .build();
    tokio::join!(
        serve_http(http, router, readiness, shutdown),
        smtp::serve(sandbox, smtp, shutdown),
    );
}

//! Puts a server together: routes, health, documentation, and the layers around them in their order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use ipnet::IpNet;
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;

use super::cors;
use super::health::{self, Readiness};
use super::layers::{self, Gate};
use super::rate_limit::{Limiter, RateLimit};
use super::request_id;
use crate::auth::{ApiRouter, RouteRule};
use crate::extract::DEFAULT_BODY_LIMIT_BYTES;
use crate::openapi;
use crate::settings::{CorsOrigins, Settings};
use crate::signing::Tokens;

/// How long an answer may take to begin. Endless answers (SSE) begin at once, so they are not touched by it.
const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(30);
/// Requests that are being answered at one moment for each processor; more are told to come back. About a second's work:
/// whoever is let in later than that has stopped waiting when his turn comes.
const MAX_IN_FLIGHT_PER_PROCESSOR: usize = 256;
/// What a machine takes whose processors are not known.
const PROCESSORS_USUAL: usize = 4;

/// The limits around every request.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// How many proxies in front of us add to `X-Forwarded-For`.
    pub trusted_hops: usize,
    /// From where admins may act; `None` is everywhere.
    pub admin_nets: Option<Vec<IpNet>>,
    /// Whose pages may read our answers in a browser; `None` is nobody's but our own.
    pub cors_origins: Option<CorsOrigins>,
    /// How much one caller may ask; `None` is without limit.
    pub rate_limit: Option<RateLimit>,
    /// How long an answer may take to begin.
    pub time_limit: Duration,
    /// Requests that are being answered at one moment.
    pub max_in_flight: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            trusted_hops: 0,
            admin_nets: None,
            cors_origins: None,
            rate_limit: Some(RateLimit::default()),
            time_limit: REQUEST_TIME_LIMIT,
            max_in_flight: MAX_IN_FLIGHT_PER_PROCESSOR.saturating_mul(
                std::thread::available_parallelism()
                    .map_or(PROCESSORS_USUAL, std::num::NonZeroUsize::get),
            ),
        }
    }
}

impl From<&Settings> for HttpLimits {
    fn from(settings: &Settings) -> Self {
        Self {
            trusted_hops: settings.trusted_hops,
            admin_nets: settings.admin_nets.clone(),
            cors_origins: settings.cors_origins.clone(),
            rate_limit: settings.rate_limit.then(RateLimit::default),
            ..Self::default()
        }
    }
}

/// Collects what a server serves.
pub struct ServerBuilder {
    limits: HttpLimits,
    tokens: Option<Arc<Tokens>>,
    readiness: Readiness,
    api: Option<ApiRouter>,
    described_elsewhere: Option<OpenApi>,
    others: Router,
}

impl ServerBuilder {
    /// Nothing to serve yet but health and metrics.
    #[must_use]
    pub fn new(limits: impl Into<HttpLimits>) -> Self {
        Self {
            limits: limits.into(),
            tokens: None,
            readiness: Readiness::new(),
            api: None,
            described_elsewhere: None,
            others: Router::new(),
        }
    }

    /// How callers are recognised. Without it nobody is, and every route with a rule answers 401.
    #[must_use]
    pub fn tokens(mut self, tokens: Arc<Tokens>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// What `/readyz` asks.
    #[must_use]
    pub fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    /// Adds routes of the API, each with its rule. Several services in one process add theirs one after the other; one
    /// path may have its methods from different services.
    #[must_use]
    pub fn api(mut self, api: ApiRouter) -> Self {
        self.api = Some(match self.api.take() {
            Some(before) => before.merge(api),
            None => api,
        });
        self
    }

    /// Adds routes to the document that another process serves at the same public address.
    #[must_use]
    pub fn described_elsewhere(mut self, document: OpenApi) -> Self {
        self.described_elsewhere = Some(document);
        self
    }

    /// Adds routes that are not of the API and guard themselves (gRPC, the payment sandbox).
    #[must_use]
    pub fn other_routes(mut self, router: Router) -> Self {
        self.others = self.others.merge(router);
        self
    }

    /// The finished router, the API's document and its access table.
    pub fn build_with_table(self) -> (Router, Option<OpenApi>, Vec<RouteRule>) {
        let mut router = self.others;
        let (mut document, mut table) = (None, Vec::new());
        if let Some(api) = self.api {
            let (routes, mut described, rules) = api.into_parts();
            if let Some(elsewhere) = self.described_elsewhere {
                described.merge(elsewhere);
            }
            router = router
                .merge(routes)
                .merge(openapi::router(described.clone()));
            document = Some(described);
            table = rules;
        }
        let gate = Arc::new(Gate {
            tokens: self.tokens,
            trusted_hops: self.limits.trusted_hops,
            admin_nets: self.limits.admin_nets,
            limiter: self.limits.rate_limit.map(Limiter::new),
            in_flight: Semaphore::new(self.limits.max_in_flight),
            time_limit: self.limits.time_limit,
            readiness: self.readiness.clone(),
        });
        // Each `layer` goes around those before it: the last line is the outermost.
        let mut router = router
            .fallback(layers::no_route)
            .layer(DefaultBodyLimit::max(DEFAULT_BODY_LIMIT_BYTES))
            .layer(from_fn_with_state(Arc::clone(&gate), layers::limit))
            // Inside the limits a server under load would look dead to its probes, and be killed for it.
            .merge(health::router(self.readiness))
            .layer(from_fn_with_state(gate, layers::authenticate))
            .layer(from_fn(layers::catch_panic))
            .layer(from_fn(layers::speak_problem));
        if let Some(origins) = self.limits.cors_origins {
            // Around everything that refuses: a page has to be able to read why.
            router = router.layer(from_fn_with_state(Arc::new(origins), cors::layer));
        }
        let router = router
            .layer(from_fn(layers::observe))
            .layer(from_fn(request_id::layer));
        (router, document, table)
    }

    /// The finished router.
    pub fn build(self) -> Router {
        self.build_with_table().0
    }
}

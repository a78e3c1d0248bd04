//! `/livez`, `/readyz` and `/metrics`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures::future::join_all;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::Mutex;

use super::layers::Verbatim;
use crate::telemetry;

/// A check that takes longer has failed.
const CHECK_LIMIT: Duration = Duration::from_secs(2);
/// An answer is good for this long, so that probes do not become load.
const CACHED_FOR: Duration = Duration::from_secs(1);
const PLAIN: &str = "text/plain; charset=utf-8";

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type CheckFn = Box<dyn Fn() -> CheckFuture + Send + Sync>;

/// What must hold before requests are sent here: named checks, each asked at most once a second and for at most two.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Default)]
struct Inner {
    checks: std::sync::RwLock<Vec<Arc<Check>>>,
    draining: AtomicBool,
}

/// A server that requests cannot be answered without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// The message broker.
    Broker,
    /// Postgres.
    Database,
}

struct Check {
    name: String,
    behind: Option<Behind>,
    ask: CheckFn,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readiness").finish_non_exhaustive()
    }
}

impl Readiness {
    /// Ready, until checks are added.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check; its error is shown to whoever asks `/readyz?verbose`, so it carries no secrets.
    pub fn check<F, Fut>(&self, name: impl Into<String>, ask: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(name.into(), None, ask);
    }

    /// Adds a check of a server behind this one. A request that has waited long is told when that server is away.
    pub fn check_server<F, Fut>(&self, behind: Behind, name: impl Into<String>, ask: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(name.into(), Some(behind), ask);
    }

    fn add<F, Fut>(&self, name: String, behind: Option<Behind>, ask: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let check = Check {
            name,
            behind,
            ask: Box::new(move || Box::pin(ask())),
            last: Mutex::new(None),
        };
        self.0
            .checks
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(Arc::new(check));
    }

    /// From now on not ready, whatever the checks say. The server calls it when the shutdown begins.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    /// Asks every check: its name and what it says.
    pub async fn report(&self) -> Vec<(String, Result<(), String>)> {
        let checks = self.checks();
        let asked = checks.iter().map(|check| async {
            let said = check.said().await;
            (check.name.clone(), said)
        });
        let mut report = join_all(asked).await;
        if self.0.draining.load(Ordering::SeqCst) {
            report.push(("draining".to_owned(), Err("shutting down".to_owned())));
        }
        report
    }

    /// A server of these that does not answer at this moment.
    pub(super) async fn away(&self, of: &[Behind]) -> Option<Behind> {
        let checks = self.checks();
        let asked = checks.iter().filter_map(|check| {
            let behind = check.behind.filter(|behind| of.contains(behind))?;
            Some(async move { check.said().await.is_err().then_some(behind) })
        });
        join_all(asked).await.into_iter().flatten().next()
    }

    fn checks(&self) -> Vec<Arc<Check>> {
        self.0
            .checks
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl Check {
    async fn said(&self) -> Result<(), String> {
        // Held while asking: ten probes at once become one question, and nine readers of its answer.
        let mut last = self.last.lock().await;
        if let Some((at, said)) = last.as_ref()
            && at.elapsed() < CACHED_FOR
        {
            return said.clone();
        }
        let said = match tokio::time::timeout(CHECK_LIMIT, (self.ask)()).await {
            Ok(said) => said,
            Err(_) => Err(format!("no answer within {} s", CHECK_LIMIT.as_secs())),
        };
        *last = Some((Instant::now(), said.clone()));
        said
    }
}

pub(super) fn router(readiness: Readiness) -> Router {
    Router::new()
        .route(
            "/livez",
            get(async || plain(StatusCode::OK, "ok\n".to_owned())),
        )
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(readiness)
}

async fn readyz(State(readiness): State<Readiness>, RawQuery(query): RawQuery) -> Response {
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|part| part.split('=').next() == Some("verbose"))
    });
    let report = readiness.report().await;
    let ready = report.iter().all(|(_, said)| said.is_ok());
    let (status, verdict) = if ready {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    };
    let mut text = String::new();
    for (name, said) in report {
        match said {
            Ok(()) if verbose => text.push_str(&format!("[+] {name} ok\n")),
            Ok(()) => {}
            Err(why) if verbose => text.push_str(&format!("[-] {name} failed: {why}\n")),
            Err(_) => text.push_str(&format!("[-] {name} failed\n")),
        }
    }
    text.push_str(verdict);
    plain(status, text)
}

async fn metrics() -> Response {
    match telemetry::metrics() {
        Ok(metrics) => (
            [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            metrics.render(),
        )
            .into_response(),
        Err(error) => crate::Problem::unexpected(&error).into_response(),
    }
}

fn plain(status: StatusCode, text: String) -> Response {
    (
        status,
        [(CONTENT_TYPE, PLAIN), (CACHE_CONTROL, "no-store")],
        Extension(Verbatim),
        text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed_after_two_seconds() {
        let readiness = Readiness::new();
        readiness.check("stuck", std::future::pending);
        let report = readiness.report().await;
        assert_eq!(report[0].1, Err("no answer within 2 s".to_owned()));
    }

    #[tokio::test]
    async fn probes_in_quick_succession_ask_once() {
        let readiness = Readiness::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        readiness.check("counted", move || {
            counter.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        });
        for _ in 0..10 {
            assert_eq!(readiness.report().await[0].1, Ok(()));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_draining_server_is_not_ready() {
        let readiness = Readiness::new();
        assert!(readiness.report().await.is_empty());
        readiness.drain();
        assert!(
            readiness
                .report()
                .await
                .iter()
                .any(|(name, said)| name == "draining" && said.is_err())
        );
    }
}

//! Logs, metrics and traces of a process, installed once.

mod sender;
mod sql;
pub mod traces;

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use crate::settings::{LogFormat, Settings};
use traces::TracesError;

/// Histograms whose name ends so are seconds.
const SECONDS_SUFFIX: &str = "_seconds";
/// Buckets from one millisecond to half a minute, which is the limit of a request.
const SECONDS_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// How often samples are folded into histograms; without this they would pile up until somebody asks.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Why logs or metrics cannot be installed.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// Another recorder is installed in this process.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(#[from] BuildError),
    /// The thread that folds samples cannot be started.
    #[error("the metrics thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The log filter of the settings is not one.
    #[error("the log filter cannot be used: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The collector of the settings cannot be used.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

/// What has been recorded, to be rendered.
#[derive(Debug, Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// All metrics in Prometheus' text form.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Installs the log, the traces and the metrics of this process, which does the work of this role. Called again (several
/// tests in one binary) it keeps the first log and hands out the same metrics.
///
/// # Errors
/// When the filter is not one, spans cannot be exported, or another recorder was installed before.
pub fn init(settings: &Settings, role: &'static str) -> Result<Metrics, TelemetryError> {
    install_log(settings, role)?;
    metrics()
}

/// The metrics of this process, recorded from the first call on.
///
/// # Errors
/// When another recorder was installed before.
pub fn metrics() -> Result<Metrics, TelemetryError> {
    // One at a time: between looking and installing another thread could install, and would win.
    static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = INSTALLING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(handle) = METRICS.get() {
        return Ok(Metrics(handle.clone()));
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix(SECONDS_SUFFIX.to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()?;
    let upkeep = handle.clone();
    thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(move || {
            loop {
                thread::sleep(UPKEEP_PERIOD);
                upkeep.run_upkeep();
            }
        })?;
    Ok(Metrics(METRICS.get_or_init(|| handle).clone()))
}

/// Logs go to the standard error stream, so that what a command prints stays usable in a pipe.
fn install_log(settings: &Settings, role: &'static str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&settings.log)?;
    // Spans of traces are not the log's: lines name the request that they belong to, not a step of it.
    let filter = filter.and(filter_fn(|metadata| !traces::is_of_traces(metadata)));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match settings.log_format {
        LogFormat::Pretty => lines.compact().with_filter(filter).boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
    };
    let installed = tracing_subscriber::registry()
        .with(log)
        .with(traces::layer(settings, role)?)
        .try_init();
    if installed.is_ok() {
        log_panics();
    }
    // The only way to fail is that a log is installed already; then that one stays.
    let _: Result<(), TryInitError> = installed;
    Ok(())
}

/// A panic becomes a log line like every other error, with the place it happened.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no message)");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(panic = message, place, "a task panicked");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingsArgs;

    #[test]
    fn being_installed_twice_is_tolerated_and_gives_the_same_metrics() {
        let settings = SettingsArgs::default().resolve().unwrap();
        let first = init(&settings, "test").unwrap();
        let second = init(&settings, "test").unwrap();
        metrics::counter!("waybill_telemetry_test_total").increment(3);
        metrics::histogram!("waybill_telemetry_test_seconds").record(0.02);
        assert!(first.render().contains("waybill_telemetry_test_total 3"));
        assert!(second.render().contains("waybill_telemetry_test_total 3"));
        assert!(
            first
                .render()
                .contains(r#"waybill_telemetry_test_seconds_bucket{le="0.025"} 1"#)
        );
    }
}

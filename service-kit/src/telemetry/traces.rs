//! Traces: what happened because of one request, in every process that it went through, sent to a collector that speaks
//! OTLP (http/protobuf). A trace goes on in the `traceparent` of requests, messages and stored events.
//!
//! Only spans of the target [`TRACE_TARGET`] are part of a trace, and they are no part of the log. They hold routes,
//! statements, ids and counts, never what a person wrote. Nothing waits for the collector: what does not fit into the
//! queue is dropped.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, Sampler,
    SdkTracerProvider,
};
use thiserror::Error;
use tokio::runtime::{Handle, TryCurrentError};
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

pub use event_schema::TRACE_TARGET;

use super::sender::{SEND_LIMIT, Sender};
use super::sql::{Statements, is_statement};
use crate::settings::{Settings, TraceSettings};

/// The header of requests and messages in which a trace goes on, as W3C writes it.
pub const HEADER: &str = "traceparent";
/// Spans that wait to be sent; what comes on top is dropped.
const QUEUE_SPANS_MAX: usize = 8_192;
/// Spans of one request to the collector.
const BATCH_SPANS_MAX: usize = 512;
/// How long a span waits for others to be sent with.
const BATCH_PERIOD: Duration = Duration::from_secs(1);
/// How long the end of a process waits for its last spans to be sent.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// A `traceparent` has 55 characters; a longer one is of a version that we do not read.
const TRACEPARENT_BYTES_MAX: usize = 128;

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Why spans cannot be sent to the collector of the settings.
#[derive(Debug, Error)]
pub enum TracesError {
    /// The exporter cannot be built.
    #[error("spans cannot be exported: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The client that carries them cannot be built.
    #[error("the client for spans cannot be built: {0}")]
    Client(#[from] reqwest::Error),
    /// Nothing can be sent outside a runtime.
    #[error("spans can only be exported from within the async runtime: {0}")]
    Runtime(#[from] TryCurrentError),
}

/// Whether a span or an event belongs into traces, and not into the log.
pub(super) fn is_of_traces(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TRACE_TARGET
}

/// The layer that makes spans of what is done and of the statements it takes, when the settings name a collector.
pub(super) fn layer<S>(
    settings: &Settings,
    role: &'static str,
) -> Result<Option<Box<dyn Layer<S> + Send + Sync>>, TracesError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let Some(traces) = &settings.traces else {
        return Ok(None);
    };
    let provider = provider(traces, &settings.instance, role)?;
    let tracer = provider.tracer("waybill");
    // The only way to fail is that one is there already; then its process has a log already, and this one is unused.
    let _: Result<(), SdkTracerProvider> = PROVIDER.set(provider);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer.clone())
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_filter(filter_fn(is_of_traces));
    let statements = Statements(tracer).with_filter(filter_fn(is_statement));
    Ok(Some(spans.and_then(statements).boxed()))
}

fn provider(
    traces: &TraceSettings,
    instance: &str,
    role: &'static str,
) -> Result<SdkTracerProvider, TracesError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new(Handle::try_current()?)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", traces.endpoint))
        .with_timeout(SEND_LIMIT)
        .build()?;
    let queue = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS_MAX)
        .with_max_export_batch_size(BATCH_SPANS_MAX)
        .with_scheduled_delay(BATCH_PERIOD)
        .build();
    let resource = Resource::builder_empty()
        .with_service_name(role)
        .with_attributes([
            KeyValue::new("service.namespace", "waybill"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance.to_owned()),
        ])
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(
            BatchSpanProcessor::builder(exporter)
                .with_batch_config(queue)
                .build(),
        )
        // Whoever began the trace has decided for all who go on with it; only what begins here is drawn by lot.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            traces.share,
        ))))
        .with_resource(resource)
        .build())
}

/// What to put into the `traceparent` of whatever goes on from here; none when nothing is being traced.
#[must_use]
pub fn traceparent() -> Option<String> {
    let doing = Context::current();
    if !doing.span().span_context().is_sampled() {
        return None;
    }
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&doing, &mut headers);
    headers.remove(HEADER)
}

/// The trace that is being added to, in the form in which collectors look it up; none when nothing is being traced.
#[must_use]
pub fn trace_id() -> Option<String> {
    let doing = Context::current();
    let span = doing.span();
    let context = span.span_context();
    context.is_sampled().then(|| context.trace_id().to_string())
}

/// Makes a span that has not begun go on with the trace of a `traceparent`. One that cannot be read is passed by: the
/// span then begins a trace of its own.
pub fn go_on(span: &Span, traceparent: Option<&str>) {
    if span.is_disabled() {
        return;
    }
    if let Some(context) = traceparent.and_then(read) {
        // Fails only for a span that no layer of traces knows.
        let _: Result<(), tracing_opentelemetry::SetParentError> = span.set_parent(context);
    }
}

/// As [`go_on`], for what follows from something that has happened: where that was not traced, neither is this, with all
/// that is done within it.
pub fn follow(span: &Span, traceparent: Option<&str>) {
    if span.is_disabled() {
        return;
    }
    let context = traceparent.and_then(read).unwrap_or_else(|| {
        // Whoever is asked to keep it says no for everything below.
        let ids = RandomIdGenerator::default();
        Context::new().with_remote_span_context(SpanContext::new(
            ids.new_trace_id(),
            ids.new_span_id(),
            TraceFlags::NOT_SAMPLED,
            true,
            TraceState::NONE,
        ))
    });
    // Fails only for a span that no layer of traces knows.
    let _: Result<(), tracing_opentelemetry::SetParentError> = span.set_parent(context);
}

/// Points from a span to another trace that it works for as well.
pub fn point_to(span: &Span, traceparent: &str) {
    if !span.is_disabled()
        && let Some(context) = read(traceparent)
    {
        span.add_link(context.span().span_context().clone());
    }
}

fn read(traceparent: &str) -> Option<Context> {
    if traceparent.len() > TRACEPARENT_BYTES_MAX {
        return None;
    }
    let headers = HashMap::from([(HEADER.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    context.span().span_context().is_valid().then_some(context)
}

/// Sends what is still waiting, at the end of a process. Nothing can be traced afterwards.
pub async fn flush() {
    let Some(provider) = PROVIDER.get() else {
        return;
    };
    // It waits for the exporter's thread, which needs this runtime to send.
    let ended = tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(FLUSH_LIMIT)).await;
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last spans could not be sent"),
        Err(error) => tracing::warn!(%error, "the last spans could not be sent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_w3c_writes_it_and_anything_else_is_none() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = read(good).unwrap();
        assert!(context.span().span_context().is_sampled());
        assert!(context.span().span_context().is_remote());
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F-00f067aa0ba902b7-01",
            "anna@example.com",
            &"0".repeat(TRACEPARENT_BYTES_MAX + 1),
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn where_nothing_is_traced_nothing_is_handed_on() {
        assert_eq!(traceparent(), None);
        assert_eq!(trace_id(), None);
    }
}

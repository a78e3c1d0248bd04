//! Statements as spans. The driver says of each statement, once it has ended, what it was and how long it took; here that
//! becomes a span of whatever was being done. Values are never part of it: statements name them `$1`, `$2`.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer;

/// What the driver calls its reports.
const DRIVER_TARGET: &str = "sqlx::query";
/// Longer statements are cut: they are known by their beginning.
const STATEMENT_BYTES_MAX: usize = 2_000;

/// Whether this is such a report.
pub(super) fn is_statement(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target() == DRIVER_TARGET
}

pub(super) struct Statements(pub(super) SdkTracer);

impl<S: Subscriber> layer::Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let doing = Context::current();
        if !doing.span().span_context().is_sampled() {
            return;
        }
        let mut report = Report::default();
        event.record(&mut report);
        let ended = SystemTime::now();
        let took = Duration::try_from_secs_f64(report.seconds).unwrap_or_default();
        let statement = report.statement();
        let verb = statement.split_whitespace().next().unwrap_or("sql");
        let span = self
            .0
            .span_builder(verb.to_ascii_lowercase())
            .with_kind(SpanKind::Client)
            .with_start_time(ended.checked_sub(took).unwrap_or(ended))
            .with_attributes([
                KeyValue::new("db.system.name", "postgresql"),
                KeyValue::new("db.query.text", statement.into_owned()),
                KeyValue::new("db.response.returned_rows", report.rows_returned),
                KeyValue::new("db.response.affected_rows", report.rows_affected),
            ]);
        self.0
            .build_with_context(span, &doing)
            .end_with_timestamp(ended);
    }
}

#[derive(Default)]
struct Report {
    summary: String,
    whole: String,
    seconds: f64,
    rows_returned: i64,
    rows_affected: i64,
}

impl Report {
    /// The statement on one line, cut where it is too long. A short one is only in the summary.
    fn statement(&self) -> Cow<'_, str> {
        if self.whole.is_empty() {
            return Cow::Borrowed(&self.summary);
        }
        let mut line = String::with_capacity(self.whole.len().min(STATEMENT_BYTES_MAX));
        for word in self.whole.split_whitespace() {
            if line.len() + word.len() >= STATEMENT_BYTES_MAX {
                line.push_str(" …");
                break;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        Cow::Owned(line)
    }
}

impl Visit for Report {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "elapsed_secs" {
            self.seconds = value;
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        match field.name() {
            "rows_returned" => self.rows_returned = value,
            "rows_affected" => self.rows_affected = value,
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.whole),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_one_line_and_a_long_one_is_cut() {
        let report = |whole: &str| Report {
            summary: "select 1".to_owned(),
            whole: whole.to_owned(),
            ..Report::default()
        };
        assert_eq!(report("").statement(), "select 1");
        assert_eq!(
            report("\n\nselect a\n  from b\n").statement(),
            "select a from b"
        );
        let cut = report(&"word ".repeat(1_000));
        assert!(cut.statement().len() <= STATEMENT_BYTES_MAX + 4);
        assert!(cut.statement().ends_with(" …"));
    }
}

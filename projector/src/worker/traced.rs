//! A batch in the traces that led to its events. It does its work once for all of them, so its statements are in the trace
//! of the first; the others get a span of the same length that points there.

use event_schema::Recorded;
use service_kit::telemetry::traces::{self, TRACE_TARGET};
use tracing::Span;

/// Most traces that one batch is shown in.
const TRACES_MAX: usize = 32;

/// Open for as long as the batch is.
pub(super) struct BatchTraces {
    work: Span,
    /// Never entered; they end when this is dropped.
    _others: Vec<Span>,
}

impl BatchTraces {
    /// Spans for a batch of so many events, some of which concern the projection. Without a trace among those there is
    /// nothing to show.
    pub(super) fn of<'a>(
        projection: &'static str,
        concerning: impl Iterator<Item = &'a Recorded>,
        events: usize,
    ) -> Self {
        let found = traces_of(concerning.filter_map(|event| event.metadata.traceparent.as_deref()));
        let mut each = found.iter().map(|traceparent| {
            let span = tracing::info_span!(
                target: TRACE_TARGET, "project", otel.name = format!("project {projection}"), otel.kind = "consumer",
                waybill.projection = projection, waybill.batch = events,
            );
            traces::go_on(&span, Some(traceparent));
            span
        });
        let work = each.next().unwrap_or_else(Span::none);
        let others: Vec<_> = each.collect();
        if let Some(to) = work.in_scope(traces::traceparent) {
            others.iter().for_each(|other| traces::point_to(other, &to));
        }
        Self {
            work,
            _others: others,
        }
    }

    /// The span that the work is done in.
    pub(super) fn span(&self) -> Span {
        self.work.clone()
    }
}

/// The first `traceparent` of each trace, in the order of the log.
fn traces_of<'a>(traceparents: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    // `00-<trace id>-<span id>-<flags>`
    let trace = |traceparent: &'a str| traceparent.split('-').nth(1);
    let mut found: Vec<&str> = Vec::new();
    for traceparent in traceparents {
        if found.iter().all(|known| trace(known) != trace(traceparent)) {
            found.push(traceparent);
        }
        if found.len() == TRACES_MAX {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_shown_once_in_each_trace_and_in_no_more_than_a_few() {
        let (one, again, other) = ("00-aa-01-01", "00-aa-02-01", "00-bb-03-01");
        assert_eq!(traces_of([one, again, other].into_iter()), [one, other]);
        let many: Vec<String> = (0..100).map(|n| format!("00-{n:032x}-01-01")).collect();
        let shown = traces_of(many.iter().map(String::as_str));
        assert_eq!(shown, many[..TRACES_MAX]);
    }
}

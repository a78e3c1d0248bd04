//! Moments and spans of time as people say them.

use event_schema::Timestamp;

pub(super) fn moment(at: Timestamp) -> String {
    format!("{at:.0}")
}

pub(super) fn ago(since: Timestamp, now: Timestamp) -> String {
    match now.duration_since(since).as_secs() {
        ..=0 => "just now".into(),
        seconds => format!("{} ago", span(seconds)),
    }
}

pub(super) fn ahead(until: Timestamp, now: Timestamp) -> String {
    match until.duration_since(now).as_secs() {
        ..=0 => "now".into(),
        seconds => format!("in {}", span(seconds)),
    }
}

/// A span as people say it, in its two largest units.
pub(super) fn span(seconds: i64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut left = seconds.max(0);
    let mut parts = vec![];
    for (unit, size) in units {
        let count = left / size;
        left %= size;
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        }
    }
    match parts.as_slice() {
        [] => "0 s".into(),
        parts => parts.iter().take(2).cloned().collect::<Vec<_>>().join(" "),
    }
}

//! What the providers' tables are tested with.

use std::time::Duration;

use super::http::Reply;
use crate::port::Outcome;

/// Status, body, and what they mean.
pub(super) struct Row(pub(super) u16, pub(super) String, pub(super) &'static str);

/// Every reply asks for 7 seconds of peace; whether that is heard is part of what it means, where it is told.
pub(super) fn assert_table(outcome: impl Fn(&Reply) -> Outcome, rows: &[Row]) {
    for Row(status, body, meaning) in rows {
        let reply = Reply {
            status: *status,
            retry_after: Some(Duration::from_secs(7)),
            location: None,
            body: body.clone().into_bytes(),
        };
        let got = told(&outcome(&reply));
        let got = if meaning.ends_with("after 7s") {
            got
        } else {
            got.trim_end_matches(" after 7s").to_owned()
        };
        assert_eq!(&got, meaning, "{status} {body}");
    }
}

/// An outcome as one line.
pub(super) fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent { provider_id } => {
            format!("sent {}", provider_id.as_deref().unwrap_or("-"))
        }
        Outcome::Rejected { cause, gone: true } => format!("gone {cause}"),
        Outcome::Rejected { cause, gone: false } => format!("rejected {cause}"),
        Outcome::Transient { cause, retry_after } => match retry_after {
            Some(after) => format!("transient {cause} after {}s", after.as_secs()),
            None => format!("transient {cause}"),
        },
        Outcome::Unknown { cause } => format!("unknown {cause}"),
        Outcome::KeyInUse { cause } => format!("key in use {cause}"),
    }
}

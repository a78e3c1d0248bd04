//! Failures on demand: `PUT /sandbox/faults` for one channel or all of them, `GET` shows them, `DELETE` ends them. They
//! are gone with the process.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Sandbox;
use crate::message::Channel;

const LATENCY_MS_MAX: u64 = 60_000;
const DEAD_MAX: usize = 1_000;
/// The longest that an answer is held back.
pub(crate) const LATENCY_MAX: Duration = Duration::from_millis(LATENCY_MS_MAX);

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// Too many: come back later. Nothing was taken.
    #[serde(rename = "429")]
    TooMany,
    /// Out of order. Nothing was taken.
    #[serde(rename = "503")]
    Unavailable,
    /// The connection ends without an answer; nothing was taken.
    #[serde(rename = "drop_before")]
    DropBefore,
    /// Taken, then the connection ends without an answer.
    #[serde(rename = "drop_after")]
    DropAfter,
    /// Refused for good. Nothing was taken.
    #[serde(rename = "reject")]
    Reject,
}

/// What fails on a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Every answer comes so much later.
    pub latency_ms: u64,
    /// Each n-th call fails; 0 is none.
    pub fail_every: u64,
    /// How, in turn; 503 if nothing is said.
    pub fail_as: Vec<Failure>,
    /// Addresses that are dead: tokens, numbers, mailboxes, names of webhooks.
    pub dead: HashSet<String>,
}

/// What is ordered: a rule, and for which channel.
#[derive(Debug, Deserialize)]
struct Ordered {
    /// All of them without one.
    #[serde(default)]
    channel: Option<Channel>,
    #[serde(flatten)]
    rule: Wanted,
}

/// A rule's fields, which `flatten` does not let refuse others.
#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default)]
    latency_ms: u64,
    #[serde(default)]
    fail_every: u64,
    #[serde(default)]
    fail_as: Vec<Failure>,
    #[serde(default)]
    dead: HashSet<String>,
}

/// The faults that hold.
#[derive(Debug, Default)]
pub struct Faults(Mutex<BTreeMap<Channel, Struck>>);

#[derive(Debug, Default)]
struct Struck {
    rule: Rule,
    calls: u64,
}

/// What happens to this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    /// It fails so.
    pub(crate) failure: Option<Failure>,
    /// Its answer comes so much later.
    pub(crate) latency: Duration,
    /// Its address is dead.
    pub(crate) dead: bool,
}

impl Faults {
    /// Orders a rule in the place of the one before; its calls are counted anew.
    pub fn set(&self, channel: Channel, rule: Rule) {
        self.lock().insert(channel, Struck { rule, calls: 0 });
    }

    /// Nothing fails any more.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// One call more.
    pub(crate) fn of(&self, channel: Channel, address: &str) -> Fate {
        let mut all = self.lock();
        let struck = all.entry(channel).or_default();
        struck.calls += 1;
        let rule = &struck.rule;
        let fails = rule.fail_every > 0 && struck.calls.is_multiple_of(rule.fail_every);
        let failure = fails.then(|| {
            let turn = usize::try_from(struck.calls / rule.fail_every - 1).unwrap_or(0);
            match rule.fail_as.len() {
                0 => Failure::Unavailable,
                many => rule.fail_as[turn % many],
            }
        });
        Fate {
            failure,
            latency: Duration::from_millis(rule.latency_ms),
            dead: rule.dead.contains(address),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Channel, Struck>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new().route("/sandbox/faults", get(show).put(order).delete(end))
}

async fn show(State(sandbox): State<Sandbox>) -> Response {
    let rules: BTreeMap<&str, Rule> = sandbox
        .faults()
        .lock()
        .iter()
        .map(|(channel, struck)| (channel.name(), struck.rule.clone()))
        .collect();
    Json(rules).into_response()
}

async fn order(
    State(sandbox): State<Sandbox>,
    body: Result<Json<Ordered>, JsonRejection>,
) -> Response {
    let refused =
        |why: String| (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response();
    let ordered = match body {
        Ok(Json(ordered)) => ordered,
        Err(error) => return refused(error.body_text()),
    };
    let Wanted {
        latency_ms,
        fail_every,
        fail_as,
        dead,
    } = ordered.rule;
    if latency_ms > LATENCY_MS_MAX {
        return refused(format!("latency_ms is at most {LATENCY_MS_MAX}"));
    }
    if dead.len() > DEAD_MAX || fail_as.len() > DEAD_MAX {
        return refused(format!("dead and fail_as name at most {DEAD_MAX}"));
    }
    let rule = Rule {
        latency_ms,
        fail_every,
        fail_as,
        dead,
    };
    for channel in Channel::ALL {
        if ordered.channel.is_none_or(|wanted| wanted == channel) {
            sandbox.faults().set(channel, rule.clone());
        }
    }
    show(State(sandbox)).await
}

async fn end(State(sandbox): State<Sandbox>) -> StatusCode {
    sandbox.faults().clear();
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_third_call_fails_in_turn_and_others_do_not() {
        let faults = Faults::default();
        let rule = Rule {
            fail_every: 3,
            fail_as: vec![Failure::TooMany, Failure::DropAfter],
            ..Rule::default()
        };
        faults.set(Channel::Sms, rule);
        let fates: Vec<_> = (0..9)
            .map(|_| faults.of(Channel::Sms, "+49").failure)
            .collect();
        let (many, drop) = (Some(Failure::TooMany), Some(Failure::DropAfter));
        assert_eq!(
            fates,
            [None, None, many, None, None, drop, None, None, many]
        );
        assert_eq!(faults.of(Channel::Email, "a").failure, None);
        faults.clear();
        assert!((0..9).all(|_| faults.of(Channel::Sms, "+49").failure.is_none()));
    }
}

//! Streams, buckets and consumers: created by `migrate`, checked by everybody, changed by nobody in passing.

use async_nats::Client;
use serde_json::{Value, json};

use crate::import;
use crate::jetstream::api::{Api, AskError, code};

/// The one stream of events.
pub const EVENTS: &str = "EVENTS";
/// Subjects of the stream: histories, unique values, commands that have happened.
pub const EVENT_SUBJECTS: [&str; 3] = ["evt.>", "uniq.>", "done.>"];
/// KV bucket of quotes.
pub const QUOTES: &str = "quotes";
/// KV bucket of snapshots.
pub const SNAPSHOTS: &str = "snapshots";
/// KV bucket of saga states.
pub const SAGA_STATUS: &str = "saga_status";
/// KV bucket of sagas that need a person.
pub const SAGA_ATTENTION: &str = "saga_attention";
/// KV bucket of the notifier: who leads, and how far he is.
pub const NOTIFIER: &str = "notifier";
/// How many shares the sagas have; each has a consumer.
pub const SHARES: u8 = 16;
/// The priority group of a share's consumer: its one pinned client owns the share.
pub const SHARE_GROUP: &str = "owner";
/// Oldest server that is sound for us: before 2.14.4 a batch could check a condition on a garbled subject.
pub const SERVER_VERSION_MIN: (u64, u64, u64) = (2, 15, 1);

/// A share's owner that has gone silent for so long loses the share.
const PIN_TIMEOUT_NS: u64 = 5_000_000_000;
/// An input that a share's owner does not acknowledge for so long is delivered again.
const SHARE_ACK_WAIT_NS: u64 = 30_000_000_000;
/// Most inputs of one share that are worked on at once.
const SHARE_ACK_PENDING_MAX: u64 = 256;
/// Quotes are kept well past the moment they expire, so that an order's retry still finds its own.
const QUOTES_MAX_AGE_NS: u64 = 24 * 3600 * 1_000_000_000;
/// A snapshot nobody renewed for so long only costs the next load some time.
const SNAPSHOTS_MAX_AGE_NS: u64 = 30 * 24 * 3600 * 1_000_000_000;
/// The broker's window for message ids. We use none; its default is kept so that nothing differs by surprise.
const DUPLICATE_WINDOW_NS: u64 = 120_000_000_000;

/// Why the broker is not as it has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// The server is too old.
    #[error("the NATS server is version {found}; at least {}.{}.{} is needed", SERVER_VERSION_MIN.0, SERVER_VERSION_MIN.1, SERVER_VERSION_MIN.2)]
    ServerTooOld {
        /// Its version.
        found: String,
    },
    /// JetStream is off.
    #[error("the NATS server {server} runs without JetStream; start it with JetStream enabled")]
    NoJetStream {
        /// Its name.
        server: String,
    },
    /// Not created yet.
    #[error("the {what} does not exist; run `waybill migrate` first")]
    Missing {
        /// Stream, bucket or consumer, by name.
        what: String,
    },
    /// Exists with other settings.
    #[error(
        "the {what} has {setting} = {found}, but {expected} is needed; it is not changed by itself"
    )]
    Different {
        /// Stream, bucket or consumer, by name.
        what: String,
        /// Which setting.
        setting: String,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
    },
    /// The log is being filled from a file, or was left half filled.
    #[error(
        "the stream {EVENTS} is being filled by `waybill events import`; wait for its end, or run the same command again if it was broken off"
    )]
    HalfImported,
    /// The broker did not answer, or refused.
    #[error("the broker could not be asked about the {what}: {reason}")]
    Broker {
        /// Stream, bucket or consumer, by name.
        what: String,
        /// What it said.
        reason: String,
    },
}

impl TopologyError {
    /// Whether waiting may cure it: not migrated yet, no leader yet. Wrong settings and old servers stay as they are.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Broker { .. })
    }
}

/// One thing that has to exist on the broker.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    what: String,
    info: String,
    create: String,
    absent: u64,
    /// The body of the creating request …
    body: Value,
    /// … and the part of it that the broker must show.
    settings: Value,
}

/// Everything that has to exist on the broker, for a number of replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    wanted: Vec<Wanted>,
}

impl Topology {
    /// The topology for a number of replicas; without one, any number will do.
    pub fn new(replicas: Option<usize>) -> Self {
        let mut wanted = vec![stream(
            format!("stream {EVENTS}"),
            EVENTS,
            events(),
            replicas,
        )];
        for (bucket, max_age) in [
            (QUOTES, QUOTES_MAX_AGE_NS),
            (SNAPSHOTS, SNAPSHOTS_MAX_AGE_NS),
            (SAGA_STATUS, 0),
            (SAGA_ATTENTION, 0),
            (NOTIFIER, 0),
        ] {
            let name = format!("KV_{bucket}");
            wanted.push(stream(
                format!("bucket {bucket}"),
                &name,
                kv(bucket, max_age),
                replicas,
            ));
        }
        wanted.extend((0..SHARES).map(share_consumer));
        Self { wanted }
    }
}

/// Creates what is missing; refuses to touch what is there with other settings.
pub async fn migrate(client: &Client, replicas: usize) -> Result<(), TopologyError> {
    let api = Api::new(client.clone());
    check_server(client)?;
    for wanted in Topology::new(Some(replicas)).wanted {
        match wanted.check(&api).await {
            Err(TopologyError::Missing { what }) => {
                let made: Result<Value, AskError> = api.ask(&wanted.create, &wanted.body).await;
                made.map_err(|error| broker(&what, &error))?;
                tracing::info!(what, "created");
                // What the broker made of it is checked like anything that was there before.
                wanted.check(&api).await?;
            }
            checked => checked?,
        }
    }
    Ok(())
}

/// Checks that everything exists with the settings it has to have; changes nothing.
pub async fn verify(client: &Client, replicas: usize) -> Result<(), TopologyError> {
    check(client, Some(replicas)).await
}

pub(crate) async fn check(client: &Client, replicas: Option<usize>) -> Result<(), TopologyError> {
    let api = Api::new(client.clone());
    check_server(client)?;
    for wanted in Topology::new(replicas).wanted {
        wanted.check(&api).await?;
    }
    Ok(())
}

/// Name of the durable consumer of a saga share, 0 to 15.
pub fn share_consumer_name(share: u8) -> String {
    format!("fulfilment-{:x}", share & 0xf)
}

fn check_server(client: &Client) -> Result<(), TopologyError> {
    let info = client.server_info();
    if version(&info.version).is_none_or(|found| found < SERVER_VERSION_MIN) {
        return Err(TopologyError::ServerTooOld {
            found: info.version,
        });
    }
    // Without JetStream the requests below would all go unanswered, which explains nothing.
    if info.jetstream {
        Ok(())
    } else {
        Err(TopologyError::NoJetStream {
            server: info.server_name,
        })
    }
}

/// Reads `2.15.1`, also with a suffix such as `2.15.1-RC.1`.
fn version(text: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = text.split(['.', '-', '+']).map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next()?))
}

fn broker(what: &str, error: &AskError) -> TopologyError {
    TopologyError::Broker {
        what: what.to_owned(),
        reason: error.to_string(),
    }
}

impl Wanted {
    async fn check(&self, api: &Api) -> Result<(), TopologyError> {
        let info: Value = match api.ask(&self.info, &json!({})).await {
            Ok(info) => info,
            Err(error) if error.is(self.absent) => {
                return Err(TopologyError::Missing {
                    what: self.what.clone(),
                });
            }
            Err(error) => return Err(broker(&self.what, &error)),
        };
        let found = info.get("config").unwrap_or(&Value::Null);
        if import::note_of(found).is_some() {
            return Err(TopologyError::HalfImported);
        }
        for (setting, expected) in self.settings.as_object().into_iter().flatten() {
            let is = found.get(setting).unwrap_or(&Value::Null);
            if !same(expected, is) {
                let (what, setting) = (self.what.clone(), setting.clone());
                let (expected, found) = (expected.to_string(), is.to_string());
                return Err(TopologyError::Different {
                    what,
                    setting,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }
}

/// The broker leaves out what is off, zero or empty, and may order a list as it likes.
fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Bool(false), Value::Null) => true,
        (Value::Number(number), Value::Null) => number.as_f64() == Some(0.0),
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().all(|one| found.contains(one))
        }
        _ => expected == found,
    }
}

fn stream(what: String, name: &str, mut settings: Value, replicas: Option<usize>) -> Wanted {
    if let (Some(replicas), Some(fields)) = (replicas, settings.as_object_mut()) {
        fields.insert("num_replicas".into(), json!(replicas));
    }
    Wanted {
        what,
        info: format!("STREAM.INFO.{name}"),
        create: format!("STREAM.CREATE.{name}"),
        absent: code::STREAM_NOT_FOUND,
        body: settings.clone(),
        settings,
    }
}

fn events() -> Value {
    json!({
        "name": EVENTS,
        "subjects": EVENT_SUBJECTS,
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "compression": "s2",
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "deny_delete": true,
        "deny_purge": true,
        "allow_rollup_hdrs": false,
        "allow_direct": true,
        "allow_atomic": true,
        "allow_msg_ttl": false,
        "sealed": false,
    })
}

fn kv(bucket: &str, max_age_ns: u64) -> Value {
    json!({
        "name": format!("KV_{bucket}"),
        "subjects": [format!("$KV.{bucket}.>")],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": max_age_ns,
        "max_msgs_per_subject": 1,
        "max_msg_size": -1,
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "deny_delete": true,
        "deny_purge": false,
        "allow_rollup_hdrs": true,
        "allow_direct": true,
    })
}

/// A share's inputs: the histories of its sagas and of their payments, one owner at a time.
fn share_consumer(share: u8) -> Wanted {
    let name = share_consumer_name(share);
    let buckets = || (0..16).map(|low| format!("{share:x}{low:x}"));
    let subjects: Vec<String> = ["fulfilment", "payment"]
        .iter()
        .flat_map(|aggregate| buckets().map(move |bucket| format!("evt.{aggregate}.{bucket}.*")))
        .collect();
    let settings = json!({
        "durable_name": name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": SHARE_ACK_WAIT_NS,
        "max_deliver": -1,
        "max_ack_pending": SHARE_ACK_PENDING_MAX,
        "replay_policy": "instant",
        "filter_subjects": subjects,
        "priority_policy": "pinned_client",
        "priority_groups": [SHARE_GROUP],
        "priority_timeout": PIN_TIMEOUT_NS,
    });
    Wanted {
        what: format!("consumer {name} of the stream {EVENTS}"),
        info: format!("CONSUMER.INFO.{EVENTS}.{name}"),
        create: format!("CONSUMER.CREATE.{EVENTS}.{name}"),
        absent: code::CONSUMER_NOT_FOUND,
        body: json!({ "stream_name": EVENTS, "config": settings }),
        settings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_versions_compare_as_numbers() {
        assert!(version("2.9.25").unwrap() < SERVER_VERSION_MIN);
        assert!(version("2.15.0").unwrap() < SERVER_VERSION_MIN);
        assert!(version("2.15.1-RC.1").unwrap() >= SERVER_VERSION_MIN);
        assert!(version("2.100.0").unwrap() > SERVER_VERSION_MIN);
        assert_eq!(version("nightly"), None);
    }

    #[test]
    fn the_sixteen_shares_cover_each_bucket_of_sagas_and_payments_once() {
        let mut all: Vec<String> = (0..SHARES)
            .flat_map(|share| {
                let filters = share_consumer(share).settings["filter_subjects"]
                    .as_array()
                    .unwrap()
                    .clone();
                filters
                    .into_iter()
                    .map(|filter| filter.as_str().unwrap().to_owned())
            })
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 512);
        assert!(
            all.contains(&"evt.payment.0f.*".to_owned())
                && all.contains(&"evt.fulfilment.f0.*".to_owned())
        );
    }
}

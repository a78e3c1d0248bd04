//! The entries `_owner.<hex>` and `_instance.<token>` in the bucket: read all at once, written one by one.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::kv::{self, Operation};
use event_schema::Timestamp;
use futures::StreamExt;
use serde::Serialize;
use tokio::time::timeout;

use super::{BeatError, Owner, Share, Sign};
use crate::status::ascii;

const OWNER_KEYS: &str = "_owner.";
const INSTANCE_KEYS: &str = "_instance.";
/// Most entries that one look may bring: what the broker gives at most.
const ENTRIES_MAX: usize = 1_024;
const READ_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Everything that is registered, as of one look.
#[derive(Debug, Default)]
pub(super) struct Registered {
    pub(super) owners: BTreeMap<Share, (u64, Owner)>,
    pub(super) signs: HashMap<String, (u64, Sign)>,
}

/// The registry in the bucket `saga_status`.
#[derive(Debug, Clone)]
pub(super) struct Registry {
    client: Client,
    bucket: kv::Store,
}

impl Registry {
    pub(super) fn new(client: Client, bucket: kv::Store) -> Self {
        Self { client, bucket }
    }

    pub(super) async fn put_sign(&self, token: &str, sign: &Sign) -> Result<(), BeatError> {
        let line = line(sign)?;
        let put = self.bucket.put(instance_key(token), line.into()).await;
        put.map(drop).map_err(BeatError::of)
    }

    /// Takes a sign away, without a marker of its own.
    pub(super) async fn remove_sign(&self, token: &str) -> Result<(), BeatError> {
        let subject = format!("{}{}", self.bucket.prefix, instance_key(token));
        let purged = self.bucket.stream.purge().filter(subject).await;
        purged.map(drop).map_err(BeatError::of)
    }

    /// Writes a share's owner if the entry is still as it was read; false: somebody was faster.
    pub(super) async fn put_owner(
        &self,
        share: Share,
        owner: &Owner,
        revision: Option<u64>,
    ) -> Result<bool, BeatError> {
        let (key, line) = (owner_key(share), line(owner)?.into());
        // A write whose answer was lost shows at the next look.
        Ok(match revision {
            Some(revision) => self.bucket.update(key, line, revision).await.is_ok(),
            None => self.bucket.create(key, line).await.is_ok(),
        })
    }

    /// All entries in one request, from whichever server is nearest. Stale ones do no harm: an owner is only ever
    /// changed by compare-and-set.
    pub(super) async fn look(&self) -> Result<Registered, BeatError> {
        let prefix = &self.bucket.prefix;
        let wanted = [OWNER_KEYS, INSTANCE_KEYS].map(|keys| format!("{prefix}{keys}*"));
        let body = serde_json::json!({ "multi_last": wanted, "batch": ENTRIES_MAX });
        let inbox = self.client.new_inbox();
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(BeatError::of)?;
        let subject = format!("$JS.API.DIRECT.GET.{}", self.bucket.stream_name);
        self.client
            .publish_with_reply(subject, inbox, body.to_string().into())
            .await
            .map_err(BeatError::of)?;
        let mut registered = Registered::default();
        loop {
            let message = timeout(READ_PAUSE_MAX, answers.next())
                .await
                .map_err(|_| BeatError("no answer".into()))?
                .ok_or_else(|| BeatError("the connection was lost".into()))?;
            match message.status.map(|status| status.as_u16()) {
                None => registered.add(prefix, &message),
                // The end, or nothing there at all.
                Some(204 | 404) => return Ok(registered),
                Some(status) => {
                    let said = message.description.as_deref().unwrap_or("no reason given");
                    return Err(BeatError(format!("{status}: {said}")));
                }
            }
        }
    }
}

impl Registered {
    fn add(&mut self, prefix: &str, message: &async_nats::Message) {
        let headers = message.headers.as_ref();
        let header = |name: &str| headers.and_then(|headers| headers.get(name));
        if header("KV-Operation").is_some() {
            return;
        }
        let key = header("Nats-Subject").and_then(|subject| subject.as_str().strip_prefix(prefix));
        let revision = header("Nats-Sequence").and_then(|sequence| sequence.as_str().parse().ok());
        let (Some(key), Some(revision)) = (key, revision) else {
            return;
        };
        if let Some(share) = key.strip_prefix(OWNER_KEYS).and_then(Share::parse) {
            self.owners
                .insert(share, (revision, read(&message.payload)));
        } else if let Some(token) = key.strip_prefix(INSTANCE_KEYS)
            && let Ok(sign) = serde_json::from_slice(&message.payload)
        {
            self.signs.insert(token.to_owned(), (revision, sign));
        }
    }
}

fn line(entry: &impl Serialize) -> Result<String, BeatError> {
    ascii::to_line(entry).map_err(BeatError::of)
}

/// An entry that nobody can read is nobody's.
fn read(value: &[u8]) -> Owner {
    serde_json::from_slice(value).unwrap_or_else(|_| Owner::nobody(0, Timestamp::UNIX_EPOCH))
}

fn owner_key(share: Share) -> String {
    format!("{OWNER_KEYS}{share}")
}

fn instance_key(token: &str) -> String {
    format!("{INSTANCE_KEYS}{token}")
}

/// The owner of a share as the bucket has it.
pub async fn read_owner(
    bucket: &kv::Store,
    share: Share,
) -> Result<Option<(u64, Owner)>, BeatError> {
    let entry = bucket
        .entry(owner_key(share))
        .await
        .map_err(BeatError::of)?;
    let entry = entry.filter(|entry| entry.operation == Operation::Put);
    Ok(entry.map(|entry| (entry.revision, read(&entry.value))))
}

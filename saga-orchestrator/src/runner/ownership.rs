//! Who works which of the 16 shares.
//!
//! A share's owner is written in the bucket `saga_status` under `_owner.<hex>`, taken by compare-and-set; an owner is
//! alive while its `_instance.<token>` keeps changing. The broker's pinned consumers alone cannot tell: they choose
//! a client when there is a message, and a share whose sagas all wait for a deadline has none.
//!
//! Ownership only keeps processes from doing the same work twice. What keeps them from doing harm is the expected
//! version of every append and the provider's idempotency keys, so a sleeper that wakes up late finds its place taken.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_nats::jetstream::kv::{self, Operation};
use event_schema::Timestamp;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::status::ascii;

/// How many shares there are: one for each first digit of the bucket.
pub const SHARES: u8 = 16;
/// How often an owner says that it is alive, and everybody looks who is.
pub const BEAT_PERIOD: Duration = Duration::from_secs(1);
/// An owner that has said nothing for so long has lost its shares.
pub const OWNER_SILENCE_MAX: Duration = Duration::from_secs(5);
/// An owner that could not say that it is alive for so long stops working: before others may take over.
pub const SELF_DOUBT_AFTER: Duration = Duration::from_secs(4);
const BEAT_TIMEOUT: Duration = Duration::from_secs(2);

/// One of the 16 parts of all sagas, by the first digit of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u8);

impl Share {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARES).map(Self)
    }

    /// The share that an order's saga belongs to.
    pub fn of(order: Uuid) -> Self {
        Self(event_schema::subject::share(order))
    }

    /// The share's place, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The consumer that wakes its sagas.
    pub fn consumer(self) -> String {
        format!("fulfilment-{self}")
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The entry `_owner.<hex>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The owner's name; empty when the share was given back.
    pub instance: String,
    /// Tells two processes of one name apart.
    pub token: String,
    /// How often the share has changed hands.
    pub epoch: u64,
    /// Since when.
    pub since: Timestamp,
}

/// What a beat has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Shares that are ours from now on.
    pub gained: Vec<Share>,
    /// Shares that are somebody else's now.
    pub lost: Vec<Share>,
}

/// The bucket could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the bucket saga_status could not be reached: {0}")]
pub struct BeatError(String);

impl BeatError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

#[derive(Debug, Clone, Copy)]
struct Sign {
    revision: u64,
    at: Instant,
}

/// Takes shares, keeps them, and notices when they are lost.
#[derive(Debug)]
pub struct Keeper {
    bucket: kv::Store,
    instance: String,
    token: String,
    held: BTreeSet<Share>,
    /// When others were last seen to be alive, by our own clock.
    signs: HashMap<String, Sign>,
    last_beat: Instant,
}

impl Keeper {
    /// A process that owns nothing yet.
    pub fn new(bucket: kv::Store, instance: &str) -> Self {
        Self {
            bucket,
            instance: ascii::plain_line(instance),
            token: Uuid::now_v7().simple().to_string(),
            held: BTreeSet::new(),
            signs: HashMap::new(),
            last_beat: Instant::now(),
        }
    }

    /// The shares that are ours.
    pub fn held(&self) -> &BTreeSet<Share> {
        &self.held
    }

    /// Whether we have been silent for so long that others may believe us dead.
    pub fn doubts_itself(&self) -> bool {
        self.last_beat.elapsed() > SELF_DOUBT_AFTER
    }

    /// Says that we are alive, takes what nobody owns and finds out what was taken from us.
    pub async fn beat(&mut self, now: Timestamp) -> Result<Changes, BeatError> {
        timeout(BEAT_TIMEOUT, self.beat_once(now))
            .await
            .map_err(BeatError::of)?
    }

    async fn beat_once(&mut self, now: Timestamp) -> Result<Changes, BeatError> {
        let started = Instant::now();
        let sign = ascii::to_line(&serde_json::json!({ "instance": self.instance, "at": now }))
            .map_err(BeatError::of)?;
        self.bucket
            .put(instance_key(&self.token), sign.into())
            .await
            .map_err(BeatError::of)?;
        self.last_beat = started;

        let owners = self.owners().await?;
        self.look_who_lives(&owners).await?;
        let mut changes = Changes::default();
        for share in Share::all() {
            let entry = owners.get(&share);
            match entry.map(|(_, owner)| owner) {
                Some(owner) if owner.token == self.token => {
                    if self.held.insert(share) {
                        changes.gained.push(share);
                    }
                }
                _ if self.held.contains(&share) => {
                    self.held.remove(&share);
                    changes.lost.push(share);
                }
                Some(owner) if self.lives(owner) => {}
                owner => {
                    let epoch = owner.map_or(0, |owner| owner.epoch) + 1;
                    if self
                        .claim(share, entry.map(|(revision, _)| *revision), epoch, now)
                        .await?
                    {
                        self.held.insert(share);
                        changes.gained.push(share);
                    }
                }
            }
        }
        Ok(changes)
    }

    /// The last word: what is ours is given back, and nobody needs to wait for our silence.
    pub async fn resign(&mut self, now: Timestamp) {
        let held = std::mem::take(&mut self.held);
        let goodbye = async {
            let released = join_all(held.iter().map(|share| self.release(*share, now))).await;
            released
                .into_iter()
                .collect::<Result<Vec<()>, BeatError>>()?;
            self.bucket
                .purge(instance_key(&self.token))
                .await
                .map_err(BeatError::of)
        };
        match timeout(BEAT_TIMEOUT, goodbye)
            .await
            .map_err(BeatError::of)
            .flatten()
        {
            Ok(()) => {}
            Err(error) => {
                tracing::info!(%error, "the shares could not be given back; others notice our silence")
            }
        }
    }

    async fn release(&self, share: Share, now: Timestamp) -> Result<(), BeatError> {
        let Some((revision, owner)) = read_owner(&self.bucket, share).await? else {
            return Ok(());
        };
        if owner.token != self.token {
            return Ok(());
        }
        let free = Owner {
            instance: String::new(),
            token: String::new(),
            epoch: owner.epoch,
            since: now,
        };
        let line = ascii::to_line(&free).map_err(BeatError::of)?;
        // Losing the race means that it is somebody else's already.
        drop(
            self.bucket
                .update(owner_key(share), line.into(), revision)
                .await,
        );
        Ok(())
    }

    async fn owners(&self) -> Result<BTreeMap<Share, (u64, Owner)>, BeatError> {
        let reads =
            Share::all().map(|share| async move { (share, read_owner(&self.bucket, share).await) });
        let mut owners = BTreeMap::new();
        for (share, read) in join_all(reads).await {
            if let Some(entry) = read? {
                owners.insert(share, entry);
            }
        }
        Ok(owners)
    }

    /// Notes every sign of life that has changed since we last looked. A stranger gets the benefit of the doubt.
    async fn look_who_lives(
        &mut self,
        owners: &BTreeMap<Share, (u64, Owner)>,
    ) -> Result<(), BeatError> {
        let tokens: BTreeSet<&str> = owners
            .values()
            .map(|(_, owner)| owner.token.as_str())
            .filter(|token| !token.is_empty() && *token != self.token)
            .collect();
        self.signs
            .retain(|token, _| tokens.contains(token.as_str()));
        for token in tokens {
            let entry = self
                .bucket
                .entry(instance_key(token))
                .await
                .map_err(BeatError::of)?;
            match entry.filter(|entry| entry.operation == Operation::Put) {
                None => {
                    self.signs.remove(token);
                }
                Some(entry) => {
                    let sign = Sign {
                        revision: entry.revision,
                        at: Instant::now(),
                    };
                    let known = self.signs.entry(token.to_owned()).or_insert(sign);
                    if known.revision != entry.revision {
                        *known = sign;
                    }
                }
            }
        }
        Ok(())
    }

    fn lives(&self, owner: &Owner) -> bool {
        self.signs
            .get(&owner.token)
            .is_some_and(|sign| sign.at.elapsed() < OWNER_SILENCE_MAX)
    }

    async fn claim(
        &self,
        share: Share,
        revision: Option<u64>,
        epoch: u64,
        now: Timestamp,
    ) -> Result<bool, BeatError> {
        let owner = Owner {
            instance: self.instance.clone(),
            token: self.token.clone(),
            epoch,
            since: now,
        };
        let line = ascii::to_line(&owner).map_err(BeatError::of)?;
        let claimed = match revision {
            Some(revision) => self
                .bucket
                .update(owner_key(share), line.into(), revision)
                .await
                .is_ok(),
            None => self
                .bucket
                .create(owner_key(share), line.into())
                .await
                .is_ok(),
        };
        // A claim whose answer was lost shows as ours at the next beat.
        if claimed {
            tracing::debug!(saga.share = %share, epoch, "a share is ours");
        }
        Ok(claimed)
    }
}

fn owner_key(share: Share) -> String {
    format!("_owner.{share}")
}

fn instance_key(token: &str) -> String {
    format!("_instance.{token}")
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
    let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
        return Ok(None);
    };
    // An entry that nobody can read is nobody's.
    let nobody = || Owner {
        instance: String::new(),
        token: String::new(),
        epoch: 0,
        since: Timestamp::UNIX_EPOCH,
    };
    Ok(Some((
        entry.revision,
        serde_json::from_slice(&entry.value).unwrap_or_else(|_| nobody()),
    )))
}

//! Takes shares, keeps them, gives back what others should have, and notices when they are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::kv;
use event_schema::Timestamp;
use futures::future::join_all;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::balance::{Census, Other};
use super::registry::{Registered, Registry};
use super::signs::Signs;
use super::{BeatError, Owner, Pulse, Share, Sign};
use crate::status::ascii;

const BEAT_TIMEOUT: Duration = Duration::from_secs(2);
/// Signs that dead processes left and that one beat takes away at most.
const SIGNS_REMOVED_MAX: usize = 4;

/// One process's part in the ownership of shares.
#[derive(Debug)]
pub struct Keeper {
    registry: Registry,
    instance: String,
    token: String,
    def: String,
    /// Whether this process takes shares at all.
    takes: bool,
    /// How often we have said that we are alive.
    beats: u32,
    pulse: Arc<Pulse>,
    held: BTreeSet<Share>,
    /// Those of the held ones that are being finished, to be given back.
    giving: BTreeSet<Share>,
    signs: Signs,
    /// Since when shares have been seen to be nobody's.
    free: BTreeMap<Share, Instant>,
    told_of_twin: bool,
}

impl Keeper {
    /// A process that owns nothing yet, and takes nothing before it [is let](Keeper::take_shares).
    pub fn new(
        client: Client,
        bucket: kv::Store,
        instance: &str,
        def: String,
        pulse: Arc<Pulse>,
    ) -> Self {
        Self {
            registry: Registry::new(client, bucket),
            instance: ascii::plain_line(instance),
            token: Uuid::now_v7().simple().to_string(),
            def,
            takes: false,
            beats: 0,
            pulse,
            held: BTreeSet::new(),
            giving: BTreeSet::new(),
            signs: Signs::default(),
            free: BTreeMap::new(),
            told_of_twin: false,
        }
    }

    /// From now on shares are taken.
    pub fn take_shares(&mut self) {
        self.takes = true;
    }

    /// The shares that are ours to work, and not being given back.
    pub fn held(&self) -> impl Iterator<Item = Share> {
        self.held.difference(&self.giving).copied()
    }

    /// Whether a share is ours, be it on its way out.
    pub fn holds(&self, share: Share) -> bool {
        self.held.contains(&share)
    }

    /// Says that we are alive, takes what is free and ours to take, and finds out what was taken from us. Gives the
    /// shares that others should have: to be finished in order, then [given back](Self::give).
    pub async fn beat(&mut self, now: Timestamp) -> Result<Vec<Share>, BeatError> {
        timeout(BEAT_TIMEOUT, self.beat_once(now))
            .await
            .map_err(BeatError::of)?
    }

    async fn beat_once(&mut self, now: Timestamp) -> Result<Vec<Share>, BeatError> {
        let sent = std::time::Instant::now();
        let sign = Sign {
            instance: self.instance.clone(),
            at: now,
            takes: self.takes,
            def: self.def.clone(),
            beats: self.beats.saturating_add(1),
        };
        self.registry.put_sign(&self.token, &sign).await?;
        self.pulse.beat(sent);
        self.beats = sign.beats;

        let registered = self.registry.look().await?;
        let seen = Instant::now();
        let others = registered.signs.iter();
        let others = others.filter(|(token, _)| **token != self.token);
        self.signs.look(
            seen,
            others.map(|(token, (revision, sign))| (token.as_str(), *revision, sign)),
        );
        self.note_twins(&registered, seen);
        self.compare(&registered, seen);
        self.tidy(&registered, seen).await;
        if !self.takes {
            return Ok(Vec::new());
        }
        self.claim_free(&registered, now).await?;
        Ok(self.surplus(&registered, seen))
    }

    /// What is ours and what is not any more, by what is registered.
    fn compare(&mut self, registered: &Registered, seen: Instant) {
        for share in Share::all() {
            let owner = registered.owners.get(&share).map(|(_, owner)| owner);
            let is_ours = owner.is_some_and(|owner| owner.token == self.token);
            if is_ours {
                self.held.insert(share);
            } else {
                self.held.remove(&share);
                self.giving.remove(&share);
            }
            let is_free =
                !is_ours && owner.is_none_or(|owner| !self.signs.may_live(&owner.token, seen));
            if is_free {
                self.free.entry(share).or_insert(seen);
            } else {
                self.free.remove(&share);
            }
        }
    }

    async fn claim_free(
        &mut self,
        registered: &Registered,
        now: Timestamp,
    ) -> Result<(), BeatError> {
        let seen = Instant::now();
        let mut free: Vec<(Share, Instant)> =
            self.free.iter().map(|(share, at)| (*share, *at)).collect();
        // Everybody begins elsewhere, so that two who start at once seldom want the same.
        let first = self.token.bytes().map(usize::from).sum::<usize>() % free.len().max(1);
        free.rotate_left(first);
        let census = self.census(registered, seen);
        for (share, since) in free {
            let free_for = seen.duration_since(since);
            if !census.takes(self.held.len() - self.giving.len(), free_for) {
                continue;
            }
            let entry = registered.owners.get(&share);
            let owner = Owner {
                instance: self.instance.clone(),
                token: self.token.clone(),
                epoch: entry.map_or(0, |(_, owner)| owner.epoch) + 1,
                since: now,
            };
            let revision = entry.map(|(revision, _)| *revision);
            if self.registry.put_owner(share, &owner, revision).await? {
                tracing::debug!(saga.share = %share, epoch = owner.epoch, "a share is ours");
                self.held.insert(share);
                self.free.remove(&share);
            }
        }
        Ok(())
    }

    /// The shares that others should have; the same ones again until they are given.
    fn surplus(&mut self, registered: &Registered, seen: Instant) -> Vec<Share> {
        let mine: Vec<Share> = self.held().collect();
        let census = self.census(registered, seen);
        let surplus = census.surplus(mine.len());
        // The newest to us are the cheapest to hand on, and picking from one end keeps the rest where they are.
        let picked: Vec<Share> = mine.into_iter().rev().take(surplus).collect();
        self.giving.extend(picked.iter().copied());
        picked
    }

    fn census(&self, registered: &Registered, seen: Instant) -> Census {
        let owned_by = |token: &str| {
            let owners = registered.owners.values();
            owners.filter(|(_, owner)| owner.token == token).count()
        };
        let others = self.signs.takers(seen).map(|(token, beats)| Other {
            beats,
            shares: owned_by(token),
        });
        Census::of(self.beats, &others.collect::<Vec<_>>())
    }

    /// A share was finished in order: whoever should have it may take it at once.
    pub async fn give(&mut self, share: Share, now: Timestamp) {
        let released = timeout(BEAT_TIMEOUT, self.release(&BTreeSet::from([share]), now)).await;
        if let Err(error) = released.map_err(BeatError::of).flatten() {
            tracing::info!(saga.share = %share, %error, "a share could not be given back; we go on with it");
        }
        // If it was not given back after all, the next beat finds it to be ours still.
        self.giving.remove(&share);
        self.held.remove(&share);
    }

    /// The last word: what is ours is given back, and nobody needs to wait for our silence.
    pub async fn resign(&mut self, now: Timestamp) {
        let held = std::mem::take(&mut self.held);
        let goodbye = async {
            self.release(&held, now).await?;
            self.registry.remove_sign(&self.token).await
        };
        let said = timeout(BEAT_TIMEOUT, goodbye).await;
        if let Err(error) = said.map_err(BeatError::of).flatten() {
            tracing::info!(%error, "the shares could not be given back; others notice our silence");
        }
    }

    async fn release(&self, shares: &BTreeSet<Share>, now: Timestamp) -> Result<(), BeatError> {
        let registered = self.registry.look().await?;
        let ours = registered
            .owners
            .iter()
            .filter(|(share, (_, owner))| shares.contains(share) && owner.token == self.token);
        let released = ours.map(|(share, (revision, owner))| async move {
            let free = Owner::nobody(owner.epoch, now);
            // Losing the race means that it is somebody else's already.
            let put = self.registry.put_owner(*share, &free, Some(*revision));
            put.await.map(drop)
        });
        join_all(released).await.into_iter().collect()
    }

    /// Takes away what dead processes left behind: nobody needs it, and it would grow without end.
    async fn tidy(&self, registered: &Registered, seen: Instant) {
        let owners: BTreeSet<&str> = registered
            .owners
            .values()
            .map(|(_, owner)| owner.token.as_str())
            .collect();
        let left = self
            .signs
            .left_behind(seen)
            .filter(|token| !owners.contains(token));
        for token in left.take(SIGNS_REMOVED_MAX) {
            if let Err(error) = self.registry.remove_sign(token).await {
                tracing::debug!(%error, "the sign of a dead process could not be taken away");
            }
        }
    }

    /// Two processes of one name are told apart, but people reading logs may not be able to.
    fn note_twins(&mut self, registered: &Registered, seen: Instant) {
        let twin = self.signs.takers(seen).any(|(token, _)| {
            let sign = registered.signs.get(token);
            sign.is_some_and(|(_, sign)| sign.instance == self.instance)
        });
        if twin && !self.told_of_twin {
            tracing::warn!(
                instance = self.instance,
                "another living process has our name (WAYBILL_INSTANCE); both work, each its own shares"
            );
        }
        self.told_of_twin = twin;
    }
}

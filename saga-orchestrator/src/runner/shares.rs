//! The shares that are being worked: taken up together, finished one by one, dropped when they are lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::takeover::{self, TakeoverError};
use super::{Context, SHARES, Share, share};

/// A share that could not be taken over is tried again after this.
const TAKEOVER_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What ends the work on a share.
#[derive(Debug, Clone)]
struct Ends {
    /// It is somebody else's: nothing more is done here.
    lost: CancellationToken,
    /// What is under way is finished, nothing new is begun.
    finish: CancellationToken,
}

/// Shares that were taken over together.
type Group = Vec<(Share, Ends)>;

/// The shares that are being worked.
pub(super) struct Shares {
    context: Arc<Context>,
    drain: CancellationToken,
    owned: BTreeMap<Share, Ends>,
    /// Dropped with everything in them.
    groups: JoinSet<Group>,
    done: mpsc::Sender<Share>,
    /// Shares whose work has been finished in order.
    finished: mpsc::Receiver<Share>,
}

impl Shares {
    pub(super) fn new(context: Arc<Context>) -> Self {
        let (done, finished) = mpsc::channel(usize::from(SHARES) * 2);
        Self {
            context,
            drain: CancellationToken::new(),
            owned: BTreeMap::new(),
            groups: JoinSet::new(),
            done,
            finished,
        }
    }

    /// Works these too, if they are not worked yet.
    pub(super) fn take_up(&mut self, held: impl Iterator<Item = Share>) {
        let ends = || Ends {
            lost: CancellationToken::new(),
            finish: self.drain.child_token(),
        };
        let new: Group = held
            .filter(|share| !self.owned.contains_key(share))
            .map(|share| (share, ends()))
            .collect();
        if new.is_empty() {
            return;
        }
        self.owned.extend(new.iter().cloned());
        let (context, done) = (Arc::clone(&self.context), self.done.clone());
        self.groups
            .spawn(work_group(context, new, self.drain.clone(), done));
    }

    /// Others should have these: nothing new is begun in them.
    pub(super) fn finish(&mut self, surplus: Vec<Share>) {
        if !surplus.is_empty() {
            let names: Vec<String> = surplus.iter().map(Share::to_string).collect();
            tracing::info!(
                saga.shares = names.join(","),
                "shares are handed on to another process"
            );
        }
        for share in surplus {
            match self.owned.get(&share) {
                Some(ends) => ends.finish.cancel(),
                // Not even begun.
                None => self.report(share),
            }
        }
    }

    /// The next share that was asked to be finished and is. What the new owner needs is written by then.
    pub(super) async fn finished(&mut self) -> Option<Share> {
        loop {
            tokio::select! {
                share = self.finished.recv() => {
                    let share = share?;
                    self.context.board.flush().await;
                    self.forget(share);
                    return Some(share);
                }
                Some(ended) = self.groups.join_next(), if !self.groups.is_empty() => self.ended(ended),
            }
        }
    }

    /// What is not ours any more is left where it is.
    pub(super) fn drop_all_but(&mut self, is_ours: impl Fn(Share) -> bool) {
        let lost: Vec<Share> = self
            .owned
            .keys()
            .copied()
            .filter(|share| !is_ours(*share))
            .collect();
        if lost.is_empty() {
            return;
        }
        let names: Vec<String> = lost.iter().map(Share::to_string).collect();
        tracing::warn!(
            saga.shares = names.join(","),
            "shares are not ours any more"
        );
        for share in lost {
            self.forget(share);
        }
    }

    /// Finishes everything.
    pub(super) async fn drain(&mut self) {
        self.drain.cancel();
        loop {
            tokio::select! {
                ended = self.groups.join_next() => if ended.is_none() { return },
                // Told, and of no interest any more.
                _ = self.finished.recv() => {}
            }
        }
    }

    fn forget(&mut self, share: Share) {
        if let Some(ends) = self.owned.remove(&share) {
            ends.lost.cancel();
            self.context.board.end(share);
        }
    }

    fn report(&self, share: Share) {
        if self.done.try_send(share).is_err() {
            tracing::debug!(saga.share = %share, "too much is finished at once; it is told with the next beat");
        }
    }

    /// A group that ended by itself could not be taken over; those of its shares that are still ours are tried again,
    /// or given back if that is what they were to be.
    fn ended(&mut self, ended: Result<Group, JoinError>) {
        match ended {
            Ok(group) => {
                for (share, ends) in group
                    .into_iter()
                    .filter(|(_, ends)| !ends.lost.is_cancelled())
                {
                    if ends.finish.is_cancelled() {
                        self.report(share);
                    } else {
                        ends.lost.cancel();
                        self.owned.remove(&share);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "working a group of shares failed; taking all shares up again");
                self.drop_all_but(|_| false);
            }
        }
    }
}

async fn work_group(
    context: Arc<Context>,
    group: Group,
    drain: CancellationToken,
    done: mpsc::Sender<Share>,
) -> Group {
    let shares: Vec<Share> = group.iter().map(|(share, _)| *share).collect();
    let taken = tokio::select! {
        taken = takeover::take_over(&context, &shares) => taken,
        () = drain.cancelled() => return group,
    };
    let mut inheritance = match taken {
        Ok(inheritance) => {
            context.gate.this_log();
            inheritance
        }
        Err(TakeoverError::OtherLog(why)) => {
            context.gate.other_log(why);
            tokio::time::sleep(TAKEOVER_AGAIN_AFTER).await;
            return group;
        }
        Err(error) => {
            tracing::warn!(%error, shares = shares.len(), "shares could not be taken over; trying again");
            tokio::time::sleep(TAKEOVER_AGAIN_AFTER).await;
            return group;
        }
    };
    let waiting: usize = inheritance
        .values()
        .map(|inherited| inherited.wakes.len())
        .sum();
    tracing::info!(shares = shares.len(), sagas = waiting, "shares taken over");
    let mut running = JoinSet::new();
    for (share, ends) in &group {
        let inherited = inheritance.remove(share).unwrap_or_default();
        let (context, share, ends) = (Arc::clone(&context), *share, ends.clone());
        running.spawn(async move {
            let finish = ends.finish.clone();
            share::run(context, share, inherited, ends.lost.clone(), finish).await;
            (share, ends)
        });
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((share, ends)) if ends.finish.is_cancelled() && !ends.lost.is_cancelled() => {
                if done.send(share).await.is_err() {
                    break;
                }
            }
            Ok(_) => {}
            Err(error) if error.is_panic() => {
                // The whole group is taken over anew; what its workers had begun is looked up.
                tracing::error!(%error, "a share's owner panicked");
                break;
            }
            Err(_) => {}
        }
    }
    group
}

//! Runs sagas: which shares are ours, what wakes a saga, what it has to do, and what came of it.
//!
//! The decisions are `domain::fulfilment`'s; this is the shell around them. Every piece of it may be interrupted
//! between any two lines: what is true is in the log and at the provider, and a new owner asks both.

mod answer;
mod failure;
mod ownership;
mod quarantine;
mod reaction;
mod share;
mod slots;
mod takeover;
mod wake;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use domain::fulfilment::Policy;
use event_store::Executor;
use service_kit::Clock;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::provider::PaymentProvider;
use crate::status::{Board, sweep};
use ownership::{BEAT_PERIOD, Keeper};

pub use ownership::{Owner, SHARES, Share, read_owner};

/// Most sagas that one process works at once, over all its shares.
const WORKERS_MAX: usize = 128;
/// A share that could not be taken over is tried again after this.
const TAKEOVER_AGAIN_AFTER: Duration = Duration::from_secs(1);
const SWEEP_PERIOD: Duration = Duration::from_secs(60 * 60);
/// How often the gauges are set.
const METRICS_PERIOD: Duration = Duration::from_secs(5);

/// What every part of the runner needs.
pub(crate) struct Context {
    pub(crate) executor: Executor,
    pub(crate) clock: Clock,
    pub(crate) provider: Arc<dyn PaymentProvider>,
    pub(crate) policy: Policy,
    pub(crate) board: Board,
    /// The stream `EVENTS`, for its consumers.
    pub(crate) events: Stream<()>,
    pub(crate) workers: Arc<Semaphore>,
    /// Cleared while others may believe us dead: no effect is begun then.
    pub(crate) trusted: AtomicBool,
    /// Set when the process ends: what is under way is finished, nothing new is begun.
    pub(crate) draining: AtomicBool,
}

impl Context {
    pub(crate) fn new(
        executor: Executor,
        clock: Clock,
        provider: Arc<dyn PaymentProvider>,
        policy: Policy,
        board: Board,
        events: Stream<()>,
    ) -> Self {
        Self {
            executor,
            clock,
            provider,
            policy,
            board,
            events,
            workers: Arc::new(Semaphore::new(WORKERS_MAX)),
            trusted: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }
}

/// Works the shares that are ours until the end, then gives them back.
pub(crate) async fn run(context: Arc<Context>, instance: &str, shutdown: CancellationToken) {
    let mut keeper = Keeper::new(context.board.buckets().status.clone(), instance);
    let drain = CancellationToken::new();
    let board_end = CancellationToken::new();
    let mut board = JoinSet::new();
    board.spawn({
        let (context, end) = (Arc::clone(&context), board_end.clone());
        async move { context.board.run(end).await }
    });
    let mut shares = Shares {
        context: Arc::clone(&context),
        drain: drain.clone(),
        owned: BTreeMap::new(),
        groups: JoinSet::new(),
    };

    let mut beat = tokio::time::interval(BEAT_PERIOD);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut gauges = tokio::time::interval(METRICS_PERIOD);
    let mut sweeps = tokio::time::interval(SWEEP_PERIOD);
    let mut sweeping = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = beat.tick() => {
                let beaten = keeper.beat(context.clock.now()).await;
                match beaten {
                    Ok(changes) => {
                        if !changes.lost.is_empty() {
                            let lost: Vec<String> = changes.lost.iter().map(Share::to_string).collect();
                            tracing::warn!(saga.shares = lost.join(","), "shares were taken over by another process");
                        }
                        shares.drop_lost(changes.lost);
                    }
                    Err(error) => tracing::warn!(%error, "our sign of life could not be given"),
                }
                let doubts = keeper.doubts_itself();
                if context.trusted.swap(!doubts, Ordering::SeqCst) && doubts {
                    tracing::warn!("nobody has heard from us for too long; others may take our shares over");
                }
                if doubts {
                    shares.drop_all();
                } else {
                    shares.take_up(keeper.held());
                }
            }
            Some(ended) = shares.groups.join_next(), if !shares.groups.is_empty() => shares.ended(ended),
            _ = gauges.tick() => tell(&context),
            _ = sweeps.tick() => {
                // One process sweeps for all.
                if keeper.held().iter().next().is_some_and(|share| share.index() == 0) && sweeping.is_empty() {
                    let context = Arc::clone(&context);
                    sweeping.spawn(async move { sweep_once(&context).await });
                }
            }
            Some(_) = sweeping.join_next(), if !sweeping.is_empty() => {}
        }
    }
    context.draining.store(true, Ordering::SeqCst);
    drain.cancel();
    while shares.groups.join_next().await.is_some() {}
    board_end.cancel();
    while board.join_next().await.is_some() {}
    keeper.resign(context.clock.now()).await;
}

/// The shares that are being worked, each with what ends it.
struct Shares {
    context: Arc<Context>,
    drain: CancellationToken,
    owned: BTreeMap<Share, CancellationToken>,
    /// Shares that were taken over together; dropped with everything in them.
    groups: JoinSet<Vec<(Share, CancellationToken)>>,
}

impl Shares {
    fn take_up(&mut self, held: &BTreeSet<Share>) {
        let new: Vec<(Share, CancellationToken)> = held
            .iter()
            .filter(|share| !self.owned.contains_key(share))
            .map(|share| (*share, CancellationToken::new()))
            .collect();
        if new.is_empty() {
            return;
        }
        self.owned.extend(new.iter().cloned());
        self.groups.spawn(work_group(
            Arc::clone(&self.context),
            new,
            self.drain.clone(),
        ));
    }

    fn drop_lost(&mut self, lost: Vec<Share>) {
        for share in lost {
            if let Some(token) = self.owned.remove(&share) {
                token.cancel();
                self.context.board.end(share);
            }
        }
    }

    fn drop_all(&mut self) {
        let all = self.owned.keys().copied().collect();
        self.drop_lost(all);
    }

    /// A group that ended by itself could not be taken over; those of its shares that are still ours are tried again.
    fn ended(&mut self, ended: Result<Vec<(Share, CancellationToken)>, tokio::task::JoinError>) {
        match ended {
            Ok(group) => {
                for (share, token) in group.into_iter().filter(|(_, token)| !token.is_cancelled()) {
                    token.cancel();
                    self.owned.remove(&share);
                }
            }
            Err(error) => {
                tracing::error!(%error, "working a group of shares failed; taking all shares up again");
                self.drop_all();
            }
        }
    }
}

async fn work_group(
    context: Arc<Context>,
    group: Vec<(Share, CancellationToken)>,
    drain: CancellationToken,
) -> Vec<(Share, CancellationToken)> {
    let shares: Vec<Share> = group.iter().map(|(share, _)| *share).collect();
    let taken = tokio::select! {
        taken = takeover::take_over(&context, &shares) => taken,
        () = drain.cancelled() => return group,
    };
    let mut inheritance = match taken {
        Ok(inheritance) => inheritance,
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
    for (share, lost) in &group {
        let inherited = inheritance.remove(share).unwrap_or_default();
        running.spawn(share::run(
            Arc::clone(&context),
            *share,
            inherited,
            lost.clone(),
            drain.clone(),
        ));
    }
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            // The whole group is taken over anew; what its workers had begun is looked up.
            tracing::error!(%error, "a share's owner panicked");
            break;
        }
    }
    group
}

fn tell(context: &Context) {
    let (open, oldest) = context.board.open_sagas();
    for verdict in crate::status::Verdict::ALL
        .into_iter()
        .filter(|verdict| !verdict.is_end())
    {
        let count = open.get(&verdict).copied().unwrap_or(0);
        metrics::gauge!("waybill_sagas", "status" => verdict.as_str())
            .set(u32::try_from(count).unwrap_or(u32::MAX));
    }
    let age = oldest.map_or(0.0, |since| {
        context
            .clock
            .now()
            .duration_since(since)
            .as_secs_f64()
            .max(0.0)
    });
    metrics::gauge!("waybill_saga_oldest_open_seconds").set(age);
}

async fn sweep_once(context: &Context) {
    match sweep(context.board.buckets(), context.clock.now()).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(
            removed,
            "ended sagas left saga_status; their histories stay"
        ),
        Err(error) => {
            tracing::debug!(%error, "saga_status could not be swept; trying again with the next round")
        }
    }
}

//! Runs sagas: which shares are ours, what wakes a saga, what it has to do, and what came of it.
//!
//! The decisions are `domain::fulfilment`'s; this is the shell around them. Every piece of it may be interrupted
//! between any two lines: what is true is in the log and at the provider, and a new owner asks both.

mod answer;
mod audit;
mod call;
mod failure;
mod gate;
mod ownership;
mod quarantine;
mod reaction;
mod share;
mod shares;
mod slots;
mod takeover;
mod wake;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use domain::fulfilment::audit::Finding;
use domain::fulfilment::{Policy, definition};
use event_store::Executor;
use service_kit::Clock;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::provider::PaymentProvider;
use crate::status::{Board, sweep};
use gate::Gate;
use ownership::{BEAT_PERIOD, Keeper, Pulse};
use shares::Shares;

pub use ownership::{Owner, SHARES, Share, read_owner};
pub(crate) use reaction::{over, record};

/// Most sagas that one process works at once, over all its shares.
const WORKERS_MAX: usize = 128;
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
    /// Not felt while others may believe us dead: no effect is begun then.
    pub(crate) pulse: Arc<Pulse>,
    /// Shut until this build is known to carry every live saga.
    pub(crate) gate: Gate,
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
            pulse: Arc::default(),
            gate: Gate::default(),
            draining: AtomicBool::new(false),
        }
    }
}

/// Works the shares that are ours until the end, then gives them back.
pub(crate) async fn run(context: Arc<Context>, instance: &str, shutdown: CancellationToken) {
    let buckets = context.board.buckets();
    let mut keeper = Keeper::new(
        buckets.client.clone(),
        buckets.status.clone(),
        instance,
        definition().to_string(),
        Arc::clone(&context.pulse),
    );
    let board_end = CancellationToken::new();
    let mut board = JoinSet::new();
    board.spawn({
        let (context, end) = (Arc::clone(&context), board_end.clone());
        async move { context.board.run(&**context.executor.store(), end).await }
    });
    let mut shares = Shares::new(Arc::clone(&context));
    let mut gate = JoinSet::new();
    gate.spawn(gate::open(Arc::clone(&context)));

    let mut beat = tokio::time::interval(BEAT_PERIOD);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut gauges = tokio::time::interval(METRICS_PERIOD);
    let mut sweeps = tokio::time::interval(SWEEP_PERIOD);
    let mut sweeping = JoinSet::new();
    let mut felt = true;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = gate.join_next(), if !gate.is_empty() => keeper.take_shares(),
            _ = beat.tick() => {
                match keeper.beat(context.clock.now()).await {
                    Ok(surplus) => shares.finish(surplus),
                    Err(error) => tracing::warn!(%error, "our sign of life could not be given"),
                }
                let was_felt = std::mem::replace(&mut felt, context.pulse.is_felt());
                if felt {
                    shares.drop_all_but(|share| keeper.holds(share));
                    shares.take_up(keeper.held());
                } else {
                    shares.drop_all_but(|_| false);
                    if was_felt {
                        tracing::warn!("nobody has heard from us for too long; others may take our shares over");
                    }
                }
            }
            Some(share) = shares.finished() => keeper.give(share, context.clock.now()).await,
            _ = gauges.tick() => tell(&context),
            _ = sweeps.tick() => {
                // One process sweeps for all.
                if keeper.held().any(|share| share.index() == 0) && sweeping.is_empty() {
                    let context = Arc::clone(&context);
                    sweeping.spawn(async move { sweep_once(&context).await });
                }
            }
            Some(_) = sweeping.join_next(), if !sweeping.is_empty() => {}
        }
    }
    context.draining.store(true, Ordering::SeqCst);
    gate.abort_all();
    while gate.join_next().await.is_some() {}
    gate::leave(&context).await;
    shares.drain().await;
    board_end.cancel();
    while board.join_next().await.is_some() {}
    keeper.resign(context.clock.now()).await;
}

fn tell(context: &Context) {
    let open = context.board.open_sagas();
    let now = context.clock.now();
    let age = |since| now.duration_since(since).as_secs_f64().max(0.0);
    for verdict in crate::status::Verdict::ALL
        .into_iter()
        .filter(|verdict| !verdict.is_end())
    {
        let (count, oldest) = match open.get(&verdict) {
            Some((count, since)) => (*count, age(*since)),
            None => (0, 0.0),
        };
        metrics::gauge!("waybill_sagas", "status" => verdict.as_str()).set(count as f64);
        metrics::gauge!("waybill_saga_oldest_seconds", "status" => verdict.as_str()).set(oldest);
    }
    let oldest = open.values().map(|(_, since)| *since).min();
    metrics::gauge!("waybill_saga_oldest_open_seconds").set(oldest.map_or(0.0, age));
    let audited = context.board.audit();
    metrics::gauge!("waybill_saga_audit_offenders").set(audited.offenders as f64);
    metrics::gauge!("waybill_saga_audit_position").set(audited.position.0 as f64);
    for finding in Finding::CODES {
        let count = audited.findings.get(finding).copied().unwrap_or(0);
        metrics::gauge!("waybill_saga_audit_findings", "finding" => *finding).set(count as f64);
    }
}

async fn sweep_once(context: &Context) {
    // What a build was kept from working by, and has not taken off: one that still is puts it up again.
    gate::point_out(context, &[]).await;
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

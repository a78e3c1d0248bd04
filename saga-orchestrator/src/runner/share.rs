//! One share while it is ours: its messages come in, its deadlines are looked at, its sagas are worked, many at once
//! but each by one worker. A message is acknowledged once its saga is known here; a takeover does not depend on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{Consumer, pull};
use event_schema::Position;
use event_schema::fulfilment::Cause;
use futures::StreamExt;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::failure::Failure;
use super::slots::{Ended, Job, SetAside, Slots};
use super::takeover;
use super::wake::{Asks, read};
use super::{Context, Share, quarantine, work};

/// A saga whose first intent does not come within this is worked without: then something is wrong with it.
const INTENT_COMES_WITHIN: Duration = Duration::from_millis(500);
/// How often deadlines are looked at.
const DEADLINE_PERIOD: Duration = Duration::from_millis(250);
/// Most sagas of one share that are worked at once.
const WORKERS_MAX: usize = 32;
/// With so many sagas waiting for a worker no more messages are taken in.
const QUEUED_MAX: usize = 10_000;
const PULL_BATCH: usize = 200;
/// Well below the pin's own limit, or the pin would be lost between two pulls.
const PULL_EXPIRES: Duration = Duration::from_secs(2);
const PULL_HEARTBEAT: Duration = Duration::from_millis(900);
/// How long an orderly end waits for effects that are under way.
const DRAIN_MAX: Duration = Duration::from_secs(7);
/// The same while a share is handed on to a living process: its sagas stand still meanwhile.
const HANDOVER_MAX: Duration = Duration::from_secs(4);
/// How often an idle share notes that it has read to the log's end.
const ALIGN_PERIOD: Duration = Duration::from_secs(10);
const ALIGN_MAX: Duration = Duration::from_secs(2);
/// Deadlines are not looked at meanwhile, so this is short.
const OPEN_MAX: Duration = Duration::from_secs(3);
const REOPEN_AFTER: Duration = Duration::from_millis(500);
/// A saga whose worker fails so often in a row is quarantined.
const FAILURES_MAX: u32 = 5;
const FAILURE_PAUSE_FIRST: Duration = Duration::from_millis(250);
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(10);
/// When a saga that is set aside is looked at although nothing came about it; later and later.
const RECHECK_PAUSE_FIRST: Duration = Duration::from_secs(30);
const RECHECK_PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// What a takeover found for one share.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    /// Where the log ended when the share became ours: what comes after it was recorded under our own eyes.
    pub boundary: Position,
    /// Everything up to here was worked by whoever owned it before.
    pub complete_to: Position,
    /// Sagas to look at.
    pub wakes: Vec<(Uuid, Job)>,
}

/// Ends when the share is lost (`lost`), or is to be finished (`finish`): then workers get the time to end.
pub(super) async fn run(
    context: Arc<Context>,
    share: Share,
    inheritance: Inheritance,
    lost: CancellationToken,
    finish: CancellationToken,
) {
    let mut owner = OwnedShare {
        context,
        share,
        boundary: inheritance.boundary,
        complete_to: inheritance.complete_to,
        read_to: inheritance.boundary,
        slots: Slots::default(),
        workers: JoinSet::new(),
        at_work: HashMap::new(),
    };
    for (order, job) in inheritance.wakes {
        owner.slots.wake(order, job);
    }
    tokio::select! {
        // Whatever is under way may go on at the provider, but not here: the next owner looks it up.
        () = lost.cancelled() => {}
        () = owner.work_until(&finish) => {}
    }
}

struct OwnedShare {
    context: Arc<Context>,
    share: Share,
    boundary: Position,
    complete_to: Position,
    /// The newest position that was taken in.
    read_to: Position,
    slots: Slots,
    /// Dropped with the share, and all workers with it.
    workers: JoinSet<work::Report>,
    at_work: HashMap<Id, (Uuid, Job)>,
}

impl OwnedShare {
    async fn work_until(&mut self, finish: &CancellationToken) {
        let mut tick = tokio::time::interval(DEADLINE_PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut messages: Option<pull::Stream> = None;
        let mut opened_last: Option<Instant> = None;
        let mut aligned_last = Instant::now();
        loop {
            self.start_workers();
            let takes_in = self.slots.queued() < QUEUED_MAX;
            tokio::select! {
                () = finish.cancelled() => break,
                _ = tick.tick() => {
                    self.slots.wake_due(self.context.clock.now());
                    self.context.board.worked_to(self.share, self.slots.complete_to(self.read_to));
                    if messages.is_none() && opened_last.is_none_or(|last| last.elapsed() >= REOPEN_AFTER) {
                        opened_last = Some(Instant::now());
                        match self.open_in_time().await {
                            Ok(opened) => messages = Some(opened),
                            Err(reason) => tracing::warn!(saga.share = %self.share, error = reason, "the share's messages cannot be followed; trying again"),
                        }
                    }
                    if messages.is_some() && aligned_last.elapsed() >= ALIGN_PERIOD {
                        aligned_last = Instant::now();
                        if let Err(reason) = self.align().await {
                            tracing::debug!(saga.share = %self.share, error = reason, "how far the share has read is not known now");
                        }
                    }
                }
                Some(ended) = self.workers.join_next_with_id(), if !self.workers.is_empty() => self.ended(ended),
                message = next(&mut messages), if takes_in && messages.is_some() => match message {
                    Some(Ok(message)) => self.take_in(message).await,
                    Some(Err(error)) => {
                        tracing::debug!(saga.share = %self.share, %error, "the share's messages stopped; opening them again");
                        messages = None;
                    }
                    None => messages = None,
                },
            }
        }
        drop(messages);
        // What is under way gets the time to end; nothing new is begun, and the next owner looks up the rest.
        let longest = if self.context.draining.load(Ordering::SeqCst) {
            DRAIN_MAX
        } else {
            HANDOVER_MAX
        };
        let ending = async {
            while let Some(ended) = self.workers.join_next_with_id().await {
                self.ended(ended);
            }
        };
        if tokio::time::timeout(longest, ending).await.is_err() {
            tracing::info!(saga.share = %self.share, sagas = self.workers.len(), "some effects had not ended in time; the next owner looks them up");
        }
        self.context
            .board
            .worked_to(self.share, self.slots.complete_to(self.read_to));
    }

    async fn open_in_time(&mut self) -> Result<pull::Stream, String> {
        tokio::time::timeout(OPEN_MAX, self.open())
            .await
            .unwrap_or_else(|_| Err("no answer in time".into()))
    }

    /// Opens the share's messages, and reads in the log what may have been lost on the way to a client that is gone:
    /// the broker would deliver it again, but only after half a minute.
    async fn open(&mut self) -> Result<pull::Stream, String> {
        let consumer: Consumer<pull::Config> = self
            .context
            .events
            .get_consumer(&self.share.consumer())
            .await
            .map_err(|error| error.to_string())?;
        let messages = consumer
            .stream()
            .group(event_store::topology::SHARE_GROUP)
            .max_messages_per_batch(PULL_BATCH)
            .expires(PULL_EXPIRES)
            .heartbeat(PULL_HEARTBEAT)
            .messages()
            .await
            .map_err(|error| error.to_string())?;
        let missed = takeover::read_log(&self.context, &[self.share], self.read_to)
            .await
            .map_err(|error| error.to_string())?;
        for (position, asks) in missed {
            self.register(position, asks, false);
        }
        Ok(messages)
    }

    /// A share in which nothing happens has read the log to its end all the same, and the next owner need not read what
    /// others wrote meanwhile. True only if the broker has nothing left for us that we have not taken in.
    async fn align(&mut self) -> Result<(), String> {
        let asked = async {
            let end = self
                .context
                .executor
                .store()
                .end()
                .await
                .map_err(|error| error.to_string())?;
            let consumer: Consumer<pull::Config> = self
                .context
                .events
                .get_consumer(&self.share.consumer())
                .await
                .map_err(|error| error.to_string())?;
            Ok::<_, String>((end.position, consumer.cached_info().clone()))
        };
        let (end, info) = tokio::time::timeout(ALIGN_MAX, asked)
            .await
            .map_err(|_| "no answer in time".to_owned())??;
        if info.num_pending == 0 && info.delivered.stream_sequence <= self.read_to.0 {
            self.read_to = self.read_to.max(end);
        }
        Ok(())
    }

    async fn take_in(&mut self, message: Message) {
        match read(&message) {
            Some((position, asks, first)) => {
                self.register(position, asks, first && position > self.boundary);
            }
            None => {
                tracing::warn!(saga.share = %self.share, subject = %message.subject, "a message that is no event was skipped")
            }
        }
        // An acknowledgement that is lost only means that it comes again.
        if let Err(error) = message.ack().await {
            tracing::debug!(saga.share = %self.share, %error, "a message could not be acknowledged");
        }
    }

    /// `witnessed`: we have owned the share since before the event was recorded, and read it as it came.
    fn register(&mut self, position: Position, asks: Asks, witnessed: bool) {
        self.read_to = self.read_to.max(position);
        if position <= self.complete_to {
            return;
        }
        let seen = Job {
            at_least: position,
            ..Job::default()
        };
        let (order, job) = match asks {
            Asks::Nothing => return,
            // Its intent comes next, out of the same batch. Whoever worked it before that would not know that nobody can
            // have called yet, and would ask the provider for nothing.
            Asks::Saga {
                order,
                begins: true,
                ..
            } => {
                let at = self.context.clock.now() + INTENT_COMES_WITHIN;
                return self.slots.expect(order, seen, at);
            }
            Asks::Saga {
                order,
                intent,
                commanded,
                begins: false,
            } => (
                order,
                Job {
                    first_call: intent.filter(|_| witnessed),
                    commanded,
                    ..seen
                },
            ),
            Asks::Callback { order } => (
                order,
                Job {
                    look_up: true,
                    ..seen
                },
            ),
        };
        self.slots.wake(order, job);
    }

    fn start_workers(&mut self) {
        while self.slots.running() < WORKERS_MAX {
            let Ok(permit) = Arc::clone(&self.context.workers).try_acquire_owned() else {
                return;
            };
            let Some((order, job)) = self.slots.start() else {
                return;
            };
            let context = Arc::clone(&self.context);
            let handle = self.workers.spawn(async move {
                let report = work::work(&context, order, job).await;
                drop(permit);
                report
            });
            self.at_work.insert(handle.id(), (order, job));
        }
    }

    fn ended(&mut self, ended: Result<(Id, work::Report), tokio::task::JoinError>) {
        let (id, report) = match ended {
            Ok((id, report)) => (id, report),
            Err(error) => {
                let failure =
                    Failure::Poisoned("its handling panicked; the log has the place".into());
                (
                    error.id(),
                    work::Report {
                        worked: Position(0),
                        unsent: None,
                        result: Err(failure),
                    },
                )
            }
        };
        let Some((order, job)) = self.at_work.remove(&id) else {
            return;
        };
        let ended = match report.result {
            Ok(ended) => ended,
            Err(failure) => self.failed(order, job, failure),
        };
        self.slots
            .finish(order, job, report.worked, report.unsent, ended);
    }

    /// An outage is waited for without end; what is wrong with the saga itself is tried a few times and then set aside,
    /// so that the others go on.
    fn failed(&self, order: Uuid, job: Job, failure: Failure) -> Ended {
        let tries = self.slots.failures(order) + 1;
        let again = || Ended::Again(self.context.clock.now() + pause(tries));
        let recheck_at = self.context.clock.now() + recheck_pause(self.slots.rechecks(order));
        let aside = |why| Ended::Quarantined(why, recheck_at);
        match failure {
            // Looked at again, and nothing has changed: it is shown as what it is already.
            Failure::StillSetAside => aside(SetAside::Handling),
            Failure::Unreadable(_) | Failure::Newer(_)
                if job.set_aside == Some(SetAside::Reading) =>
            {
                aside(SetAside::Reading)
            }
            Failure::Unavailable(reason) => {
                tracing::debug!(order.id = %order, tries, error = reason, "a saga could not be worked now");
                again()
            }
            Failure::Poisoned(reason) | Failure::Unreadable(reason) if tries < FAILURES_MAX => {
                tracing::warn!(order.id = %order, tries, error = reason, "handling a saga failed; trying again");
                again()
            }
            Failure::Poisoned(reason) => {
                self.quarantine(order, job, Cause::Poisoned, reason);
                aside(SetAside::Handling)
            }
            Failure::Unreadable(reason) => {
                self.quarantine(order, job, Cause::Poisoned, reason);
                aside(SetAside::Reading)
            }
            Failure::Newer(reason) => {
                self.quarantine(order, job, Cause::VersionUnsupported, reason);
                aside(SetAside::Reading)
            }
        }
    }

    fn quarantine(&self, order: Uuid, job: Job, cause: Cause, reason: String) {
        tracing::error!(order.id = %order, saga.cause = cause.as_str(), error = reason, "a saga is quarantined; the others go on");
        metrics::counter!("waybill_sagas_quarantined_total", "cause" => cause.as_str())
            .increment(1);
        let context = Arc::clone(&self.context);
        tokio::spawn(async move { quarantine::show(&context, order, job, cause, &reason).await });
    }
}

async fn next(messages: &mut Option<pull::Stream>) -> Option<Result<Message, pull::MessagesError>> {
    match messages {
        Some(messages) => messages.next().await,
        None => std::future::pending().await,
    }
}

fn pause(tries: u32) -> Duration {
    FAILURE_PAUSE_FIRST
        .saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)))
        .min(FAILURE_PAUSE_MAX)
}

fn recheck_pause(rechecks: u32) -> Duration {
    RECHECK_PAUSE_FIRST
        .saturating_mul(2_u32.saturating_pow(rechecks))
        .min(RECHECK_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        assert_eq!(pause(1), FAILURE_PAUSE_FIRST);
        assert_eq!(pause(3), FAILURE_PAUSE_FIRST * 4);
        assert_eq!(pause(u32::MAX), FAILURE_PAUSE_MAX);
        assert_eq!(recheck_pause(0), RECHECK_PAUSE_FIRST);
        assert_eq!(recheck_pause(2), RECHECK_PAUSE_FIRST * 4);
        assert_eq!(recheck_pause(u32::MAX), RECHECK_PAUSE_MAX);
    }
}

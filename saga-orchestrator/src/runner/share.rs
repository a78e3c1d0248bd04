//! One share while it is ours: its messages come in, its deadlines are looked at, its sagas are worked, many at once
//! but each by one worker. A message is acknowledged once its saga is known here; a takeover does not depend on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{Consumer, pull};
use event_schema::envelope::header;
use event_schema::fulfilment::Cause;
use event_schema::ids::EffectId;
use event_schema::{Position, Subject, Timestamp};
use futures::StreamExt;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::slots::{Ended, FirstCall, Job, Slots};
use super::takeover;
use super::{Context, Share, work};

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
const REOPEN_AFTER: Duration = Duration::from_millis(500);
/// A saga whose worker fails so often in a row is quarantined.
const FAILURES_MAX: u32 = 5;
const FAILURE_PAUSE_FIRST: Duration = Duration::from_millis(250);
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(10);

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

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// The saga moved.
    Saga {
        order: Uuid,
        /// Set when the event is an intent.
        intent: Option<FirstCall>,
    },
    /// A callback was recorded.
    Callback { order: Uuid },
    /// Nothing: the saga's own doing, in a batch with its event.
    Nothing,
}

/// Reads from subject and headers alone what an event asks for.
pub(super) fn asks(
    subject: &Subject,
    event_type: &str,
    effect: Option<EffectId>,
    occurred_at: Option<Timestamp>,
) -> Asks {
    match subject.aggregate() {
        Some(("fulfilment", order)) => {
            let intent = effect.zip(occurred_at).filter(|_| event_type == "fulfilment.intended");
            let intent = intent.map(|(effect_id, intended_at)| FirstCall { effect_id, intended_at });
            Asks::Saga { order, intent }
        }
        Some(("payment", order)) if event_type == "payment.callback_recorded" => Asks::Callback { order },
        _ => Asks::Nothing,
    }
}

/// Ends when the share is lost (`lost`) or the process drains (`drain`), and then lets workers finish.
pub(super) async fn run(
    context: Arc<Context>,
    share: Share,
    inheritance: Inheritance,
    lost: CancellationToken,
    drain: CancellationToken,
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
        () = owner.work_until(&drain) => {}
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
    async fn work_until(&mut self, drain: &CancellationToken) {
        let mut tick = tokio::time::interval(DEADLINE_PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut messages: Option<pull::Stream> = None;
        let mut reopen_at = tokio::time::Instant::now();
        loop {
            self.start_workers();
            let takes_in = self.slots.queued() < QUEUED_MAX;
            tokio::select! {
                () = drain.cancelled() => break,
                _ = tick.tick() => {
                    self.slots.wake_due(self.context.clock.now());
                    if messages.is_none() && reopen_at.elapsed() >= REOPEN_AFTER {
                        reopen_at = tokio::time::Instant::now();
                        match self.open().await {
                            Ok(opened) => messages = Some(opened),
                            Err(reason) => tracing::warn!(saga.share = %self.share, error = reason, "the share's messages cannot be followed; trying again"),
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
        // Effects end within their answer deadline; nothing new is begun.
        while let Some(ended) = self.workers.join_next_with_id().await {
            self.ended(ended);
        }
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

    async fn take_in(&mut self, message: Message) {
        match read(&message) {
            Some((position, asks)) => self.register(position, asks, position > self.boundary),
            None => tracing::warn!(saga.share = %self.share, subject = %message.subject, "a message that is no event was skipped"),
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
        let (order, job) = match asks {
            Asks::Nothing => return self.context.board.read_to(self.share, position),
            Asks::Saga { order, intent } => {
                (order, Job { at_least: position, first_call: intent.filter(|_| witnessed), look_up: false })
            }
            Asks::Callback { order } => (order, Job { at_least: position, first_call: None, look_up: true }),
        };
        self.context.board.handed_out(order, position);
        self.slots.wake(order, job);
    }

    fn start_workers(&mut self) {
        while self.slots.running() < WORKERS_MAX {
            let Ok(permit) = Arc::clone(&self.context.workers).try_acquire_owned() else { return };
            let Some((order, job)) = self.slots.start() else { return };
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
                let failure = work::Failure::Poisoned("its handling panicked; the log has the place".into());
                (error.id(), work::Report { worked: Position(0), result: Err(failure) })
            }
        };
        let Some((order, job)) = self.at_work.remove(&id) else { return };
        let ended = match report.result {
            Ok(ended) => ended,
            Err(failure) => self.failed(order, job, failure),
        };
        self.slots.finish(order, job, report.worked, ended);
    }

    /// An outage is waited for without end; what is wrong with the saga itself is tried a few times and then set aside,
    /// so that the others go on.
    fn failed(&self, order: Uuid, job: Job, failure: work::Failure) -> Ended {
        let tries = self.slots.failures(order) + 1;
        let again = || Ended::Again(self.context.clock.now() + pause(tries));
        match failure {
            work::Failure::Unavailable(reason) => {
                tracing::debug!(order.id = %order, tries, error = reason, "a saga could not be worked now");
                again()
            }
            work::Failure::Poisoned(reason) if tries < FAILURES_MAX => {
                tracing::warn!(order.id = %order, tries, error = reason, "handling a saga failed; trying again");
                again()
            }
            work::Failure::Poisoned(reason) => self.quarantine(order, job, Cause::Poisoned, reason),
            work::Failure::Newer(reason) => {
                self.quarantine(order, job, Cause::VersionUnsupported, reason)
            }
        }
    }

    fn quarantine(&self, order: Uuid, job: Job, cause: Cause, reason: String) -> Ended {
        tracing::error!(order.id = %order, saga.cause = cause.as_str(), error = reason, "a saga is quarantined; the others go on");
        metrics::counter!("waybill_sagas_quarantined_total", "cause" => cause.as_str()).increment(1);
        let context = Arc::clone(&self.context);
        tokio::spawn(async move { work::show_quarantined(&context, order, job, cause, &reason).await });
        Ended::Quarantined
    }
}

async fn next(messages: &mut Option<pull::Stream>) -> Option<Result<Message, pull::MessagesError>> {
    match messages {
        Some(messages) => messages.next().await,
        None => std::future::pending().await,
    }
}

fn read(message: &Message) -> Option<(Position, Asks)> {
    let position = Position(message.info().ok()?.stream_sequence);
    let subject: Subject = message.subject.as_str().parse().ok()?;
    let headers = message.headers.as_ref();
    let get = |name: &str| headers.and_then(|headers| headers.get(name)).map(|value| value.as_str());
    let effect = get(header::EFFECT_ID).and_then(|id| Uuid::parse_str(id).ok()).map(EffectId);
    let occurred_at = get(header::OCCURRED_AT).and_then(|at| at.parse().ok());
    Some((position, asks(&subject, get(header::EVENT_TYPE).unwrap_or_default(), effect, occurred_at)))
}

fn pause(tries: u32) -> Duration {
    FAILURE_PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1))).min(FAILURE_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_is_asked_for_by_its_own_events_and_by_callbacks_only() {
        let order = Uuid::from_u128(7);
        let effect = EffectId(Uuid::from_u128(8));
        let saga = Subject::history("fulfilment", order);
        let payment = Subject::history("payment", order);
        let at = Timestamp::UNIX_EPOCH;
        let asked = |subject, event_type| asks(subject, event_type, Some(effect), Some(at));
        let first = FirstCall { effect_id: effect, intended_at: at };
        assert_eq!(asked(&saga, "fulfilment.intended"), Asks::Saga { order, intent: Some(first) });
        assert_eq!(asked(&saga, "fulfilment.attempt_ended"), Asks::Saga { order, intent: None });
        assert_eq!(asked(&payment, "payment.callback_recorded"), Asks::Callback { order });
        assert_eq!(asked(&payment, "payment.captured"), Asks::Nothing);
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        assert_eq!(pause(1), FAILURE_PAUSE_FIRST);
        assert_eq!(pause(3), FAILURE_PAUSE_FIRST * 4);
        assert_eq!(pause(u32::MAX), FAILURE_PAUSE_MAX);
    }
}

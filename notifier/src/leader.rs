//! What the leader does: follows the log, turns what it tells into intents, and has open messages carried.
//!
//! Everything goes through the log: what is intended comes back as an event and is put on the board then, whoever
//! intended it. A new leader reads from where the oldest open message was intended, so that its board is complete, and
//! carries nothing before it has read to where the log ended when it took over: only then is an attempt without an
//! outcome known to be nobody's.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::kv;
use domain::notification::Notification;
use event_schema::ids::DeliveryId;
use event_schema::{Position, Recorded, customer, notification, notification_agent};
use event_store::{Freshness, Subscription};
use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::carry::{Carried, Carrier, until};
use crate::context::Context;
use crate::intent::{self, intend};
use crate::ledger::{Checkpoint, Ledger, STRAGGLERS_MAX, SaveError};
use crate::roster::{Admins, Agents, read};
use crate::trigger;

/// Everything that a leader follows.
const EVENTS: &str = "evt.>";
/// How often the checkpoint is written while things move.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// Events whose intents are made at once.
const INTENDING_AT_ONCE: usize = 64;
/// Histories that are read in one go when a board is made.
const READ_AT_ONCE: usize = 1_000;
/// A message that waits longer than this is named in the checkpoint rather than read again.
const STRAGGLES_AFTER: Duration = Duration::from_secs(60);
/// How long what is being carried may take to end when the leader stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Pause before a refused intent is tried again; doubles up to the most.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A message that somebody has in hand, or that is not due by the clock, is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why a leader ends before it is stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// Somebody else leads; that is as good.
    #[error("another notifier leads")]
    Lost,
    /// It cannot go on now.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

type Intending = Pin<Box<dyn Future<Output = Position> + Send>>;

struct Leader {
    context: Arc<Context>,
    ledger: Ledger,
    log: String,
    board: Board,
    agents: Arc<Agents>,
    admins: Arc<Admins>,
    /// Up to here every event has made its intents.
    position: Position,
    /// Up to here the log was read.
    reached: Position,
    /// From here on the events are news.
    news_after: Position,
    /// Before this the board is not complete.
    complete_at: Position,
    intending: FuturesOrdered<Intending>,
    carried: Ends,
}

/// Both ends of the way on which a message that was carried comes back.
type Ends = (
    mpsc::Sender<(DeliveryId, Carried)>,
    mpsc::Receiver<(DeliveryId, Carried)>,
);

/// Leads until it is told to stop.
///
/// # Errors
/// When somebody else leads, or the log or the bucket cannot be read.
pub(crate) async fn lead(
    context: &Arc<Context>,
    bucket: kv::Store,
    stop: &CancellationToken,
) -> Result<(), Ended> {
    let (mut leader, mut subscription) = tokio::select! {
        leader = Leader::begin(context, bucket) => leader?,
        () = stop.cancelled() => return Ok(()),
    };
    context.trouble.set(None);
    leader.run(&mut subscription, stop).await
}

impl Leader {
    async fn begin(
        context: &Arc<Context>,
        bucket: kv::Store,
    ) -> Result<(Self, Subscription), Ended> {
        let store = context.executor.store();
        let (mut ledger, saved) = Ledger::open(bucket)
            .await
            .map_err(|error| anyhow::anyhow!(error))?;
        let log = store.identity().await.context("the log")?.to_string();
        let end = store.end().await.context("the log's end")?.position;
        let checkpoint = match saved.filter(|saved| saved.log == log) {
            Some(saved) if saved.position > end.0 => {
                return Err(Ended::Failed(anyhow::anyhow!(
                    "the log ends at {end}, before the position {} up to which people were told; it has lost its tail",
                    saved.position
                )));
            }
            Some(saved) => saved,
            None => {
                let admins = admins_of_the_past(context, end).await?;
                tracing::info!(
                    position = end.0,
                    "nobody has told anything of this log yet: what is in it is old news, what comes is told"
                );
                let first = Checkpoint::at_the_end(log.clone(), end, admins);
                save(&mut ledger, first.clone()).await?;
                first
            }
        };
        let agents = agents_of_the_past(context).await?;
        let after = checkpoint.read_after();
        let subscription = store
            .subscribe(after, &[EVENTS])
            .await
            .context("the log cannot be followed")?;
        let mut leader = Self {
            context: Arc::clone(context),
            ledger,
            log,
            board: Board::default(),
            agents: Arc::new(agents),
            admins: Arc::new(Admins(checkpoint.admins.clone())),
            position: Position(checkpoint.position),
            reached: after,
            news_after: Position(checkpoint.position),
            complete_at: end,
            intending: FuturesOrdered::new(),
            carried: mpsc::channel(512),
        };
        for history in checkpoint.stragglers {
            leader.take_up(history).await?;
        }
        Ok((leader, subscription))
    }

    /// The open messages of one history.
    async fn take_up(&mut self, history: uuid::Uuid) -> anyhow::Result<()> {
        let executor = &self.context.executor;
        let loaded = executor
            .load::<Notification>(history, Freshness::Leader)
            .await
            .context("a history of messages")?;
        for delivery in loaded.state.open() {
            // Where it was intended is not remembered; that it is there is.
            let position = Position(0);
            self.board
                .insert(&delivery.intent, history, position, Duration::ZERO);
        }
        Ok(())
    }

    async fn run(
        &mut self,
        subscription: &mut Subscription,
        stop: &CancellationToken,
    ) -> Result<(), Ended> {
        let mut save_at = tokio::time::Instant::now() + SAVE_EVERY;
        loop {
            self.board.wake(Instant::now());
            if self.reached >= self.complete_at {
                self.carry_what_is_due();
            }
            let read_on = !self.board.is_full() && self.intending.len() < INTENDING_AT_ONCE;
            let wake_at = self.board.next_due().map_or_else(
                || tokio::time::Instant::now() + SAVE_EVERY,
                tokio::time::Instant::from_std,
            );
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((id, carried)) = self.carried.1.recv() => self.note_carried(id, carried),
                Some(position) = self.intending.next(), if !self.intending.is_empty() => {
                    self.position = self.position.max(position);
                    if self.intending.is_empty() {
                        self.position = self.position.max(self.reached);
                    }
                }
                () = sleep_until(save_at) => {
                    save_at = tokio::time::Instant::now() + SAVE_EVERY;
                    self.save().await?;
                }
                next = subscription.next(), if read_on => {
                    let recorded = next.context("the log cannot be followed any more")?;
                    self.note(recorded);
                }
                () = sleep_until(wake_at) => {}
            }
        }
        self.drain().await
    }

    /// Lets what is being carried come to its end, and says how far we are.
    async fn drain(&mut self) -> Result<(), Ended> {
        let drained = async {
            while !self.context.in_hand.is_empty() {
                tokio::select! {
                    Some((id, carried)) = self.carried.1.recv() => self.note_carried(id, carried),
                    () = sleep(Duration::from_millis(20)) => {}
                }
            }
        };
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            tracing::warn!("some messages were still being carried when the notifier stopped");
        }
        self.save().await
    }

    fn note_carried(&mut self, id: DeliveryId, carried: Carried) {
        let again = match carried {
            Carried::Over => None,
            Carried::Again(after) => Some(after),
        };
        self.board.carried(id, again);
    }

    fn carry_what_is_due(&mut self) {
        while let Some((id, entry)) = self.board.next() {
            let Some(held) = self.context.in_hand.take(id) else {
                self.board.carried(id, Some(LOOK_AGAIN));
                continue;
            };
            let carrier = Carrier {
                context: Arc::clone(&self.context),
                history: entry.history,
                position: entry.position,
                id,
            };
            let told = self.carried.0.clone();
            tokio::spawn(async move {
                let carried = carrier.carry().await;
                drop(held);
                // Nobody listens when the lead is lost meanwhile; the next leader reads it from the log.
                let _ = told.send((id, carried)).await;
            });
        }
        let open = self.board.len();
        metrics::gauge!("waybill_notifications_open").set(u32::try_from(open).unwrap_or(u32::MAX));
    }

    /// One event of the log.
    fn note(&mut self, recorded: Recorded) {
        let position = recorded.position;
        self.reached = position;
        let aggregate = recorded.subject.aggregate();
        let (aggregate, id) = match &aggregate {
            Some((aggregate, id)) => (*aggregate, *id),
            None => ("", uuid::Uuid::nil()),
        };
        match aggregate {
            "notification" => self.note_message(id, &recorded),
            "notification_agent" => {
                if let Some(event) = read::<notification_agent::Event>(&recorded) {
                    let version = recorded.version.0;
                    Arc::make_mut(&mut self.agents).note(version, event);
                }
            }
            "customer" if position > self.news_after => self.note_customer(id, &recorded),
            _ => {}
        }
        let is_news =
            position > self.news_after && !intent::is_old(&recorded, self.context.clock.now());
        let triggers = if is_news {
            trigger::of(&recorded)
        } else {
            vec![]
        };
        if !triggers.is_empty() {
            let context = Arc::clone(&self.context);
            let (agents, admins) = (Arc::clone(&self.agents), Arc::clone(&self.admins));
            self.intending.push_back(Box::pin(async move {
                intend_at_last(&context, &recorded, &triggers, &agents, &admins).await;
                position
            }));
        } else if self.intending.is_empty() {
            self.position = self.position.max(position);
        } else if position.0.is_multiple_of(64) {
            // What comes after is done when all before it is.
            self.intending
                .push_back(Box::pin(std::future::ready(position)));
        }
    }

    fn note_message(&mut self, history: uuid::Uuid, recorded: &Recorded) {
        match read::<notification::Event>(recorded) {
            Some(notification::Event::Intended(intended)) => {
                let now = self.context.clock.now();
                let wait = intended.not_before.and_then(|at| until(at, now));
                let wait = wait.unwrap_or_default();
                self.board
                    .insert(&intended, history, recorded.position, wait);
            }
            Some(notification::Event::Settled(settled)) => self.board.remove(settled.delivery_id),
            Some(notification::Event::Attempted(_) | notification::Event::AttemptEnded(_))
            | None => {}
        }
    }

    fn note_customer(&mut self, id: uuid::Uuid, recorded: &Recorded) {
        let Some(event) = read::<customer::Event>(recorded) else {
            return;
        };
        if matches!(event, customer::Event::Erased(_)) {
            self.context.keys.forget(id);
        }
        Arc::make_mut(&mut self.admins).note(id, &event);
    }

    async fn save(&mut self) -> Result<(), Ended> {
        let checkpoint = self.checkpoint();
        save(&mut self.ledger, checkpoint).await
    }

    fn checkpoint(&self) -> Checkpoint {
        let mut stragglers = BTreeSet::new();
        // While the board is not complete, what was open is still to be read.
        let mut open_from = self.position.0.min(self.reached.0).saturating_add(1);
        for (entry, wait) in self.board.open(Instant::now()) {
            let straggles = wait > STRAGGLES_AFTER || entry.position.0 == 0;
            let named = straggles
                && (stragglers.contains(&entry.history) || stragglers.len() < STRAGGLERS_MAX);
            if named {
                stragglers.insert(entry.history);
            } else {
                open_from = open_from.min(entry.position.0);
            }
        }
        Checkpoint {
            log: self.log.clone(),
            position: self.position.0,
            open_from,
            stragglers,
            admins: self.admins.0.clone(),
        }
    }
}

async fn save(ledger: &mut Ledger, checkpoint: Checkpoint) -> Result<(), Ended> {
    match ledger.save(checkpoint).await {
        Ok(()) => Ok(()),
        Err(SaveError::Lost) => Err(Ended::Lost),
        Err(error @ SaveError::Away(_)) => {
            tracing::warn!(%error, "a new leader would have to read more of the log");
            Ok(())
        }
    }
}

/// Intends until it is done; only what no build can read is left out, and said.
async fn intend_at_last(
    context: &Context,
    recorded: &Recorded,
    triggers: &[trigger::Trigger],
    agents: &Agents,
    admins: &Admins,
) {
    let mut pause = PAUSE_FIRST;
    loop {
        match intend(context, recorded, triggers, agents, admins).await {
            Ok(()) => return,
            Err(error) if error.is_final() => {
                metrics::counter!("waybill_notifier_unreadable_events_total").increment(1);
                tracing::error!(
                    %error, position = recorded.position.0, "nobody can be told of an event"
                );
                return;
            }
            Err(error) => {
                tracing::warn!(%error, position = recorded.position.0, "an event cannot be told yet");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Who runs the shop, by what happened up to the position.
async fn admins_of_the_past(context: &Context, end: Position) -> Result<Admins, Ended> {
    let mut admins = Admins::default();
    read_all(context, "evt.customer.>", |recorded| {
        if recorded.position <= end
            && let Some((_, id)) = recorded.subject.aggregate()
            && let Some(event) = read::<customer::Event>(recorded)
        {
            admins.note(id, &event);
        }
    })
    .await?;
    Ok(admins)
}

async fn agents_of_the_past(context: &Context) -> Result<Agents, Ended> {
    let mut agents = Agents::default();
    read_all(context, "evt.notification_agent.>", |recorded| {
        if let Some(event) = read::<notification_agent::Event>(recorded) {
            agents.note(recorded.version.0, event);
        }
    })
    .await?;
    Ok(agents)
}

async fn read_all(
    context: &Context,
    filter: &str,
    mut see: impl FnMut(&Recorded),
) -> anyhow::Result<()> {
    let mut after = Position(0);
    loop {
        let store = context.executor.store();
        let events = store
            .read(after, READ_AT_ONCE, Some(filter))
            .await
            .context("the log cannot be read")?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        after = last.position;
        events.iter().for_each(&mut see);
    }
}

//! The lane: one task per process through which every group reaches the log, one round of them in flight.
//!
//! A round is one atomic batch, or a few plain publishes side by side where those are measured to be quicker
//! ([`ways`](super::ways)). The next one begins when the fate of each of its groups is known.
//!
//! Groups expect versions, fixed when they were decided. Only the lane turns versions into positions, and it never
//! changes what a group expects: a batch whose fate is unclear is looked for in the log first, and only ever sent
//! again with the same expectations, so that it can be stored once at most.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lru::LruCache;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use event_schema::{Position, Subject};

use super::api::{Api, AskError};
use super::guard::{Guard, Unsure};
use super::load::{self, LEADER_ASKS_AT_ONCE};
use super::plan::{Built, Head, Last, Plan, Queued};
use super::queue::{Queue, ROUNDS_TOGETHER_MAX};
use super::ways::{Way, Ways};
use super::wire::{Answer, Wire};
use crate::store::AppendError;
use crate::topology::EVENTS;

/// Most groups that wait in the lane; callers beyond that wait to hand theirs in.
pub(crate) const QUEUE_GROUPS_MAX: usize = 4096;
/// A group that was put back so often is answered that the log is away.
const ROUNDS_MAX: u32 = 32;
/// How long one batch is tried in all before its groups are answered that the log is away.
const BATCH_TRIED_MAX: Duration = Duration::from_secs(20);
/// How long a batch is tried that is refused although everything it expects holds, as the leader says.
const REFUSED_IN_FLIGHT_MAX: Duration = Duration::from_secs(5);
/// After a round that several shared, those who were answered often come again at once. They are waited for, so that
/// they share the next one too: at most for this part of what the last round took …
const GATHERED_SHARE: u32 = 4;
/// … and this long …
const GATHERED_MAX: Duration = Duration::from_millis(1);
/// … and only while they come this close behind each other.
const GATHERED_GAP_MAX: Duration = Duration::from_micros(150);
/// Pause between two tries of one batch, in milliseconds; doubles up to the most.
const PAUSE_FIRST_MS: u64 = 2;
const PAUSE_MAX_MS: u64 = 500;
/// Most histories whose end is remembered.
const HEADS_MAX: NonZeroUsize = match NonZeroUsize::new(50_000) {
    Some(heads) => heads,
    None => NonZeroUsize::MIN,
};

/// What the log has of a batch whose fate was unclear.
enum Found {
    /// It is there, from this position on.
    Ours(Position),
    /// Somebody else's event is where ours would be: it is not there and never will be.
    Others,
    /// Neither: it is not there yet.
    Nothing,
}

pub(crate) struct Lane {
    carrier: Arc<Carrier>,
    queue: Queue,
    /// Where histories end, as far as this lane knows; only a hint, checked by the broker's expectation.
    heads: LruCache<Subject, Last>,
    ways: Ways,
    last_round: Round,
}

/// The round before this one.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    groups: usize,
    took: Duration,
}

/// Brings what is built to the log and finds out what became of it; knows nothing of the queue.
struct Carrier {
    api: Api,
    wire: Arc<dyn Wire>,
    guard: Arc<Guard>,
}

impl Lane {
    pub(super) fn new(api: Api, wire: Arc<dyn Wire>, guard: Arc<Guard>) -> Self {
        Self {
            carrier: Arc::new(Carrier { api, wire, guard }),
            queue: Queue::default(),
            heads: LruCache::new(HEADS_MAX),
            ways: Ways::default(),
            last_round: Round::default(),
        }
    }

    /// Carries groups until nobody can hand in any more.
    pub(crate) async fn run(mut self, mut groups: mpsc::Receiver<Queued>) {
        loop {
            if self.queue.is_empty() {
                match groups.recv().await {
                    Some(queued) => self.queue.push_back(queued),
                    None => return,
                }
            }
            // What has come in while the last round was in flight rides in this one.
            self.drain(&mut groups);
            self.gather(&mut groups).await;
            metrics::gauge!("waybill_append_waiting_groups").set(self.queue.len() as f64);
            let plan = self.queue.take();
            if plan.groups.is_empty() {
                self.rest(&mut groups).await;
                continue;
            }
            let (groups, begun) = (plan.groups.len(), Instant::now());
            self.carry(plan).await;
            let took = begun.elapsed();
            self.last_round = Round { groups, took };
        }
    }

    /// All who wait are on histories on which it is others' turn: until that is over, or somebody else comes.
    async fn rest(&mut self, groups: &mut mpsc::Receiver<Queued>) {
        let Some(rested) = self.queue.rested() else {
            return;
        };
        let full = self.queue.len() >= QUEUE_GROUPS_MAX;
        tokio::select! {
            Some(queued) = groups.recv(), if !full => self.queue.push_back(queued),
            () = sleep_until(rested) => {}
        }
    }

    fn drain(&mut self, groups: &mut mpsc::Receiver<Queued>) {
        while self.queue.len() < QUEUE_GROUPS_MAX {
            match groups.try_recv() {
                Ok(queued) => self.queue.push_back(queued),
                Err(_) => break,
            }
        }
    }

    /// Waits a little for those who shared the last round. A lone caller waits for nobody.
    async fn gather(&mut self, groups: &mut mpsc::Receiver<Queued>) {
        let Round {
            groups: wanted,
            took,
        } = self.last_round;
        if wanted < 2 {
            return;
        }
        let begun = Instant::now();
        let most = (took / GATHERED_SHARE).min(GATHERED_MAX);
        let mut newest = begun;
        while self.queue.len() < wanted && begun.elapsed() < most {
            let before = self.queue.len();
            // The timer's steps of a millisecond are longer than the whole wait; meanwhile others have the thread.
            yield_now().await;
            self.drain(groups);
            if self.queue.len() > before {
                newest = Instant::now();
            } else if newest.elapsed() > GATHERED_GAP_MAX {
                break;
            }
        }
    }

    /// Makes a batch ready to be sent: positions for versions, and a broker to send it to. What cannot be is answered.
    async fn prepare(&mut self, mut plan: Plan) -> Option<(Plan, Built)> {
        if let Err(why) = self.carrier.api.connected().await {
            self.give_up(plan, &format!("{why}; nothing was sent"));
            return None;
        }
        if let Err(unsure) = self.carrier.guard.unless_in_doubt().await {
            self.not_ours(plan, unsure);
            return None;
        }
        let missing = plan.resolve(|subject| self.heads.peek(subject).copied());
        if !missing.is_empty() {
            match self.carrier.ask_heads(&missing).await {
                Ok(heads) => {
                    let unmatched = plan.resolve(|subject| heads.get(subject).copied().flatten());
                    if !unmatched.is_empty() {
                        if let Err(unsure) = self.carrier.guard.make_sure().await {
                            self.not_ours(plan, unsure);
                            return None;
                        }
                        self.part(plan, &heads, false);
                        return None;
                    }
                }
                Err(AskError::Unreadable(reason)) => {
                    let subject = missing.into_iter().next()?;
                    self.fail(plan, &AppendError::Corrupt { subject, reason });
                    return None;
                }
                Err(error) => {
                    self.give_up(plan, &format!("{error}; nothing was sent"));
                    return None;
                }
            }
        }
        match plan.build() {
            Ok(built) => Some((plan, built)),
            Err(subject) => {
                self.give_up(plan, &format!("the position of {subject} stayed unknown"));
                None
            }
        }
    }

    /// Carries one round until the fate of each of its groups is known, or the limit is reached.
    async fn carry(&mut self, plan: Plan) {
        let taken = Instant::now();
        let Some((plan, built)) = self.prepare(plan).await else {
            return;
        };
        let messages = plan.messages();
        let can_part = plan.can_part() && built.unguarded.is_empty();
        let way = match can_part {
            true => self.ways.choose(messages),
            false => Way::Together,
        };
        let begun = Instant::now();
        let clean = match way {
            Way::Together => {
                metrics::histogram!("waybill_append_batch_messages").record(messages as f64);
                let fate = self.carrier.carry(&plan, &built).await;
                let clean = matches!(fate, Fate::Stored { clean: true, .. });
                self.settle(plan, &built, fate, taken);
                clean
            }
            Way::Apart => {
                let mut under_way: FuturesUnordered<_> = plan
                    .part(built)
                    .into_iter()
                    .map(|(plan, built)| {
                        metrics::histogram!("waybill_append_batch_messages").record(1.0);
                        let carrier = Arc::clone(&self.carrier);
                        async move {
                            let fate = carrier.carry(&plan, &built).await;
                            (plan, built, fate)
                        }
                    })
                    .collect();
                let mut clean = true;
                while let Some((plan, built, fate)) = under_way.next().await {
                    clean &= matches!(fate, Fate::Stored { clean: true, .. });
                    self.settle(plan, &built, fate, taken);
                }
                clean
            }
        };
        if clean && can_part {
            self.ways.learn(way, messages, begun.elapsed());
        }
    }

    /// Tells the groups of one batch, taken from the queue at that time, what became of it.
    fn settle(&mut self, plan: Plan, built: &Built, fate: Fate, taken: Instant) {
        match fate {
            Fate::Stored { first, .. } => {
                if let Some(message) = built.messages.last() {
                    let count = built.messages.len() as u64;
                    let last = first.0.saturating_add(count).saturating_sub(1);
                    self.carrier.guard.note(Position(last), message.event_id);
                }
                let took = taken.elapsed();
                metrics::histogram!("waybill_append_seconds").record(took.as_secs_f64());
                if let Some(contended) = &plan.contended {
                    self.queue.won(contended, took);
                }
                self.stored(plan, first);
            }
            Fate::Lost(heads) => self.part(plan, &heads, true),
            Fate::Failed(error) => self.fail(plan, &error),
            Fate::NotOurs(unsure) => self.not_ours(plan, unsure),
            Fate::Unknown(why) => self.give_up(plan, &why),
        }
    }

    fn stored(&mut self, plan: Plan, first: Position) {
        let (answers, heads) = plan.stored(first);
        for (subject, head) in heads {
            self.heads.put(subject, head);
        }
        metrics::counter!("waybill_append_groups_total", "result" => "stored")
            .increment(answers.len() as u64);
        for (queued, appended) in answers {
            queued.answer(Ok(appended));
        }
    }

    /// Parts the losers from the others: those go again, at the head of the queue and in their order.
    fn part(&mut self, plan: Plan, heads: &HashMap<Subject, Head>, refused: bool) {
        for (subject, head) in heads {
            match head {
                Some(head) => drop(self.heads.put(subject.clone(), *head)),
                None => drop(self.heads.pop(subject)),
            }
        }
        let (lost, left) = Plan::sift(plan.groups, heads);
        metrics::counter!("waybill_append_groups_total", "result" => "conflict")
            .increment(lost.len() as u64);
        for (queued, conflict) in lost {
            if let AppendError::Conflict { subject, .. } = &conflict
                && refused
            {
                self.queue.mark_contended(subject);
            }
            queued.answer(Err(conflict));
        }
        for mut queued in left.into_iter().rev() {
            queued.rounds += 1;
            if queued.rounds > ROUNDS_MAX {
                let why = format!(
                    "refused {ROUNDS_MAX} times although nothing it expects has moved; nothing was stored"
                );
                queued.answer(Err(AppendError::Unavailable(why)));
                continue;
            }
            self.queue.push_front(queued);
        }
    }

    /// A batch that was refused for good: a lone group is told; of several one may be the reason, and the others must
    /// not pay for it, so each goes again by itself.
    fn fail(&mut self, plan: Plan, error: &AppendError) {
        if plan.groups.len() == 1 {
            return self.answer_all(plan, error);
        }
        for mut queued in plan.groups.into_iter().rev() {
            queued.rounds = ROUNDS_TOGETHER_MAX + 1;
            self.queue.push_front(queued);
        }
    }

    /// The log is another one than that of before, or that cannot be found out.
    fn not_ours(&mut self, plan: Plan, unsure: Unsure) {
        match unsure {
            Unsure::Rewound(rewound) => self.answer_all(plan, &AppendError::Rewound(rewound)),
            Unsure::Away(error) => self.give_up(plan, &format!("{error}; nothing was sent")),
        }
    }

    fn give_up(&mut self, plan: Plan, why: &str) {
        tracing::error!(
            why,
            groups = plan.groups.len(),
            "a batch could not be appended"
        );
        self.answer_all(plan, &AppendError::Unavailable(why.to_owned()));
    }

    fn answer_all(&mut self, plan: Plan, error: &AppendError) {
        metrics::counter!("waybill_append_groups_total", "result" => "failed")
            .increment(plan.groups.len() as u64);
        for subject in plan.subjects() {
            self.heads.pop(&subject);
        }
        for queued in plan.groups {
            queued.answer(Err(error.clone()));
        }
    }
}

impl Carrier {
    /// Carries one batch until its fate is known, or the limit is reached.
    async fn carry(&self, plan: &Plan, built: &Built) -> Fate {
        let begun = Instant::now();
        // Taken before anything is sent: the batch can only be stored behind it, unless in another log.
        let known = self.guard.newest();
        let (mut unclear, mut tries) = (false, 0_u32);
        let mut pause = Duration::from_millis(PAUSE_FIRST_MS);
        loop {
            let tried = match self.try_once(built, unclear).await {
                Tried::Conflict => self.explain(plan, built, unclear).await,
                tried => tried,
            };
            match tried {
                Tried::Stored(first) if first <= known => {
                    return match self.guard.make_sure().await {
                        Err(unsure @ Unsure::Rewound(_)) => Fate::NotOurs(unsure),
                        Ok(()) | Err(Unsure::Away(_)) => Fate::Unknown(format!(
                            "it was stored at {first}, where the log held something already"
                        )),
                    };
                }
                Tried::Stored(first) => {
                    let clean = tries == 0;
                    return Fate::Stored { first, clean };
                }
                Tried::Lost(heads) => return Fate::Lost(heads),
                Tried::Failed(error) => return Fate::Failed(error),
                Tried::NotOurs(unsure) => return Fate::NotOurs(unsure),
                Tried::Conflict if !unclear && begun.elapsed() > REFUSED_IN_FLIGHT_MAX => {
                    return Fate::Unknown(
                        "a write of somebody else stayed in flight; nothing was stored".into(),
                    );
                }
                Tried::Conflict => {}
                Tried::Unclear(why) => {
                    tracing::warn!(
                        why,
                        "the fate of a batch is unclear; looking for it in the log"
                    );
                    unclear = true;
                }
            }
            if begun.elapsed() > BATCH_TRIED_MAX {
                let state = if unclear {
                    "whether it was stored stayed unclear"
                } else {
                    "nothing was stored"
                };
                return Fate::Unknown(format!(
                    "tried for {} s; {state}",
                    BATCH_TRIED_MAX.as_secs()
                ));
            }
            tries += 1;
            metrics::counter!("waybill_append_resends_total").increment(1);
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(PAUSE_MAX_MS));
        }
    }

    /// Why a batch was refused: something it expects has moved, or nothing has and somebody's write is in flight.
    async fn explain(&self, plan: &Plan, built: &Built, unclear: bool) -> Tried {
        if let Some(contended) = &plan.contended
            && !unclear
            && let Ok(heads) = self.ask_heads(std::slice::from_ref(contended)).await
            && plan.expects(contended) != Some(position(&heads, contended))
        {
            // All of them are on it: nobody has to ask for the rest.
            return match self.guard.make_sure().await {
                Err(unsure @ Unsure::Rewound(_)) => Tried::NotOurs(unsure),
                Ok(()) | Err(Unsure::Away(_)) => Tried::Lost(heads),
            };
        }
        let subjects = plan.subjects();
        let (heads, ours) = tokio::join!(self.ask_heads(&subjects), self.guard.make_sure());
        if let Err(unsure @ Unsure::Rewound(_)) = ours {
            return Tried::NotOurs(unsure);
        }
        let heads = match heads {
            Ok(heads) => heads,
            Err(error) => {
                tracing::warn!(%error, "could not look up who lost a refused batch");
                return if unclear {
                    Tried::Unclear(error.to_string())
                } else {
                    Tried::Conflict
                };
            }
        };
        if self.holds(plan, built, &heads) {
            return Tried::Conflict;
        }
        if unclear {
            // What moved may be our own batch, landed after the last look. Only after this look it is somebody else's,
            // and then none of our tries can land any more: their expectation is broken for good.
            match self.look(built).await {
                Ok(Found::Ours(first)) => return Tried::Stored(first),
                Ok(Found::Others | Found::Nothing) => {}
                Err(error) => return Tried::Unclear(error.to_string()),
            }
        }
        Tried::Lost(heads)
    }

    /// One send; after an unclear one the log is looked at first.
    async fn try_once(&self, built: &Built, unclear: bool) -> Tried {
        if unclear {
            // The connection may be another one by now, and lead to another log.
            match self.guard.unless_in_doubt().await {
                Ok(()) => {}
                Err(unsure @ Unsure::Rewound(_)) => return Tried::NotOurs(unsure),
                Err(Unsure::Away(error)) => return Tried::Unclear(error.to_string()),
            }
            match self.look(built).await {
                Ok(Found::Ours(first)) => return Tried::Stored(first),
                Ok(Found::Others) => return Tried::Conflict,
                Ok(Found::Nothing) => {}
                Err(error) => return Tried::Unclear(error.to_string()),
            }
        }
        if !built.unguarded.is_empty() {
            let subjects: Vec<Subject> = built
                .unguarded
                .iter()
                .map(|(subject, _)| subject.clone())
                .collect();
            match self.ask_heads(&subjects).await {
                Ok(heads)
                    if built
                        .unguarded
                        .iter()
                        .all(|(subject, at)| position(&heads, subject) == *at) => {}
                // After an unclear try the batch may be in the log by now, conditions or not.
                Ok(_) if unclear => return Tried::Unclear("a condition no longer holds".into()),
                Ok(_) => return Tried::Conflict,
                Err(error) => return Tried::Unclear(error.to_string()),
            }
        }
        let answer = self.wire.send(&built.messages).await;
        let failed = match answer {
            Answer::Stored(last) => {
                let count = built.messages.len() as u64;
                return Tried::Stored(Position(last.0.saturating_add(1).saturating_sub(count)));
            }
            Answer::Unclear(why) => return Tried::Unclear(why),
            Answer::Conflict => None,
            Answer::Full(why) => Some(AppendError::Full(why)),
            Answer::Refused(why) => Some(AppendError::Refused(why)),
            Answer::TooLarge(why) => {
                tracing::warn!(why, "a batch was too large for the broker");
                let size = built
                    .messages
                    .iter()
                    .map(|message| message.bytes_max())
                    .max()
                    .unwrap_or_default();
                let limit = self.api.client().max_payload();
                Some(AppendError::TooLarge {
                    what: "bytes of a message",
                    size,
                    limit,
                })
            }
        };
        match failed {
            None => Tried::Conflict,
            // An earlier try may have landed, or land yet.
            Some(error) if unclear => Tried::Unclear(error.to_string()),
            Some(error) => Tried::Failed(error),
        }
    }

    /// Looks for a batch in the log. It is stored as a whole, so the first event after the expected position on its
    /// first subject decides: it is ours, or somebody else's, or not there.
    async fn look(&self, built: &Built) -> Result<Found, AskError> {
        let Some(first) = built.messages.first() else {
            return Ok(Found::Nothing);
        };
        let next = self
            .api
            .leader_next(EVENTS, first.subject.as_str(), built.first_expected)
            .await?;
        Ok(match next {
            None => Found::Nothing,
            Some(stored) if stored.event_id() == Some(first.event_id.to_string().as_str()) => {
                Found::Ours(stored.position)
            }
            Some(_) => Found::Others,
        })
    }

    async fn ask_heads(&self, subjects: &[Subject]) -> Result<HashMap<Subject, Head>, AskError> {
        let heads = load::heads(&self.api, subjects, LEADER_ASKS_AT_ONCE).await?;
        Ok(subjects.iter().cloned().zip(heads).collect())
    }

    /// Whether everything the batch expects is what the leader has.
    fn holds(&self, plan: &Plan, built: &Built, heads: &HashMap<Subject, Head>) -> bool {
        let guarded = plan
            .expected()
            .all(|(subject, at)| position(heads, subject) == at);
        guarded
            && built
                .unguarded
                .iter()
                .all(|(subject, at)| position(heads, subject) == *at)
    }
}

/// What became of a batch.
enum Fate {
    /// It is stored, from this position on; clean when nothing had to be asked or sent again.
    Stored { first: Position, clean: bool },
    /// It is not stored and never will be: this is what the leader has instead of what it expects.
    Lost(HashMap<Subject, Head>),
    /// It is not stored, and the same batch never will be.
    Failed(AppendError),
    /// The log is not the one that the batch is meant for.
    NotOurs(Unsure),
    /// Nobody knows, in the time that there is; the text says how far it came.
    Unknown(String),
}

/// What one try of a batch led to.
enum Tried {
    /// It is stored, from this position on.
    Stored(Position),
    /// It was refused because of an expectation, or a write in flight.
    Conflict,
    /// It is not stored and never will be: this is what the leader has instead of what it expects.
    Lost(HashMap<Subject, Head>),
    /// It may be stored, or be stored yet.
    Unclear(String),
    /// It is not stored, and the same batch never will be.
    Failed(AppendError),
    /// The log is not the one that the batch is meant for.
    NotOurs(Unsure),
}

fn position(heads: &HashMap<Subject, Head>, subject: &Subject) -> Position {
    heads
        .get(subject)
        .copied()
        .flatten()
        .map_or(Position(0), |last| last.position)
}

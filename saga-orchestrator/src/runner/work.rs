//! Works one saga: reads where it stands, runs the effect that is open, feeds what came of it to the decider, and
//! goes on until it has to wait for somebody or something.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::fulfilment::{
    self, Fulfilment, Input, Pending, Phase, Saga, Stage, Step, StepState, carries,
};
use domain::inventory::Inventory;
use domain::payment::{self, Payment};
use event_schema::ids::{EffectId, OrderId};
use event_schema::order::PaymentMethod;
use event_schema::{Actor, EventSet, Metadata, Position, Recorded, Subject, Timestamp, Version};
use event_store::Freshness;
use event_store::topology::EVENTS;
use service_kit::telemetry::traces::{self, TRACE_TARGET};
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::audit::audit;
use super::call::{self, Asked, Intent};
use super::failure::Failure;
use super::reaction::{command_id, decide};
use super::slots::{Ended, FirstCall, Job, SetAside};
use super::{Context, answer};
use crate::effect::{self, Looked, Outcome, Past, Task};
use crate::provider::Call;
use crate::status::SagaStatus;
use crate::status::vocabulary::vocabulary;
use crate::view;

/// Most that is done for one saga in one go; then others have their turn.
const ROUNDS_MAX: u32 = 16;
/// A saga that wants to go on at once waits at least this long when its turn is over.
const TURN_PAUSE: Duration = Duration::from_millis(50);
/// While a customer is on the provider's page the callback is what tells; this is for one that never comes.
const CUSTOMER_POLL_FIRST: Duration = Duration::from_secs(15);
const CUSTOMER_POLL_MAX: Duration = Duration::from_secs(5 * 60);

/// Older openings of an authorisation that are looked up after the end, at most.
const OLDER_OPENINGS_MAX: usize = 9;

/// A look, and no call: somebody may have called, however often.
const LOOKED: Past = Past::MaybeCalled { tries: 0 };

/// What a worker hands back.
pub(super) struct Report {
    /// The newest event of the saga's order that was seen.
    pub(super) worked: Position,
    /// An effect whose call was certainly never sent. Lost with the process, which costs a look-up and nothing else.
    pub(super) unsent: Option<FirstCall>,
    pub(super) result: Result<Ended, Failure>,
}

/// A saga and its payment at one moment.
struct Now {
    saga: std::sync::Arc<fulfilment::State>,
    payment: std::sync::Arc<payment::State>,
    /// The saga's last event.
    last: Recorded,
}

/// Works a saga as far as it goes.
pub(super) async fn work(context: &Context, order: Uuid, job: Job) -> Report {
    let mut worker = Worker {
        context,
        order,
        at_least: job.at_least,
        first_call: job.first_call,
        look_up: job.look_up,
    };
    let mut worked = Position(0);
    let result = match worker.may_go(job.set_aside).await {
        Ok(()) => worker.go(&mut worked).await,
        Err(failure) => Err(failure),
    };
    if result.is_ok() {
        worked = worked.max(job.at_least);
    }
    Report {
        worked,
        // A failure in between leaves no certainty.
        unsent: worker.first_call.filter(|_| result.is_ok()),
        result,
    }
}

struct Worker<'a> {
    context: &'a Context,
    order: Uuid,
    at_least: Position,
    first_call: Option<FirstCall>,
    look_up: bool,
}

impl Worker<'_> {
    /// A saga that was set aside is only read first. It is worked again if it has ended, which needs nothing from anybody,
    /// or if it can be read at last; what is wrong with its handling is for a person to judge.
    async fn may_go(&self, set_aside: Option<SetAside>) -> Result<(), Failure> {
        let Some(set_aside) = set_aside else {
            return Ok(());
        };
        let executor = &self.context.executor;
        let fresh = Freshness::AtLeast(self.at_least);
        let saga = executor.load::<Fulfilment>(self.order, fresh).await?;
        let has_ended = saga.state.saga().is_some_and(Saga::has_ended);
        match set_aside {
            SetAside::Handling if !has_ended => Err(Failure::StillSetAside),
            SetAside::Handling | SetAside::Reading => Ok(()),
        }
    }

    async fn go(&mut self, worked: &mut Position) -> Result<Ended, Failure> {
        let mut freshness = Freshness::AtLeast(self.at_least);
        let mut was_under_way = false;
        for round in 0..ROUNDS_MAX {
            if round > 0 && self.context.draining.load(Ordering::SeqCst) {
                break;
            }
            let Some(now) = self.look(freshness).await? else {
                return Ok(Ended::Over);
            };
            let Some(saga) = now.saga.saga() else {
                return Ok(Ended::Over);
            };
            // What landed while money was put back was told to a saga that was busy with that: one more look.
            if was_under_way && matches!(saga.stage, Stage::Compensated { .. }) {
                self.look_up |= self.was_told_while_unwinding(&now).await?;
            }
            was_under_way = !saga.has_ended();
            // One that has ended needs nothing from anybody, whatever it ran under.
            if !carries(&saga.def) && (!saga.has_ended() || self.look_up) {
                return Err(Failure::Newer(format!(
                    "it runs under the definition {}",
                    saga.def
                )));
            }
            if saga.provider != self.context.provider.id() {
                return Err(Failure::Poisoned(format!(
                    "its money is asked for at the provider {:?}, and this process is set up for {:?}",
                    saga.provider,
                    self.context.provider.id()
                )));
            }
            *worked = (*worked).max(now.last.position);
            let span = turn_span(self.order, saga, &now.last);
            match self.one_turn(&now, saga).instrument(span).await? {
                Turn::Again => {}
                Turn::Done(ended) => return Ok(ended),
            }
            // What we have just appended is in our own cache; if somebody else was faster, the next append tells.
            freshness = Freshness::Any;
        }
        Ok(Ended::Waits(Some(self.context.clock.now() + TURN_PAUSE)))
    }

    /// Shows where the saga stands, and does one thing for it.
    async fn one_turn(&mut self, now: &Now, saga: &Saga) -> Result<Turn, Failure> {
        // Shown before the effect is run: a call may take its time.
        self.put_up(now);
        audit(
            self.context,
            self.order,
            saga,
            &now.payment,
            now.last.position,
        )
        .await;
        match self.turn(now, saga).await? {
            Turn::Done(Ended::Waits(due)) => self.unless_hold_is_over(now, saga, due).await,
            turn => Ok(turn),
        }
    }

    async fn look(&self, freshness: Freshness) -> Result<Option<Now>, Failure> {
        let executor = &self.context.executor;
        let saga = executor.load::<Fulfilment>(self.order, freshness).await?;
        let Some(position) = saga.position else {
            return Ok(None);
        };
        let payment = executor.load::<Payment>(self.order, freshness).await?;
        let last = executor.store().seen_at(position).await?;
        let last = last.ok_or_else(|| {
            Failure::Unavailable(format!("position {position} is not to be seen yet"))
        })?;
        Ok(Some(Now {
            saga: saga.state,
            payment: payment.state,
            last,
        }))
    }

    /// One thing to do, or to wait for.
    async fn turn(&mut self, now: &Now, saga: &Saga) -> Result<Turn, Failure> {
        let look_up = std::mem::take(&mut self.look_up);
        match (&saga.stage, &saga.pending, &saga.stuck) {
            (Stage::Completed, ..) => {
                if look_up && self.was_told_of_a_refund(now).await? {
                    return self.look_for_refund(now, saga).await;
                }
                Ok(Turn::Done(Ended::Over))
            }
            (Stage::Compensated { .. } | Stage::Closed(_), ..) => {
                // A success may have arrived after everything was put back, or after a person had ended it.
                if look_up {
                    return self.look_after_the_end(now, saga).await;
                }
                Ok(Turn::Done(Ended::Over))
            }
            (_, Some(pending), _) => self.pending(now, saga, pending, look_up).await,
            (_, None, Some(stuck)) => {
                let waits = Turn::Done(Ended::Waits(None));
                match &stuck.open {
                    Some(open) if look_up => {
                        self.look_at_provider(now, saga, open.step, open.effect_id, waits)
                            .await
                    }
                    _ => Ok(waits),
                }
            }
            (_, None, None) => Ok(Turn::Done(Ended::Waits(None))),
        }
    }

    /// Whether the provider has told something since the saga last began to unwind.
    async fn was_told_while_unwinding(&self, now: &Now) -> Result<bool, Failure> {
        let store = self.context.executor.store();
        let fresh = Freshness::AtLeast(now.last.position);
        let newest = async |aggregate: &str, event_type: &str| {
            let subject = Subject::history(aggregate, self.order);
            let history = store.load(&subject, Version::NONE, None, fresh).await?;
            let mut events = history.events.iter().rev();
            let found = events.find(|event| event.event_type == event_type);
            Ok::<_, Failure>(found.map(|event| event.position))
        };
        let Some(began) = newest("fulfilment", "fulfilment.unwinding_began").await? else {
            return Ok(false);
        };
        let told = newest("payment", "payment.callback_recorded").await?;
        Ok(told.is_some_and(|told| told > began))
    }

    /// Whether the newest that the provider has told of the payment is about money given back.
    async fn was_told_of_a_refund(&self, now: &Now) -> Result<bool, Failure> {
        let subject = Subject::history(payment::Event::AGGREGATE, self.order);
        let fresh = Freshness::AtLeast(self.at_least.max(now.last.position));
        let store = self.context.executor.store();
        let history = store.load(&subject, Version::NONE, None, fresh).await?;
        let mut told = history.events.iter().rev();
        let Some(newest) = told.find(|event| event.event_type == "payment.callback_recorded")
        else {
            return Ok(false);
        };
        let read =
            payment::Event::decode(&newest.event_type, newest.schema_version, &newest.payload);
        match read {
            Ok(payment::Event::CallbackRecorded(told)) => Ok(told.kind.contains("refund")),
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// The order is paid and its saga has ended: what somebody gave back past the shop enters the books.
    async fn look_for_refund(&mut self, now: &Now, saga: &Saga) -> Result<Turn, Failure> {
        let over = Turn::Done(Ended::Over);
        let step = Step::Capture;
        let capture = saga.step(step).and_then(|record| record.effect_id);
        let paid = now.payment.provider_payment_id.clone();
        let (Some(effect), Some(payment_id)) = (capture, paid) else {
            return Ok(over);
        };
        let intent = self.intent(effect, now).await?;
        let (call, _) = self.task(now, saga, step, effect, intent, LOOKED).await?;
        metrics::counter!("waybill_saga_lookups_total", "step" => Step::Refund.as_str())
            .increment(1);
        let started = std::time::Instant::now();
        let looked = effect::look_for_refund(&*self.context.provider, &call, &payment_id).await;
        if let Looked::Found(outcome) = &looked {
            self.told(Step::Refund, effect, outcome, started.elapsed());
        }
        self.heard(now, saga, Step::Refund, effect, looked, over)
            .await
    }

    /// Money that was given back is looked up, because the customer's bank may have returned it; and every opening of the
    /// authorisation, the newest first: what seemed never to have happened under an older one may have landed since.
    async fn look_after_the_end(&mut self, now: &Now, saga: &Saga) -> Result<Turn, Failure> {
        let refund = saga
            .step(Step::Refund)
            .filter(|record| record.state == StepState::Done)
            .and_then(|record| record.effect_id);
        if let Some(refund) = refund {
            let nothing = Turn::Done(Ended::Over);
            if let Turn::Again = self
                .look_at_provider(now, saga, Step::Refund, refund, nothing)
                .await?
            {
                return Ok(Turn::Again);
            }
        }
        let step = Step::Authorise;
        let Some((opening, newest)) = saga
            .step(step)
            .and_then(|record| Some((record.opening, record.effect_id?)))
        else {
            return Ok(Turn::Done(Ended::Over));
        };
        let order = OrderId(self.order);
        let older = (1..opening)
            .rev()
            .take(OLDER_OPENINGS_MAX)
            .map(|opening| EffectId::of(order, step.as_str(), opening));
        for effect in std::iter::once(newest).chain(older) {
            let nothing = Turn::Done(Ended::Over);
            if let Turn::Again = self
                .look_at_provider(now, saga, step, effect, nothing)
                .await?
            {
                return Ok(Turn::Again);
            }
        }
        Ok(Turn::Done(Ended::Over))
    }

    /// While a saga waits it may be the end of its hold that comes first.
    async fn unless_hold_is_over(
        &mut self,
        now: &Now,
        saga: &Saga,
        due: Option<Timestamp>,
    ) -> Result<Turn, Failure> {
        let waits = |due| Ok(Turn::Done(Ended::Waits(due)));
        let goes_forward = matches!(saga.stage, Stage::Running) && saga.is_past_no_return();
        let (false, true, Some(line)) = (goes_forward, holds(saga), saga.lines.first()) else {
            return waits(due);
        };
        let executor = &self.context.executor;
        let product = line.product_id.uuid();
        let stock = executor.load::<Inventory>(product, Freshness::Any).await?;
        let Some(hold) = stock.state.holds.get(&OrderId(self.order)) else {
            return waits(due);
        };
        if hold.expires_at > self.context.clock.now() {
            return waits(Some(
                due.map_or(hold.expires_at, |due| due.min(hold.expires_at)),
            ));
        }
        let effect = EffectId::of(OrderId(self.order), Step::Hold.as_str(), 1);
        match self
            .feed(now, Step::Hold, effect, 1, Input::HoldExpired)
            .await?
        {
            Turn::Again => Ok(Turn::Again),
            Turn::Done(_) => waits(due),
        }
    }

    async fn pending(
        &mut self,
        now: &Now,
        saga: &Saga,
        pending: &Pending,
        look_up: bool,
    ) -> Result<Turn, Failure> {
        let clock = self.context.clock.now();
        let (step, effect) = (pending.step, pending.effect_id);
        let until = pending.phase.until();
        match pending.phase {
            Phase::InFlight { .. } => self.run(now, saga, pending).await,
            Phase::Backoff { .. } if clock >= until => self.run(now, saga, pending).await,
            Phase::Backoff { .. } if look_up => {
                self.look_at_provider(
                    now,
                    saga,
                    step,
                    effect,
                    Turn::Done(Ended::Waits(Some(until))),
                )
                .await
            }
            Phase::Backoff { .. } => Ok(Turn::Done(Ended::Waits(Some(until)))),
            Phase::AwaitingCustomer { .. } => {
                // Paid in the last moment counts, so the provider is asked before the time is declared over.
                let over = clock >= until;
                let next = poll_after(clock, now.last.metadata.occurred_at, until);
                let waits = Turn::Done(Ended::Waits(Some(next)));
                let asks =
                    look_up || over || clock >= now.last.metadata.occurred_at + CUSTOMER_POLL_FIRST;
                let turn = match asks {
                    true => self.look_at_provider(now, saga, step, effect, waits).await,
                    false => Ok(waits),
                };
                match turn {
                    // A provider that cannot be asked does not stop the clock: what was paid is let go.
                    Ok(Turn::Done(_)) | Err(Failure::Unavailable(_)) if over => {
                        self.feed(now, step, effect, pending.attempt, Input::DeadlinePassed)
                            .await
                    }
                    turn => turn,
                }
            }
        }
    }

    /// Runs the open effect's next try and feeds what came of it.
    async fn run(&mut self, now: &Now, saga: &Saga, pending: &Pending) -> Result<Turn, Failure> {
        if !self.context.pulse.is_felt() {
            return Err(Failure::Unavailable(
                "others may have taken this share over".into(),
            ));
        }
        // A second try of the same effect is never a first call, whoever says so: an operator's retry records the
        // same intent again.
        let first = self.first_call.take().filter(|first| {
            first.effect_id == pending.effect_id && (pending.attempt == 1 || first.certain)
        });
        let (past, intent) = match first {
            Some(first) => (Past::FirstCall, Intent::now(first.intended_at)),
            None => {
                let tries = pending.attempt.saturating_sub(1);
                let intent = self.intent(pending.effect_id, now).await?;
                (Past::MaybeCalled { tries }, intent)
            }
        };
        let (call, task) = self
            .task(now, saga, pending.step, pending.effect_id, intent, past)
            .await?;
        if past != Past::FirstCall {
            metrics::counter!("waybill_saga_lookups_total", "step" => pending.step.as_str())
                .increment(1);
        }
        let started = std::time::Instant::now();
        let outcome = effect::run(
            &*self.context.provider,
            &call,
            &task,
            past,
            self.context.clock.now(),
        )
        .await;
        self.told(pending.step, pending.effect_id, &outcome, started.elapsed());
        if let (Past::FirstCall, Outcome::Retry { .. }) = (past, &outcome) {
            // Certainly not done: the next try is as good as the first.
            self.first_call = Some(FirstCall {
                effect_id: pending.effect_id,
                intended_at: intent.first,
                certain: true,
            });
        }
        let (step, effect, attempt) = (pending.step, pending.effect_id, pending.attempt);
        self.feed(
            now,
            step,
            effect,
            attempt,
            answer::input(step, effect, outcome),
        )
        .await
    }

    /// Reads the truth at the provider, after a callback or in doubt, and feeds it; `otherwise`: nothing came of it.
    async fn look_at_provider(
        &mut self,
        now: &Now,
        saga: &Saga,
        step: Step,
        effect_id: EffectId,
        otherwise: Turn,
    ) -> Result<Turn, Failure> {
        let intent = self.intent(effect_id, now).await?;
        let (call, task) = self
            .task(now, saga, step, effect_id, intent, LOOKED)
            .await?;
        metrics::counter!("waybill_saga_lookups_total", "step" => step.as_str()).increment(1);
        let started = std::time::Instant::now();
        let looked = effect::look_up(&*self.context.provider, &call, &task).await;
        if let Looked::Found(outcome) = &looked {
            self.told(step, effect_id, outcome, started.elapsed());
        }
        self.heard(now, saga, step, effect_id, looked, otherwise)
            .await
    }

    /// Feeds what a look at the provider has shown.
    async fn heard(
        &mut self,
        now: &Now,
        saga: &Saga,
        step: Step,
        effect_id: EffectId,
        looked: Looked,
        otherwise: Turn,
    ) -> Result<Turn, Failure> {
        let outcome = match looked {
            Looked::Found(outcome) => outcome,
            Looked::Nothing => return Ok(otherwise),
            Looked::Failed(reason) => {
                return Err(Failure::Unavailable(format!(
                    "the provider could not be asked: {reason}"
                )));
            }
        };
        if matches!(outcome, Outcome::Unknown { .. } | Outcome::Retry { .. }) {
            return Ok(otherwise);
        }
        let attempt = saga
            .step(step)
            .map_or(1, |record| record.tries.saturating_add(1));
        match self
            .feed(
                now,
                step,
                effect_id,
                attempt,
                answer::input(step, effect_id, outcome),
            )
            .await?
        {
            Turn::Again => Ok(Turn::Again),
            Turn::Done(_) => Ok(otherwise),
        }
    }

    fn told(&self, step: Step, effect: EffectId, outcome: &Outcome, took: Duration) {
        let word = answer::word(outcome);
        metrics::counter!("waybill_saga_effects_total", "step" => step.as_str(), "outcome" => word)
            .increment(1);
        metrics::histogram!("waybill_saga_effect_seconds", "step" => step.as_str())
            .record(took.as_secs_f64());
        tracing::debug!(order.id = %self.order, saga.step = step.as_str(), effect.id = %effect, outcome = word, took_ms = took.as_millis(), "an effect's try ended");
    }

    /// Decides one input and appends what comes of it: all of it, or nothing.
    async fn feed(
        &mut self,
        now: &Now,
        step: Step,
        effect: EffectId,
        attempt: u32,
        input: Input,
    ) -> Result<Turn, Failure> {
        let context = self.context;
        let order = self.order;
        let at = context.clock.now();
        let command = command_id(order, step, effect, attempt, &input);
        let mut metadata = Metadata::caused_by(&now.last, command, Actor::saga(), at);
        // The trace goes on from this turn; where this process traces nothing, from whoever does.
        metadata.traceparent = traces::traceparent().or(metadata.traceparent);
        // Saga and payment were just read with at least the event this reacts to, and are warm. Stock and order may be
        // taken as they are remembered, even while sales of this process are on their way: the batch expects their
        // versions, and where nothing is appended the answer is checked with the leader. Asking for a position here
        // would make every sale of a product wait until the one before is stored.
        let executed = context
            .executor
            .execute(metadata, None, |work| {
                decide(work, order, &input, at, &context.policy)
            })
            .await?;
        if let Some(effect_id) = executed.value {
            // Ours to call: nobody can have seen the intent before us but somebody who would look first.
            self.first_call = Some(FirstCall {
                effect_id,
                intended_at: at,
                certain: true,
            });
        }
        if executed.appended {
            return Ok(Turn::Again);
        }
        // Nothing new in it, though something was due: whoever was faster is shown by a fresh look.
        Ok(Turn::Done(Ended::Waits(Some(
            context.clock.now() + TURN_PAUSE * 5,
        ))))
    }

    async fn intent(&self, effect: EffectId, now: &Now) -> Result<Intent, Failure> {
        call::intent(self.context, self.order, effect, now.last.position).await
    }

    /// The call and what it is about, from what the histories know.
    async fn task(
        &self,
        now: &Now,
        saga: &Saga,
        step: Step,
        effect: EffectId,
        intent: Intent,
        past: Past,
    ) -> Result<(Call, Task), Failure> {
        let authorised = saga.step(Step::Authorise).and_then(|step| step.effect_id);
        let authorisation = match authorised.filter(|_| step == Step::Void) {
            Some(effect) => Some((effect, self.intent(effect, now).await?)),
            None => None,
        };
        let by_card = matches!(saga.method, PaymentMethod::Card { .. });
        let searches = match step {
            Step::Authorise => past != Past::FirstCall,
            // It looks for what the authorisation may have made.
            Step::Void => true,
            Step::Hold | Step::Capture | Step::Commit | Step::Release | Step::Refund => false,
        };
        let told = if by_card && searches && now.payment.provider_payment_id.is_none() {
            call::told_payments(self.context, self.order, now.last.position).await?
        } else {
            Vec::new()
        };
        let asked = Asked {
            order: OrderId(self.order),
            saga,
            payment: &now.payment,
            authorisation,
            told,
        };
        asked.for_step(step, effect, intent)
    }

    fn put_up(&self, now: &Now) {
        let (last, metadata) = (now.last.position, &now.last.metadata);
        if let Some(shown) = view::show(
            self.order,
            &now.saga,
            &now.payment,
            last,
            metadata.occurred_at,
        ) {
            let read_by = Some(vocabulary().to_owned());
            self.context.board.put(SagaStatus { read_by, ..shown });
        }
    }
}

/// The span of a turn, in the trace of what made the saga go on.
fn turn_span(order: Uuid, saga: &Saga, last: &Recorded) -> Span {
    let step = saga.pending.as_ref().map(|pending| pending.step.as_str());
    let span = tracing::info_span!(
        target: TRACE_TARGET, "saga turn", otel.kind = "consumer",
        messaging.system = "nats", messaging.destination.name = EVENTS,
        order.id = %order, saga.step = step, waybill.event = last.event_type, waybill.position = last.position.0,
    );
    traces::follow(&span, last.metadata.traceparent.as_deref());
    span
}

/// Whether units are put aside for it.
fn holds(saga: &Saga) -> bool {
    let done = |step| {
        saga.step(step)
            .is_some_and(|record| record.state == StepState::Done)
    };
    done(Step::Hold) && !done(Step::Commit) && !done(Step::Release)
}

enum Turn {
    /// Something was recorded; look again.
    Again,
    /// Nothing more to do now.
    Done(Ended),
}

/// The next look at a customer who is on the provider's page: later and later, and at the end of his time.
fn poll_after(now: Timestamp, since: Timestamp, until: Timestamp) -> Timestamp {
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO);
    let pause = waited.clamp(CUSTOMER_POLL_FIRST, CUSTOMER_POLL_MAX);
    (now + pause).min(until).max(now + TURN_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_customer_is_looked_after_later_and_later_and_at_the_end_of_his_time() {
        let (since, until) = (at(0), at(900));
        assert_eq!(poll_after(at(0), since, until), at(15));
        assert_eq!(poll_after(at(60), since, until), at(120));
        assert_eq!(poll_after(at(500), since, until), at(800));
        assert_eq!(poll_after(at(890), since, until), until);
        assert!(poll_after(at(950), since, until) > at(950));
    }
}

//! One message, a step further: which provider is asked, what is recorded before and after, and what an attempt without
//! an outcome means.

use std::sync::Arc;
use std::time::Duration;

use domain::customer::{Customer, DropPushToken};
use domain::notification::policy::{LOOK_UP_AFTER, deadline};
use domain::notification::{
    Answer, Attempt, Delivery, EndAttempt, GiveUp, Notification, Recovery, Rejection, Stage,
};
use domain::partner::{DisableWebhook, Partner};
use event_schema::ids::{CommandId, DeliveryId, derived};
use event_schema::notification::{Outcome as Ended, Recipient, Status};
use event_schema::{Actor, Decider, Metadata, Position, Timestamp};
use event_store::{ExecuteError, Freshness, LoadError, Refusal, Stop};
use uuid::Uuid;

use crate::circuit::Pass;
use crate::compose::{Composed, Uncomposed, compose};
use crate::context::Context;
use crate::port::{Address, Found, Outcome, Outgoing, Provider};

/// Pause before the log is asked again after it could not be reached; doubles up to the most.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What passes before something that cannot be done now is looked at again.
const NOT_NOW: Duration = Duration::from_secs(2);
/// A provider bounds its calls itself; one that does not must not keep a place for ever.
const CALL_MAX: Duration = Duration::from_secs(120);

/// What becomes of a message that was carried a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    /// It is over.
    Over,
    /// It goes on after this long.
    Again(Duration),
}

/// What was decided about a step.
enum Step {
    Done(Carried),
    /// The provider is asked for the attempt of this number.
    Send(Arc<dyn Provider>, Pass),
    /// The provider is asked whether it has the message of the latest attempt.
    LookUp(Arc<dyn Provider>),
    /// The latest attempt is nobody's any more; what its provider offers decides what follows.
    Orphan(Recovery),
    /// Nothing more can be done.
    GiveUp(Status, &'static str),
}

/// Who is asked, once the address is known.
enum Serving {
    By(Arc<dyn Provider>, Pass),
    /// Whoever could is left alone for now.
    Later(Duration),
    /// None of those who may carry it reaches such an address.
    Nobody,
}

/// A message in somebody's hands.
pub(crate) struct Carrier {
    pub(crate) context: Arc<Context>,
    pub(crate) history: Uuid,
    /// Where in the log it was intended.
    pub(crate) position: Position,
    pub(crate) id: DeliveryId,
}

impl Carrier {
    /// Carries the message a step further. Whatever happens, no provider is asked before that is recorded.
    pub(crate) async fn carry(&self) -> Carried {
        match self.try_carry().await {
            Ok(carried) => carried,
            Err(error) => {
                tracing::warn!(
                    notification.delivery_id = %self.id, %error,
                    "a message could not be carried on now"
                );
                Carried::Again(NOT_NOW)
            }
        }
    }

    async fn try_carry(&self) -> Result<Carried, CarryError> {
        let state = self.load::<Notification>(self.history).await?;
        let Some(delivery) = state.delivery(self.id) else {
            return Ok(Carried::Over);
        };
        match self.step(delivery) {
            Step::Done(carried) => Ok(carried),
            Step::GiveUp(status, cause) => self.give_up(status, cause).await,
            Step::Orphan(recovery) => {
                let answer = unknown("owner_gone");
                self.end(delivery, delivery.attempts, answer, recovery)
                    .await
            }
            Step::Send(provider, pass) => self.send(delivery, &provider, pass).await,
            Step::LookUp(provider) => self.look_up(delivery, &provider).await,
        }
    }

    fn step(&self, delivery: &Delivery) -> Step {
        let now = self.context.clock.now();
        match &delivery.stage {
            Stage::Settled(_) => Step::Done(Carried::Over),
            Stage::Waiting {
                not_before,
                provider,
            } => {
                if let Some(wait) = not_before.and_then(|at| until(at, now)) {
                    return Step::Done(Carried::Again(wait));
                }
                if now >= deadline(&delivery.intent) {
                    return Step::GiveUp(Status::Failed, "out_of_time");
                }
                self.turn(delivery, provider.as_deref())
            }
            Stage::Unclear { provider, retry_at } => {
                if let Some(wait) = retry_at.and_then(|at| until(at, now)) {
                    return Step::Done(Carried::Again(wait));
                }
                self.clear_up(delivery, provider, now)
            }
            Stage::Underway { provider, at } => {
                let Some(known) = self.provider(delivery, provider) else {
                    return Step::Orphan(Recovery::Nothing);
                };
                match known.recovery() {
                    // What was on its way when its owner died may still arrive.
                    Recovery::LookUp => match until(later(*at, LOOK_UP_AFTER), now) {
                        Some(wait) => Step::Done(Carried::Again(wait.min(LOOK_UP_AFTER))),
                        None => Step::LookUp(Arc::clone(known)),
                    },
                    recovery => Step::Orphan(recovery),
                }
            }
        }
    }

    /// Whose turn it is: who was named, else the next in order that is not left alone for now.
    fn turn(&self, delivery: &Delivery, named: Option<&str>) -> Step {
        let order = &delivery.intent.providers;
        let first = named.and_then(|named| order.iter().position(|name| name == named));
        let (before, after) = order.split_at(first.unwrap_or_default());
        let mut soonest: Option<Duration> = None;
        for name in after.iter().chain(before) {
            let Some(provider) = self.provider(delivery, name) else {
                continue;
            };
            let circuits = &self.context.circuits;
            match circuits.admit(provider.channel(), provider.name()) {
                Ok(pass) => return Step::Send(Arc::clone(provider), pass),
                Err(wait) => soonest = Some(soonest.map_or(wait, |known| known.min(wait))),
            }
        }
        match soonest {
            Some(wait) => Step::Done(Carried::Again(wait)),
            None => Step::GiveUp(Status::Failed, "no_provider"),
        }
    }

    /// The last attempt's outcome is unknown, and it is time to look into it.
    fn clear_up(&self, delivery: &Delivery, provider: &str, now: Timestamp) -> Step {
        let Some(provider) = self.provider(delivery, provider) else {
            return Step::GiveUp(Status::Unknown, "no_provider");
        };
        let since = delivery
            .unclear
            .as_ref()
            .map_or(now, |unclear| unclear.since);
        match provider.recovery() {
            Recovery::LookUp => Step::LookUp(Arc::clone(provider)),
            Recovery::Key { lives } if now >= later(since, lives / 2) => {
                Step::GiveUp(Status::Unknown, "key_expired")
            }
            Recovery::Nothing if !delivery.intent.allow_duplicates => {
                Step::GiveUp(Status::Unknown, "unknown")
            }
            Recovery::Key { .. } | Recovery::Nothing => {
                let circuits = &self.context.circuits;
                match circuits.admit(provider.channel(), provider.name()) {
                    Ok(pass) => Step::Send(Arc::clone(provider), pass),
                    Err(wait) => Step::Done(Carried::Again(wait)),
                }
            }
        }
    }

    async fn send(
        &self,
        delivery: &Delivery,
        provider: &Arc<dyn Provider>,
        pass: Pass,
    ) -> Result<Carried, CarryError> {
        let Composed { to, content, used } = match compose(&self.context, delivery, self.position)
            .await
        {
            Ok(composed) => composed,
            Err(Uncomposed::Nowhere(cause)) => return self.give_up(Status::Rejected, cause).await,
            Err(Uncomposed::NotNow(why)) => return Err(CarryError::NotNow(why)),
        };
        let (provider, pass) = match self.serving(delivery, provider, pass, &to) {
            Serving::By(provider, pass) => (provider, pass),
            Serving::Later(wait) => return Ok(Carried::Again(wait)),
            Serving::Nobody => return self.give_up(Status::Rejected, "no_provider").await,
        };
        let attempt = delivery.attempts.saturating_add(1);
        let now = self.context.clock.now();
        if !self.context.pulse.is_felt() {
            return Ok(Carried::Again(NOT_NOW));
        }
        let recorded = Attempt {
            delivery_id: self.id,
            attempt,
            provider: provider.name().to_owned(),
            now,
        };
        if let Some(rejection) = self.record_at_last(recorded.into()).await? {
            // Somebody else is at it, or was.
            return Ok(self.overtaken(&rejection));
        }
        let message = outgoing(delivery, attempt, to, content);
        // Asked again after the record: the process may have slept while it was written.
        let outcome = if self.context.pulse.is_felt() {
            let call = tokio::time::timeout(CALL_MAX, provider.send(&message));
            call.await.unwrap_or_else(|_| Outcome::Unknown {
                cause: "no_answer".to_owned(),
            })
        } else {
            pass_back()
        };
        pass.report(outcome.speaks_for_the_provider());
        let (answer, gone) = answer_of(outcome);
        count(delivery, provider.as_ref(), answer.outcome);
        let carried = self
            .end(delivery, attempt, answer, provider.recovery())
            .await?;
        if gone {
            self.is_gone(delivery, used).await;
        }
        Ok(carried)
    }

    /// Who reaches the address: the one whose turn it is, else the first in order that does.
    fn serving(
        &self,
        delivery: &Delivery,
        turn: &Arc<dyn Provider>,
        pass: Pass,
        to: &Address,
    ) -> Serving {
        if turn.serves(to) {
            return Serving::By(Arc::clone(turn), pass);
        }
        let mut soonest: Option<Duration> = None;
        for name in &delivery.intent.providers {
            let Some(provider) = self.provider(delivery, name).filter(|one| one.serves(to)) else {
                continue;
            };
            match self
                .context
                .circuits
                .admit(provider.channel(), provider.name())
            {
                Ok(pass) => return Serving::By(Arc::clone(provider), pass),
                Err(wait) => soonest = Some(soonest.map_or(wait, |known| known.min(wait))),
            }
        }
        soonest.map_or(Serving::Nobody, Serving::Later)
    }

    async fn look_up(
        &self,
        delivery: &Delivery,
        provider: &Arc<dyn Provider>,
    ) -> Result<Carried, CarryError> {
        let Composed { to, content, .. } =
            match compose(&self.context, delivery, self.position).await {
                Ok(composed) => composed,
                // Nobody can be asked without the address; it may have been sent.
                Err(Uncomposed::Nowhere(cause)) => {
                    let answer = unknown(cause);
                    return self
                        .end(delivery, delivery.attempts, answer, Recovery::Nothing)
                        .await;
                }
                Err(Uncomposed::NotNow(why)) => return Err(CarryError::NotNow(why)),
            };
        let message = outgoing(delivery, delivery.attempts, to, content);
        let asked = tokio::time::timeout(CALL_MAX, provider.look_up(&message)).await;
        let answer = match asked.unwrap_or(Found::Unknown) {
            Found::Sent { provider_id } => Answer {
                outcome: Ended::Sent,
                provider_id,
                cause: Some("looked_up".to_owned()),
                retry_after: None,
            },
            Found::NotSent => Answer {
                outcome: Ended::Transient,
                provider_id: None,
                cause: Some("not_sent".to_owned()),
                retry_after: None,
            },
            Found::Unknown => unknown("not_known_yet"),
        };
        count(delivery, provider.as_ref(), answer.outcome);
        self.end(delivery, delivery.attempts, answer, provider.recovery())
            .await
    }

    fn provider(&self, delivery: &Delivery, name: &str) -> Option<&Arc<dyn Provider>> {
        self.context.providers.find(delivery.intent.channel, name)
    }

    /// Records what came of an attempt, and says what becomes of the message.
    async fn end(
        &self,
        delivery: &Delivery,
        attempt: u32,
        answer: Answer,
        recovery: Recovery,
    ) -> Result<Carried, CarryError> {
        let end = EndAttempt {
            delivery_id: self.id,
            attempt,
            answer,
            recovery,
            now: self.context.clock.now(),
        };
        if let Some(rejection) = self.record_at_last(end.into()).await? {
            return Ok(self.overtaken(&rejection));
        }
        let state = self.load::<Notification>(self.history).await?;
        let now = self.context.clock.now();
        let again = |at: Option<Timestamp>| {
            Carried::Again(at.and_then(|at| until(at, now)).unwrap_or_default())
        };
        Ok(
            match state.delivery(self.id).map(|delivery| &delivery.stage) {
                None => Carried::Over,
                Some(Stage::Settled(status)) => {
                    self.told(delivery, *status);
                    Carried::Over
                }
                Some(Stage::Waiting { not_before, .. }) => again(*not_before),
                Some(Stage::Unclear { retry_at, .. }) => again(*retry_at),
                Some(Stage::Underway { .. }) => Carried::Again(NOT_NOW),
            },
        )
    }

    async fn give_up(&self, status: Status, cause: &str) -> Result<Carried, CarryError> {
        let give_up = GiveUp {
            delivery_id: self.id,
            status,
            cause: cause.to_owned(),
        };
        match self.record(give_up.into()).await {
            Ok(()) => {
                tracing::info!(
                    notification.delivery_id = %self.id, cause, status = status.as_str(),
                    "a message is given up"
                );
                Ok(Carried::Over)
            }
            Err(ExecuteError::Rejected(rejection)) => Ok(self.overtaken(&rejection)),
            Err(error) => Err(error.into()),
        }
    }

    fn overtaken(&self, rejection: &Rejection) -> Carried {
        match rejection {
            Rejection::Settled | Rejection::NotIntended => Carried::Over,
            Rejection::Underway
            | Rejection::OtherAttempt
            | Rejection::OtherProvider
            | Rejection::MayBeSent => {
                tracing::info!(
                    notification.delivery_id = %self.id, %rejection,
                    "somebody else went on with a message"
                );
                Carried::Again(NOT_NOW)
            }
        }
    }

    fn told(&self, delivery: &Delivery, status: Status) {
        let intent = &delivery.intent;
        tracing::debug!(
            notification.delivery_id = %self.id, status = status.as_str(), "a message is over"
        );
        let since = self
            .context
            .clock
            .now()
            .duration_since(intent.not_before.unwrap_or(intent.intended_at));
        metrics::histogram!(
            "waybill_notification_seconds",
            "channel" => intent.channel.as_str(), "priority" => intent.priority.as_str()
        )
        .record(since.as_secs_f64().max(0.0));
        metrics::counter!(
            "waybill_notifications_total",
            "channel" => intent.channel.as_str(), "status" => status.as_str()
        )
        .increment(1);
    }

    /// The address is dead: nothing is sent there any more.
    async fn is_gone(&self, delivery: &Delivery, used: Used) {
        let recorded = match (used, delivery.intent.recipient) {
            (Used::Token(token), Recipient::Customer(customer)) => {
                let drop = DropPushToken { token };
                self.decide::<Customer>(customer.uuid(), "drop_push_token", drop.into())
                    .await
            }
            (Used::Webhook(webhook_url), Recipient::Partner(partner)) => {
                let disable = DisableWebhook {
                    webhook_url,
                    cause: "gone".to_owned(),
                };
                self.decide::<Partner>(partner.uuid(), "disable_webhook", disable.into())
                    .await
            }
            _ => Ok(()),
        };
        if let Err(error) = recorded {
            // The next message to it finds out again.
            tracing::warn!(error, "a dead address could not be given up");
        }
    }

    async fn decide<D>(&self, id: Uuid, verb: &str, command: D::Command) -> Result<(), String>
    where
        D: Decider,
        D::Command: Clone + Send + Sync,
    {
        let command_id = CommandId(derived(&[verb, &self.id.to_string()]));
        let metadata = Metadata::new(command_id, Actor::notifier(), self.context.clock.now());
        let executed = self.context.executor.execute(metadata, None, |work| {
            work.decide::<D>(id, command.clone())
                .map_err(Stop::<D::Rejection>::from)
        });
        executed.await.map(drop).map_err(|error| error.to_string())
    }

    async fn record(
        &self,
        command: domain::notification::Command,
    ) -> Result<(), ExecuteError<Rejection>> {
        let command_id = CommandId(self.context.clock.new_id());
        let mut metadata = Metadata::new(command_id, Actor::notifier(), self.context.clock.now());
        metadata.correlation_id = self.history;
        let recorded = self.context.executor.execute(metadata, None, |work| {
            work.decide::<Notification>(self.history, command.clone())
                .map_err(|refusal: Refusal<Rejection>| Stop::<Rejection>::from(refusal))
        });
        recorded.await.map(drop)
    }

    /// The same until it is taken, or refused because somebody else was faster. What is known here and nowhere else is not
    /// lost while the log is away, and no attempt is left behind whose maker does not know whether it was recorded.
    async fn record_at_last(
        &self,
        command: domain::notification::Command,
    ) -> Result<Option<Rejection>, CarryError> {
        let mut pause = PAUSE_FIRST;
        loop {
            match self.record(command.clone()).await {
                Ok(()) => return Ok(None),
                Err(ExecuteError::Rejected(rejection)) => return Ok(Some(rejection)),
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(
                        notification.delivery_id = %self.id, %error,
                        "what becomes of a message cannot be recorded yet"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn load<D: Decider>(&self, id: Uuid) -> Result<Arc<D::State>, LoadError> {
        let executor = &self.context.executor;
        // What is read may be old, and then what is decided on it is refused; the intent itself must be seen.
        let at_least = Freshness::AtLeast(self.position);
        Ok(executor.load::<D>(id, at_least).await?.state)
    }
}

/// The address that was used, as the histories hold it.
pub(crate) enum Used {
    Other,
    Token(event_schema::Sealed<String>),
    Webhook(String),
}

/// Why a message was not carried on.
#[derive(Debug, thiserror::Error)]
enum CarryError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Execute(#[from] ExecuteError<Rejection>),
    #[error("{0}")]
    NotNow(String),
}

fn is_final(error: &ExecuteError<Rejection>) -> bool {
    matches!(
        error,
        ExecuteError::Newer { .. }
            | ExecuteError::Rejected(_)
            | ExecuteError::Load(LoadError::Newer { .. } | LoadError::Corrupt { .. })
    )
}

fn outgoing(
    delivery: &Delivery,
    attempt: u32,
    to: crate::port::Address,
    content: crate::port::Content,
) -> Outgoing {
    let intent = &delivery.intent;
    Outgoing {
        delivery_id: intent.replay_of.unwrap_or(intent.delivery_id).uuid(),
        attempt,
        kind: intent.kind,
        order_id: intent.order_id.map(|order| order.uuid()),
        intended_at: intent.intended_at,
        to,
        content,
    }
}

/// The attempt was recorded and nobody was asked, because somebody else may lead by now.
fn pass_back() -> Outcome {
    Outcome::Transient {
        cause: "not_asked".to_owned(),
        retry_after: None,
    }
}

fn answer_of(outcome: Outcome) -> (Answer, bool) {
    let answer = |outcome, provider_id, cause, retry_after| Answer {
        outcome,
        provider_id,
        cause,
        retry_after,
    };
    match outcome {
        Outcome::Sent { provider_id } => (answer(Ended::Sent, provider_id, None, None), false),
        Outcome::Rejected { cause, gone } => {
            (answer(Ended::Rejected, None, Some(cause), None), gone)
        }
        Outcome::Transient { cause, retry_after } => (
            answer(Ended::Transient, None, Some(cause), retry_after),
            false,
        ),
        Outcome::Unknown { cause } | Outcome::KeyInUse { cause } => (unknown(&cause), false),
    }
}

fn unknown(cause: &str) -> Answer {
    Answer {
        outcome: Ended::Unknown,
        provider_id: None,
        cause: Some(cause.to_owned()),
        retry_after: None,
    }
}

fn count(delivery: &Delivery, provider: &dyn Provider, outcome: Ended) {
    metrics::counter!(
        "waybill_notification_attempts_total",
        "channel" => delivery.intent.channel.as_str(),
        "provider" => provider.name(),
        "outcome" => outcome.as_str()
    )
    .increment(1);
}

/// How long it is until then; none when that has come.
pub(crate) fn until(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(at.duration_since(now))
        .ok()
        .filter(|wait| !wait.is_zero())
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

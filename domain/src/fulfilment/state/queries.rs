//! What the saga's state says: its status, what is open, and what is due if it turns back.

use event_schema::Timestamp;
use event_schema::fulfilment::{self as event, Cause, OperatorVerb, Step};
use event_schema::ids::{CommandId, EffectId, OrderId};

use super::{Pending, Saga, Stage, State, StepRecord, StepState};
use crate::fulfilment::steps::{Kind, Place, StepSpec, forward, table};
use crate::fulfilment::view::Status;

impl State {
    /// The saga, if it was started.
    pub fn saga(&self) -> Option<&Saga> {
        match self {
            Self::NotStarted => None,
            Self::Started(saga) => Some(saga),
        }
    }

    /// The effect that is open.
    pub fn pending(&self) -> Option<&Pending> {
        self.saga()?.pending.as_ref()
    }

    /// When the saga wants to be woken if nothing else happens.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.saga()?.deadline()
    }
}

impl Saga {
    /// The saga's status in the words of the API.
    pub fn status(&self) -> Status {
        match (&self.stage, &self.stuck) {
            (Stage::Completed, _) => Status::Completed,
            (Stage::Compensated { .. }, _) => Status::Compensated,
            (Stage::Closed(_), _) => Status::Closed,
            (Stage::Running | Stage::Unwinding(_), Some(_)) => Status::NeedsOperator,
            (Stage::Running, None) => Status::Running,
            (Stage::Unwinding(_), None) => Status::Unwinding,
        }
    }

    /// When the saga wants to be woken if nothing else happens.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.pending.as_ref().map(|pending| pending.phase.until())
    }

    /// A step's record, if it was ever opened.
    pub fn step(&self, step: Step) -> Option<&StepRecord> {
        self.steps.iter().find(|record| record.step == step)
    }

    /// Whether an effect is one of this order's saga, of any of a step's openings: what seemed never to have happened may
    /// have happened after all.
    pub(in crate::fulfilment) fn knows(&self, order_id: OrderId, effect_id: EffectId) -> bool {
        self.steps.iter().any(|record| {
            let mut openings = (1..=record.opening).rev();
            record.effect_id == Some(effect_id)
                || openings.any(|opening| {
                    EffectId::of(order_id, record.step.as_str(), opening) == effect_id
                })
        })
    }

    /// Whether the saga has ended.
    pub fn has_ended(&self) -> bool {
        match self.stage {
            Stage::Completed | Stage::Compensated { .. } | Stage::Closed(_) => true,
            Stage::Running | Stage::Unwinding(_) => false,
        }
    }

    /// Whether the capture's intent is recorded: from there it only goes forward, unless it is refused for good.
    pub fn is_past_no_return(&self) -> bool {
        self.step(Step::Capture)
            .is_some_and(|capture| capture.state != StepState::Refused)
    }

    /// A remembered command of an operator.
    pub fn command(&self, id: CommandId) -> Option<&event::OperatorCommanded> {
        self.commands
            .iter()
            .find(|command| command.command_id == id)
    }

    /// The table that it ends as.
    pub(in crate::fulfilment) fn table(&self) -> &'static [StepSpec] {
        table(&self.def)
    }

    /// Where a step's work is done.
    pub(in crate::fulfilment) fn place(&self, step: Step) -> Place {
        self.table()
            .iter()
            .find(|spec| spec.step == step)
            .map_or(Place::Provider, |spec| spec.place)
    }

    /// Whether a step makes up for another.
    pub(in crate::fulfilment) fn is_compensation(&self, step: Step) -> bool {
        self.table()
            .iter()
            .any(|spec| spec.step == step && matches!(spec.kind, Kind::Compensating))
    }

    /// The compensations that are due if the saga turns back now: of each forward step that may have happened, the
    /// latest first; those inside before those at the provider, which nothing inside may have to wait for.
    pub(in crate::fulfilment) fn plan(&self) -> Vec<Step> {
        let steps = self.table();
        let may_have_happened = |step| {
            self.step(step).is_some_and(|record| match record.state {
                StepState::Open | StepState::Done | StepState::Overtaken | StepState::Stuck => true,
                StepState::Refused | StepState::Skipped => false,
            })
        };
        let mut plan: Vec<Step> = forward(steps)
            .rev()
            .filter(|spec| may_have_happened(spec.step))
            .filter_map(|spec| match spec.kind {
                Kind::Compensable { made_up_for_by } | Kind::Pivot { made_up_for_by } => {
                    Some(made_up_for_by.step())
                }
                Kind::Retriable | Kind::Compensating => None,
            })
            .collect();
        // Money that is certainly taken cannot be let go any more.
        let taken = self
            .step(Step::Capture)
            .is_some_and(|capture| capture.state == StepState::Done);
        if taken {
            plan.retain(|step| *step != Step::Void);
        }
        plan.sort_by_key(|step| match self.place(*step) {
            Place::Inside => 0,
            Place::Provider => 1,
        });
        plan
    }

    /// The compensations that must run before the saga may end without the order.
    pub(in crate::fulfilment) fn due(&self) -> Vec<Step> {
        match &self.stage {
            Stage::Running => self.plan(),
            Stage::Unwinding(unwinding) => unwinding.due.clone(),
            Stage::Completed | Stage::Compensated { .. } | Stage::Closed(_) => vec![],
        }
    }

    /// Why a person has settled a step outside, if one was: such a saga ends closed.
    pub(in crate::fulfilment) fn skipped_because(&self) -> Option<&str> {
        let skip = |command: &&event::OperatorCommanded| command.command == OperatorVerb::Skip;
        let last = self.commands.iter().rev().find(skip)?;
        let skipped = |record: &StepRecord| record.state == StepState::Skipped;
        self.steps
            .iter()
            .any(skipped)
            .then_some(last.reason.as_str())
    }

    /// The effect that an answer may still end: the open one, or the one a person is asked about because nobody knew.
    pub(in crate::fulfilment) fn open(&self, step: Step, effect_id: EffectId) -> Option<&Pending> {
        let open = match (&self.pending, &self.stuck) {
            (Some(pending), _) => Some(pending),
            (None, Some(stuck)) => match stuck.cause {
                Cause::PaymentUnknown | Cause::RetriesExhausted => stuck.open.as_ref(),
                Cause::RefundRefused
                | Cause::VoidRefused
                | Cause::AmountMismatch
                | Cause::Poisoned
                | Cause::VersionUnsupported => None,
            },
            (None, None) => None,
        };
        open.filter(|open| open.step == step && open.effect_id == effect_id)
    }
}

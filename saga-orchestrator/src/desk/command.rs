//! `saga.retry`, `skip`, `resolve`, `abort`, `close`: an operator orders something. It is decided on the log, by whichever
//! process is asked; the saga's owner, wherever it is, sees the event and goes on. What was answered as done is durable.

use std::time::Duration;

use domain::fulfilment::{
    DryRun, Fulfilment, OperatorCommand, OperatorRejection, OperatorVerb, Rejection, dry_run,
};
use event_schema::{Metadata, Position, Version};
use event_store::{Executed, Freshness, Once, Stop, Work};
use serde::Serialize;
use service_kit::telemetry::traces;
use tokio::time::timeout;
use uuid::Uuid;

use super::question::Question;
use super::refusal::Refusal;
use super::subject::{self, About};
use super::{Answer, text};
use crate::runner::{Context, over, record};
use crate::status::{SagaStatus, ascii};
use crate::view;

/// Shorter than the front door waits for us.
const DECIDE_MAX: Duration = Duration::from_secs(8);

/// What became of a command, for programs.
#[derive(Debug, Serialize)]
struct Outcome {
    order_id: Uuid,
    command: &'static str,
    command_id: Option<Uuid>,
    dry_run: bool,
    /// It had been carried out before.
    repeated: bool,
    /// What it does, or would do, in sentences.
    would: Vec<String>,
    /// Where it became true.
    position: Option<u64>,
    /// The saga as it stands afterwards.
    saga: SagaStatus,
}

/// What was decided.
struct Decided {
    would: Vec<String>,
    repeated: bool,
    /// Where the command became true, when that was before.
    before: Option<Position>,
}

/// Decides the command, and records it unless it is only asked what it would do.
pub(super) async fn answer(
    context: &Context,
    verb: OperatorVerb,
    question: &Question,
) -> Result<Answer, Refusal> {
    let order = question.order()?;
    let command = OperatorCommand {
        command_id: question.command_id()?,
        action: question.action(verb)?,
        reason: question.reason(),
        quarantine: None,
    };
    let about = subject::of(context, order).await?;
    let now = context.clock.now();
    let metadata = Metadata {
        // An order's id is that of the command that placed it: the conversation that this belongs to.
        correlation_id: order,
        traceparent: traces::traceparent(),
        ..Metadata::new(command.command_id, question.actor(), now)
    };
    let is_dry_run = question.is_dry_run();
    let decide = |work: &mut Work| {
        let command = with_quarantine(work, order, &command, &about)?;
        let first = match is_dry_run {
            true => Once::First,
            false => work.once(command.command_id)?,
        };
        let done = over(work, order, |world| {
            let known = world
                .saga
                .saga()
                .and_then(|saga| saga.command(command.command_id));
            if first != Once::First && known.is_none() {
                return Err(OperatorRejection::CommandReused.into());
            }
            dry_run(world, command.clone(), now, &context.policy)
        })
        .map_err(|stop| refused(order, stop))?;
        let DryRun { would, decision } = done;
        let repeated = decision.is_empty();
        if !is_dry_run {
            record(work, order, decision)?;
        }
        let before = match first {
            Once::Repeat { position, .. } => Some(position),
            Once::First => None,
        };
        Ok(Decided {
            would,
            repeated,
            before,
        })
    };
    let execution = context.executor.execute(metadata, None, decide);
    let executed = timeout(DECIDE_MAX, execution)
        .await
        .map_err(|_| {
            Refusal::away(
                "the log did not answer in time; send the command again under the same id",
            )
        })?
        .map_err(|error| Refusal::of(order, error))?;
    if executed.appended {
        tracing::info!(order.id = %order, command = verb.as_str(), actor = %question.actor(), "an operator's command was recorded");
        metrics::counter!("waybill_saga_commands_total", "command" => verb.as_str()).increment(1);
    }
    told(context, order, verb, &command, is_dry_run, &about, executed).await
}

/// The quarantine holds for the history as it was looked at; once somebody has added to it, it has to stand for itself.
fn with_quarantine(
    work: &mut Work,
    order: Uuid,
    command: &OperatorCommand,
    about: &About,
) -> Result<OperatorCommand, Stop<Refusal>> {
    let same = work.version::<Fulfilment>(order)? == about.seen.version;
    Ok(OperatorCommand {
        quarantine: about.quarantine.clone().filter(|_| same),
        ..command.clone()
    })
}

fn refused(order: Uuid, stop: Stop<Rejection>) -> Stop<Refusal> {
    match stop {
        Stop::NeedsLoad => Stop::NeedsLoad,
        Stop::Rejected(rejection) => Stop::Rejected(Refusal::of_rejection(order, &rejection)),
        Stop::Newer(event_type) => Stop::Newer(event_type),
        Stop::Unsound(why) => Stop::Unsound(why),
    }
}

async fn told(
    context: &Context,
    order: Uuid,
    verb: OperatorVerb,
    command: &OperatorCommand,
    dry_run: bool,
    about: &About,
    executed: Executed<Decided>,
) -> Result<Answer, Refusal> {
    let Decided {
        would,
        repeated,
        before,
    } = executed.value;
    // A repeat is told where the command became true, however far the saga has come since.
    let position = (!dry_run).then_some(before.unwrap_or(executed.position));
    let saga = match position {
        None => about.seen.shown.clone(),
        Some(position) => after(context, order, position, about.seen.version)
            .await
            .unwrap_or_else(|| about.seen.shown.clone()),
    };
    let told = text::Told {
        would: &would,
        dry_run,
        repeated,
        position: position.map(|position| position.0),
        command_id: command.command_id.uuid(),
        status: saga.status,
    };
    let text = text::command(&told);
    Answer::new(
        text,
        &Outcome {
            order_id: order,
            command: verb.as_str(),
            command_id: (!dry_run).then_some(command.command_id.uuid()),
            dry_run,
            repeated,
            would: would.iter().map(|line| ascii::plain_line(line)).collect(),
            position: position.map(|position| position.0),
            saga,
        },
    )
}

/// The saga as the command has left it. That it cannot be read again undoes nothing.
async fn after(
    context: &Context,
    order: Uuid,
    position: Position,
    before: Version,
) -> Option<SagaStatus> {
    let fresh = Freshness::AtLeast(position);
    let read = view::load(&context.executor, order, fresh).await;
    match read {
        Ok(seen) => seen.map(|seen| seen.shown),
        Err(error) => {
            tracing::debug!(order.id = %order, %error, before = before.0, "a saga could not be read after a command");
            None
        }
    }
}

//! `saga.explain <order id>`: in sentences, what happened, what the saga waits for, since when, what comes next by itself,
//! and what a person may do.

use domain::fulfilment::{Choice, explain};
use event_schema::Timestamp;
use event_store::LoadError;
use serde::Serialize;
use uuid::Uuid;

use super::question::Question;
use super::refusal::Refusal;
use super::subject::{self, last_shown};
use super::{Answer, text};
use crate::runner::Context;
use crate::status::{SagaStatus, Verdict};

#[derive(Serialize)]
struct Explained {
    id: Uuid,
    status: Verdict,
    sentences: Vec<String>,
    you_may: Vec<May>,
}

/// A command that fits, for programs.
#[derive(Serialize)]
pub(super) struct May {
    command: &'static str,
    step: Option<&'static str>,
    would: String,
}

impl May {
    pub(super) fn of(choice: &Choice) -> Self {
        Self {
            command: choice.command.as_str(),
            step: choice.step.map(|step| step.as_str()),
            would: choice.would.clone(),
        }
    }
}

pub(super) async fn answer(context: &Context, question: &Question) -> Result<Answer, Refusal> {
    let order = question.order()?;
    let now = context.clock.now();
    let about = match subject::read(context, order).await {
        Ok(Some(about)) => about,
        Ok(None) => return Err(Refusal::NotFound(order)),
        // Nobody knows what a history says that cannot be read, but that is a thing to explain too.
        Err(error @ (LoadError::Newer { .. } | LoadError::Corrupt { .. })) => {
            let last = last_shown(context, order).await;
            let last = last.ok_or_else(|| Refusal::of_load(order, &error))?;
            return unreadable(order, &last, &error, now);
        }
        Err(error) => return Err(Refusal::away(error)),
    };
    let seen = &about.seen;
    let mut sentences = explain(
        &seen.saga,
        &seen.payment,
        seen.shown.since,
        now,
        &context.policy,
    );
    if let Some(quarantine) = &about.quarantine {
        sentences.push(text::set_aside(quarantine, seen.shown.since, now));
    }
    let choices = about.choices();
    Answer::new(
        text::explain(&seen.shown, &sentences, &choices),
        &Explained {
            id: order,
            status: seen.shown.status,
            sentences,
            you_may: choices.iter().map(May::of).collect(),
        },
    )
}

/// A saga whose history cannot be read: how it was last seen, and what a person can do outside of the desk.
fn unreadable(
    order: Uuid,
    last: &SagaStatus,
    error: &LoadError,
    now: Timestamp,
) -> Result<Answer, Refusal> {
    let sentences = text::unreadable(last, error, now);
    Answer::new(
        text::explain(last, &sentences, &[]),
        &Explained {
            id: order,
            status: last.status,
            sentences,
            you_may: Vec::new(),
        },
    )
}

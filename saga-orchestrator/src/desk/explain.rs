//! `saga.explain <order id>`: in sentences, what happened, what the saga waits for, since when, what comes next by itself,
//! and what a person may do.

use domain::fulfilment::{Choice, explain};
use serde::Serialize;
use uuid::Uuid;

use super::question::Question;
use super::refusal::Refusal;
use super::{Answer, subject, text};
use crate::runner::Context;
use crate::status::Verdict;

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
    let about = subject::of(context, order).await?;
    let now = context.clock.now();
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

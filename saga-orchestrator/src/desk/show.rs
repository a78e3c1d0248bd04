//! `saga.show <order id>`: one saga in full, from its history, checked against the leader.

use event_store::LoadError;
use serde::Serialize;

use super::explain::May;
use super::question::Question;
use super::refusal::Refusal;
use super::subject::{self, last_shown};
use super::{Answer, text};
use crate::runner::{Context, Share, read_owner};
use crate::status::SagaStatus;

/// A saga in full, for programs.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    saga: &'a SagaStatus,
    /// Who works it: the name, and what tells two processes of one name apart.
    owner: Option<String>,
    /// Events in its history.
    events: Option<u64>,
    you_may: Vec<May>,
}

pub(super) async fn answer(context: &Context, question: &Question) -> Result<Answer, Refusal> {
    let order = question.order()?;
    let (shown, events, choices) = match subject::read(context, order).await {
        Ok(Some(about)) => {
            let choices = about.choices();
            (about.seen.shown, Some(about.seen.version.0), choices)
        }
        Ok(None) => return Err(Refusal::NotFound(order)),
        // A history that cannot be read is shown as it was last, which says what is wrong with it.
        Err(error @ (LoadError::Newer { .. } | LoadError::Corrupt { .. })) => {
            let last = last_shown(context, order).await;
            let last = last.ok_or_else(|| Refusal::of_load(order, &error))?;
            (last, None, Vec::new())
        }
        Err(error) => return Err(Refusal::away(error)),
    };
    let owner = read_owner(&context.board.buckets().status, Share::of(order))
        .await
        .ok()
        .flatten();
    let owner = owner.map(|(_, owner)| owner);
    let text = text::show(
        &shown,
        owner.as_ref(),
        events,
        &choices,
        context.clock.now(),
    );
    Answer::new(
        text,
        &Shown {
            saga: &shown,
            owner: owner
                .filter(|owner| !owner.instance.is_empty())
                .map(|owner| owner.label()),
            events,
            you_may: choices.iter().map(May::of).collect(),
        },
    )
}

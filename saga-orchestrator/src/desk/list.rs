//! `saga.list [status]`: what the status bucket holds, those that need a person first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::question::Question;
use super::refusal::Refusal;
use super::{Answer, text};
use crate::runner::Context;
use crate::status::{SAGA_KEYS, SagaStatus, Verdict, scan};

/// Most sagas that one answer holds; it has to fit into one message of the broker.
const LISTED_MAX: usize = 500;

#[derive(Serialize)]
struct Listed<'a> {
    data: &'a [SagaStatus],
    total: usize,
    by_status: BTreeMap<Verdict, usize>,
}

pub(super) async fn answer(context: &Context, question: &Question) -> Result<Answer, Refusal> {
    let wanted = match question.status() {
        None => None,
        Some(word) => Some(Verdict::parse(word).ok_or_else(|| {
            let known = Verdict::ALL.map(Verdict::as_str).join(", ");
            Refusal::BadRequest(format!("{word:?} is not a status; there are {known}"))
        })?),
    };
    let buckets = context.board.buckets();
    let mut found: BTreeMap<_, SagaStatus> = BTreeMap::new();
    let mut by_status: BTreeMap<Verdict, usize> = BTreeMap::new();
    let mut total = 0_usize;
    scan(&buckets.client, &buckets.status, SAGA_KEYS, |entry| {
        let Ok(shown) = serde_json::from_slice::<SagaStatus>(&entry.value) else {
            return;
        };
        *by_status.entry(shown.status).or_default() += 1;
        if wanted.is_none_or(|wanted| wanted == shown.status) {
            total += 1;
            // Who needs a person comes first, then the others by age; what ended comes last, the newest first.
            let age = shown.since.as_second();
            let rank = match shown.status {
                Verdict::NeedsOperator => (0, age),
                Verdict::Running | Verdict::Unwinding => (1, age),
                Verdict::Completed | Verdict::Compensated | Verdict::Closed => (2, -age),
            };
            found.insert((rank, shown.id), shown);
            if found.len() > LISTED_MAX {
                found.pop_last();
            }
        }
    })
    .await
    .map_err(Refusal::away)?;
    let data: Vec<SagaStatus> = found.into_values().collect();
    let text = text::list(&data, total, context.clock.now());
    Answer::new(
        text,
        &Listed {
            data: &data,
            total,
            by_status,
        },
    )
}

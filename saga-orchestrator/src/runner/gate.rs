//! Whether this build may work at all: it looks at every live saga first, and refuses to take any share while there is
//! one that it does not carry. A newer build that is rolled out too early stops here, and whoever runs goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::fulfilment::{DEFINITIONS, Fulfilment, carries, definition};
use domain::payment::Payment;
use event_schema::Position;
use event_store::{Freshness, LoadError};
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::takeover::{self, TakeoverError};
use super::{Context, Share};
use crate::status::vocabulary::knows;
use crate::status::{SAGA_KEYS, SagaStatus, order_of_key, refused, scan};

/// A shut gate is looked at again after this: another build may have ended the sagas.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How long the list of those that need a person is given to be written.
const POINTING_MAX: Duration = Duration::from_secs(5);
/// Sagas that are folded at once.
const FOLDS_AT_ONCE: usize = 32;
/// Most sagas that are named; the number is told of all.
const NAMED_MAX: usize = 20;

/// A live saga that this build does not carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uncarried {
    order: Uuid,
    why: String,
}

/// How far the question is.
#[derive(Debug, Default)]
enum Verdict {
    #[default]
    Unknown,
    Shut(Vec<Uncarried>),
    /// What was worked before was of another log; why it is known.
    OtherLog(String),
    Open,
}

/// Shut until this build is known to carry every live saga.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Verdict>);

impl Gate {
    /// Why nothing is taken on, for people; `None` when the gate is open.
    pub(crate) fn shut_because(&self) -> Option<String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Verdict::Open => None,
            Verdict::Unknown => {
                Some("it is not known yet whether this build carries every live saga".into())
            }
            Verdict::Shut(uncarried) => Some(refusal(uncarried)),
            Verdict::OtherLog(why) => Some(why.clone()),
        }
    }

    /// Shut, because what was worked before was of another log. Said once.
    pub(super) fn other_log(&self, why: String) {
        if self.shut_because().as_ref() != Some(&why) {
            tracing::error!("{why}");
        }
        self.set(Verdict::OtherLog(why));
    }

    /// A share could be taken over: it is this log after all.
    pub(super) fn this_log(&self) {
        let mut verdict = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Verdict::OtherLog(_) = &*verdict {
            *verdict = Verdict::Open;
        }
    }

    fn set(&self, verdict: Verdict) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
    }
}

/// Ends once this build carries every live saga.
pub(super) async fn open(context: Arc<Context>) {
    let mut told: Vec<Uncarried> = Vec::new();
    loop {
        let pause = match uncarried(&context).await {
            Ok(none) if none.is_empty() => {
                point_out(&context, &none).await;
                context.gate.set(Verdict::Open);
                return;
            }
            Ok(uncarried) => {
                if uncarried != told {
                    tracing::error!("{}", refusal(&uncarried));
                    told.clone_from(&uncarried);
                }
                point_out(&context, &uncarried).await;
                context.gate.set(Verdict::Shut(uncarried));
                AGAIN_AFTER
            }
            Err(TakeoverError::OtherLog(why)) => {
                context.gate.other_log(why);
                AGAIN_AFTER
            }
            Err(error) => {
                tracing::warn!(%error, "the live sagas could not be looked through; trying again");
                AGAIN_AFTER_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Takes off what was put up, as this build looks no more.
pub(super) async fn leave(context: &Context) {
    let is_shut = {
        let verdict = context
            .gate
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        matches!(&*verdict, Verdict::Shut(_))
    };
    if is_shut {
        point_out(context, &[]).await;
    }
}

/// A person finds the sagas that are in the way where those are found that need a person.
pub(super) async fn point_out(context: &Context, uncarried: &[Uncarried]) {
    let sagas: BTreeMap<Uuid, String> = uncarried
        .iter()
        .map(|saga| (saga.order, saga.why.clone()))
        .collect();
    let buckets = context.board.buckets();
    let pointing = refused::point_out(buckets, &sagas, context.clock.now());
    match tokio::time::timeout(POINTING_MAX, pointing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "saga_attention does not name the sagas that are in the way as they are now");
        }
        Err(_) => {
            tracing::warn!(
                "saga_attention does not name the sagas that are in the way as they are now: no answer in time"
            );
        }
    }
}

fn refusal(uncarried: &[Uncarried]) -> String {
    let named: Vec<String> = uncarried
        .iter()
        .take(NAMED_MAX)
        .map(|saga| format!("{} ({})", saga.order, saga.why))
        .collect();
    let more = uncarried.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!(
        "this build carries the saga definition {} and takes no work: it cannot carry {} live saga(s): {}{more}; \
         let the build that began them end them, or start one that carries both",
        definition(),
        uncarried.len(),
        named.join(", "),
    )
}

/// Every live saga is looked at: as the bucket shows it, where a build that knew the same events has worked it, and by
/// its events where the bucket does not show them yet. Whatever does not look plain there is folded.
async fn uncarried(context: &Context) -> Result<Vec<Uncarried>, TakeoverError> {
    let buckets = context.board.buckets();
    let carried: BTreeSet<String> = DEFINITIONS
        .iter()
        .map(|known| known.def().to_string())
        .collect();
    let is_carried = |def: Option<&String>| def.is_some_and(|def| carried.contains(def));
    // Of one saga the newest position counts.
    let mut doubtful: BTreeMap<Uuid, Position> = BTreeMap::new();
    let mut doubt = |order: Uuid, position: Position| {
        let newest = doubtful.entry(order).or_default();
        *newest = position.max(*newest);
    };
    // Before the bucket is looked through: what somebody adds to both meanwhile is read in the log.
    let all: Vec<Share> = Share::all().collect();
    let known = takeover::completeness(context, &all).await?;
    scan(&buckets.client, &buckets.status, SAGA_KEYS, |entry| {
        let Some(order) = order_of_key(&entry.key) else {
            return;
        };
        let Some(shown) = serde_json::from_slice::<SagaStatus>(&entry.value).ok() else {
            return doubt(order, Position(0));
        };
        let is_plain = shown.is_read() && is_carried(shown.def.as_ref());
        if !shown.status.is_end() && !is_plain {
            doubt(order, Position(shown.position));
        }
    })
    .await?;
    let end = context.executor.store().end().await?.position;
    let from = known.into_values().fold(end, Position::min);
    takeover::each_event(context, from, end, |event| {
        let is_plain = match event.subject.aggregate() {
            Some(("fulfilment", _)) => {
                let def = event.saga.as_ref().and_then(|saga| saga.def.as_ref());
                knows(event) && is_carried(def)
            }
            Some(("payment", _)) => knows(event),
            Some(_) | None => true,
        };
        if let Some(order) = event.aggregate_id().filter(|_| !is_plain) {
            doubt(order, event.position);
        }
    })
    .await?;
    // What the bucket shows is behind the log at most, never ahead of it, unless the log was recreated.
    let folded: Vec<Option<Uncarried>> = stream::iter(doubtful)
        .map(|(order, position)| fold(context, order, position.min(end)))
        .buffered(FOLDS_AT_ONCE)
        .try_collect()
        .await?;
    Ok(folded.into_iter().flatten().collect())
}

/// `None` for a saga that is carried, has ended, or is damaged whatever the build: that one is set aside alone.
async fn fold(
    context: &Context,
    order: Uuid,
    position: Position,
) -> Result<Option<Uncarried>, TakeoverError> {
    let fresh = Freshness::AtLeast(position);
    let loaded = async {
        let saga = context.executor.load::<Fulfilment>(order, fresh).await?;
        let Some(live) = saga.state.saga().filter(|saga| !saga.has_ended()) else {
            return Ok(None);
        };
        if !carries(&live.def) {
            return Ok(Some(format!("it runs under the definition {}", live.def)));
        }
        context.executor.load::<Payment>(order, fresh).await?;
        Ok(None)
    };
    match loaded.await {
        Ok(why) => Ok(why.map(|why| Uncarried { order, why })),
        Err(error @ LoadError::Newer { .. }) => Ok(Some(Uncarried {
            order,
            why: error.to_string(),
        })),
        Err(LoadError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_definition_and_the_sagas_but_not_thousands_of_them() {
        let uncarried: Vec<Uncarried> = (0..25)
            .map(|n| Uncarried {
                order: Uuid::from_u128(n),
                why: "it runs under the definition 2:abc".into(),
            })
            .collect();
        let text = refusal(&uncarried);
        assert!(text.contains(&definition().to_string()), "{text}");
        assert!(text.contains(&Uuid::from_u128(3).to_string()), "{text}");
        assert!(!text.contains(&Uuid::from_u128(24).to_string()), "{text}");
        assert!(
            text.contains("25 live saga(s)") && text.contains("and 5 more"),
            "{text}"
        );
    }

    #[test]
    fn a_gate_is_shut_until_it_is_known_to_be_open() {
        let gate = Gate::default();
        assert!(gate.shut_because().is_some());
        gate.set(Verdict::Open);
        assert_eq!(gate.shut_because(), None);
    }
}

//! `waybill events show`: one aggregate's history and the state that folding it gives, at any version or moment.

use anyhow::{Context, bail};
use domain::assignment::Assignment;
use domain::customer::Customer;
use domain::fulfilment::Fulfilment;
use domain::inbox::Inbox;
use domain::inventory::Inventory;
use domain::notification::Notification;
use domain::notification_agent::NotificationAgent;
use domain::offer::Offer;
use domain::order::Order;
use domain::partner::Partner;
use domain::payment::Payment;
use domain::payment_provider::PaymentProvider;
use domain::product::Product;
use domain::resource::Resource;
use event_schema::{Decider, EventSet, Recorded, Subject, Timestamp, Version};
use event_store::{EventStore, Freshness};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{as_json, as_line};
use crate::out;

/// Folds a history of one kind and gives the state as JSON.
type Fold = fn(&[Recorded]) -> anyhow::Result<Value>;

const KINDS: &[(&str, Fold)] = &[
    (<Customer as Decider>::Event::AGGREGATE, fold::<Customer>),
    (<Resource as Decider>::Event::AGGREGATE, fold::<Resource>),
    (
        <Assignment as Decider>::Event::AGGREGATE,
        fold::<Assignment>,
    ),
    (<Partner as Decider>::Event::AGGREGATE, fold::<Partner>),
    (<Product as Decider>::Event::AGGREGATE, fold::<Product>),
    (<Offer as Decider>::Event::AGGREGATE, fold::<Offer>),
    (<Inventory as Decider>::Event::AGGREGATE, fold::<Inventory>),
    (<Order as Decider>::Event::AGGREGATE, fold::<Order>),
    (<Payment as Decider>::Event::AGGREGATE, fold::<Payment>),
    (
        <PaymentProvider as Decider>::Event::AGGREGATE,
        fold::<PaymentProvider>,
    ),
    (<Inbox as Decider>::Event::AGGREGATE, fold::<Inbox>),
    (
        <Fulfilment as Decider>::Event::AGGREGATE,
        fold::<Fulfilment>,
    ),
    (
        <Notification as Decider>::Event::AGGREGATE,
        fold::<Notification>,
    ),
    (
        <NotificationAgent as Decider>::Event::AGGREGATE,
        fold::<NotificationAgent>,
    ),
];

/// Up to where the history is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Now,
    Version(Version),
    Moment(Timestamp),
}

impl Until {
    fn parse(text: Option<&str>) -> anyhow::Result<Self> {
        let Some(text) = text else {
            return Ok(Self::Now);
        };
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(Version(version)));
        }
        text.parse().map(Self::Moment).map_err(|_| {
            anyhow::anyhow!("{text:?} is neither a version (3) nor a moment (2026-11-21T08:30:00Z)")
        })
    }

    fn includes(self, event: &Recorded) -> bool {
        match self {
            Self::Now => true,
            Self::Version(version) => event.version <= version,
            // When it happened: the time that listings show.
            Self::Moment(moment) => event.metadata.occurred_at <= moment,
        }
    }
}

/// Prints the history and the state.
pub async fn show(
    store: &dyn EventStore,
    aggregate: &str,
    id: Uuid,
    at: Option<&str>,
    json: bool,
) -> anyhow::Result<()> {
    let until = Until::parse(at)?;
    let Some((_, fold)) = KINDS.iter().find(|(name, _)| *name == aggregate) else {
        let known: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        bail!(
            "there is no kind {aggregate:?}; known are {}",
            known.join(", ")
        );
    };
    let subject = Subject::history(aggregate, id);
    let history = store
        .load(&subject, Version::NONE, None, Freshness::Leader)
        .await?;
    let events: Vec<_> = history
        .events
        .into_iter()
        // A history up to somewhere has no gaps, even when the clocks of two processes disagree.
        .take_while(|event| until.includes(event))
        .collect();
    if events.is_empty() {
        bail!(
            "{subject} has no events{}",
            if until == Until::Now { "" } else { " by then" }
        );
    }
    let state = fold(&events)?;
    if json {
        let events: Vec<_> = events.iter().map(as_json).collect();
        out::line(json!({"subject": subject, "events": events, "state": state}).to_string());
        return Ok(());
    }
    out::line(subject.to_string());
    events.iter().for_each(|event| out::line(as_line(event)));
    out::line("");
    out::line(serde_json::to_string_pretty(&state)?);
    Ok(())
}

fn fold<D: Decider>(events: &[Recorded]) -> anyhow::Result<Value> {
    let mut state = D::initial();
    for event in events {
        let decoded = D::Event::decode(&event.event_type, event.schema_version, &event.payload)
            .with_context(|| format!("the event at position {} cannot be read", event.position))?;
        state = D::evolve(state, &decoded);
    }
    Ok(serde_json::to_value(state)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_version_and_a_time_a_moment() {
        assert_eq!(Until::parse(Some("3")).unwrap(), Until::Version(Version(3)));
        assert!(matches!(
            Until::parse(Some("2026-11-21T08:30:00Z")).unwrap(),
            Until::Moment(_)
        ));
        let error = Until::parse(Some("yesterday")).unwrap_err();
        assert!(error.to_string().contains("neither a version"), "{error}");
    }
}

//! What an orchestrator says of its sagas all the time: how many stand how, for how long, and whether they balance.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use domain::fulfilment::Fulfilment;
use domain::payment::{self, Payment};
use event_schema::fulfilment::{LateOutcomeRecorded, Outcome, Step};
use event_schema::ids::{CommandId, EffectId, OrderId};
use event_schema::{Actor, Metadata, Timestamp};
use event_store::Stop;
use saga_orchestrator::status::Verdict;
use service_kit::telemetry;
use support::orchestrator::Orchestrator;
use support::sandbox::Provider;
use support::shop::{Shop, UNIT_PRICE, eur, eventually};
use uuid::Uuid;

/// A metric's value as a scraper reads it.
fn value(metric: &str) -> Option<f64> {
    let said = telemetry::metrics().unwrap().render();
    let line = said.lines().find(|line| {
        line.strip_prefix(metric)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

async fn becomes(metric: &str, wanted: f64) {
    eventually(&format!("{metric} is {wanted}"), async || {
        value(metric) == Some(wanted)
    })
    .await;
}

/// Appends to an order's histories past its saga: the money is taken once more, and something is said to the saga.
async fn taken_once_more(shop: &Shop, order: Uuid) {
    let late = LateOutcomeRecorded {
        step: Step::Capture,
        effect_id: EffectId::of(OrderId(order), "capture", 1),
        outcome: Outcome::Ok,
        detail: "again".into(),
    };
    let taken: payment::Event = event_schema::payment::Captured {
        amount: eur(UNIT_PRICE),
    }
    .into();
    let metadata = Metadata::new(CommandId(Uuid::now_v7()), Actor::system(), Timestamp::now());
    let appended = shop.executor.execute(metadata, None, |work| {
        work.record::<Payment>(order, vec![taken.clone()])?;
        work.record::<Fulfilment>(order, vec![late.clone().into()])?;
        Ok::<_, Stop<payment::Rejection>>(())
    });
    appended.await.unwrap();
}

#[tokio::test]
async fn an_orchestrator_tells_how_its_sagas_stand_for_how_long_and_which_do_not_balance() {
    telemetry::metrics().unwrap();
    let (shop, provider) = (Shop::open().await, Provider::start().await);
    let orchestrator = Orchestrator::start(&shop, &provider);
    let product = shop.stocked(5).await;
    let sound = shop.order(product, 1, "pm_card_visa").await;
    shop.reaches(sound, Verdict::Completed).await;
    let last = shop.history(sound).await.last().unwrap().position.0;
    // The saga is shown before it is looked at.
    eventually("the balance was looked at", async || {
        value("waybill_saga_audit_position").is_some_and(|position| position >= last as f64)
    })
    .await;
    assert_eq!(value("waybill_saga_audit_offenders"), Some(0.0));

    // Sold out, and the provider refuses to let the money go: it waits for a person.
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
    let method = event_schema::order::PaymentMethod::Card {
        token: "pm_waybill_void_refused".into(),
    };
    shop.place_as(id, product, 50, method).await;
    shop.reaches(id, Verdict::NeedsOperator).await;
    becomes("waybill_sagas{status=\"needs_operator\"}", 1.0).await;
    eventually("its age is told", async || {
        value("waybill_saga_oldest_seconds{status=\"needs_operator\"}").is_some_and(|age| age > 0.0)
    })
    .await;
    assert_eq!(value("waybill_sagas{status=\"running\"}"), Some(0.0));
    assert_eq!(
        value("waybill_saga_oldest_seconds{status=\"running\"}"),
        Some(0.0)
    );
    assert_eq!(
        value("waybill_saga_audit_offenders"),
        Some(0.0),
        "it waits, and balances"
    );

    taken_once_more(&shop, sound).await;
    becomes("waybill_saga_audit_offenders", 1.0).await;
    becomes("waybill_saga_audit_findings{finding=\"paid_twice\"}", 1.0).await;
    becomes("waybill_saga_audit_findings{finding=\"money_kept\"}", 0.0).await;
    orchestrator.stop().await;
}

//! What the saga's runner would do: hands the provider's answers to the saga's decider.

use std::collections::BTreeMap;

use domain::fulfilment::{Answer, Fulfilment, Input, Policy, State, World, react};
use domain::inventory::Inventory;
use domain::order::Order;
use domain::payment::Payment;
use event_schema::ids::{CommandId, OrderId};
use event_schema::{Actor, Metadata};
use event_store::{Freshness, Stop, Work};
use uuid::Uuid;

use crate::shop::Shop;

/// The provider set the money aside.
pub async fn authorised(shop: &Shop, order: Uuid) {
    let saga = shop
        .executor
        .load::<Fulfilment>(order, Freshness::Leader)
        .await
        .unwrap();
    let amount = terms(&saga.state).total;
    answered(
        shop,
        order,
        Answer::Authorised {
            provider_payment_id: "pi_test".into(),
            amount,
        },
    )
    .await;
}

/// The provider took the money.
pub async fn captured(shop: &Shop, order: Uuid) {
    let saga = shop
        .executor
        .load::<Fulfilment>(order, Freshness::Leader)
        .await
        .unwrap();
    let amount = terms(&saga.state).total;
    answered(shop, order, Answer::Captured { amount }).await;
}

fn terms(state: &State) -> &domain::fulfilment::Saga {
    state.saga().expect("the saga runs")
}

async fn answered(shop: &Shop, order: Uuid, answer: Answer) {
    let now = shop.clock.now();
    let metadata = Metadata::new(CommandId(Uuid::now_v7()), Actor::saga(), now);
    let decide = |work: &mut Work| {
        let saga = work.state::<Fulfilment>(order)?;
        let (placed, payment) = (work.state::<Order>(order)?, work.state::<Payment>(order)?);
        let mut stock = BTreeMap::new();
        for line in &terms(&saga).lines {
            stock.insert(
                line.product_id,
                (*work.state::<Inventory>(line.product_id.uuid())?).clone(),
            );
        }
        let world = World {
            order_id: OrderId(order),
            saga: &saga,
            order: &placed,
            payment: &payment,
            stock: &stock,
        };
        let open = terms(&saga).pending.clone().expect("an effect is open");
        let input = Input::Answered {
            step: open.step,
            effect_id: open.effect_id,
            answer: answer.clone(),
        };
        let decision = react(&world, input, now, &Policy::default()).map_err(Stop::Rejected)?;
        for (product, events) in decision.stock {
            work.record::<Inventory>(product.uuid(), events)?;
        }
        work.record::<Payment>(order, decision.payment)?;
        work.record::<Order>(order, decision.order)?;
        work.record::<Fulfilment>(order, decision.saga)?;
        Ok::<_, Stop<domain::fulfilment::Rejection>>(())
    };
    let executed = shop.executor.execute(metadata, None, decide).await.unwrap();
    assert!(executed.appended);
}

//! The books have to balance, whatever went on: every order that was accepted is in the log once and has ended, money
//! and stock are where its end says, and the rows are what the log says.

use std::collections::{BTreeMap, BTreeSet};

use event_schema::Position;
use event_store::EventStore;
use futures::{StreamExt, stream};
use serde_json::Value;
use testkit::{PATIENCE, Product, within_time};

use crate::stage::Stage;

const READ_EVENTS_MAX: usize = 1_000_000;
const ORDERS_AT_ONCE: usize = 8;
const PROJECTIONS: [&str; 5] = ["catalogue", "customers", "inbox", "inventory", "orders"];

/// How many orders ended in which way: `confirmed`, or the reason why not.
pub type Endings = BTreeMap<String, usize>;

impl Stage {
    /// Waits until every order has ended, and checks everything. `accepted` are the orders that somebody was told of.
    pub async fn books_balance(
        &mut self,
        products: &[Product],
        accepted: &BTreeSet<String>,
    ) -> Endings {
        let placed = self.placed().await;
        for order in accepted {
            assert!(
                placed.contains_key(order),
                "order {order} was accepted, and is not in the log"
            );
        }
        for (order, times) in &placed {
            assert_eq!(*times, 1, "order {order} was placed more than once");
        }
        let stage = &*self;
        let orders: Vec<Value> = stream::iter(placed.into_keys())
            .map(|order| async move {
                let order = stage.market.admin.order_ends(&order).await;
                stage.money_is_right(&order).await;
                order
            })
            .buffer_unordered(ORDERS_AT_ONCE)
            .collect()
            .await;
        for product in products {
            self.stock_is_right(product, &orders).await;
        }
        let totals = self.deployment.ledger_totals().await;
        assert_eq!(totals["orders_captured_more_than_once"], 0, "{totals}");
        assert_eq!(totals["held"], 0, "{totals}");
        for projection in PROJECTIONS {
            let arguments = ["projections", "verify", projection];
            let verified = self.deployment.operator(&arguments).await;
            assert!(verified.contains("is what the log says"), "{verified}");
        }
        assert_eq!(self.deployment.fallen(), Vec::<String>::new());
        let mut endings = Endings::new();
        for order in orders {
            let ending = order["status_reason"].as_str().unwrap_or("confirmed");
            *endings.entry(ending.to_owned()).or_default() += 1;
        }
        endings
    }

    /// The orders in the log, and how often each was placed.
    async fn placed(&self) -> BTreeMap<String, usize> {
        let log = self.log().await;
        let events = log
            .read(Position(0), READ_EVENTS_MAX, Some("evt.order.>"))
            .await
            .unwrap();
        let mut placed = BTreeMap::new();
        for event in events {
            if event.event_type == "order.placed" {
                let (_, id) = event.subject.aggregate().unwrap();
                *placed.entry(id.to_string()).or_default() += 1;
            }
        }
        placed
    }

    /// One charge for a confirmed order, none for another one.
    pub async fn money_is_right(&self, order: &Value) {
        let ledger = self.deployment.ledger(order["id"].as_str().unwrap()).await;
        let totals = &ledger["totals"];
        let confirmed = order["status"] == "confirmed";
        let due = if confirmed {
            order["total"]["amount"].as_i64()
        } else {
            Some(0)
        };
        assert_eq!(totals["kept"].as_i64(), due, "{order}\n{ledger}");
        assert_eq!(totals["held"].as_i64(), Some(0), "{order}\n{ledger}");
        let charges = totals["times_captured"].as_i64();
        if confirmed {
            assert_eq!(charges, Some(1), "{order}\n{ledger}");
        }
    }

    /// Received = available + held + sold, nothing held any more, and sold what the confirmed orders say.
    async fn stock_is_right(&self, product: &Product, orders: &[Value]) {
        let sold: u64 = orders
            .iter()
            .filter(|order| order["status"] == "confirmed")
            .flat_map(|order| order["lines"].as_array().unwrap())
            .filter(|line| line["product_id"] == product.id)
            .map(|line| line["quantity"].as_u64().unwrap())
            .sum();
        let received = u64::from(product.received);
        let path = format!("/v1/inventory/{}", product.id);
        let wanted = [received, received - sold, 0, sold];
        let what = format!("received, available, held and sold become {wanted:?}");
        within_time(PATIENCE, &what, || async {
            let row = self.market.admin.insists_to_know(&path).await.ok();
            let found = ["received", "available", "held", "sold"].map(|name| row[name].as_u64());
            (found == wanted.map(Some)).then_some(())
        })
        .await;
    }
}

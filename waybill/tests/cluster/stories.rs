//! The stories of the shop on three brokers, with the leader killed in the middle of each.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Layout, Market, Person, Product};
use uuid::Uuid;

use crate::crowd::Crowd;
use crate::rounds;
use crate::stage::{Broker, Stage};

/// Orders whose stories have begun and not ended.
struct Begun {
    happy: String,
    declined: String,
    sold_out: String,
    cancelled: String,
}

/// Tells all four stories up to the point where the shop goes on by itself.
async fn begin(market: &Market, buyer: &Person, plenty: &Product, last_one: &Product) -> Begun {
    let partner = &market.partner;
    // Both want the last one, and both have a price for it.
    let first = buyer.quote(partner, &last_one.id, 1).await.ok();
    let second = buyer.quote(partner, &last_one.id, 1).await.ok();
    let place = async |quote: &Value, card: &str| {
        let key = Uuid::now_v7().to_string();
        let told = buyer.places(&key, quote, card).await;
        let order = told.answer.ok();
        order["order_id"].as_str().unwrap().to_owned()
    };
    let taken = place(&first, "pm_card_visa").await;
    assert_eq!(buyer.order_ends(&taken).await["status"], "confirmed");
    let declined_card = "pm_card_visa_chargeDeclined";
    let (happy, declined, sold_out, cancelled) = tokio::join!(
        buyer.buys(partner, &plenty.id, 2, "pm_card_visa"),
        buyer.buys(partner, &plenty.id, 1, declined_card),
        place(&second, "pm_card_visa"),
        // Answers long after the deadline: the effect is in flight when the customer thinks better of it.
        buyer.buys(partner, &plenty.id, 3, "pm_waybill_slow"),
    );
    Begun {
        happy,
        declined,
        sold_out,
        cancelled,
    }
}

async fn cancel(buyer: &Person, order: &str) {
    let path = format!("/v1/orders/{order}/cancel");
    let told = buyer
        .insists(Method::POST, &path, &Uuid::now_v7().to_string(), &json!({}))
        .await;
    assert_eq!(told.answer.status, 202, "{told:?}");
    assert_eq!(told.answer.body["status"], "cancelling", "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_three_brokers_every_story_ends_well_though_the_leader_dies_in_the_middle() {
    let mut stage = Stage::on(Broker::three(), Layout::single().on_three_brokers()).await;
    let plenty = stage.market.product(1000, 100_000).await;
    let buyer = stage.market.customer(&stage.deployment).await;
    let crowd = Crowd::gathers(&stage, &plenty, 3).await;
    let mut told_of = BTreeSet::new();
    let mut products = Vec::new();
    for round in 0..rounds(2, 6) {
        crowd.goes_on(10).await;
        let last_one = stage.market.product(700, 1).await;
        let begun = begin(&stage.market, &buyer, &plenty, &last_one).await;
        let trouble = async {
            // Dead is one thing, asleep another: a leader that wakes up does not know that he was replaced.
            if round % 3 == 2 {
                stage.leader_sleeps().await
            } else {
                stage.leader_dies_and_comes_back().await
            }
        };
        let stories = async {
            cancel(&buyer, &begun.cancelled).await;
            [
                (buyer.order_ends(&begun.happy).await, None),
                (
                    buyer.order_ends(&begun.declined).await,
                    Some("payment_declined"),
                ),
                (
                    buyer.order_ends(&begun.sold_out).await,
                    Some("out_of_stock"),
                ),
                (
                    buyer.order_ends(&begun.cancelled).await,
                    Some("customer_cancelled"),
                ),
            ]
        };
        let (victim, endings) = tokio::join!(trouble, stories);
        for (order, reason) in endings {
            assert_eq!(order["status_reason"].as_str(), reason, "{order}");
            stage.money_is_right(&order).await;
            told_of.insert(order["id"].as_str().unwrap().to_owned());
        }
        eprintln!("round {round}: n{} led", victim + 1);
        products.push(last_one);
    }
    crowd.goes_on(10).await;
    let (plenty, heard) = crowd.ends().await;
    products.push(plenty);
    assert_eq!(heard.unheard, 0, "every process lives and answers");
    told_of.extend(heard.accepted);
    let endings = stage.books_balance(&products, &told_of).await;
    eprintln!("{endings:?}");
    let ends: BTreeSet<&str> = endings.keys().map(String::as_str).collect();
    let expected = [
        "confirmed",
        "customer_cancelled",
        "out_of_stock",
        "payment_declined",
    ];
    assert_eq!(ends, BTreeSet::from(expected));
}

//! Two processes that take commands race for one product and for one key.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Layout, Person, Role};
use uuid::Uuid;

use crate::rounds;
use crate::stage::{Broker, Stage};

const UNITS: u32 = 5;
const BUYERS: usize = 20;
const REPEATS: usize = 20;
const FREEZE_STEP: Duration = Duration::from_millis(7);

async fn five_of_twenty(mut stage: Stage) {
    let product = stage.market.product(1500, UNITS).await;
    let partner = stage.market.partner.clone();
    let mut buyers: Vec<Person> = Vec::new();
    for _ in 0..BUYERS {
        buyers.push(stage.market.customer(&stage.deployment).await);
    }
    // Nothing is held by a price: everybody gets one while all units are still there.
    let quotes = buyers
        .iter()
        .map(|buyer| buyer.quote(&partner, &product.id, 1));
    let quotes = join_all(quotes).await;
    let places = buyers.iter().zip(quotes).enumerate();
    let places = places.map(|(number, (buyer, quote))| async move {
        let quote = quote.ok();
        let key = Uuid::now_v7().to_string();
        let replica = buyer.commanding(number % 2);
        let told = replica.places(&key, &quote, "pm_card_visa").await;
        let order = told.answer.ok();
        order["order_id"].as_str().unwrap().to_owned()
    });
    let orders: BTreeSet<String> = join_all(places).await.into_iter().collect();
    assert_eq!(orders.len(), BUYERS);
    let endings = stage.books_balance(&[product], &orders).await;
    let expected = [
        ("confirmed".to_owned(), UNITS as usize),
        ("out_of_stock".to_owned(), BUYERS - UNITS as usize),
    ];
    assert_eq!(endings, expected.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_want_the_last_five_exactly_five_get_one() {
    five_of_twenty(Stage::on(Broker::one(), Layout::twice()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_want_the_last_five_exactly_five_get_one_on_three_brokers_too() {
    let layout = Layout::twice().on_three_brokers();
    five_of_twenty(Stage::on(Broker::three(), layout).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_at_two_processes_at_once_is_one_order() {
    let mut stage = Stage::on(Broker::three(), Layout::twice().on_three_brokers()).await;
    let product = stage.market.product(1000, 50).await;
    let buyer = stage.market.customer(&stage.deployment).await;
    let mut orders = BTreeSet::new();
    for round in 0..5 {
        let quote = buyer
            .quote(&stage.market.partner, &product.id, 1)
            .await
            .ok();
        let body = json!({"quote_id": quote["quote_id"], "payment": {"method": "card", "token": "pm_card_visa"}});
        let key = format!("round-{round}");
        let repeats = (0..REPEATS).map(|number| {
            let (buyer, body, key) = (buyer.commanding(number % 2), &body, &key);
            async move { buyer.insists(Method::POST, "/v1/orders", key, body).await }
        });
        let told = join_all(repeats).await;
        let answers: BTreeSet<(u16, String, Option<u64>)> = told
            .into_iter()
            .map(|told| {
                let answer = told.answer;
                let order = answer.body["order_id"].as_str().unwrap_or_default();
                (answer.status.as_u16(), order.to_owned(), answer.position)
            })
            .collect();
        assert_eq!(answers.len(), 1, "{answers:?}");
        let (status, order, _) = answers.into_iter().next().unwrap();
        assert_eq!(status, 202, "{order}");
        orders.insert(order);
    }
    let endings = stage.books_balance(&[product], &orders).await;
    assert_eq!(endings, [("confirmed".to_owned(), 5)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_frozen_with_commands_under_way_does_no_harm_when_it_wakes_up() {
    let mut stage = Stage::on(Broker::one(), Layout::twice()).await;
    let product = stage.market.product(1000, 1000).await;
    let buyer = stage.market.customer(&stage.deployment).await;
    let (sleeper, other) = (buyer.commanding(0), buyer.commanding(1));
    let mut orders = BTreeSet::new();
    for round in 0..rounds(2, 10) {
        let quotes = (0..REPEATS).map(|_| buyer.quote(&stage.market.partner, &product.id, 1));
        let wishes: Vec<(String, Value)> = join_all(quotes)
            .await
            .into_iter()
            .enumerate()
            .map(|(number, quote)| {
                let quote = &quote.ok()["quote_id"];
                let payment = json!({"method": "card", "token": "pm_card_visa"});
                let body = json!({"quote_id": quote, "payment": payment});
                (format!("round-{round}-{number}"), body)
            })
            .collect();
        let all = async |who: &Person| -> Vec<String> {
            let told = wishes
                .iter()
                .map(|(key, body)| who.insists(Method::POST, "/v1/orders", key, body));
            let told = join_all(told).await.into_iter().map(|told| {
                let order = told.answer.ok();
                order["order_id"].as_str().unwrap().to_owned()
            });
            told.collect()
        };
        let trouble = async {
            // Another moment each time, somewhere between the first command and the last.
            tokio::time::sleep(FREEZE_STEP * u32::try_from(round).unwrap()).await;
            stage.deployment.freeze(Role::CommandApi, 0).await;
            let told = all(&other).await;
            stage.deployment.wake(Role::CommandApi, 0).await;
            told
        };
        let (by_the_other, by_the_sleeper) = tokio::join!(trouble, all(&sleeper));
        assert_eq!(by_the_sleeper, by_the_other, "one order for one key");
        orders.extend(by_the_other);
    }
    stage.books_balance(&[product], &orders).await;
}

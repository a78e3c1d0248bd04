//! People who buy and deliver without end while things go wrong, and what they were told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use testkit::{Person, Product, Told};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::stage::Stage;

/// Between two commands of one person, so that the machine has time for the rest.
const PAUSE: Duration = Duration::from_millis(150);
/// Every so many orders are paid with a card that is declined.
const DECLINED_EVERY: usize = 5;
/// A buyer waits for his earlier orders before he has more than so many under way: no more comes than can be worked.
const UNDER_WAY_MAX: usize = 4;

/// What a crowd was told.
#[derive(Debug, Default)]
pub struct Heard {
    /// Orders that were accepted.
    pub accepted: BTreeSet<String>,
    /// Units whose delivery was accepted.
    pub delivered: u32,
    /// How often somebody was sent away for a while, by code.
    pub refused: BTreeMap<String, usize>,
    /// How often nobody answered.
    pub unheard: usize,
    /// The longest that a command took to be accepted.
    pub longest: Duration,
}

impl Heard {
    fn note(&mut self, told: &Told) {
        for (code, times) in &told.refused {
            *self.refused.entry(code.clone()).or_default() += times;
        }
        self.unheard += told.unheard;
        self.longest = self.longest.max(told.took);
    }
}

/// Some who buy, and one who delivers.
pub struct Crowd {
    product: Product,
    stop: Arc<AtomicBool>,
    heard: Arc<Mutex<Heard>>,
    members: JoinSet<()>,
}

impl Crowd {
    /// So many buy one unit of the product again and again, and one more delivers one unit again and again.
    pub async fn gathers(stage: &Stage, product: &Product, buyers: usize) -> Self {
        let mut crowd = Self {
            product: product.clone(),
            stop: Arc::default(),
            heard: Arc::default(),
            members: JoinSet::new(),
        };
        for _ in 0..buyers {
            let person = stage.market.customer(&stage.deployment).await;
            let member = crowd.member(person);
            let partner = stage.market.partner.clone();
            crowd.members.spawn(member.buys(partner));
        }
        let supplier = crowd.member(stage.market.admin.clone());
        crowd.members.spawn(supplier.delivers());
        crowd
    }

    fn member(&self, person: Person) -> Member {
        Member {
            person,
            product: self.product.id.clone(),
            stop: Arc::clone(&self.stop),
            heard: Arc::clone(&self.heard),
        }
    }

    /// How many orders and deliveries have been accepted so far.
    pub fn accepted(&self) -> usize {
        let heard = self.heard.lock().unwrap();
        heard.accepted.len() + heard.delivered as usize
    }

    /// Waits until so many more orders and deliveries are accepted.
    pub async fn goes_on(&self, more: usize) {
        let goal = self.accepted() + more;
        testkit::within_time(testkit::PATIENCE, "commands are accepted", || async {
            (self.accepted() >= goal).then_some(())
        })
        .await;
    }

    /// Everybody finishes what he has begun; gives the product with all its units, and what was heard.
    pub async fn ends(mut self) -> (Product, Heard) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(ended) = self.members.join_next().await {
            ended.unwrap();
        }
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        eprintln!(
            "{} orders and {} deliveries accepted, the longest took {:?}; sent away {:?}, unanswered {}",
            heard.accepted.len(),
            heard.delivered,
            heard.longest,
            heard.refused,
            heard.unheard
        );
        self.product.received += heard.delivered;
        (self.product, heard)
    }
}

struct Member {
    person: Person,
    product: String,
    stop: Arc<AtomicBool>,
    heard: Arc<Mutex<Heard>>,
}

impl Member {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    async fn buys(self, partner: String) {
        let mut under_way = VecDeque::new();
        for number in 1.. {
            if !self.goes_on() {
                return;
            }
            let card = if number % DECLINED_EVERY == 0 {
                "pm_card_visa_chargeDeclined"
            } else {
                "pm_card_visa"
            };
            let quote = self.person.quote(&partner, &self.product, 1).await.ok();
            let key = Uuid::now_v7().to_string();
            let told = self.person.places(&key, &quote, card).await;
            assert_eq!(told.answer.status, 202, "{told:?}");
            let order = told.answer.body["order_id"].as_str().unwrap().to_owned();
            {
                let mut heard = self.heard.lock().unwrap();
                heard.note(&told);
                heard.accepted.insert(order.clone());
            }
            under_way.push_back(order);
            while self.goes_on() && under_way.len() >= UNDER_WAY_MAX {
                let path = format!("/v1/orders/{}", under_way[0]);
                let order = self.person.insists_to_know(&path).await.body;
                if order["status"] == "confirmed" || order["status"] == "cancelled" {
                    under_way.pop_front();
                } else {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn delivers(self) {
        let path = format!("/v1/inventory/{}/receive", self.product);
        let one_more = json!({"quantity": 1});
        while self.goes_on() {
            let key = Uuid::now_v7().to_string();
            let told = self
                .person
                .insists(Method::POST, &path, &key, &one_more)
                .await;
            assert_eq!(told.answer.status, 200, "{told:?}");
            {
                let mut heard = self.heard.lock().unwrap();
                heard.note(&told);
                heard.delivered += 1;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

//! The time of a customer or of a hold is over in the same instant in which something else happens: one winner each
//! time, a unit is sold once, and money and stock balance at every position. Real processes with short settings.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking and print their figures"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use domain::order;
use event_schema::Timestamp;
use event_schema::ids::{OrderId, ProductId};
use event_schema::order::{CancelReason, PaymentMethod};
use event_store::Freshness;
use futures::future::join_all;
use saga_orchestrator::status::Verdict;
use support::audit::balances;
use support::callbacks;
use support::process::Process;
use support::sandbox::Provider;
use support::shop::{Shop, UNIT_PRICE, eventually};
use uuid::Uuid;

/// When customers pay, counted from the end of their time: the first is in time, the last is not.
const PAID_MS: [i64; 10] = [-900, -60, -20, 0, 40, 90, 150, 220, 300, 1_500];

async fn shop_and_provider() -> (Arc<Shop>, Provider) {
    let mut shop = Shop::open().await;
    shop.provider_id = "stripe";
    let shop = Arc::new(shop);
    let url = callbacks::listen(Arc::clone(&shop)).await;
    (shop, Provider::start_with(Some(&url)).await)
}

fn rounds() -> usize {
    let long = std::env::var("WAYBILL_LONG_TESTS").is_ok_and(|value| value == "1");
    if long { 8 } else { 2 }
}

fn shifted(moment: Timestamp, by_ms: i64) -> Timestamp {
    let by = Duration::from_millis(by_ms.unsigned_abs());
    if by_ms < 0 { moment - by } else { moment + by }
}

async fn until(moment: Timestamp) {
    let left = Duration::try_from(moment.duration_since(Timestamp::now()));
    tokio::time::sleep(left.unwrap_or(Duration::ZERO)).await;
}

/// The order is paid and sold, or costs nothing and is called off; never both, never half. True: it is sold.
async fn has_one_winner(
    shop: &Shop,
    provider: &Provider,
    order: Uuid,
    product: ProductId,
    why_not: &[CancelReason],
) -> bool {
    eventually("the saga ends", async || {
        let shown = shop.shown(order).await;
        shown.is_some_and(|shown| shown.status.is_end())
    })
    .await;
    let verdict = shop.shown(order).await.unwrap().status;
    let ledger = provider.ledger(order).await;
    let totals = &ledger["totals"];
    let (kept, charges) = (totals["kept"].as_i64(), totals["times_captured"].as_i64());
    let sold = match shop.order_state(order).await {
        order::State::Confirmed(_) => {
            assert_eq!(verdict, Verdict::Completed);
            assert_eq!((kept, charges), (Some(UNIT_PRICE), Some(1)), "{ledger:#}");
            true
        }
        order::State::Cancelled(_, call_off) => {
            assert_eq!(verdict, Verdict::Compensated);
            assert!(why_not.contains(&call_off.reason), "{:?}", call_off.reason);
            assert_eq!(kept, Some(0), "{ledger:#}");
            false
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(totals["held"].as_i64(), Some(0), "{ledger:#}");
    balances(shop, order, product).await;
    sold
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_payment_and_the_end_of_its_time_in_one_instant_one_wins() {
    let (shop, provider) = shop_and_provider().await;
    let times = [("WAYBILL_TIME_TO_PAY", "4s"), ("WAYBILL_HOLD_EXPIRY", "4s")];
    let _processes = [
        Process::start_with(&shop, &provider, &times),
        Process::start_with(&shop, &provider, &times),
    ];
    shop.spread(&[8, 8]).await;
    let (mut in_time, mut too_late, mut paid_in_vain) = (0, 0, 0);
    for _ in 0..rounds() {
        let product = shop.stocked(100).await;
        let (shop, provider) = (&shop, &provider);
        let customers = PAID_MS.map(|offset_ms| async move {
            let order = shop.checkout(product, 1).await;
            eventually("the page is there", async || {
                shop.payment_state(order).await.checkout_url.is_some()
            })
            .await;
            let asked = shop.payment_state(order).await;
            until(shifted(asked.action_until.unwrap(), offset_ms)).await;
            let page = asked.checkout_url.unwrap();
            let paid = provider.takes(&page, "pm_card_visa").await;
            (offset_ms, order, paid)
        });
        let told = join_all(customers).await;
        let mut sold = 0_u64;
        for (offset_ms, order, paid) in told {
            let why_not = [CancelReason::PaymentExpired];
            let won = has_one_winner(shop, provider, order, product, &why_not).await;
            assert!(paid || !won, "sold to somebody who did not pay");
            assert!(won || offset_ms > -500, "paid in time and called off");
            in_time += u32::from(won);
            too_late += u32::from(!won);
            paid_in_vain += u32::from(paid && !won);
            sold += u64::from(won);
        }
        let stock = shop.stock(product).await;
        assert_eq!(
            (stock.available, stock.held, stock.sold),
            (100 - sold, 0, sold)
        );
    }
    eprintln!("sold {in_time}, called off {too_late}, of these paid and given back {paid_in_vain}");
    assert!(in_time > 0 && too_late > 0, "both have to have happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_whose_time_is_over_while_it_is_paid_for_is_sold_once_and_to_nobody_else() {
    let (shop, provider) = shop_and_provider().await;
    let times = [("WAYBILL_TIME_TO_PAY", "1s"), ("WAYBILL_HOLD_EXPIRY", "1s")];
    let _process = Process::start_with(&shop, &provider, &times);
    shop.spread(&[16]).await;
    for _ in 0..rounds() {
        let product = shop.stocked(1).await;
        let order = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
        // Taken at once, told after four seconds, and nobody can look it up before.
        provider.fail_for(order, "capture", "delay", 1, 4_000).await;
        for operation in ["get", "list"] {
            provider.fail(order, operation, "drop_before", 4).await;
        }
        let card = PaymentMethod::Card {
            token: "pm_card_visa".into(),
        };
        shop.place_as(order, product, 1, card).await;
        let hold = async || {
            let stock = shop.stock(product).await;
            stock.holds.get(&OrderId(order)).cloned()
        };
        eventually("the unit is held", async || hold().await.is_some()).await;
        let ends = hold().await.unwrap().expires_at;
        eventually("the time of the hold is over", async || {
            Timestamp::now() > ends
        })
        .await;
        assert!(hold().await.is_some(), "it is being paid for");
        let other = shop.order(product, 1, "pm_card_visa").await;
        assert!(
            !has_one_winner(
                &shop,
                &provider,
                other,
                product,
                &[CancelReason::OutOfStock]
            )
            .await
        );
        assert!(has_one_winner(&shop, &provider, order, product, &[]).await);
        let stock = shop.stock(product).await;
        assert_eq!((stock.available, stock.held, stock.sold), (0, 0, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_end_of_a_hold_its_release_and_its_sale_in_one_instant_one_happens() {
    let (shop, provider) = shop_and_provider().await;
    let times = [
        ("WAYBILL_TIME_TO_PAY", "800ms"),
        ("WAYBILL_HOLD_EXPIRY", "800ms"),
    ];
    let _process = Process::start_with(&shop, &provider, &times);
    shop.spread(&[16]).await;
    let (mut sold, mut released) = (0, 0);
    for _ in 0..rounds() {
        // Nobody knows what became of the capture until around the end of the hold. Every other payment was let go before,
        // past the shop, so that its capture is refused and its unit put back about then.
        // The second look comes in the very instant of the end.
        let orders = [1, 1, 2, 2, 3, 3, 4, 4].into_iter().enumerate();
        let stories = orders.map(|(number, looks_lost)| {
            let (shop, provider) = (&shop, &provider);
            async move {
                let product = shop.stocked(1).await;
                let order = Uuid::new_v5(&Uuid::NAMESPACE_OID, Uuid::now_v7().as_bytes());
                let lets_go = number % 2 == 1;
                let fault = if lets_go { "drop_before" } else { "drop_after" };
                provider.fail(order, "capture", fault, 1).await;
                provider.fail(order, "get", "drop_before", looks_lost).await;
                let card = PaymentMethod::Card {
                    token: "pm_card_visa".into(),
                };
                shop.place_as(order, product, 1, card).await;
                if lets_go {
                    eventually("the money is set aside", async || {
                        provider.total(order, "held").await > 0
                    })
                    .await;
                    provider.cancel_by_hand(order).await;
                }
                let why_not = [CancelReason::PaymentDeclined];
                let won = has_one_winner(shop, provider, order, product, &why_not).await;
                assert!(
                    won || lets_go,
                    "{order} was called off although its money was there"
                );
                let stock = shop.stock(product).await;
                let units = (stock.available, stock.held, stock.sold);
                assert_eq!(units, if won { (0, 0, 1) } else { (1, 0, 0) });
                let ends = ended_holds(shop, product).await;
                assert_eq!(ends.len(), 1, "a hold ends once: {ends:?}");
                won
            }
        });
        for won in join_all(stories).await {
            sold += u32::from(won);
            released += u32::from(!won);
        }
    }
    eprintln!("sold {sold}, put back {released}");
    assert!(sold > 0 && released > 0, "both have to have happened");
}

/// How the product's holds have ended.
async fn ended_holds(shop: &Shop, product: ProductId) -> Vec<String> {
    let subject = event_schema::Subject::history("inventory", product.uuid());
    let store = shop.executor.store();
    let loaded = store.load(
        &subject,
        event_schema::Version::NONE,
        None,
        Freshness::Leader,
    );
    let ends = loaded
        .await
        .unwrap()
        .events
        .into_iter()
        .map(|event| event.event_type.to_string());
    ends.filter(|kind| kind == "inventory.committed" || kind == "inventory.released")
        .collect()
}

//! Reports of sales: what counts, for how much, on which day, and for whom.

use event_schema::ids::{CustomerId, PartnerId, ProductId, QuoteId};
use event_schema::order::{self, CancelReason, Line, PaymentMethod};
use event_schema::{Currency, Money, payment};
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::read_models;
use crate::testing::stories::{AnOrder, eur};
use crate::testing::{ADMIN, Got, Happening, Open, Shop, to};

fn usd(amount: i64) -> Money {
    Money::new(amount, Currency::USD)
}

/// A line of a brand and a category; price and cost of one unit.
fn line(brand: &str, category: &str, quantity: u32, price: Money, cost: Money) -> Line {
    Line {
        product_id: ProductId(Uuid::now_v7()),
        sku: format!("{brand}-{category}").to_uppercase(),
        name: format!("{brand} {category}"),
        brand: brand.into(),
        category: category.into(),
        quantity,
        unit_price: price,
        unit_cost: cost,
        total: price.times(quantity).unwrap(),
    }
}

/// An order of these lines at a partner.
async fn placed(shop: &Shop, id: Uuid, partner: Uuid, lines: Vec<Line>) -> Happening {
    let customer = Uuid::now_v7();
    let mut total = Money::zero(lines[0].total.currency);
    for line in &lines {
        total = total.plus(line.total).unwrap();
    }
    let placed = order::Placed {
        quote_id: QuoteId(Uuid::now_v7()),
        customer_id: CustomerId(customer),
        partner_id: PartnerId(partner),
        lines,
        total,
        delivery_address: shop.sealed(customer, "delivery_address", "7 Lane").await,
        phone: shop.sealed(customer, "phone", "+49 30 7").await,
        payment_method: PaymentMethod::Checkout,
    };
    to(id, [order::Event::from(placed)])
}

fn confirmed(id: Uuid) -> Happening {
    to(id, [order::Event::from(order::Confirmed {})])
}

/// Placed and confirmed.
async fn sold(shop: &Open, partner: Uuid, lines: Vec<Line>) -> Uuid {
    let id = Uuid::now_v7();
    shop.happens([placed(&shop.shop, id, partner, lines).await])
        .await;
    shop.happens([confirmed(id)]).await;
    id
}

async fn report(shop: &Open, query: &str) -> Vec<Value> {
    let got = shop.ask(&format!("/v1/reports/sales?{query}")).await;
    assert_eq!(got.status, 200, "{got:#?}");
    got.body["data"].as_array().unwrap().clone()
}

/// Key, currency, units, revenue, cost, profit of each row.
fn sums(rows: &[Value]) -> Vec<(String, String, [i64; 4])> {
    let row = |row: &Value| {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let money = |name: &str| {
            assert_eq!(row[name]["currency"], row["currency"]);
            row[name]["amount"].as_i64().unwrap()
        };
        let units = row["units"].as_i64().unwrap();
        let numbers = [units, money("revenue"), money("cost"), money("profit")];
        (text("key"), text("currency"), numbers)
    };
    rows.iter().map(row).collect()
}

fn of(key: &str, currency: &str, numbers: [i64; 4]) -> (String, String, [i64; 4]) {
    (key.into(), currency.into(), numbers)
}

fn today() -> String {
    jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
        .to_string()
}

#[tokio::test]
async fn sales_are_added_up_by_brand_category_product_and_day_in_each_currency() {
    let shop = Shop::new().await.open().await;
    let (ours, theirs) = (Uuid::now_v7(), Uuid::now_v7());
    let mug = line("Corner", "kitchen", 2, eur(850), eur(400));
    let lamp = line("Corner", "light", 1, eur(3000), eur(2000));
    let plate = line("Harbour", "kitchen", 3, usd(500), usd(600));
    let first = sold(&shop, ours, vec![mug.clone(), lamp.clone()]).await;
    sold(&shop, ours, vec![mug.clone()]).await;
    sold(&shop, theirs, vec![plate.clone()]).await;
    let day = today();

    assert_eq!(
        sums(&report(&shop, "group_by=brand").await),
        [
            of("Corner", "EUR", [5, 6400, 3600, 2800]),
            of("Harbour", "USD", [3, 1500, 1800, -300]),
        ]
    );
    let categories = report(&shop, "group_by=category").await;
    assert_eq!(
        sums(&categories),
        [
            of("kitchen", "EUR", [4, 3400, 1600, 1800]),
            of("kitchen", "USD", [3, 1500, 1800, -300]),
            of("light", "EUR", [1, 3000, 2000, 1000]),
        ]
    );
    assert_eq!(categories[0]["category"], "kitchen");
    let products = report(&shop, "group_by=product").await;
    let mugs = products
        .iter()
        .find(|row| row["product_id"] == json!(mug.product_id))
        .unwrap();
    assert_eq!(
        (&mugs["units"], &mugs["sku"], &mugs["name"]),
        (
            &json!(4),
            &json!("CORNER-KITCHEN"),
            &json!("Corner kitchen")
        )
    );
    assert_eq!(products.len(), 3);
    let sales = report(&shop, "group_by=order").await;
    let sale = sales
        .iter()
        .find(|row| row["order_id"] == json!(first))
        .unwrap();
    assert_eq!(
        sums(std::slice::from_ref(sale)),
        [of(&first.to_string(), "EUR", [3, 4700, 2800, 1900])]
    );
    assert_eq!(sales.len(), 3);
    // By day is what a report is by itself.
    let days = report(&shop, "").await;
    assert_eq!(
        sums(&days),
        [
            of(&day, "EUR", [5, 6400, 3600, 2800]),
            of(&day, "USD", [3, 1500, 1800, -300]),
        ]
    );
    assert_eq!(days[0]["day"], json!(day));
    assert_eq!(days, report(&shop, "group_by=day").await);
}

#[tokio::test]
async fn an_order_counts_from_its_confirmation_and_not_if_it_is_called_off() {
    let shop = Shop::new().await.open().await;
    let partner = Uuid::now_v7();
    let lines = || vec![line("Corner", "kitchen", 1, eur(1000), eur(400))];
    let (pending, refused, late) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for id in [pending, refused, late] {
        shop.happens([placed(&shop.shop, id, partner, lines()).await])
            .await;
    }
    let cancelled = |id: Uuid| {
        let reason = CancelReason::OutOfStock;
        to(
            id,
            [order::Event::from(order::Cancelled {
                reason,
                detail: None,
            })],
        )
    };
    shop.happens([cancelled(refused)]).await;
    assert_eq!(report(&shop, "group_by=brand").await, [] as [Value; 0]);
    shop.happens([confirmed(pending)]).await;
    shop.happens([confirmed(late)]).await;
    assert_eq!(
        sums(&report(&shop, "group_by=brand").await),
        [of("Corner", "EUR", [2, 2000, 800, 1200])]
    );
    // No decider lets this happen; the report would be right all the same.
    shop.happens([cancelled(late)]).await;
    assert_eq!(
        sums(&report(&shop, "group_by=brand").await),
        [of("Corner", "EUR", [1, 1000, 400, 600])]
    );
    // On its way and there, it is the same sale.
    let order = AnOrder {
        id: pending,
        ..AnOrder::new()
    };
    shop.happens([order.ready()]).await;
    shop.happens([order.assigned(Uuid::now_v7())]).await;
    shop.happens([order.delivered()]).await;
    assert_eq!(
        sums(&report(&shop, "group_by=brand").await),
        [of("Corner", "EUR", [1, 1000, 400, 600])]
    );
}

#[tokio::test]
async fn what_is_given_back_is_taken_from_each_line_to_the_last_cent_and_all_of_it_is_no_sale() {
    let shop = Shop::new().await.open().await;
    let partner = Uuid::now_v7();
    let lines = vec![
        line("A", "x", 1, eur(100), eur(40)),
        line("B", "x", 1, eur(100), eur(40)),
        line("C", "x", 1, eur(100), eur(40)),
    ];
    let id = sold(&shop, partner, lines).await;
    let back = AnOrder {
        id,
        ..AnOrder::new()
    };
    shop.happens([back.refunded("re_1", 50)]).await;
    let by_brand = sums(&report(&shop, "group_by=brand").await);
    let revenues: Vec<i64> = by_brand.iter().map(|(_, _, sums)| sums[1]).collect();
    assert_eq!(revenues.iter().sum::<i64>(), 250, "{by_brand:?}");
    assert!(
        revenues.iter().all(|left| (83..=84).contains(left)),
        "{revenues:?}"
    );
    assert_eq!(
        sums(&report(&shop, "group_by=category").await),
        [of("x", "EUR", [3, 250, 120, 130])]
    );
    // Some of it was paid back past the provider.
    let outside = |step: &str, amount: i64| {
        let settled = payment::SettledOutside {
            step: step.into(),
            amount: eur(amount),
            reason: "by bank transfer".into(),
        };
        to(id, [payment::Event::from(settled)])
    };
    shop.happens([outside("capture", 100)]).await;
    shop.happens([outside("refund", 50)]).await;
    assert_eq!(
        sums(&report(&shop, "group_by=category").await),
        [of("x", "EUR", [3, 200, 120, 80])]
    );
    shop.happens([back.refunded("re_2", 200)]).await;
    assert_eq!(report(&shop, "group_by=category").await, [] as [Value; 0]);
}

#[tokio::test]
async fn the_money_of_an_order_that_was_called_off_changes_no_report() {
    let shop = Shop::new().await.open().await;
    let order = AnOrder::new();
    shop.happens(order.by_card(&shop.shop).await).await;
    shop.happens(order.out_of_stock()).await;
    shop.happens(order.voided()).await;
    shop.happens([order.refunded("re_1", 1700)]).await;
    assert_eq!(report(&shop, "").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_cost_in_another_currency_than_the_price_is_told_in_its_own() {
    let shop = Shop::new().await.open().await;
    let mixed = line("Corner", "kitchen", 2, eur(850), usd(400));
    sold(&shop, Uuid::now_v7(), vec![mixed]).await;
    assert_eq!(
        sums(&report(&shop, "group_by=brand").await),
        [
            of("Corner", "EUR", [2, 1700, 0, 1700]),
            of("Corner", "USD", [0, 0, 800, -800]),
        ]
    );
}

#[tokio::test]
async fn a_partner_reads_of_his_own_sales_only_and_an_admin_may_choose_one() {
    let shop = Shop::new().await.open().await;
    let (ours, theirs) = (Uuid::now_v7(), Uuid::now_v7());
    let of_brand = |brand: &str| vec![line(brand, "kitchen", 1, eur(1000), eur(400))];
    sold(&shop, ours, of_brand("Corner")).await;
    sold(&shop, theirs, of_brand("Harbour")).await;
    let brands = |got: &Got| -> Vec<String> {
        let rows = got.body["data"].as_array().unwrap().iter();
        rows.map(|row| row["brand"].as_str().unwrap().to_owned())
            .collect()
    };
    let path = "/v1/reports/sales?group_by=brand";
    let got = shop.get(path, Role::Partner, ours).await;
    assert_eq!(brands(&got), ["Corner"]);
    let of_theirs = format!("{path}&partner_id={theirs}");
    let got = shop.get(&of_theirs, Role::Partner, ours).await;
    assert_eq!(brands(&got), [] as [&str; 0]);
    let got = shop.get(&of_theirs, Role::Admin, ADMIN).await;
    assert_eq!(brands(&got), ["Harbour"]);
    let got = shop.get(path, Role::Partner, Uuid::now_v7()).await;
    assert_eq!(brands(&got), [] as [&str; 0]);
}

#[tokio::test]
async fn a_report_is_of_the_days_asked_for_and_days_that_are_none_are_refused() {
    let shop = Shop::new().await.open().await;
    let lines = vec![line("Corner", "kitchen", 1, eur(1000), eur(400))];
    sold(&shop, Uuid::now_v7(), lines).await;
    sqlx::query("update read.sales set day = '2026-02-28'")
        .execute(&shop.shop.pool)
        .await
        .unwrap();
    for (query, found) in [
        ("from=2026-02-28&to=2026-02-28", 1),
        ("from=2026-03-01", 0),
        ("to=2026-02-27", 0),
        ("from=2026-01-01&to=2036-01-01", 1),
        ("to=9999-12-31", 1),
        ("from=&to=", 1),
    ] {
        let rows = report(&shop, query).await;
        assert_eq!(rows.len(), found, "{query}");
    }
    for (query, pointer) in [
        ("from=2026-03-01&to=2026-02-28", Some("/to")),
        ("from=2026-01-01&to=2036-01-02", Some("/to")),
        ("from=2026-02-30", Some("/from")),
        ("from=yesterday&to=2026-1-1", Some("/from")),
        ("from=2026-02-28T00:00:00", Some("/from")),
        ("group_by=shelf", None),
        ("partner_id=7", None),
        ("limit=0", Some("/limit")),
    ] {
        let got = shop.ask(&format!("/v1/reports/sales?{query}")).await;
        assert_eq!(
            (got.status.as_u16(), got.code()),
            (422, "invalid"),
            "{query}"
        );
        if let Some(pointer) = pointer {
            assert_eq!(got.body["errors"][0]["pointer"], pointer, "{query}");
        }
    }
    let got = shop.ask("/v1/reports/sales?cursor=nonsense").await;
    assert_eq!((got.status.as_u16(), got.code()), (400, "cursor_invalid"));
}

#[tokio::test]
async fn a_report_is_read_page_by_page() {
    let shop = Shop::new().await.open().await;
    let lines: Vec<Line> = ["e", "b", "d", "a", "c"]
        .into_iter()
        .map(|brand| line(brand, "kitchen", 1, eur(100), usd(40)))
        .collect();
    sold(&shop, Uuid::now_v7(), lines).await;
    let mut seen = Vec::new();
    let mut path = "/v1/reports/sales?group_by=brand&limit=3".to_owned();
    loop {
        let got = shop.ask(&path).await;
        let page = sums(got.body["data"].as_array().unwrap());
        assert!(page.len() <= 3);
        seen.extend(page.into_iter().map(|(key, currency, _)| key + &currency));
        let Some(cursor) = got.body["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/reports/sales?group_by=brand&limit=3&cursor={cursor}");
    }
    let all = ["a", "b", "c", "d", "e"];
    let expected: Vec<String> = all
        .iter()
        .flat_map(|brand| [format!("{brand}EUR"), format!("{brand}USD")])
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_report_is_the_same_after_a_rebuild_and_after_another_run() {
    let shop = Shop::new().await.open().await;
    let partner = Uuid::now_v7();
    let lines = |number: u32| {
        vec![
            line("Corner", "kitchen", number, eur(333), eur(100)),
            line("Harbour", "light", 1, eur(777), usd(50)),
        ]
    };
    for number in 1..=6 {
        let id = sold(&shop, partner, lines(number)).await;
        let back = AnOrder {
            id,
            ..AnOrder::new()
        };
        match number {
            2 => drop(shop.happens([back.refunded("re_1", 100)]).await),
            3 => {
                shop.happens([back.refunded("re_1", 1)]).await;
                shop.happens([back.refunded("re_2", 2)]).await;
            }
            4 => drop(shop.happens([back.refunded("re_1", 1_000_000)]).await),
            _ => {}
        }
    }
    let groups = ["brand", "category", "product", "day", "order"];
    let reports = async |shop: &Open| {
        let mut all = Vec::new();
        for group in groups {
            all.push(report(shop, &format!("group_by={group}")).await);
        }
        all
    };
    let (rows, before) = (shop.shop.rows().await, reports(&shop).await);
    shop.workshop.rebuild("sales", |_| {}).await.unwrap();
    assert_eq!(reports(&shop).await, before);
    assert_eq!(shop.shop.rows().await, rows);
    let verified = shop.workshop.verify("sales", |_| {}).await.unwrap();
    assert!(verified.is_same());
    assert!(read_models::all().iter().any(|one| one.name() == "sales"));

    let shop = shop.close().await;
    sqlx::query("drop schema read cascade")
        .execute(&shop.pool)
        .await
        .unwrap();
    let shop = shop.open().await;
    shop.catch_up().await;
    assert_eq!(reports(&shop).await, before);
    assert_eq!(shop.shop.rows().await, rows);
}

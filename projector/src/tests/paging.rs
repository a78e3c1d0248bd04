//! Lists page through thousands of rows without a gap or a repeat while more are being added, before the page and
//! behind it. Ten thousand rows of each with `WAYBILL_LONG_TESTS=1`, a thousand without.

use std::collections::BTreeSet;

use event_schema::ids::derived;
use event_schema::{PersonalKey, Sealed, customer, resource};
use uuid::Uuid;

use crate::testing::stories::{AnOrder, offer, partner, product};
use crate::testing::{Happening, Open, Shop, to};

/// Rows of each list that are appended together; an order is four messages of the 256 that a group may have.
const ROWS_PER_GROUP: usize = 30;
/// Rows of each list that come after every page.
const ROWS_PER_PAGE_READ: usize = 5;
const PAGE: usize = 100;

fn rows() -> usize {
    if std::env::var("WAYBILL_LONG_TESTS").is_ok_and(|value| value == "1") {
        10_000
    } else {
        1_000
    }
}

/// A list, and the member that tells its rows apart.
const LISTS: [(&str, &str); 5] = [
    ("/v1/customers", "id"),
    ("/v1/products", "id"),
    ("/v1/resources", "id"),
    ("/v1/catalog", "product_id"),
    ("/v1/orders", "id"),
];

/// Whose orders they are, who sells what, and a key that nobody keeps.
struct Ground {
    seller: Uuid,
    buyer: AnOrder,
    key: PersonalKey,
}

impl Ground {
    /// One row more for each list. Names are in no order, so that rows come before a page as often as behind it.
    async fn row(&self, shop: &Shop) -> Vec<Happening> {
        let (what, who) = (Uuid::now_v7(), Uuid::now_v7());
        let name = derived(&["name", &what.to_string()]).to_string();
        let details = resource::Details {
            name: name.clone(),
            kind: "vm".into(),
            region: "eu-central-1".into(),
        };
        let seal =
            |field: &str| Sealed::seal(&self.key, who, Uuid::now_v7(), field, &name).unwrap();
        let person = customer::Added {
            name: seal("name"),
            email: seal("email"),
            email_key: name.clone(),
            role: customer::Role::Customer,
        };
        let order = AnOrder {
            id: Uuid::now_v7(),
            ..self.buyer
        };
        let mut row = vec![
            to(what, [resource::Event::from(resource::Added { details })]),
            to(who, [customer::Event::from(person)]),
            product(what, Some(self.seller), &name),
            offer(self.seller, what, 850, true),
        ];
        row.extend(order.by_card(shop).await);
        row
    }

    async fn more(&self, shop: &Shop, count: usize) {
        let mut group = Vec::new();
        for _ in 0..count {
            group.extend(self.row(shop).await);
        }
        shop.happens(group).await;
    }
}

/// Every row of a list, page by page, while more are added after each page.
async fn walk(shop: &Open, ground: &Ground, list: &str, id: &str) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let got = shop.ask(&format!("{list}?limit={PAGE}{cursor}")).await;
        assert_eq!(got.status, 200, "{got:?}");
        let rows = got.body["data"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row[id].as_str().unwrap().to_owned()));
        match got.body["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!((rows.len(), &got.body["has_more"]), (PAGE, &true.into()));
                cursor = format!("&cursor={next}");
            }
            None => return seen,
        }
        ground.more(&shop.shop, ROWS_PER_PAGE_READ).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_is_paged_through_without_a_gap_or_a_repeat_while_rows_are_added() {
    let shop = Shop::new().await.open().await;
    let ground = Ground {
        seller: Uuid::now_v7(),
        buyer: AnOrder::new(),
        key: PersonalKey::generate().unwrap(),
    };
    shop.happens([partner(ground.seller, "Corner")]).await;
    let mut there = 0;
    while there < rows() {
        ground.more(&shop.shop, ROWS_PER_GROUP).await;
        there += ROWS_PER_GROUP;
        // The rows are written while more come, but not left behind for longer than a test waits.
        if there.is_multiple_of(ROWS_PER_GROUP * 10) {
            shop.catch_up().await;
        }
    }
    shop.catch_up().await;
    for (list, id) in LISTS {
        let quiet = ids_of(&shop, list, id).await;
        assert!(quiet.len() >= rows(), "{list}: {}", quiet.len());
        let seen = walk(&shop, &ground, list, id).await;
        let once: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(once.len(), seen.len(), "{list} repeats a row");
        let missed = quiet.iter().filter(|id| !once.contains(id)).count();
        assert_eq!(missed, 0, "{list} leaves rows out");
        shop.catch_up().await;
    }
}

/// The rows of a list that nothing is added to.
async fn ids_of(shop: &Open, list: &str, id: &str) -> BTreeSet<String> {
    let (mut seen, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let got = shop.ask(&format!("{list}?limit={PAGE}{cursor}")).await;
        let rows = got.body["data"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row[id].as_str().unwrap().to_owned()));
        match got.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

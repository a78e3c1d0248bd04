//! Lists page through thousands of rows without a gap or a repeat while more are being added, before the page and
//! behind it. Ten thousand rows of each with `WAYBILL_LONG_TESTS=1`, a thousand without.

use std::collections::BTreeSet;

use event_schema::ids::{CustomerId, ResourceId, derived};
use event_schema::{PersonalKey, Sealed, assignment, customer as account, resource};
use serde_json::Value;
use service_kit::Role;
use uuid::Uuid;

use crate::testing::stories::{AnOrder, customer, offer, partner, product, received};
use crate::testing::{ADMIN, Got, Happening, Open, Shop, to};

/// Rows of each list that are appended together; they are 14 messages of the 256 that a group may have.
const ROWS_PER_GROUP: usize = 18;
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

/// A list, the member that tells its rows apart, and who reads it.
struct List {
    path: String,
    id: &'static str,
    reader: (Role, Uuid),
}

impl List {
    async fn page(&self, shop: &Open, cursor: &str) -> Got {
        let path = format!("{}?limit={PAGE}{cursor}", self.path);
        let (role, subject) = self.reader;
        let got = shop.get(&path, role, subject).await;
        assert_eq!(got.status, 200, "{got:?}");
        got
    }
}

/// Every list that has pages. Notifications are their reader's own, whoever he is.
fn lists(ground: &Ground) -> Vec<List> {
    let list = |path: &str, id, reader| List {
        path: path.to_owned(),
        id,
        reader,
    };
    let admin = (Role::Admin, ADMIN);
    let buyer = (Role::Customer, ground.buyer.customer);
    let mine = format!("/v1/customers/{}/resources", ground.buyer.customer);
    vec![
        list("/v1/customers", "id", admin),
        list("/v1/partners", "id", admin),
        list("/v1/products", "id", admin),
        list("/v1/resources", "id", admin),
        list("/v1/inventory", "product_id", admin),
        list("/v1/catalog", "product_id", admin),
        list("/v1/orders", "id", admin),
        list("/v1/deliveries", "id", (Role::Deliverer, Uuid::now_v7())),
        list("/v1/sagas", "id", admin),
        list("/v1/orders", "id", buyer),
        list("/v1/notifications", "id", buyer),
        list(&mine, "resource_id", buyer),
    ]
}

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
        let person = account::Added {
            name: seal("name"),
            email: seal("email"),
            email_key: name.clone(),
            role: account::Role::Customer,
        };
        let order = AnOrder {
            id: Uuid::now_v7(),
            ..self.buyer
        };
        let assigned = assignment::Assigned {
            customer_id: CustomerId(self.buyer.customer),
            resource_id: ResourceId(what),
        };
        let pair = assignment::id(assigned.customer_id, assigned.resource_id);
        let mut row = vec![
            to(what, [resource::Event::from(resource::Added { details })]),
            to(pair, [assignment::Event::from(assigned)]),
            partner(Uuid::now_v7(), &name),
            received(what, 1),
            to(who, [account::Event::from(person)]),
            product(what, Some(self.seller), &name),
            offer(self.seller, what, 850, true),
        ];
        row.extend(order.by_card(shop).await);
        row.push(order.ready());
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
async fn walk(shop: &Open, ground: &Ground, list: &List) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let got = list.page(shop, &cursor).await;
        let rows = got.body["data"].as_array().unwrap();
        seen.extend(ids(list, rows));
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
    let buyer = customer(&shop.shop, ground.buyer.customer, "ada").await;
    shop.happens([partner(ground.seller, "Corner"), buyer])
        .await;
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
    for list in lists(&ground) {
        let path = &list.path;
        let quiet = ids_of(&shop, &list).await;
        assert!(quiet.len() >= rows(), "{path}: {}", quiet.len());
        let seen = walk(&shop, &ground, &list).await;
        let once: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(once.len(), seen.len(), "{path} repeats a row");
        let missed = quiet.iter().filter(|id| !once.contains(id)).count();
        assert_eq!(missed, 0, "{path} leaves rows out");
        shop.catch_up().await;
    }
}

fn ids<'a>(list: &List, rows: &'a [Value]) -> impl Iterator<Item = String> + 'a {
    let id = list.id;
    rows.iter()
        .map(move |row| row[id].as_str().unwrap().to_owned())
}

/// The rows of a list that nothing is added to.
async fn ids_of(shop: &Open, list: &List) -> BTreeSet<String> {
    let (mut seen, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let got = list.page(shop, &cursor).await;
        seen.extend(ids(list, got.body["data"].as_array().unwrap()));
        match got.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

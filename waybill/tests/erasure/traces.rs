//! Somebody uses everything there is, is erased, and is looked for.

use reqwest::StatusCode;
use serde_json::Value;
use testkit::{Shop, within};

use crate::marked::{Marked, seller, shop, sign_in};
use crate::scan::{database, everywhere};

/// Every row that orders and customers are shown from.
async fn rows(shop: &Shop) -> Vec<String> {
    let pool = database(shop).await;
    let mut all = Vec::new();
    for statement in [
        "select t::text from read.customers t order by id",
        "select t::text from read.orders t order by id",
        "select t::text from read.notifications t order by id",
        "select t::text from read.orders_erased_persons t order by person",
    ] {
        let rows: Vec<String> = sqlx::query_scalar(statement)
            .fetch_all(&pool)
            .await
            .unwrap();
        all.extend(rows);
    }
    all
}

async fn asked(shop: &mut Shop, path: &str, position: u64) -> Value {
    let request = shop
        .admin()
        .request(reqwest::Method::GET, path)
        .header("Waybill-Min-Position", position);
    testkit::answer(request).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_erased_person_is_found_anywhere_and_what_he_bought_stays() {
    let mut shop = shop(&[]).await;
    let (partner, product) = seller(&mut shop).await;
    let (ada, bob) = (Marked::new(&shop).await, Marked::new(&shop).await);
    let mut orders = Vec::new();
    for somebody in [&ada, &bob] {
        somebody.shows(100).await;
        somebody.shows(200).await;
        orders.push(somebody.buys(&partner, &product).await);
    }
    // It is there to be found, or finding nothing would say nothing.
    let before = everywhere(&mut shop, &ada.words).await;
    for word in &ada.words {
        // Only sealed: where a device is reached is in no row.
        let sealed_only = word.starts_with("Device");
        let known = before.iter().any(|place| place.ends_with(&**word));
        assert!(known || sealed_only, "{word} is nowhere: {before:?}");
    }
    assert!(
        before.iter().all(|place| place.starts_with("read.")),
        "{before:?}"
    );
    let report = asked(&mut shop, "/v1/reports/sales", 0).await;
    let order_path = format!("/v1/orders/{}", orders[0]);
    let order = asked(&mut shop, &order_path, 0).await;

    let position = ada.erases_himself().await;
    let customer = asked(&mut shop, &format!("/v1/customers/{}", ada.id), position).await;
    for field in ["name", "email", "phone", "birth_date"] {
        assert_eq!(customer[field], Value::Null, "{customer}");
    }
    let shown = asked(&mut shop, &order_path, position).await;
    for field in ["total", "lines", "status"] {
        assert_eq!(shown[field], order[field]);
    }
    assert_eq!(
        asked(&mut shop, "/v1/reports/sales", position).await,
        report
    );
    let birthday = "1931-07-23".to_owned();
    let words: Vec<String> = ada
        .words
        .iter()
        .filter(|word| **word != birthday)
        .cloned()
        .collect();
    assert_eq!(everywhere(&mut shop, &words).await, Vec::<String>::new());
    assert!(
        !shop
            .data_dir()
            .join("avatars")
            .join(ada.id.to_string())
            .exists()
    );
    assert!(
        shop.data_dir()
            .join("avatars")
            .join(bob.id.to_string())
            .exists()
    );
    assert!(
        !everywhere(&mut shop, &bob.words).await.is_empty(),
        "others stay"
    );

    // Who was erased is refused, and his address is free.
    assert_eq!(ada.picture(0).await.status(), StatusCode::UNAUTHORIZED);
    assert!(sign_in(&shop, &ada.email).await.is_none());

    // A rebuild gives the same rows.
    let redacted = rows(&shop).await;
    for name in ["customers", "orders", "inbox"] {
        shop.operator(&["projections", "rebuild", name]).await;
        shop.operator(&["projections", "verify", name]).await;
    }
    assert_eq!(rows(&shop).await, redacted);
    assert_eq!(everywhere(&mut shop, &words).await, Vec::<String>::new());

    // The vault of yesterday brings the key back, until somebody starts.
    let pool = database(&shop).await;
    let kept: Vec<u8> =
        sqlx::query_scalar("select wrapped_key from vault.personal_keys where person = $1")
            .bind(bob.id)
            .fetch_one(&pool)
            .await
            .unwrap();
    bob.erases_himself().await;
    pool.close().await;
    shop.kill9().await;
    shop.again().await;
    let pool = database(&shop).await;
    sqlx::query(
        "update vault.personal_keys set wrapped_key = $2, destroyed_at = null where person = $1",
    )
    .bind(bob.id)
    .bind(kept)
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    shop.kill9().await;
    shop.again().await;
    within("the key that came back is destroyed again", || async {
        let key: Option<Vec<u8>> =
            sqlx::query_scalar("select wrapped_key from vault.personal_keys where person = $1")
                .bind(bob.id)
                .fetch_one(&database(&shop).await)
                .await
                .ok()?;
        key.is_none().then_some(())
    })
    .await;
}

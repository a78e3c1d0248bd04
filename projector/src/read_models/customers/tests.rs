//! Customers as admins and they themselves see them, and what is left of an erased one.

use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::testing::Shop;
use crate::testing::stories::customer;

#[tokio::test]
async fn a_customer_is_shown_with_the_data_that_his_key_opens() {
    let shop = Shop::new().await.open().await;
    let ada = Uuid::now_v7();
    shop.happens([customer(&shop.shop, ada, "ada").await]).await;
    let got = shop.ask(&format!("/v1/customers/{ada}")).await;
    assert_eq!(
        (&got.body["name"], &got.body["email"], &got.body["role"]),
        (&json!("ada"), &json!("ada@example.org"), &json!("customer"))
    );
    assert_eq!(got.header("etag"), Some("\"1\""));
    let me = shop.get("/v1/me", Role::Customer, ada).await;
    assert_eq!(
        (&me.body["id"], &me.body["name"], &me.body["roles"]),
        (&json!(ada), &json!("ada"), &json!(["customer"]))
    );
}

#[tokio::test]
async fn a_customer_whose_key_is_gone_when_he_is_projected_has_no_name() {
    let shop = Shop::new().await;
    let ada = Uuid::now_v7();
    shop.happens([customer(&shop, ada, "ada").await]).await;
    shop.vault.destroy(ada).await.unwrap();
    let shop = shop.open().await;
    shop.catch_up().await;
    let got = shop.ask(&format!("/v1/customers/{ada}")).await;
    assert_eq!(
        (&got.body["name"], &got.body["email"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_caller_who_is_no_customer_hears_what_his_token_says() {
    let shop = Shop::new().await.open().await;
    shop.happens([customer(&shop.shop, Uuid::now_v7(), "ada").await])
        .await;
    let somebody = Uuid::now_v7();
    let me = shop.get("/v1/me", Role::Deliverer, somebody).await;
    assert_eq!(
        (&me.body["id"], &me.body["name"]),
        (&json!(somebody), &Value::Null)
    );
    assert_eq!(me.header("etag"), None);
}

#[tokio::test]
async fn customers_are_listed_oldest_first_page_by_page() {
    let shop = Shop::new().await.open().await;
    let people = ["ada", "bob", "cid"];
    for name in people {
        shop.shop
            .happens([customer(&shop.shop, Uuid::now_v7(), name).await])
            .await;
    }
    shop.catch_up().await;
    let first = shop.ask("/v1/customers?limit=2").await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = shop
        .ask(&format!("/v1/customers?limit=2&cursor={cursor}"))
        .await;
    let names = |got: &crate::testing::Got| -> Vec<String> {
        got.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!([names(&first), names(&second)].concat(), people);
    assert_eq!(second.body["has_more"], json!(false));
    let wrong = shop.ask("/v1/customers?cursor=nonsense").await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.code()),
        (400, "cursor_invalid")
    );
}

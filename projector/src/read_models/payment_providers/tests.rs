//! The register of payment providers.

use event_schema::payment_provider::{self, Set};
use serde_json::{Value, json};

use crate::testing::{Happening, Shop, to};

const PATH: &str = "/v1/payment-providers";

fn set(provider: &str, title: &str, active: bool, checkout: bool) -> Happening {
    let set = Set {
        provider: provider.into(),
        title: title.into(),
        active,
        checkout,
    };
    let id = payment_provider::id(provider);
    to(id, [payment_provider::Event::from(set)])
}

#[tokio::test]
async fn the_provider_of_the_settings_is_listed_though_nobody_spoke_of_it() {
    let shop = Shop::new().await.open().await;
    shop.catch_up().await;
    let got = shop.ask(PATH).await;
    assert_eq!(
        got.body["data"],
        json!([{"id": "sandbox", "title": "Sandbox", "active": true, "checkout": true,
                "configured": true, "updated_at": Value::Null}])
    );
}

#[tokio::test]
async fn providers_are_shown_as_they_were_last_set_page_by_page() {
    let shop = Shop::new().await.open().await;
    shop.happens([set("stripe", "Card", true, true)]).await;
    shop.happens([set("sandbox", "Play money", true, true)])
        .await;
    shop.happens([set("sandbox", "Play money", false, true)])
        .await;
    let first = shop.ask(&format!("{PATH}?limit=1")).await;
    let row = &first.body["data"][0];
    assert_eq!(
        (
            &row["id"],
            &row["title"],
            &row["active"],
            &row["configured"]
        ),
        (
            &json!("sandbox"),
            &json!("Play money"),
            &json!(false),
            &json!(true)
        )
    );
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = shop.ask(&format!("{PATH}?cursor={cursor}")).await;
    assert_eq!(rest.ids(), ["stripe"]);
    assert_eq!(rest.body["data"][0]["configured"], json!(false));
}

//! The shop is killed while somebody is being erased: either nothing has happened, or all of it does.

use std::time::Duration;

use reqwest::Method;
use testkit::within;

use crate::marked::{Marked, shop};
use crate::scan::{database, everywhere};

/// How long after the question the shop is killed.
const SHORT: [u64; 2] = [8, 25];
const LONG: [u64; 10] = [1, 3, 6, 9, 13, 18, 25, 35, 50, 80];

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_a_kill_cut_short_is_finished_at_the_next_start() {
    let mut shop = shop(&[]).await;
    let long = std::env::var_os("WAYBILL_LONG_TESTS").is_some_and(|set| set == "1");
    let delays = if long { &LONG[..] } else { &SHORT[..] };
    for millis in delays {
        let ada = Marked::new(&shop).await;
        ada.shows(50).await;
        let asked = tokio::spawn(
            ada.person
                .request(Method::DELETE, "/v1/me?erase=true")
                .send(),
        );
        tokio::time::sleep(Duration::from_millis(*millis)).await;
        shop.kill9().await;
        drop(asked.await);
        shop.again().await;

        let path = format!("/v1/customers/{}", ada.id);
        let admin = shop.admin();
        let known = within("the customer is shown", || async {
            let shown = admin.get(&path).await;
            shown.status.is_success().then_some(shown.body)
        })
        .await;
        let subject = format!("customer.erased of {}", ada.id);
        let erased = known["status"] == "erased";
        if !erased {
            // Nothing has happened, or the row is not that far: asked again it is the same in both cases.
            let request = admin.request(Method::DELETE, &format!("{path}?erase=true"));
            let told = testkit::answer(request).await;
            assert_eq!(told.status, 204, "{told:?}");
        }
        within(&format!("{subject} is finished"), || async {
            let key: Option<Vec<u8>> =
                sqlx::query_scalar("select wrapped_key from vault.personal_keys where person = $1")
                    .bind(ada.id)
                    .fetch_one(&database(&shop).await)
                    .await
                    .ok()?;
            let pictures = shop.data_dir().join("avatars").join(ada.id.to_string());
            let row: Option<String> =
                sqlx::query_scalar("select name from read.customers where id = $1")
                    .bind(ada.id)
                    .fetch_one(&database(&shop).await)
                    .await
                    .ok()?;
            (key.is_none() && !pictures.exists() && row.is_none()).then_some(())
        })
        .await;
        let words: Vec<String> = ada
            .words
            .iter()
            .filter(|word| !word.starts_with("19"))
            .cloned()
            .collect();
        assert_eq!(everywhere(&mut shop, &words).await, Vec::<String>::new());
    }
}

//! Pictures in a bucket of a real server that speaks S3.

use reqwest::StatusCode;
use testkit::S3Server;

use crate::marked::{Marked, shop};

#[tokio::test(flavor = "multi_thread")]
async fn pictures_live_in_a_bucket_when_the_settings_say_so() {
    let variables = tokio::task::spawn_blocking(|| S3Server::shared().variables())
        .await
        .unwrap();
    let place = format!("s3://{}/people", S3Server::BUCKET);
    let mut settings = vec![("WAYBILL_AVATAR_URL", &*place)];
    settings.extend(variables.iter().map(|(name, value)| (*name, &**value)));
    let shop = shop(&settings).await;
    let ada = Marked::new(&shop).await;
    let first = ada.shows(10).await;
    let second = ada.shows(20).await;
    assert_ne!(first["digest"], second["digest"]);
    assert!(!shop.data_dir().join("avatars").exists());
    let position = ada.erases_himself().await;
    assert_ne!(ada.picture(position).await.status(), StatusCode::OK);
}

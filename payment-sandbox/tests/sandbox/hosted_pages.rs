//! What a customer's browser sees.

use reqwest::StatusCode;

use crate::{
    checkout::{open, pay},
    provider::{Answered, Provider, answered, card_form, id_of, order},
};

async fn look(provider: &Provider, url: &str) -> Answered {
    answered(provider.client.get(url)).await
}

#[tokio::test]
async fn the_page_shows_the_lines_the_total_and_the_ways_to_pay() {
    let provider = Provider::start().await;
    let session = open(&provider, &order()).await;
    let page = look(&provider, session["url"].as_str().unwrap()).await;
    assert_eq!(page.status, StatusCode::OK);
    let html = page.body.as_str().unwrap();
    for part in [
        "44.98 EUR",
        "2 × Lamp &lt;b&gt;",
        "5.00 EUR",
        "value=\"pm_card_visa\"",
        "value=\"pm_card_visa_chargeDeclined\"",
        "href=\"https://shop.test/cart\"",
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    assert!(!html.contains("<b>"));
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
}

#[tokio::test]
async fn a_page_of_nothing_is_404_and_an_unknown_token_400() {
    let provider = Provider::start().await;
    for path in ["/pay/cs_none", "/pay/x%00y", "/pay/intents/pi_none"] {
        assert_eq!(
            look(&provider, &format!("{}{path}", provider.base))
                .await
                .status,
            404,
            "{path}"
        );
    }
    let session = open(&provider, &order()).await;
    assert_eq!(
        pay(&provider, &session, "pm_card_unknown").await.status,
        400
    );
    assert_eq!(pay(&provider, &session, "").await.status, 400);
}

#[tokio::test]
async fn a_paid_or_expired_page_says_so() {
    let provider = Provider::start().await;
    let paid = open(&provider, &order()).await;
    pay(&provider, &paid, "pm_card_visa").await;
    let page = look(&provider, paid["url"].as_str().unwrap()).await;
    assert!(page.body.as_str().unwrap().contains("is paid"));
    let expired = open(&provider, &order()).await;
    provider
        .post(
            &format!("/v1/checkout/sessions/{}/expire", id_of(&expired)),
            &[],
        )
        .await
        .ok();
    assert_eq!(
        look(&provider, expired["url"].as_str().unwrap())
            .await
            .status,
        StatusCode::GONE
    );
}

#[tokio::test]
async fn a_customer_confirms_a_card_that_asks_for_it() {
    let provider = Provider::start().await;
    let order = order();
    let mut form = card_form(&order, "pm_card_authenticationRequired", "500");
    form.push(("return_url", "https://shop.test/back"));
    let intent = provider.post("/v1/payment_intents", &form).await.ok();
    assert_eq!(intent["status"], "requires_action");
    let url = intent["next_action"]["redirect_to_url"]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        look(&provider, &url)
            .await
            .body
            .as_str()
            .unwrap()
            .contains("5.00 EUR")
    );

    let confirmed = answered(provider.client.post(&url).form(&[("answer", "confirm")])).await;
    assert_eq!(confirmed.status, StatusCode::SEE_OTHER);
    assert_eq!(confirmed.headers["location"], "https://shop.test/back");
    assert_eq!(provider.ledger(&order).await["totals"]["held"], 500);
    provider
        .receiver
        .accepts(&order, "payment_intent.amount_capturable_updated")
        .await;

    let again = answered(provider.client.post(&url).form(&[("answer", "confirm")])).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(provider.ledger(&order).await["totals"]["authorised"], 500);
}

#[tokio::test]
async fn a_customer_who_refuses_pays_nothing() {
    let provider = Provider::start().await;
    let order = order();
    let intent = provider
        .authorise(&order, "pm_card_authenticationRequired", 500)
        .await
        .ok();
    let url = intent["next_action"]["redirect_to_url"]["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = answered(provider.client.post(&url).form(&[("answer", "refuse")])).await;
    assert_eq!(refused.status, StatusCode::OK);
    let read = provider
        .get(&format!("/v1/payment_intents/{}", id_of(&intent)))
        .await
        .ok();
    assert_eq!(read["status"], "requires_payment_method");
    assert_eq!(
        read["last_payment_error"]["code"],
        "payment_intent_authentication_failure"
    );
    assert_eq!(provider.ledger(&order).await["totals"]["authorised"], 0);
}

#[tokio::test]
async fn a_session_goes_on_after_the_confirmation() {
    let provider = Provider::start().await;
    let order = order();
    let session = open(&provider, &order).await;
    let asked = pay(&provider, &session, "pm_card_authenticationRequired").await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER);
    let url = asked.headers["location"].to_str().unwrap().to_owned();
    assert!(url.contains("/pay/intents/"), "{url}");
    let confirmed = answered(provider.client.post(&url).form(&[("answer", "confirm")])).await;
    assert!(
        confirmed.headers["location"]
            .to_str()
            .unwrap()
            .starts_with("https://shop.test/done")
    );
    provider
        .receiver
        .accepts(&order, "checkout.session.completed")
        .await;

    let refused_order = crate::provider::order();
    let session = open(&provider, &refused_order).await;
    let asked = pay(&provider, &session, "pm_card_authenticationRequired").await;
    let url = asked.headers["location"].to_str().unwrap().to_owned();
    let refused = answered(provider.client.post(&url).form(&[("answer", "refuse")])).await;
    assert_eq!(
        refused.headers["location"],
        session["url"].as_str().unwrap(),
        "back to try another card"
    );
    assert_eq!(
        pay(&provider, &session, "pm_card_visa").await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn an_expired_session_is_not_completed_by_a_late_confirmation() {
    let provider = Provider::start().await;
    let order = order();
    let session = open(&provider, &order).await;
    let asked = pay(&provider, &session, "pm_card_authenticationRequired").await;
    let url = asked.headers["location"].to_str().unwrap().to_owned();
    provider
        .post(
            &format!("/v1/checkout/sessions/{}/expire", id_of(&session)),
            &[],
        )
        .await
        .ok();
    let late = answered(provider.client.post(&url).form(&[("answer", "confirm")])).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert_eq!(provider.ledger(&order).await["totals"]["authorised"], 0);
}

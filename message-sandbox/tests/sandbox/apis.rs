//! The APIs: what they take, what they refuse, and what they know again.

use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::house::House;

const SMS: &str = "/2010-04-01/Accounts/AC1/Messages.json";

fn mail(subject: &str) -> Value {
    json!({"from": "Shop <shop@example.com>", "to": ["ada@example.com"], "subject": subject, "text": "Hello",
           "headers": {"Waybill-Order": "o-1"}})
}

#[tokio::test]
async fn the_mail_api_knows_a_key_again_and_refuses_it_for_something_else() {
    let house = House::open().await;
    let send = async |key: &str, body: &Value| {
        let request = house
            .post("/emails")
            .bearer_auth("re_1")
            .header("Idempotency-Key", key);
        let answer = request.json(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let (status, first) = send("k-1", &mail("One")).await;
    assert_eq!(status, 200);
    assert_eq!(send("k-1", &mail("One")).await, (200, first.clone()));
    let (status, other) = send("k-1", &mail("Two")).await;
    assert_eq!(
        (status, &other["name"]),
        (409, &json!("invalid_idempotent_request"))
    );
    assert_eq!(send("k-2", &mail("One")).await.0, 200);
    assert_eq!(house.messages("?channel=email&order=o-1").await.len(), 2);
    let url = format!("{}/emails/{}", house.url, first["id"].as_str().unwrap());
    let found = house
        .http
        .get(url)
        .bearer_auth("re_1")
        .send()
        .await
        .unwrap();
    let found: Value = found.json().await.unwrap();
    assert_eq!(found["subject"], "One");

    let nobody = house
        .post("/emails")
        .json(&mail("One"))
        .send()
        .await
        .unwrap();
    assert_eq!(nobody.status(), 401);
    let (status, refused) = send("k-3", &json!({"from": "x", "to": [], "text": ""})).await;
    assert_eq!(
        (status, &refused["name"]),
        (422, &json!("validation_error"))
    );
}

#[tokio::test]
async fn a_call_that_was_dropped_after_it_was_taken_is_found_under_its_key() {
    let house = House::open().await;
    house
        .faults(&json!({"channel": "email", "fail_every": 2, "fail_as": ["drop_after"]}))
        .await;
    let send = || {
        let request = house
            .post("/emails")
            .bearer_auth("re_1")
            .header("Idempotency-Key", "k-1");
        request.json(&mail("One")).send()
    };
    let first = send().await.unwrap().text().await.unwrap();
    assert!(send().await.is_err(), "no answer at all");
    assert_eq!(send().await.unwrap().text().await.unwrap(), first);
    assert_eq!(house.messages("").await.len(), 1);
}

#[tokio::test]
async fn the_sms_api_takes_numbers_and_lists_what_it_took_page_by_page() {
    let house = House::open().await;
    let send = async |to: &str, text: &str| {
        let form = [("To", to), ("From", "+491"), ("Body", text)];
        let request = house.post(SMS).basic_auth("AC1", Some("t")).form(&form);
        let answer = request.send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap(),
        )
    };
    for number in 0..5 {
        let (status, taken) = send("+49301234567", &format!("{number}")).await;
        assert_eq!((status, &taken["status"]), (201, &json!("queued")));
        assert!(taken["sid"].as_str().unwrap().starts_with("SM"));
    }
    assert_eq!(send("+49309999999", "other").await.0, 201);
    let (status, refused) = send("030-1", "x").await;
    assert_eq!((status, &refused["code"]), (400, &json!(21211)));
    let mut path = format!("{SMS}?To=%2B49301234567&PageSize=2");
    let mut texts = Vec::new();
    loop {
        let request = house.http.get(format!("{}{path}", house.url));
        let page: Value = request
            .basic_auth("AC1", Some("t"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        for message in page["messages"].as_array().unwrap() {
            texts.push(message["body"].as_str().unwrap().to_owned());
        }
        match page["next_page_uri"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(texts, ["4", "3", "2", "1", "0"]);
    let other = house
        .post(SMS)
        .basic_auth("AC2", Some("t"))
        .form(&[("To", "+491")]);
    assert_eq!(other.send().await.unwrap().status(), 401);
}

/// An access token, as a service account gets one.
async fn bearer(house: &House) -> String {
    let file: Value = serde_json::from_str(&house.sandbox.account().key_file().unwrap()).unwrap();
    let text = |name: &str| file[name].as_str().unwrap().to_owned();
    let now = jsonwebtoken::get_current_timestamp();
    let claims = json!({"iss": text("client_email"), "aud": text("token_uri"), "iat": now, "exp": now + 3600,
        "scope": "https://www.googleapis.com/auth/firebase.messaging"});
    let key = EncodingKey::from_rsa_pem(text("private_key").as_bytes()).unwrap();
    let assertion = encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap();
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", &assertion),
    ];
    let answer = house
        .http
        .post(text("token_uri"))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let granted: Value = answer.json().await.unwrap();
    granted["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_push_needs_a_token_of_the_service_account_and_a_dead_device_is_unregistered() {
    let house = House::open().await;
    let path = "/v1/projects/waybill-demo/messages:send";
    let push = json!({"message": {"token": "phone-1", "notification": {"title": "Ready", "body": "Your order is ready"},
        "data": {"order_id": "o-1"}}});
    let stranger = house
        .post(path)
        .bearer_auth("ya29.x")
        .json(&push)
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), 401);
    let bearer = bearer(&house).await;
    let taken = house
        .post(path)
        .bearer_auth(&bearer)
        .json(&push)
        .send()
        .await
        .unwrap();
    assert_eq!(taken.status(), 200);
    let arrived = house.messages("?channel=push&order=o-1").await;
    assert_eq!(
        (&arrived[0]["to"], &arrived[0]["subject"]),
        (&json!("phone-1"), &json!("Ready"))
    );
    house
        .faults(&json!({"channel": "push", "dead": ["phone-1"]}))
        .await;
    let dead = house
        .post(path)
        .bearer_auth(&bearer)
        .json(&push)
        .send()
        .await
        .unwrap();
    assert_eq!(dead.status(), 404);
    let said: Value = dead.json().await.unwrap();
    assert_eq!(said["error"]["details"][0]["errorCode"], "UNREGISTERED");
    let wrong = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", "a.b.c"),
    ];
    let refused = house.post("/token").form(&wrong).send().await.unwrap();
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn a_browsers_subscription_stays_the_same_and_takes_only_what_was_made_for_it() {
    let house = House::open().await;
    let path = "/sandbox/subscription/ada";
    let first: Value = house.get(path).await.json().await.unwrap();
    assert_eq!(house.get(path).await.json::<Value>().await.unwrap(), first);
    let endpoint = first["endpoint"].as_str().unwrap();
    assert_eq!(endpoint, format!("{}/webpush/ada", house.url));
    let push = |body: Vec<u8>| {
        let request = house
            .http
            .post(endpoint)
            .header("ttl", "60")
            .header("content-encoding", "aes128gcm");
        request
            .header("authorization", "vapid t=a.b.c, k=d")
            .body(body)
            .send()
    };
    assert_eq!(push(vec![0; 200]).await.unwrap().status(), 400);
    assert_eq!(push(vec![0; 5000]).await.unwrap().status(), 413);
    house
        .faults(&json!({"channel": "push", "dead": ["ada"]}))
        .await;
    assert!(house.messages("").await.is_empty());
}

#[tokio::test]
async fn a_webhook_is_kept_byte_for_byte_with_what_signs_it() {
    let house = House::open().await;
    let body = r#"{"type": "order.prepare",  "data": {"order_id": "o-1"}}"#;
    let call = || {
        house
            .post("/webhooks/demo")
            .header("webhook-id", "m-1")
            .header("webhook-signature", "v1,x")
            .body(body)
    };
    assert_eq!(call().send().await.unwrap().status(), 200);
    let arrived = house.messages("?channel=webhook&to=demo&order=o-1").await;
    assert_eq!(arrived[0]["text"], body);
    assert_eq!(arrived[0]["headers"]["webhook-id"], "m-1");
    house
        .faults(&json!({"channel": "webhook", "dead": ["demo"]}))
        .await;
    assert_eq!(call().send().await.unwrap().status(), 410);
}

#[tokio::test]
async fn answers_come_as_late_as_ordered_and_all_at_once() {
    let house = House::open().await;
    house
        .faults(&json!({"latency_ms": 300, "fail_every": 10, "fail_as": ["503", "429"]}))
        .await;
    let begun = Instant::now();
    let calls = (0..50).map(|_| house.post("/webhooks/demo").body("{}").send());
    let answers = futures::future::join_all(calls).await;
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_millis(300) && took < Duration::from_secs(10),
        "{took:?}"
    );
    let failed = answers
        .iter()
        .filter(|answer| !answer.as_ref().unwrap().status().is_success());
    assert_eq!(failed.count(), 5);
    let url = format!("{}/sandbox/faults", house.url);
    for bad in [
        json!({"latency_ms": 99_999_999}),
        json!({"channel": "pigeon"}),
        json!({"fail_as": ["x"]}),
    ] {
        assert!(
            house
                .http
                .put(&url)
                .json(&bad)
                .send()
                .await
                .unwrap()
                .status()
                .is_client_error(),
            "{bad}"
        );
    }
    assert_eq!(house.http.delete(&url).send().await.unwrap().status(), 204);
    let forgotten = house
        .http
        .delete(format!("{}/messages", house.url))
        .send()
        .await
        .unwrap();
    assert_eq!(forgotten.status(), 204);
    assert!(house.messages("").await.is_empty());
    assert_eq!(house.get("/messages.json?colour=red").await.status(), 400);
}

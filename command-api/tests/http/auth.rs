//! Signing up, in and out: each flow as people use it, and as people misuse it.

use std::time::{Duration, Instant};

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};
use service_kit::vault::{REFRESH_TOKEN_TTL, REUSE_GRACE, SESSION_TTL};
use uuid::Uuid;

use crate::shop::{Reply, Shop, mail_server};

const PASSWORD: &str = "correct horse battery";
/// When a "no" comes at the earliest.
const NO_SOONER_THAN: Duration = Duration::from_millis(250);
const HERE: &str = "198.51.100.1";

/// An address that no other test uses: the mail server is shared.
pub fn new_email() -> String {
    format!("ada-{}@example.org", Uuid::now_v7().simple())
}

pub fn sign_up(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "first_name": "Ada", "last_name": "Lovelace"})
}

impl Shop {
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.nobody(Method::POST, path).json(body).send().await
    }

    async fn registered(&self, email: &str) -> Uuid {
        let reply = self.post("/v1/auth/register", &sign_up(email)).await;
        assert_eq!(reply.status, 201, "{reply:#?}");
        // It is sent after the answer; what a test asks for comes behind it.
        mail_server().await.mail_to(email, 1).await;
        reply.id()
    }

    pub async fn login(&self, email: &str, password: &str) -> Reply {
        let body = json!({"email": email, "password": password});
        self.post("/v1/auth/login", &body).await
    }

    /// The same from another place.
    async fn login_from(&self, place: &str, email: &str, password: &str) -> Reply {
        self.nobody(Method::POST, "/v1/auth/login")
            .header("x-forwarded-for", place)
            .json(&json!({"email": email, "password": password}))
            .send()
            .await
    }

    async fn refresh(&self, token: &str) -> Reply {
        self.post("/v1/auth/refresh", &json!({"refresh_token": token}))
            .await
    }

    /// Whether an access token is let in.
    pub async fn lets_in(&self, access_token: &str) -> bool {
        let reply = self
            .nobody(Method::PATCH, "/v1/me")
            .header("authorization", &format!("Bearer {access_token}"))
            .json(&json!({}))
            .send()
            .await;
        reply.status != 401
    }
}

/// Somebody who has registered and signed in.
pub struct SignedIn {
    pub email: String,
    pub id: Uuid,
    pub access: String,
    pub refresh: String,
}

pub fn token(reply: &Reply, name: &str) -> String {
    assert_eq!(reply.status, 200, "{reply:#?}");
    reply.body[name].as_str().unwrap().to_owned()
}

pub async fn signed_in(shop: &Shop) -> SignedIn {
    let email = new_email();
    let id = shop.registered(&email).await;
    let reply = shop.login(&email, PASSWORD).await;
    SignedIn {
        email,
        id,
        access: token(&reply, "access_token"),
        refresh: token(&reply, "refresh_token"),
    }
}

#[tokio::test]
async fn somebody_signs_up_and_signs_in_and_neither_log_nor_answer_tells_his_password() {
    let shop = Shop::open().await;
    let email = new_email();
    let mut body = sign_up(&format!(" {} ", email.to_uppercase()));
    body["phone"] = json!("+49 30 5550100");
    body["birth_date"] = json!("1990-12-10");
    body["push_token"] = json!("device-1");
    let reply = shop.post("/v1/auth/register", &body).await;
    assert_eq!(reply.status, 201, "{reply:#?}");
    let id = reply.id();
    assert_eq!(
        reply.body,
        json!({
            "id": id, "name": "Ada Lovelace", "email": email.to_uppercase(), "email_verified": false, "role": "customer",
            "partner_id": null, "phone": "+49 30 5550100", "birth_date": "1990-12-10", "quiet_hours": null,
            "notification_channels": {"email": true, "sms": true, "push": true},
        })
    );
    assert_eq!(reply.header("location"), format!("/v1/customers/{id}"));
    assert_eq!(reply.header("etag"), "\"2\"");
    assert_eq!(reply.position(), shop.log_end().await);
    assert_eq!(
        shop.types().await,
        ["uniq.claimed", "customer.added", "customer.profile_changed"]
    );
    for event in shop.log().await {
        let stored = String::from_utf8_lossy(&event.payload).to_lowercase();
        for secret in [
            PASSWORD, "argon2", "lovelace", &email, "5550100", "device-1",
        ] {
            assert!(!stored.contains(secret), "{secret} is in {stored}");
        }
    }

    let reply = shop.login(&email, PASSWORD).await;
    assert_eq!(reply.body["expires_in"], 600);
    assert_eq!(reply.body["token_type"], "Bearer");
    let caller = shop
        .tokens()
        .verify(&token(&reply, "access_token"))
        .unwrap();
    assert_eq!(
        (caller.subject, caller.roles.as_slice()),
        (id, [service_kit::Role::Customer].as_slice())
    );
    shop.clock.advance(Duration::from_secs(600));
    assert!(!shop.lets_in(&token(&reply, "access_token")).await);
}

#[tokio::test]
async fn nobody_makes_himself_more_than_a_customer() {
    let shop = Shop::open().await;
    for member in ["role", "roles", "partner_id"] {
        let mut body = sign_up(&new_email());
        body[member] = json!("admin");
        let reply = shop.post("/v1/auth/register", &body).await;
        reply.is_problem(422, "invalid");
        reply.names(&format!("/{member}"), "unknown_field");
    }
    assert_eq!(shop.log_end().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_50_who_register_one_address_at_two_doors_at_once_one_gets_it() {
    let one = Shop::open().await;
    let two = one.twin(one.executor.store().clone()).await;
    let email = new_email();
    let body = sign_up(&email);
    let replies = join_all((0..50).map(|n| {
        let shop = if n % 2 == 0 { &one } else { &two };
        shop.post("/v1/auth/register", &body)
    }))
    .await;
    let told = |status: u16, code: &str| {
        replies
            .iter()
            .filter(|reply| reply.status == status && reply.code() == code)
            .count()
    };
    assert_eq!(
        (told(201, ""), told(409, "email_taken")),
        (1, 49),
        "{replies:#?}"
    );
    assert_eq!(one.types().await, ["uniq.claimed", "customer.added"]);
    let reply = two.login(&email, PASSWORD).await;
    assert_eq!(reply.status, 200, "{reply:#?}");
}

#[tokio::test]
async fn every_field_of_a_sign_up_that_cannot_be_accepted_is_named() {
    let shop = Shop::open().await;
    let body = json!({
        "email": "nonsense", "password": "s3cr3t", "first_name": " ", "last_name": "x".repeat(100),
        "phone": "call me", "birth_date": "2990-02-30", "push_token": "x".repeat(2049),
    });
    let reply = shop.post("/v1/auth/register", &body).await;
    reply.is_problem(422, "invalid");
    for (pointer, code) in [
        ("/email", "invalid"),
        ("/password", "too_short"),
        ("/first_name", "required"),
        ("/last_name", "too_long"),
        ("/phone", "invalid"),
        ("/birth_date", "invalid"),
        ("/push_token", "too_long"),
    ] {
        reply.names(pointer, code);
    }
    assert!(!reply.body.to_string().contains("s3cr3t"), "{reply:#?}");
    let mut body = sign_up(&new_email());
    body["password"] = json!("x".repeat(129));
    let reply = shop.post("/v1/auth/register", &body).await;
    reply.names("/password", "too_long");
}

#[tokio::test]
async fn an_unknown_address_a_wrong_password_and_a_closed_account_are_answered_alike_after_the_same_work()
 {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let bob = signed_in(&shop).await;
    let closed = shop
        .nobody(Method::DELETE, "/v1/me")
        .header("authorization", &format!("Bearer {}", bob.access))
        .send()
        .await;
    assert_eq!(closed.status, 204, "{closed:#?}");
    // The hash of nobody's password is made once, whoever comes first.
    shop.login(&new_email(), PASSWORD).await;
    let mut told = Vec::new();
    for (email, password) in [
        (ada.email.as_str(), "wrong horse battery"),
        (new_email().as_str(), PASSWORD),
        (bob.email.as_str(), PASSWORD),
    ] {
        let (before, asked) = (shop.passwords().computed(), Instant::now());
        let mut reply = shop.login(email, password).await;
        assert!(
            asked.elapsed() >= NO_SOONER_THAN,
            "a quick answer tells what a cache knows"
        );
        reply.is_problem(401, "invalid_credentials");
        assert!(reply.header("www-authenticate").starts_with("Bearer"));
        reply.body.as_object_mut().unwrap().remove("request_id");
        told.push((reply.body, shop.passwords().computed() - before));
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:#?}");
    assert_eq!(told[0].1, 1);
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_showing_it_again_ends_the_session_for_everybody() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let second = shop.refresh(&ada.refresh).await;
    let third = shop.refresh(&token(&second, "refresh_token")).await;
    assert_ne!(second.body["refresh_token"], third.body["refresh_token"]);
    assert!(shop.lets_in(&token(&third, "access_token")).await);

    // A thief shows the first one.
    shop.refresh(&ada.refresh)
        .await
        .is_problem(401, "invalid_refresh_token");
    shop.refresh(&token(&third, "refresh_token"))
        .await
        .is_problem(401, "invalid_refresh_token");
    for reply in [&second, &third] {
        assert!(!shop.lets_in(&token(reply, "access_token")).await);
    }
    // Another session of the same person is not touched.
    assert_eq!(shop.login(&ada.email, PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_sent_twice_at_once_or_again_after_a_lost_answer_leads_to_one_successor() {
    let one = Shop::open().await;
    let two = one.twin(one.executor.store().clone()).await;
    let ada = signed_in(&one).await;
    let replies = join_all([
        one.refresh(&ada.refresh),
        two.refresh(&ada.refresh),
        one.refresh(&ada.refresh),
    ])
    .await;
    let successor = token(&replies[0], "refresh_token");
    for reply in &replies {
        assert_eq!(token(reply, "refresh_token"), successor);
    }
    one.clock.advance(REUSE_GRACE);
    assert_eq!(
        token(&two.refresh(&ada.refresh).await, "refresh_token"),
        successor
    );
    // Later than that it is theft.
    one.clock.advance(Duration::from_secs(1));
    two.refresh(&ada.refresh)
        .await
        .is_problem(401, "invalid_refresh_token");
    one.refresh(&successor)
        .await
        .is_problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_used_and_at_the_latest_after_its_time() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let mut refresh = ada.refresh.clone();
    let step = REFRESH_TOKEN_TTL - Duration::from_secs(1);
    let mut lived = Duration::ZERO;
    while lived + step < SESSION_TTL {
        shop.clock.advance(step);
        lived += step;
        refresh = token(&shop.refresh(&refresh).await, "refresh_token");
    }
    shop.clock.advance(SESSION_TTL - lived);
    shop.refresh(&refresh)
        .await
        .is_problem(401, "invalid_refresh_token");

    let again = shop.login(&ada.email, PASSWORD).await;
    shop.clock.advance(REFRESH_TOKEN_TTL);
    shop.refresh(&token(&again, "refresh_token"))
        .await
        .is_problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn made_up_refresh_tokens_open_nothing() {
    let shop = Shop::open().await;
    for made_up in [
        "",
        "x",
        &"A".repeat(43),
        &"x".repeat(5_000),
        "' or 1=1 --",
        "\u{0}",
    ] {
        let reply = shop.refresh(made_up).await;
        assert!(
            [401, 422].contains(&reply.status.as_u16()),
            "{made_up:.20}: {reply:#?}"
        );
    }
    let body = json!({"refresh_token": "x"});
    assert_eq!(shop.post("/v1/auth/logout", &body).await.status, 204);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_its_access_tokens_and_can_be_repeated() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let elsewhere = shop.login(&ada.email, PASSWORD).await;
    let body = json!({"refresh_token": ada.refresh});
    for _ in 0..2 {
        assert_eq!(shop.post("/v1/auth/logout", &body).await.status, 204);
    }
    shop.refresh(&ada.refresh)
        .await
        .is_problem(401, "invalid_refresh_token");
    assert!(!shop.lets_in(&ada.access).await);
    assert!(shop.lets_in(&token(&elsewhere, "access_token")).await);
}

#[tokio::test]
async fn somebody_has_a_bounded_number_of_sessions_and_the_oldest_ends() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let mut newest = String::new();
    for _ in 0..service_kit::vault::SESSIONS_PER_PERSON_MAX {
        shop.clock.advance(Duration::from_secs(1));
        newest = token(&shop.login(&ada.email, PASSWORD).await, "refresh_token");
    }
    shop.refresh(&ada.refresh)
        .await
        .is_problem(401, "invalid_refresh_token");
    assert_eq!(shop.refresh(&newest).await.status, 200);
}

#[tokio::test]
async fn who_knows_the_old_password_sets_a_new_one_and_all_sessions_end() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let elsewhere = shop.login(&ada.email, PASSWORD).await;
    let change = |current: &str, new: &str| {
        shop.nobody(Method::POST, "/v1/auth/password/change")
            .header("authorization", &format!("Bearer {}", ada.access))
            .json(&json!({"current_password": current, "new_password": new}))
            .send()
    };
    change("wrong horse battery", "staple battery horse")
        .await
        .is_problem(403, "wrong_password");
    change(PASSWORD, "short")
        .await
        .names("/new_password", "too_short");
    assert_eq!(change(PASSWORD, "staple battery horse").await.status, 204);
    for refresh in [ada.refresh.clone(), token(&elsewhere, "refresh_token")] {
        shop.refresh(&refresh)
            .await
            .is_problem(401, "invalid_refresh_token");
    }
    assert!(!shop.lets_in(&token(&elsewhere, "access_token")).await);
    assert!(shop.lets_in(&ada.access).await, "it lives out its minutes");
    shop.login(&ada.email, PASSWORD)
        .await
        .is_problem(401, "invalid_credentials");
    let again = shop.login(&ada.email, "staple battery horse").await;
    assert_eq!(again.status, 200);

    // A token that was made by hand belongs to nobody who has a password.
    shop.customer(Uuid::now_v7(), Method::POST, "/v1/auth/password/change")
        .json(&json!({"current_password": PASSWORD, "new_password": "staple battery horse"}))
        .send()
        .await
        .is_problem(403, "wrong_password");
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_by_the_code_that_came_by_mail() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let nobody = new_email();
    let mut answers = Vec::new();
    for email in [&ada.email, &nobody] {
        let reply = shop
            .post("/v1/auth/password/forgot", &json!({"email": email}))
            .await;
        answers.push((reply.status, reply.body));
    }
    assert_eq!(
        answers[0], answers[1],
        "known and unknown are answered alike"
    );
    assert_eq!(answers[0].0, 202);

    // The first mail was the verification of the address.
    let mail = mail_server().await.mail_to(&ada.email, 2).await;
    assert_eq!(mail.subject, "Your code to set a new password");
    let reset = |email: &str, code: &str| {
        let body = json!({"email": email, "code": code, "new_password": "staple battery horse"});
        let shop = &shop;
        async move { shop.post("/v1/auth/password/reset", &body).await }
    };
    reset(&nobody, &mail.code())
        .await
        .is_problem(422, "code_invalid");
    let reply = reset(&ada.email.to_uppercase(), &format!(" {} ", mail.code())).await;
    assert!(shop.lets_in(&token(&reply, "access_token")).await);
    assert!(!shop.lets_in(&ada.access).await);
    shop.refresh(&ada.refresh)
        .await
        .is_problem(401, "invalid_refresh_token");
    assert_eq!(
        shop.login(&ada.email, "staple battery horse").await.status,
        200
    );
    reset(&ada.email, &mail.code())
        .await
        .is_problem(422, "code_invalid");
    assert!(mail_server().await.mails_to(&nobody).is_empty());
}

#[tokio::test]
async fn a_code_is_tried_five_times_lives_a_quarter_of_an_hour_and_only_the_last_one_counts() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let forgot = || async {
        let reply = shop
            .post("/v1/auth/password/forgot", &json!({"email": ada.email}))
            .await;
        assert_eq!(reply.status, 202, "{reply:#?}");
    };
    let reset = |code: String| {
        let body =
            json!({"email": ada.email, "code": code, "new_password": "staple battery horse"});
        let shop = &shop;
        async move { shop.post("/v1/auth/password/reset", &body).await }
    };
    forgot().await;
    let first = mail_server().await.mail_to(&ada.email, 2).await.code();
    let wrong = if first == "00000000" { "1" } else { "00000000" };
    for _ in 0..5 {
        reset(wrong.into()).await.is_problem(422, "code_invalid");
    }
    reset(first.clone()).await.is_problem(422, "code_invalid");

    forgot().await;
    let second = mail_server().await.mail_to(&ada.email, 3).await.code();
    shop.clock.advance(Duration::from_secs(15 * 60));
    reset(second.clone()).await.is_problem(422, "code_invalid");

    forgot().await;
    let third = mail_server().await.mail_to(&ada.email, 4).await.code();
    forgot().await;
    let fourth = mail_server().await.mail_to(&ada.email, 5).await.code();
    if third != fourth {
        reset(third).await.is_problem(422, "code_invalid");
    }
    assert_eq!(reset(fourth).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_code_sent_ten_times_at_once_sets_one_password() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    shop.post("/v1/auth/password/forgot", &json!({"email": ada.email}))
        .await;
    let code = mail_server().await.mail_to(&ada.email, 2).await.code();
    let bodies: Vec<Value> = (0..5)
        .map(|n| json!({"email": ada.email, "code": code, "new_password": format!("password {n}")}))
        .collect();
    let replies = join_all(
        bodies
            .iter()
            .map(|body| shop.post("/v1/auth/password/reset", body)),
    )
    .await;
    let set = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(set, 1, "{replies:#?}");
}

#[tokio::test]
async fn an_address_is_verified_by_the_code_that_was_sent_to_it() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let mail = mail_server().await.mail_to(&ada.email, 1).await;
    assert_eq!(mail.subject, "Your code to verify this address");
    let body = json!({"email": ada.email, "code": mail.code()});
    let verified = shop.post("/v1/auth/verify-email", &body).await;
    assert_eq!(verified.status, 204, "{verified:#?}");
    assert_eq!(verified.position(), shop.log_end().await);
    assert_eq!(
        shop.types().await.last().unwrap(),
        "customer.email_verified"
    );
    let end = shop.log_end().await;
    shop.post("/v1/auth/verify-email", &body)
        .await
        .is_problem(422, "code_invalid");
    // Who is verified gets no further code, and the answer does not tell.
    let again = shop
        .post("/v1/auth/verify-email/send", &json!({"email": ada.email}))
        .await;
    assert_eq!(again.status, 202);
    assert_eq!(shop.log_end().await, end);
    let me = shop
        .nobody(Method::PATCH, "/v1/me")
        .header("authorization", &format!("Bearer {}", ada.access))
        .json(&json!({}))
        .send()
        .await;
    assert_eq!(me.body["email_verified"], true);
    assert_eq!(mail_server().await.mails_to(&ada.email).len(), 1);
}

#[tokio::test]
async fn mails_to_one_address_are_limited_whether_it_is_known_or_not() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    for email in [ada.email.clone(), new_email()] {
        let body = json!({"email": email});
        let mut refused = 0;
        for _ in 0..8 {
            let reply = shop.post("/v1/auth/password/forgot", &body).await;
            if reply.status == 429 {
                assert!(reply.header("retry-after").parse::<u64>().unwrap() > 0);
                refused += 1;
            }
        }
        assert_eq!(refused, 3);
    }
}

#[tokio::test]
async fn guessing_from_one_place_is_stopped_at_all_doors_and_the_owner_gets_in_from_elsewhere() {
    let one = Shop::open().await;
    let two = one.twin(one.executor.store().clone()).await;
    let ada = signed_in(&one).await;
    let mut told = Vec::new();
    for n in 0..12 {
        let shop = if n % 2 == 0 { &one } else { &two };
        let reply = shop
            .login_from(HERE, &ada.email, "wrong horse battery")
            .await;
        told.push(reply.status.as_u16());
    }
    assert_eq!(told, [[401; 10].as_slice(), &[429, 429]].concat());
    // Not even with the right password, so that a guesser does not learn that he has found it.
    let blocked = two.login_from(HERE, &ada.email, PASSWORD).await;
    blocked.is_problem(429, "rate_limited");
    let wait: u64 = blocked.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    let elsewhere = two.login_from("203.0.113.7", &ada.email, PASSWORD).await;
    assert_eq!(elsewhere.status, 200, "{elsewhere:#?}");
    one.clock.advance(Duration::from_secs(wait));
    assert_eq!(one.login_from(HERE, &ada.email, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_crowd_of_guessers_is_slowed_down_and_cannot_lock_the_owner_out() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let home = "203.0.113.7";
    assert_eq!(
        shop.login_from(home, &ada.email, PASSWORD).await.status,
        200
    );
    let guesses = join_all((0..60).map(|n| {
        let place = format!("192.0.2.{n}");
        let (shop, email) = (&shop, ada.email.clone());
        async move {
            shop.login_from(&place, &email, "wrong horse battery")
                .await
                .status
                .as_u16()
        }
    }))
    .await;
    let let_try = guesses.iter().filter(|status| **status == 401).count();
    assert_eq!(let_try, 50, "{guesses:?}");
    // From a place where he has been he gets in, from a new one not, but for a code.
    assert_eq!(
        shop.login_from(home, &ada.email, PASSWORD).await.status,
        200
    );
    shop.login_from("198.51.100.77", &ada.email, PASSWORD)
        .await
        .is_problem(429, "rate_limited");
    shop.post("/v1/auth/password/forgot", &json!({"email": ada.email}))
        .await;
    let code = mail_server().await.mail_to(&ada.email, 2).await.code();
    let reset = shop
        .nobody(Method::POST, "/v1/auth/password/reset")
        .header("x-forwarded-for", "198.51.100.77")
        .json(&json!({"email": ada.email, "code": code, "new_password": "staple battery horse"}))
        .send()
        .await;
    assert_eq!(reset.status, 200, "{reset:#?}");
    let known_now = shop
        .login_from("198.51.100.77", &ada.email, "staple battery horse")
        .await;
    assert_eq!(known_now.status, 200, "{known_now:#?}");
}

#[tokio::test]
async fn honest_sign_ins_use_up_nothing() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    for _ in 0..15 {
        let reply = shop.login_from(HERE, &ada.email, PASSWORD).await;
        assert_eq!(reply.status, 200, "{reply:#?}");
    }
}

#[tokio::test]
async fn the_first_admin_is_made_once_and_his_own_password_is_left_to_him() {
    let shop = Shop::open().await;
    let email = new_email();
    let admin = |password: &str| service_kit::settings::FirstAdmin {
        email: email.clone(),
        password: password.into(),
    };
    shop.service
        .ensure_first_admin(&admin("short"))
        .await
        .unwrap_err();
    let first = admin(PASSWORD);
    let made = join_all((0..3).map(|_| shop.service.ensure_first_admin(&first))).await;
    assert!(made.into_iter().all(|made| made.is_ok()));
    assert_eq!(shop.types().await, ["uniq.claimed", "customer.added"]);
    let reply = shop.login(&email, PASSWORD).await;
    let access = token(&reply, "access_token");
    assert_eq!(
        shop.tokens().verify(&access).unwrap().roles,
        [service_kit::Role::Admin]
    );
    shop.nobody(Method::POST, "/v1/auth/password/change")
        .header("authorization", &format!("Bearer {access}"))
        .json(&json!({"old_password": PASSWORD, "new_password": "staple battery horse"}))
        .send()
        .await;
    shop.service.ensure_first_admin(&first).await.unwrap();
    assert_eq!(shop.login(&email, "staple battery horse").await.status, 200);

    // An address that belongs to a customer makes nobody an admin.
    let ada = signed_in(&shop).await;
    let taken = service_kit::settings::FirstAdmin {
        email: ada.email.clone(),
        password: PASSWORD.into(),
    };
    shop.service.ensure_first_admin(&taken).await.unwrap();
    let reply = shop.login(&ada.email, PASSWORD).await;
    let caller = shop
        .tokens()
        .verify(&token(&reply, "access_token"))
        .unwrap();
    assert_eq!(caller.roles, [service_kit::Role::Customer]);
}

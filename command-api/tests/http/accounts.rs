//! What is known of people changes, by themselves and by admins, and accounts are closed.

use http::Method;
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::auth::{SignedIn, new_email, sign_up, signed_in, token};
use crate::shop::{Reply, Shop, mail_server};

impl Shop {
    async fn as_self(&self, who: &SignedIn, method: Method, body: &Value) -> Reply {
        self.nobody(method, "/v1/me")
            .header("authorization", &format!("Bearer {}", who.access))
            .json(body)
            .send()
            .await
    }

    async fn changed_by_admin(&self, id: Uuid, body: &Value) -> Reply {
        self.admin(Method::PATCH, &format!("/v1/customers/{id}"))
            .json(body)
            .send()
            .await
    }
}

#[tokio::test]
async fn somebody_changes_what_is_known_of_him_and_what_is_the_same_is_no_event() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let change = json!({"name": "Ada King", "phone": "+4", "birth_date": "1990-12-10"});
    // Too few digits for a telephone number.
    shop.as_self(&ada, Method::PATCH, &change)
        .await
        .names("/phone", "invalid");
    let change = json!({"name": "Ada King", "phone": "+49 30 123", "birth_date": "1990-12-10"});
    let changed = shop.as_self(&ada, Method::PATCH, &change).await;
    assert_eq!(changed.status, 200, "{changed:#?}");
    assert_eq!(
        (&changed.body["name"], &changed.body["phone"]),
        (&json!("Ada King"), &json!("+49 30 123"))
    );
    let end = shop.log_end().await;
    assert_eq!(changed.position(), end);
    let again = shop.as_self(&ada, Method::PATCH, &change).await;
    assert_eq!((again.status, &again.body), (changed.status, &changed.body));
    assert_eq!(shop.log_end().await, end);
    let cleared = shop
        .as_self(&ada, Method::PATCH, &json!({"phone": null}))
        .await;
    assert_eq!(
        (&cleared.body["phone"], &cleared.body["birth_date"]),
        (&Value::Null, &json!("1990-12-10"))
    );
    for event in shop.log().await {
        let stored = String::from_utf8_lossy(&event.payload).into_owned();
        assert!(
            !stored.contains("King") && !stored.contains("+49"),
            "{stored}"
        );
    }
}

#[tokio::test]
async fn a_new_address_is_claimed_verified_again_and_the_old_one_is_free() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let bob = signed_in(&shop).await;
    let code = mail_server().await.mail_to(&ada.email, 1).await.code();
    let taken = shop
        .as_self(&ada, Method::PATCH, &json!({"email": bob.email}))
        .await;
    taken.is_problem(409, "email_taken");

    let before = shop.types().await.len();
    let moved_to = new_email();
    let moved = shop
        .as_self(&ada, Method::PATCH, &json!({"email": moved_to}))
        .await;
    assert_eq!(moved.status, 200, "{moved:#?}");
    assert_eq!(
        (&moved.body["email"], &moved.body["email_verified"]),
        (&json!(moved_to), &json!(false))
    );
    let mut types = shop.types().await.split_off(before);
    types.sort();
    assert_eq!(
        types,
        ["customer.email_changed", "uniq.claimed", "uniq.released"]
    );
    // Sessions are over, but for the minutes of the access token that asked.
    let refresh = json!({"refresh_token": ada.refresh});
    shop.post("/v1/auth/refresh", &refresh)
        .await
        .is_problem(401, "invalid_refresh_token");
    assert!(shop.lets_in(&ada.access).await);
    // The code for the old address verifies nothing, the one for the new address does.
    let old_code = json!({"email": moved_to, "code": code});
    shop.post("/v1/auth/verify-email", &old_code)
        .await
        .is_problem(422, "code_invalid");
    let told = mail_server().await.mail_to(&ada.email, 2).await;
    assert_eq!(
        told.subject,
        "The e-mail address of your account was changed"
    );
    let code = mail_server().await.mail_to(&moved_to, 1).await.code();
    let verified = shop
        .post(
            "/v1/auth/verify-email",
            &json!({"email": moved_to, "code": code}),
        )
        .await;
    assert_eq!(verified.status, 204, "{verified:#?}");
    shop.login(&ada.email, "correct horse battery")
        .await
        .is_problem(401, "invalid_credentials");
    assert_eq!(
        shop.login(&moved_to, "correct horse battery").await.status,
        200
    );
    let newcomer = shop.post("/v1/auth/register", &sign_up(&ada.email)).await;
    assert_eq!(newcomer.status, 201, "{newcomer:#?}");
}

#[tokio::test]
async fn somebody_who_keeps_changing_his_address_does_not_make_us_write_to_strangers_without_end() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let mut strangers = Vec::new();
    for _ in 0..12 {
        let email = new_email();
        let moved = shop
            .as_self(&ada, Method::PATCH, &json!({"email": email}))
            .await;
        assert_eq!(moved.status, 200, "{moved:#?}");
        strangers.push(email);
    }
    // The last one may be asked for by hand, which comes after all that was going to be sent.
    let last = strangers.last().unwrap();
    let asked = json!({"email": last});
    shop.post("/v1/auth/verify-email/send", &asked).await;
    mail_server().await.mail_to(last, 1).await;
    let mails: usize = {
        let server = mail_server().await;
        strangers
            .iter()
            .chain([&ada.email])
            .map(|email| server.mails_to(email).len())
            .sum()
    };
    assert!(mails <= 11, "{mails} mails");
}

#[tokio::test]
async fn a_stale_view_changes_nothing_and_a_repeat_is_answered_as_the_first_time() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let change = |key: &str, tag: &str, name: &str| {
        shop.nobody(Method::PATCH, "/v1/me")
            .header("authorization", &format!("Bearer {}", ada.access))
            .header("if-match", tag)
            .key(key)
            .json(&json!({"name": name}))
            .send()
    };
    let first = change("k-1", "\"1\"", "Ada King").await;
    assert_eq!(
        (first.status.as_u16(), first.header("etag")),
        (200, "\"2\"")
    );
    change("k-2", "\"1\"", "Ada Byron")
        .await
        .is_problem(412, "stale_version");
    let again = change("k-1", "\"1\"", "Ada King").await;
    assert_eq!(
        (again.status, again.position()),
        (first.status, first.position())
    );
    change("k-1", "\"1\"", "Ada Byron")
        .await
        .is_problem(422, "idempotency_key_reused");
}

#[tokio::test]
async fn a_closed_account_is_closed_for_good_and_its_address_stays_taken() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let closed = shop.as_self(&ada, Method::DELETE, &json!({})).await;
    assert_eq!(closed.status, 204, "{closed:#?}");
    assert_eq!(closed.position(), shop.log_end().await);
    assert_eq!(shop.types().await.last().unwrap(), "customer.deactivated");
    assert!(!shop.lets_in(&ada.access).await);
    shop.post("/v1/auth/refresh", &json!({"refresh_token": ada.refresh}))
        .await
        .is_problem(401, "invalid_refresh_token");
    shop.login(&ada.email, "correct horse battery")
        .await
        .is_problem(401, "invalid_credentials");
    shop.post("/v1/auth/register", &sign_up(&ada.email))
        .await
        .is_problem(409, "email_taken");
    shop.changed_by_admin(ada.id, &json!({"name": "Ada"}))
        .await
        .is_problem(409, "account_closed");
    // A code to set a password is not sent to it.
    let forgot = json!({"email": ada.email});
    assert_eq!(
        shop.post("/v1/auth/password/forgot", &forgot).await.status,
        202
    );
    let again = shop
        .admin(Method::DELETE, &format!("/v1/customers/{}", ada.id))
        .send()
        .await;
    assert_eq!(
        (again.status.as_u16(), again.position()),
        (204, closed.position())
    );
}

#[tokio::test]
async fn an_admin_gives_another_role_which_holds_from_the_next_sign_in() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let changed = shop
        .changed_by_admin(ada.id, &json!({"role": "deliverer", "name": "Ada D."}))
        .await;
    assert_eq!(changed.status, 200, "{changed:#?}");
    assert_eq!(
        (&changed.body["role"], &changed.body["name"]),
        (&json!("deliverer"), &json!("Ada D."))
    );
    assert!(!shop.lets_in(&ada.access).await, "it still says customer");
    shop.post("/v1/auth/refresh", &json!({"refresh_token": ada.refresh}))
        .await
        .is_problem(401, "invalid_refresh_token");
    let again = shop.login(&ada.email, "correct horse battery").await;
    let caller = shop
        .tokens()
        .verify(&token(&again, "access_token"))
        .unwrap();
    assert_eq!(caller.roles, [Role::Deliverer]);
}

#[tokio::test]
async fn a_partners_person_acts_for_the_partner_and_for_no_other() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let (ours, theirs) = (shop.selling_partner().await, shop.selling_partner().await);
    shop.changed_by_admin(ada.id, &json!({"role": "partner"}))
        .await
        .names("/partner_id", "invalid");
    shop.changed_by_admin(
        ada.id,
        &json!({"role": "partner", "partner_id": Uuid::now_v7()}),
    )
    .await
    .names("/partner_id", "invalid");
    let changed = shop
        .changed_by_admin(ada.id, &json!({"role": "partner", "partner_id": ours}))
        .await;
    assert_eq!(changed.body["partner_id"], json!(ours), "{changed:#?}");
    let again = shop.login(&ada.email, "correct horse battery").await;
    let access = token(&again, "access_token");
    let product = shop.product().await;
    let offer = |partner: Uuid| {
        shop.nobody(
            Method::PUT,
            &format!("/v1/partners/{partner}/offers/{product}"),
        )
        .header("authorization", &format!("Bearer {access}"))
        .json(&json!({"price": {"amount": 100, "currency": "EUR"}}))
        .send()
    };
    offer(theirs).await.is_problem(404, "not_found");
    let mine = offer(ours).await;
    // Its own product or not is another rule; that it is his partner is not in doubt.
    assert_ne!(mine.status, 403, "{mine:#?}");
    let back = shop
        .changed_by_admin(ada.id, &json!({"role": "customer"}))
        .await;
    assert_eq!(
        (&back.body["role"], &back.body["partner_id"]),
        (&json!("customer"), &Value::Null)
    );
}

#[tokio::test]
async fn who_is_not_a_customer_has_nothing_to_change_and_no_key_is_made_for_him() {
    let shop = Shop::open().await;
    let nobody = Uuid::now_v7();
    for (method, path) in [
        (Method::PATCH, "/v1/me".to_owned()),
        (Method::DELETE, "/v1/me".to_owned()),
    ] {
        shop.customer(nobody, method, &path)
            .json(&json!({}))
            .send()
            .await
            .is_problem(404, "not_found");
    }
    shop.changed_by_admin(nobody, &json!({"name": "Ada"}))
        .await
        .is_problem(404, "not_found");
    shop.admin(Method::DELETE, &format!("/v1/customers/{nobody}"))
        .send()
        .await
        .is_problem(404, "not_found");
    assert!(shop.vault.open(nobody).await.unwrap().is_none());
}

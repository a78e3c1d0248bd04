//! Accounts in a shop of several processes: whichever is asked, all of them know who somebody is, and that he is not any
//! more.

use dev_servers::{NatsServer, Postgres};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Deployment, Layout, MailServer, OidcServer, Person, Role, Servers, within};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::WAYBILL;

const ADMIN: &str = "boss@shop.example";
const ADMIN_PASSWORD: &str = "the first admin's password";
const PASSWORD: &str = "correct horse battery";
const AUDIENCE: &str = "the-shop";

/// Two processes of each role; they end before what they stand on.
struct Shop {
    deployment: Deployment,
    oidc: OidcServer,
    mail: &'static MailServer,
    _nats: NatsServer,
    _postgres: Postgres,
}

impl Shop {
    async fn open() -> Self {
        let nats = spawn_blocking(|| NatsServer::temporary().unwrap());
        let postgres = spawn_blocking(|| Postgres::temporary().unwrap());
        let oidc = spawn_blocking(|| OidcServer::start(AUDIENCE));
        let mail = spawn_blocking(MailServer::shared).await.unwrap();
        let (nats, postgres, oidc) = (
            nats.await.unwrap(),
            postgres.await.unwrap(),
            oidc.await.unwrap(),
        );
        let servers = Servers {
            nats: nats.url(),
            database: postgres.url(),
            sandbox_database: postgres.fresh_database().await.unwrap(),
        };
        let layout = Layout::twice()
            .with("WAYBILL_ADMIN_EMAIL", ADMIN)
            .with("WAYBILL_ADMIN_PASSWORD", ADMIN_PASSWORD)
            .with("WAYBILL_SMTP_URL", &mail.url())
            .with("WAYBILL_OIDC_ISSUER", oidc.issuer())
            .with("WAYBILL_OIDC_AUDIENCE", AUDIENCE);
        Self {
            deployment: Deployment::start(WAYBILL, servers, layout).await,
            oidc,
            mail,
            _nats: nats,
            _postgres: postgres,
        }
    }

    fn at(&self, role: Role, number: usize, token: &str) -> Person {
        Person::new(&self.deployment.url(role, number), token)
    }

    async fn login(&self, number: usize, email: &str, password: &str) -> Value {
        let body = json!({"email": email, "password": password});
        let door = self.at(Role::CommandApi, number, "");
        door.post("/v1/auth/login", &body).await.ok()
    }
}

fn text(body: &Value, member: &str) -> String {
    body[member]
        .as_str()
        .unwrap_or_else(|| panic!("no {member} in {body}"))
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_somebody_is_and_is_no_more_is_known_to_every_process() {
    let shop = Shop::open().await;

    // Both doors made the first admin at their start, and there is one.
    let admin = text(&shop.login(1, ADMIN, ADMIN_PASSWORD).await, "access_token");
    let people = within("the first admin is shown", || async {
        let listed = shop
            .at(Role::Projector, 0, &admin)
            .get("/v1/customers")
            .await;
        let people = listed.ok()["data"].as_array().unwrap().clone();
        (!people.is_empty()).then_some(people)
    })
    .await;
    assert_eq!(people.len(), 1, "{people:?}");
    assert_eq!(people[0]["role"], "admin");

    // Registered at one door, verified and signed in at the other, shown by both projectors.
    let email = format!("ada-{}@example.org", Uuid::now_v7().simple());
    let body =
        json!({"email": email, "password": PASSWORD, "first_name": "Ada", "last_name": "Lovelace"});
    let ada = shop
        .at(Role::CommandApi, 0, "")
        .post("/v1/auth/register", &body)
        .await
        .ok();
    let code = shop.mail.mail_to(&email, 1).await.code();
    let verified = shop
        .at(Role::CommandApi, 1, "")
        .post(
            "/v1/auth/verify-email",
            &json!({"email": email, "code": code}),
        )
        .await;
    assert_eq!(verified.status, StatusCode::NO_CONTENT, "{verified:?}");
    let tokens = shop.login(1, &email, PASSWORD).await;
    let access = text(&tokens, "access_token");
    for number in 0..2 {
        let me = within("the address is shown as verified", || async {
            let me = shop
                .at(Role::Projector, number, &access)
                .get("/v1/me")
                .await;
            let me = me.ok();
            (me["email_verified"] == true).then_some(me)
        })
        .await;
        assert_eq!((&me["id"], &me["email"]), (&ada["id"], &json!(email)));
    }

    // A token of the outside provider is as good at every process.
    let theirs = shop
        .oidc
        .token("urn:shop", &json!({"roles": ["admin"]}))
        .await;
    let listed = shop
        .at(Role::Projector, 1, &theirs)
        .get("/v1/customers")
        .await;
    assert_eq!(listed.ok()["data"].as_array().map(Vec::len), Some(2));

    // Guesses are counted by both doors together.
    let mut told = Vec::new();
    for number in 0..12 {
        let body = json!({"email": email, "password": "a guess of somebody"});
        let door = shop.at(Role::CommandApi, number % 2, "");
        told.push(door.post("/v1/auth/login", &body).await.status.as_u16());
    }
    assert_eq!(told, [[401; 10].as_slice(), &[429, 429]].concat());

    // Closed at one door, and no process lets the token in any more.
    let removed = shop
        .at(Role::CommandApi, 0, &admin)
        .request(
            reqwest::Method::DELETE,
            &format!("/v1/customers/{}", text(&ada, "id")),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    for (role, number) in [
        (Role::CommandApi, 1),
        (Role::Projector, 0),
        (Role::Projector, 1),
    ] {
        within("the token of the closed account is refused", || async {
            let person = shop.at(role, number, &access);
            let answer = match role {
                Role::Projector => person.get("/v1/me").await,
                _ => person.post("/v1/orders/check", &json!({})).await,
            };
            (answer.body["code"] == "session_ended").then_some(())
        })
        .await;
    }
    let refresh = json!({"refresh_token": text(&tokens, "refresh_token")});
    shop.at(Role::CommandApi, 1, "")
        .post("/v1/auth/refresh", &refresh)
        .await
        .refused(401, "invalid_refresh_token");

    for number in 0..2 {
        let said = shop.deployment.said(Role::CommandApi, number);
        for secret in [
            PASSWORD,
            ADMIN_PASSWORD,
            "a guess of somebody",
            &code,
            &access,
        ] {
            assert!(!said.contains(secret), "{secret} is in the log: {said}");
        }
    }
}

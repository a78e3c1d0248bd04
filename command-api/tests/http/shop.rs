//! A shop to knock at: the real router with the real layers around it, the log in memory, quotes on a real broker, the
//! vault in a real Postgres.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use command_api::{Deps, Service};
use domain::fulfilment::Policy;
use event_schema::{Position, Recorded};
use event_store::{EventStore, Executor, InMemoryStore};
use service_kit::http::{HttpLimits, ServerBuilder};
use service_kit::mail::Mailer;
use service_kit::passwords::Passwords;
use service_kit::payment::ProviderAccount;
use service_kit::pictures::Pictures;
use service_kit::settings::SmtpSettings;
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Clock, Role, RouteRule, Vault, postgres, vault};
use testkit::MailServer;

pub const WEBHOOK_SECRET: &str = "whsec_of_the_tests";
const TOKEN_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
const ANSWER_BYTES_MAX: usize = 4 << 20;
pub const QUOTE_TTL: Duration = Duration::from_secs(600);

pub struct Shop {
    pub router: Router,
    pub rules: Vec<RouteRule>,
    pub executor: Executor,
    pub clock: Clock,
    pub vault: Vault,
    pub service: Service,
    deps: Deps,
    admin: Uuid,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn id(&self) -> Uuid {
        Uuid::parse_str(
            self.body["id"]
                .as_str()
                .unwrap_or_else(|| panic!("no id in {self:?}")),
        )
        .unwrap()
    }

    pub fn position(&self) -> u64 {
        self.header("waybill-position").parse().unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .to_str()
            .unwrap()
    }

    /// The whole answer is a problem of this status and code.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.code()),
            (status, code),
            "{self:#?}"
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        for member in ["type", "title", "request_id"] {
            assert!(
                self.body[member].is_string(),
                "{member} is missing: {self:#?}"
            );
        }
    }

    /// It is a 422 with this code, and the field at the pointer has it too.
    #[track_caller]
    pub fn names(&self, pointer: &str, code: &str) {
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        let named = errors
            .iter()
            .any(|error| error["pointer"] == pointer && error["code"] == code);
        assert!(named, "{pointer} is not named as {code}: {self:#?}");
    }
}

/// One request being put together.
pub struct Ask<'a> {
    shop: &'a Shop,
    builder: http::request::Builder,
    body: Vec<u8>,
}

impl Ask<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// A key that nobody used before.
    pub fn new_key(self) -> Self {
        let key = Uuid::now_v7().to_string();
        self.key(&key)
    }

    pub fn json(self, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { body, ..self }.header("content-type", "application/json")
    }

    pub fn raw(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..self
        }
    }

    pub async fn send(self) -> Reply {
        let request: Request<Body> = self.builder.body(Body::from(self.body)).unwrap();
        let response = self.shop.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap()
        };
        Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }
}

impl Shop {
    /// With the log in memory, on the servers that all tests of this process share.
    pub async fn open() -> Self {
        let nats = tokio::task::spawn_blocking(|| dev_servers::shared_nats().unwrap().url())
            .await
            .unwrap();
        let client = async_nats::connect(nats).await.unwrap();
        event_store::topology::migrate(&client, 1).await.unwrap();
        let database = dev_servers::fresh_database().await.unwrap();
        Self::over(Arc::new(InMemoryStore::new()), client, &database).await
    }

    pub async fn over(
        store: Arc<dyn EventStore>,
        nats: async_nats::Client,
        database: &str,
    ) -> Self {
        service_kit::crypto::install().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&folder.path().join("signing.key")).unwrap();
        let installation = key.installation_key().unwrap();
        let clock = Clock::manual(Timestamp::from_second(1_800_000_000).unwrap());
        let tokens = Arc::new(Tokens::new(&key, clock.clone()));
        let pool = postgres::connect(&SecretString::from(database), "test", 4)
            .await
            .unwrap();
        postgres::migrate(&pool, &vault::migrator()).await.unwrap();
        let vault = Vault::new(pool.clone(), &installation).unwrap();
        let deps = Deps {
            executor: Executor::new(store),
            nats,
            database: pool,
            vault,
            installation: installation.clone(),
            tokens,
            clock,
            provider: ProviderAccount {
                webhook_secret: WEBHOOK_SECRET.into(),
                ..ProviderAccount::sandbox("http://127.0.0.1:9", &installation)
            },
            policy: Policy::default(),
            quote_ttl: QUOTE_TTL,
            passwords: Passwords::new().unwrap(),
            mailer: Mailer::smtp(&SmtpSettings {
                url: mail_server().await.url().into(),
                from: "Shop <shop@example.com>".into(),
            })
            .unwrap(),
            pictures: Pictures::in_memory(),
        };
        Self::of(deps, Uuid::now_v7()).await
    }

    /// Another process of the same installation: it shares the log, the bucket, the vault and the key, and nothing else.
    pub async fn twin(&self, store: Arc<dyn EventStore>) -> Self {
        let deps = Deps {
            executor: Executor::new(store),
            ..self.deps.clone()
        };
        Self::of(deps, self.admin).await
    }

    async fn of(deps: Deps, admin: Uuid) -> Self {
        let service = Service::new(deps.clone()).await.unwrap();
        let limits = HttpLimits {
            rate_limit: None,
            // So that a test can say from where a request comes; without the header it comes from this machine.
            trusted_hops: 1,
            ..HttpLimits::default()
        };
        let (router, _, rules) = ServerBuilder::new(limits)
            .tokens(Arc::clone(&deps.tokens))
            .api(service.api())
            .build_with_table();
        Self {
            router,
            rules,
            executor: deps.executor.clone(),
            clock: deps.clock.clone(),
            vault: deps.vault.clone(),
            service,
            deps,
            admin,
        }
    }

    pub fn tokens(&self) -> &Tokens {
        &self.deps.tokens
    }

    pub fn passwords(&self) -> &Passwords {
        &self.deps.passwords
    }

    pub fn pictures(&self) -> &Pictures {
        &self.deps.pictures
    }

    pub fn database(&self) -> &sqlx::PgPool {
        &self.deps.database
    }

    pub fn token(&self, role: Role, subject: Uuid) -> String {
        self.deps.tokens.issue(role, subject, TOKEN_TTL).unwrap()
    }

    /// A request without a token.
    pub fn nobody(&self, method: Method, path: &str) -> Ask<'_> {
        Ask {
            shop: self,
            builder: Request::builder().method(method).uri(path),
            body: Vec::new(),
        }
    }

    pub fn by(&self, role: Role, subject: Uuid, method: Method, path: &str) -> Ask<'_> {
        let token = self.token(role, subject);
        self.nobody(method, path)
            .header("authorization", &format!("Bearer {token}"))
    }

    pub fn admin(&self, method: Method, path: &str) -> Ask<'_> {
        self.by(Role::Admin, self.admin, method, path)
    }

    pub fn customer(&self, customer: Uuid, method: Method, path: &str) -> Ask<'_> {
        self.by(Role::Customer, customer, method, path)
    }

    pub fn partner(&self, partner: Uuid, method: Method, path: &str) -> Ask<'_> {
        self.by(Role::Partner, partner, method, path)
    }

    /// Everything that has happened, records included.
    pub async fn log(&self) -> Vec<Recorded> {
        self.executor
            .store()
            .read(Position(0), 10_000, None)
            .await
            .unwrap()
    }

    /// The types of all events, in order.
    pub async fn types(&self) -> Vec<String> {
        self.log()
            .await
            .into_iter()
            .map(|event| event.event_type)
            .collect()
    }

    pub async fn log_end(&self) -> u64 {
        self.executor.store().end().await.unwrap().position.0
    }

    /// A partner that sells.
    pub async fn selling_partner(&self) -> Uuid {
        let added = self
            .admin(Method::POST, "/v1/partners")
            .new_key()
            .json(&partner())
            .send()
            .await;
        assert_eq!(added.status, 201, "{added:#?}");
        let id = added.id();
        for flag in ["verify", "enable"] {
            let set = self
                .admin(Method::POST, &format!("/v1/partners/{id}/{flag}"))
                .send()
                .await;
            assert_eq!(set.status, 200, "{set:#?}");
        }
        id
    }

    /// A product of the shop, offered by the partner at a price in euro cents, with some in stock.
    pub async fn offered_product(&self, partner: Uuid, price: i64, stock: u32) -> Uuid {
        let product = self.product().await;
        self.offer(
            partner,
            product,
            json!({"amount": price, "currency": "EUR"}),
        )
        .await;
        if stock > 0 {
            self.receive(product, stock).await;
        }
        product
    }

    pub async fn product(&self) -> Uuid {
        let body = product(&format!("SKU-{}", Uuid::now_v7()));
        let added = self
            .admin(Method::POST, "/v1/products")
            .new_key()
            .json(&body)
            .send()
            .await;
        assert_eq!(added.status, 201, "{added:#?}");
        added.id()
    }

    pub async fn offer(&self, partner: Uuid, product: Uuid, price: Value) {
        let path = format!("/v1/partners/{partner}/offers/{product}");
        let set = self
            .admin(Method::PUT, &path)
            .json(&json!({"price": price}))
            .send()
            .await;
        assert_eq!(set.status, 200, "{set:#?}");
    }

    pub async fn receive(&self, product: Uuid, quantity: u32) {
        let path = format!("/v1/inventory/{product}/receive");
        let body = json!({"quantity": quantity});
        let received = self
            .admin(Method::POST, &path)
            .new_key()
            .json(&body)
            .send()
            .await;
        assert_eq!(received.status, 200, "{received:#?}");
    }

    pub async fn check(&self, customer: Uuid, body: &Value) -> Reply {
        self.customer(customer, Method::POST, "/v1/orders/check")
            .json(body)
            .send()
            .await
    }

    /// A quote for some units of one product.
    pub async fn quote(&self, customer: Uuid, partner: Uuid, product: Uuid, quantity: u32) -> Uuid {
        let quoted = self
            .check(customer, &basket(partner, &[(product, quantity)]))
            .await;
        assert_eq!(quoted.status, 200, "{quoted:#?}");
        quoted.id()
    }

    pub async fn place(&self, customer: Uuid, key: &str, body: &Value) -> Reply {
        self.customer(customer, Method::POST, "/v1/orders")
            .key(key)
            .json(body)
            .send()
            .await
    }
}

/// The mail server that all tests of this process share.
pub async fn mail_server() -> &'static MailServer {
    tokio::task::spawn_blocking(MailServer::shared)
        .await
        .unwrap()
}

pub fn partner() -> Value {
    json!({
        "title": "Corner Bakery Ltd", "brand": "Corner Bakery", "phone": "+49 30 5550100",
        "email": "orders@bakery.example", "address": "1 Main Street", "webhook_url": "https://bakery.example/hook",
    })
}

pub fn product(sku: &str) -> Value {
    json!({
        "sku": sku, "name": "Blue mug", "brand": "Corner Bakery", "category": "kitchen", "size": "L", "color": "blue",
        "description": "A mug.", "picture_url": "https://shop.example/mug.png",
        "unit_cost": {"amount": 400, "currency": "EUR"},
    })
}

pub fn customer(email: &str) -> Value {
    json!({"name": "Ada Lovelace", "email": email})
}

pub fn basket(partner: Uuid, lines: &[(Uuid, u32)]) -> Value {
    let line =
        |(product, quantity): &(Uuid, u32)| json!({"product_id": product, "quantity": quantity});
    json!({
        "partner_id": partner,
        "lines": lines.iter().map(line).collect::<Vec<_>>(),
        "delivery_address": "5 Elm Street\nSpringfield",
        "phone": "+49 30 5550111",
    })
}

pub fn by_card(quote: Uuid) -> Value {
    json!({"quote_id": quote, "payment": {"method": "card", "token": "pm_card_visa"}})
}

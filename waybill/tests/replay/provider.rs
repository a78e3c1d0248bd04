//! The sandbox under a shop, from the provider's side: what it was asked, what its books say, what happens there past
//! the shop.

use payment_sandbox::{Config, Sandbox};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use service_kit::payment::ProviderAccount;
use service_kit::signing::SigningKey;
use sqlx::{AssertSqlSafe, PgPool};
use testkit::{Shop, within};

use crate::carried;
use crate::ground::Ground;

/// The tables of its ledger, those first that others refer to.
const LEDGER: &[&str] = &[
    "sandbox.payment_intents",
    "sandbox.charges",
    "sandbox.refunds",
    "sandbox.checkout_sessions",
    "sandbox.events",
    "sandbox.idempotency_keys",
    "sandbox.calls",
    "sandbox.faults",
    "sandbox.spent_tokens",
];
/// What counts up by itself in them.
const COUNTERS: [(&str, &str); 3] = [
    ("sandbox.events", "seq"),
    ("sandbox.calls", "seq"),
    ("sandbox.faults", "id"),
];
const ASKED: &str = "select to_jsonb(c) from sandbox.calls c order by seq";

pub struct Provider {
    http: Client,
    account: ProviderAccount,
    pool: PgPool,
}

impl Provider {
    pub fn of(ground: &Ground, shop: &Shop) -> Self {
        let key = SigningKey::load_or_create(ground.signing_key.as_ref()).unwrap();
        let running = shop.running();
        let url = running["sandbox_url"].as_str().unwrap();
        let http = Client::builder().no_proxy().redirect(Policy::none());
        Self {
            http: http.build().unwrap(),
            account: ProviderAccount::sandbox(url, &key.installation_key().unwrap()),
            pool: ground.pool.clone(),
        }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.account.url))
    }

    /// The next calls of an operation break off with nothing done.
    pub async fn drops(&self, operation: &str, times: u32) {
        let fault = json!({"operation": operation, "kind": "drop_before", "times": times});
        let answer = self.post("/sandbox/faults").json(&fault).send().await;
        assert!(answer.unwrap().status().is_success());
    }

    /// Somebody takes an order's authorised money in the provider's dashboard, once the shop has tried to let it go.
    pub async fn takes_by_hand(&self, order: &str) {
        let (intent,): (String,) = within("the void is under way", || async {
            let asked =
                "select intent_id from sandbox.calls where order_id = $1 and operation = 'cancel'";
            let asked = sqlx::query_as(asked).bind(order);
            asked.fetch_optional(&self.pool).await.unwrap()
        })
        .await;
        let taken = self
            .post(&format!("/v1/payment_intents/{intent}/capture"))
            .bearer_auth(self.account.api_key.expose_secret())
            .header("Idempotency-Key", uuid::Uuid::now_v7().to_string());
        assert!(taken.send().await.unwrap().status().is_success());
    }

    /// A customer pays on the hosted page, whose address may be that of another house.
    pub async fn is_paid(&self, page: &str) {
        let path = reqwest::Url::parse(page).unwrap().path().to_owned();
        let paid = self.post(&path).form(&[("token", "pm_card_visa")]).send();
        assert!(paid.await.unwrap().status().is_redirection());
    }

    /// Everything that it was asked, in order.
    pub async fn asked(&self) -> Vec<Value> {
        all(&self.pool, ASKED).await
    }

    /// The same, while the shop is down.
    pub async fn asked_on(ground: &Ground) -> Vec<Value> {
        all(&ground.pool, ASKED).await
    }

    /// What it holds, has taken and given back.
    pub async fn books(&self) -> Vec<Value> {
        all(
            &self.pool,
            "select to_jsonb(i) from sandbox.payment_intents i
             union all select to_jsonb(c) from sandbox.charges c
             union all select to_jsonb(r) from sandbox.refunds r
             union all select to_jsonb(s) from sandbox.checkout_sessions s
             order by 1",
        )
        .await
    }
}

/// Carries the whole ledger into a database that has none.
pub async fn ledger_carried(from: &PgPool, to: &PgPool) {
    let config = Config::new("unused", "unused", "http://localhost").unwrap();
    Sandbox::new(to.clone(), config).migrate().await.unwrap();
    carried::rows(from, to, LEDGER).await;
    for (table, column) in COUNTERS {
        let count_on = format!(
            "select setval(pg_get_serial_sequence('{table}', '{column}'), coalesce(max({column}), 0) + 1) from {table}"
        );
        let counted = sqlx::query(AssertSqlSafe(count_on)).execute(to).await;
        counted.unwrap();
    }
}

async fn all(pool: &PgPool, query: &'static str) -> Vec<Value> {
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}

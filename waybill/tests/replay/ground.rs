//! Servers of a test's own under a shop, so that they can be looked into, copied and exchanged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_nats::jetstream;
use dev_servers::{NatsOptions, NatsServer};
use futures::TryStreamExt as _;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use testkit::{Person, Shop, within};
use tokio::process::Command;

use crate::provider::ledger_carried;
use crate::{WAYBILL, carried};

/// A broker and a database, and the key that goes with them.
pub struct Ground {
    pub nats: Arc<NatsServer>,
    pub database: String,
    pub pool: PgPool,
    pub signing_key: String,
    folder: TempDir,
}

impl Ground {
    pub async fn new() -> Self {
        let database = dev_servers::fresh_database().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let nats = tokio::task::spawn_blocking(|| {
            NatsServer::temporary_with(NatsOptions::with_default_sync)
        })
        .await
        .unwrap()
        .unwrap();
        Self {
            nats: Arc::new(nats),
            pool: PgPool::connect(&database).await.unwrap(),
            database,
            signing_key: folder.path().join("signing.key").display().to_string(),
            folder,
        }
    }

    /// Another broker and another database, prepared, with everything of the old house that its log does not hold:
    /// steps 3 to 5 of docs/runbooks/moving-house.md. The old shop must not run.
    pub async fn moved_to(&self) -> Self {
        let new = Self::new().await;
        std::fs::copy(&self.signing_key, &new.signing_key).unwrap();
        new.operator(&["migrate"]).await;
        carried::rows(&self.pool, &new.pool, carried::VAULT).await;
        ledger_carried(&self.pool, &new.pool).await;
        new
    }

    /// Nobody is told anything outside, so that the log stands still when nobody buys.
    fn settings(&self) -> [(&'static str, String); 4] {
        [
            ("WAYBILL_NOTIFIER", "off".to_owned()),
            ("WAYBILL_NATS_URL", self.nats.url()),
            ("WAYBILL_DATABASE_URL", self.database.clone()),
            ("WAYBILL_SIGNING_KEY_FILE", self.signing_key.clone()),
        ]
    }

    /// A shop on it.
    pub async fn shop(&self) -> Shop {
        let settings = self.settings();
        let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
        Shop::start(WAYBILL, &settings).await
    }

    /// An operator's command without a shop.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(WAYBILL);
        command
            .args(arguments)
            .envs(self.settings())
            .env("WAYBILL_DATA_DIR", self.folder.path().join("data"))
            .env("WAYBILL_HTTP_ADDR", "127.0.0.1:0")
            .env("WAYBILL_LOG", "warn");
        command
    }

    /// What it says; it has to succeed.
    pub async fn operator(&self, arguments: &[&str]) -> String {
        let (success, said) = self.tries(arguments).await;
        assert!(success, "{arguments:?}: {said}");
        said
    }

    /// Whether it succeeds, and what it says.
    pub async fn tries(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().await.unwrap();
        let [out, err] = [output.stdout, output.stderr];
        let said = String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&err);
        (output.status.success(), said)
    }

    pub async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.nats.url()).await.unwrap()
    }

    pub async fn log_end(&self) -> u64 {
        let context = jetstream::new(self.client().await);
        let mut stream = context.get_stream("EVENTS").await.unwrap();
        stream.info().await.unwrap().state.last_sequence
    }

    /// Every row of every read model.
    pub async fn rows(&self) -> BTreeMap<&'static str, Vec<Value>> {
        let mut all = BTreeMap::new();
        for projection in projector::read_models::all() {
            for table in projection.tables() {
                let rows = format!(
                    "select to_jsonb(t) from read.{} t order by {}",
                    table.name, table.key
                );
                let rows = sqlx::query_scalar(AssertSqlSafe(rows))
                    .fetch_all(&self.pool)
                    .await;
                all.insert(table.name, rows.unwrap());
            }
        }
        all
    }

    /// How far each projection has come, and by which event.
    pub async fn checkpoints(&self) -> Vec<Value> {
        let told = "select jsonb_build_array(projection, position, event_id, paused, stopped)
                    from read.checkpoint order by projection";
        sqlx::query_scalar(told)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// What a bucket says, by key; without what the orchestrators note for each other.
    pub async fn bucket(&self, name: &str) -> BTreeMap<String, String> {
        let context = jetstream::new(self.client().await);
        let bucket = context.get_key_value(name).await.unwrap();
        let keys: Vec<String> = bucket.keys().await.unwrap().try_collect().await.unwrap();
        let mut told = BTreeMap::new();
        for key in keys.into_iter().filter(|key| !key.starts_with('_')) {
            let value = bucket.get(&key).await.unwrap().unwrap();
            told.insert(key, String::from_utf8(value.to_vec()).unwrap());
        }
        told
    }

    /// Where the last event of a history is.
    pub async fn end_of(&self, subject: &str) -> u64 {
        let context = jetstream::new(self.client().await);
        let stream = context.get_stream("EVENTS").await.unwrap();
        let last = stream.get_last_raw_message_by_subject(subject).await;
        last.unwrap().sequence
    }

    /// Asks the desk of the sagas, or orders something there.
    pub async fn desk(&self, subject: &'static str, body: &str) -> Value {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Accept", "application/json");
        headers.insert("Command-Id", uuid::Uuid::now_v7().to_string());
        headers.insert("Reason", "it was paid out by bank transfer");
        let client = self.client().await;
        let answer = client.request_with_headers(subject, headers, body.to_owned().into());
        serde_json::from_slice(&answer.await.unwrap().payload).unwrap()
    }

    /// Waits until every projection has passed the log's end.
    pub async fn caught_up(&self) -> u64 {
        let end = self.log_end().await;
        let projections = projector::read_models::all().len();
        within("the projections stand at the log's end", || async {
            // A read side that was just made has not even begun.
            let there: i64 =
                sqlx::query_scalar("select count(*) from read.checkpoint where position >= $1")
                    .bind(i64::try_from(end).unwrap())
                    .fetch_one(&self.pool)
                    .await
                    .ok()?;
            (usize::try_from(there) == Ok(projections)).then_some(end)
        })
        .await
    }

    /// Stops the broker, lets its data be exchanged, and starts it again.
    pub async fn while_the_broker_is_down(&self, change: impl FnOnce(&Path) + Send + 'static) {
        let nats = Arc::clone(&self.nats);
        tokio::task::spawn_blocking(move || {
            nats.stop();
            change(nats.data_dir());
            nats.restart().unwrap();
        })
        .await
        .unwrap();
    }
}

/// Orders one and waits until it is wholly through.
pub async fn confirmed(person: &Person, partner: &str, product: &str) -> String {
    let order = person.order(partner, product, 1, "pm_card_visa").await;
    person.order_becomes(&order, "confirmed").await;
    order
}

/// Every read model there is.
pub fn names() -> Vec<&'static str> {
    let all = projector::read_models::all();
    all.iter().map(|projection| projection.name()).collect()
}

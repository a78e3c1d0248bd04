//! Servers of a test's own under a shop, so that they can be looked into, copied and exchanged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_nats::jetstream;
use dev_servers::{NatsOptions, NatsServer};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use testkit::{Person, Shop, within};
use tokio::process::Command;

use crate::WAYBILL;

/// A broker and a database, and the key that goes with them.
pub struct Ground {
    pub nats: Arc<NatsServer>,
    pub database: String,
    pub pool: PgPool,
    pub signing_key: String,
    _folder: Arc<TempDir>,
}

impl Ground {
    pub async fn new() -> Self {
        let database = dev_servers::fresh_database().await.unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let signing_key = folder.path().join("signing.key").display().to_string();
        Self::of(database, signing_key, folder).await
    }

    /// Another broker with nothing on it; the old one's database copied, without its read models; the same key. The old
    /// shop must not run. What `pg_dump -n vault` and `-n sandbox` would carry over is carried over.
    pub async fn moved_to(&self) -> Self {
        self.pool.close().await;
        let old = self.database.rsplit('/').next().unwrap();
        let name = format!("moved_{}", uuid::Uuid::now_v7().simple());
        let server = dev_servers::shared_postgres().unwrap();
        let everything = PgPool::connect(&server.url()).await.unwrap();
        let copy = format!("create database {name} template {old}");
        within("nobody uses the old database any more", || async {
            let copied = sqlx::query(AssertSqlSafe(copy.clone()))
                .execute(&everything)
                .await;
            copied.ok()
        })
        .await;
        let moved = Self::of(
            server.url_of(&name),
            self.signing_key.clone(),
            Arc::clone(&self._folder),
        )
        .await;
        sqlx::query("drop schema read cascade")
            .execute(&moved.pool)
            .await
            .unwrap();
        moved
    }

    async fn of(database: String, signing_key: String, folder: Arc<TempDir>) -> Self {
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
            signing_key,
            _folder: folder,
        }
    }

    fn settings(&self) -> [(&'static str, String); 3] {
        [
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

    /// Waits until every projection has passed the log's end.
    pub async fn caught_up(&self) -> u64 {
        let end = self.log_end().await;
        within("the projections stand at the log's end", || async {
            // A read side that was just made has not even begun.
            let there: i64 =
                sqlx::query_scalar("select count(*) from read.checkpoint where position >= $1")
                    .bind(i64::try_from(end).unwrap())
                    .fetch_one(&self.pool)
                    .await
                    .ok()?;
            (there == 5).then_some(end)
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

//! No room left, at the broker or at the database: whoever asks is told so in the documented way, nothing that was
//! accepted is lost, and with room again everything goes on.
//!
//! Where this account may mount one, the disk is a small file system that really runs full. What needs no such right is
//! tested besides and everywhere: the broker's quota, and a database that refuses to write.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use dev_servers::{Finder, NatsOptions, NatsServer, Postgres, PostgresOptions};
use reqwest::Method;
use serde_json::json;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use testkit::{Layout, PATIENCE, within, within_time};
use uuid::Uuid;

use crate::crowd::Crowd;
use crate::stage::{Broker, Stage, blocking};

const MIB: u64 = 1 << 20;
const BROKER_DISK_MIB: u64 = 128;
const DATABASE_DISK_MIB: u64 = 320;
const QUOTA_BYTES: u64 = 64 * MIB;
/// How long it stays full.
const FULL_FOR: Duration = Duration::from_secs(6);

/// A file system of its own, in memory and small.
struct SmallDisk {
    folder: TempDir,
    ballast: PathBuf,
}

impl SmallDisk {
    /// None where nobody may mount anything.
    fn mount(mib: u64) -> Option<Self> {
        let everybody_enters = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let folder = tempfile::Builder::new()
            .prefix("waybill-small-disk-")
            .permissions(everybody_enters)
            .tempdir()
            .unwrap();
        let size = format!("size={mib}m,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "waybill-small-disk"])
            .arg(folder.path())
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        let ballast = folder.path().join("ballast");
        mounted.then_some(Self { folder, ballast })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut ballast = File::create(&self.ballast).unwrap();
        for size in [MIB, 4096, 1] {
            let block = vec![0; usize::try_from(size).unwrap()];
            while ballast.write_all(&block).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(&self.ballast).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmount = |folder: &Path| Command::new("umount").arg("-l").arg(folder).status();
        drop(unmount(self.folder.path()));
    }
}

/// What takes the broker's room, and gives it back.
enum Full {
    Disk(Arc<SmallDisk>),
    /// Another stream on the same server.
    Quota,
}

impl Full {
    const BALLAST: &str = "BALLAST";

    async fn begins(&self, stage: &Stage) {
        match self {
            Self::Disk(disk) => {
                let disk = Arc::clone(disk);
                blocking(move || disk.fill()).await;
            }
            Self::Quota => {
                let context = jetstream::new(stage.client().await);
                let config = stream::Config {
                    name: Self::BALLAST.to_owned(),
                    subjects: vec!["ballast".to_owned()],
                    ..stream::Config::default()
                };
                context.create_stream(config).await.unwrap();
                for size in [512 * 1024, 4096, 16] {
                    let block = vec![7; size];
                    while stored(&context, &block).await {}
                }
            }
        }
    }

    async fn ends(&self, stage: &Stage) {
        match self {
            Self::Disk(disk) => disk.free(),
            Self::Quota => {
                let context = jetstream::new(stage.client().await);
                context.delete_stream(Self::BALLAST).await.unwrap();
            }
        }
    }
}

async fn stored(context: &jetstream::Context, block: &[u8]) -> bool {
    match context.publish("ballast", block.to_vec().into()).await {
        Ok(acknowledged) => acknowledged.await.is_ok(),
        Err(_) => false,
    }
}

async fn a_full_broker(broker: NatsServer, full: Full) {
    let broker = async { Broker::One(Arc::new(broker)) };
    let mut stage = Stage::on(broker, Layout::single()).await;
    let product = stage.market.product(1000, 100_000).await;
    let crowd = Crowd::gathers(&stage, &product, 2).await;
    crowd.goes_on(10).await;
    full.begins(&stage).await;

    // A few may still find room.
    let path = format!("/v1/inventory/{}/receive", product.id);
    let one_more = json!({"quantity": 1});
    let admin = stage.market.admin.clone();
    let accepted = AtomicU32::new(0);
    let (key, refused) = within_time(PATIENCE, "a command finds no room", || async {
        let key = Uuid::now_v7().to_string();
        let request = admin.request(Method::POST, &path);
        let request = request.header("Idempotency-Key", &key).json(&one_more);
        let answer = testkit::answer(request).await;
        if answer.asks_for_patience() {
            return Some((key, answer));
        }
        accepted.fetch_add(1, Ordering::SeqCst);
        None
    })
    .await;
    refused.refused(503, "broker_unavailable");
    // Rows are elsewhere.
    admin.get("/v1/orders").await.ok();
    tokio::time::sleep(FULL_FOR).await;

    full.ends(&stage).await;
    let server = Arc::clone(stage.broker.server());
    match full {
        Full::Quota => {
            // A quota is no illness; only the stream that is being deleted is reported for a moment.
            within("the broker is well", || async { server.health().ok() }).await;
        }
        // A stream that could not write does not try again before its server is started anew. The server says so, and
        // whoever watches its health sees to it.
        Full::Disk(_) => {
            if let Err(reason) = server.health() {
                assert!(reason.contains("no space left on device"), "{reason}");
                blocking(move || server.restart().unwrap()).await;
            }
        }
    }
    stage.deployment.ready().await;
    crowd.goes_on(10).await;
    let again = admin.insists(Method::POST, &path, &key, &one_more).await;
    again.answer.ok();
    let (mut product, heard) = crowd.ends().await;
    product.received += accepted.into_inner() + 1;
    stage.books_balance(&[product], &heard.accepted).await;
}

/// A broker that may store so little that one other stream takes all of it.
async fn with_a_quota() -> NatsServer {
    let quota = |options: NatsOptions| {
        options
            .with_max_file_store_bytes(QUOTA_BYTES)
            .with_monitoring_port(testkit::free_port())
    };
    blocking(move || NatsServer::temporary_with(quota).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_has_used_up_its_quota_loses_nothing_and_goes_on_with_room_again() {
    a_full_broker(with_a_quota().await, Full::Quota).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_disk_is_full_loses_nothing_and_goes_on_when_it_is_started_anew_with_room() {
    let Some(disk) = SmallDisk::mount(BROKER_DISK_MIB) else {
        eprintln!("nothing can be mounted here: the broker's quota stands in for its disk");
        return a_full_broker(with_a_quota().await, Full::Quota).await;
    };
    let disk = Arc::new(disk);
    let options = NatsOptions::new(disk.path("nats")).with_monitoring_port(testkit::free_port());
    let broker = blocking(move || NatsServer::start(&Finder::new(), options).unwrap()).await;
    a_full_broker(broker, Full::Disk(Arc::clone(&disk))).await;
}

/// What takes the database's room, and gives it back.
enum DatabaseFull {
    Disk(SmallDisk),
    /// Tables that answer every write as a full disk would.
    Refusals,
}

impl DatabaseFull {
    const TABLES: [&str; 2] = ["vault.personal_keys", "read.checkpoint"];

    async fn begins(&self, stage: &Stage) {
        match self {
            Self::Disk(disk) => disk.fill(),
            Self::Refusals => {
                let refuse = "create function no_room() returns trigger language plpgsql as $$ begin
                                  raise exception 'no space left on device' using errcode = 'disk_full';
                              end $$";
                let database = stage.database().await;
                sqlx::query(refuse).execute(&database).await.unwrap();
                for table in Self::TABLES {
                    let trigger = format!(
                        "create trigger no_room before insert or update on {table} execute function no_room()"
                    );
                    sqlx::query(AssertSqlSafe(trigger))
                        .execute(&database)
                        .await
                        .unwrap();
                }
            }
        }
    }

    async fn ends(&self, stage: &Stage) {
        match self {
            Self::Disk(disk) => disk.free(),
            Self::Refusals => {
                let database = stage.database().await;
                let free = "drop function no_room() cascade";
                sqlx::query(free).execute(&database).await.unwrap();
            }
        }
    }
}

async fn a_full_database(mut stage: Stage, full: &DatabaseFull) {
    let product = stage.market.product(1000, 100_000).await;
    let crowd = Crowd::gathers(&stage, &product, 2).await;
    crowd.goes_on(10).await;
    full.begins(&stage).await;

    // A few may still find room in pages that are there.
    let admin = stage.market.admin.clone();
    let (key, body, refused) = within_time(PATIENCE, "a person finds no room", || async {
        let key = Uuid::now_v7().to_string();
        let body = json!({"name": "Bob", "email": format!("{key}@example.com")});
        let request = admin.request(Method::POST, "/v1/customers");
        let request = request.header("Idempotency-Key", &key).json(&body);
        let answer = testkit::answer(request).await;
        answer.asks_for_patience().then_some((key, body, answer))
    })
    .await;
    refused.refused(503, "database_unavailable");
    // What needs the log only goes on, for people whose keys are at hand.
    crowd.goes_on(10).await;
    tokio::time::sleep(FULL_FOR).await;

    full.ends(&stage).await;
    let exited = stage.postgres.exited();
    assert_eq!(exited, None, "{}", stage.postgres.log_tail());
    stage.deployment.ready().await;
    let added = admin.insists(Method::POST, "/v1/customers", &key, &body);
    added.await.answer.ok();
    crowd.goes_on(10).await;
    let (product, heard) = crowd.ends().await;
    stage.books_balance(&[product], &heard.accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_writes_for_want_of_room_holds_up_the_rows_and_nothing_else() {
    let stage = Stage::on(Broker::one(), Layout::single()).await;
    a_full_database(stage, &DatabaseFull::Refusals).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_disk_is_full_holds_up_the_rows_and_nothing_else() {
    let Some(disk) = SmallDisk::mount(DATABASE_DISK_MIB) else {
        eprintln!("nothing can be mounted here: refusals stand in for the full disk");
        let stage = Stage::on(Broker::one(), Layout::single()).await;
        return a_full_database(stage, &DatabaseFull::Refusals).await;
    };
    let options = PostgresOptions::new(disk.path("postgres"))
        .with_max_connections(200)
        .without_durability();
    let postgres =
        async { blocking(move || Postgres::start(&Finder::new(), options).unwrap()).await };
    let stage = Stage::over(Broker::one(), postgres, Layout::single()).await;
    a_full_database(stage, &DatabaseFull::Disk(disk)).await;
}

//! A bench never touches a shop: it takes servers of its own, and refuses others' unless they are empty or a bench's.

use dev_servers::{NatsServer, Postgres};
use event_store::{EventStore, JetStreamStore};
use tokio::process::Command;

use crate::WAYBILL;

struct Servers {
    nats: NatsServer,
    postgres: Postgres,
    folder: tempfile::TempDir,
}

impl Servers {
    async fn start() -> Self {
        let nats = tokio::task::spawn_blocking(NatsServer::temporary)
            .await
            .unwrap()
            .unwrap();
        let postgres = tokio::task::spawn_blocking(Postgres::temporary)
            .await
            .unwrap()
            .unwrap();
        Self {
            nats,
            postgres,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(WAYBILL);
        command
            .args(arguments)
            .env("WAYBILL_NATS_URL", self.nats.url())
            .env("WAYBILL_DATABASE_URL", self.postgres.url())
            .env("WAYBILL_DATA_DIR", self.folder.path())
            .env("WAYBILL_LOG", "warn");
        command
    }

    async fn events(&self) -> u64 {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        JetStreamStore::connect(client)
            .await
            .unwrap()
            .end()
            .await
            .unwrap()
            .position
            .0
    }
}

const SHORT: [&str; 8] = [
    "bench",
    "append",
    "--seconds",
    "1",
    "--rounds",
    "1",
    "--callers",
    "1",
];

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_the_servers_of_the_settings_are_left_alone() {
    let servers = Servers::start().await;
    assert!(
        servers
            .command(&["migrate"])
            .output()
            .await
            .unwrap()
            .status
            .success()
    );
    let output = servers.command(&SHORT).output().await.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(servers.events().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_log_is_used_when_asked_for_and_again_but_a_shops_is_refused() {
    let servers = Servers::start().await;
    let mut arguments = SHORT.to_vec();
    arguments.push("--use-settings");
    for _ in 0..2 {
        let output = servers.command(&arguments).output().await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("as the server is configured"), "{said}");
    }

    let shop = Servers::start().await;
    assert!(
        shop.command(&["migrate"])
            .output()
            .await
            .unwrap()
            .status
            .success()
    );
    let executor = {
        let client = async_nats::connect(shop.nats.url()).await.unwrap();
        event_store::Executor::new(std::sync::Arc::new(
            JetStreamStore::connect(client).await.unwrap(),
        ))
    };
    let metadata = event_schema::Metadata::new(
        event_schema::ids::CommandId(uuid::Uuid::now_v7()),
        event_schema::Actor::caller("admin", uuid::Uuid::now_v7()),
        event_schema::Timestamp::now(),
    );
    let receive = domain::inventory::Receive {
        quantity: 1,
        reason: None,
    };
    executor
        .execute(metadata, None, |work: &mut event_store::Work| {
            work.decide::<domain::inventory::Inventory>(uuid::Uuid::nil(), receive.clone().into())?;
            Ok::<_, event_store::Stop<domain::inventory::Rejection>>(())
        })
        .await
        .unwrap();
    let output = shop.command(&arguments).output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("was not begun by a bench"), "{said}");
    assert_eq!(shop.events().await, 1);
}

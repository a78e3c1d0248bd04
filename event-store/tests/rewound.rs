//! A log that is not what it was, under processes that have worked with it: made anew, restored from an older copy, grown
//! again since. Each is done to a real broker; and a broker that only comes back must not be taken for one of these.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod broker;

use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use dev_servers::{Finder, NatsOptions, NatsServer};
use event_schema::Position;
use event_store::conformance::ledger::{Command, Event, Ledger, Rejection};
use event_store::conformance::{WAIT_MAX, group_of, next, run, state};
use event_store::{
    AppendError, EventStore, ExecuteError, Executor, JetStreamStore, LoadError, LogRewound,
    SubscribeError, topology,
};
use tempfile::TempDir;
use tokio::time::timeout;
use uuid::Uuid;

/// Longer than a doubt has to last before it is believed, and some regular looks on top.
const NOTHING_SAID_FOR: Duration = Duration::from_secs(5);

/// Noticed before the decision, or only when its events were to be added.
fn rewound(refused: ExecuteError<Rejection>) -> LogRewound {
    match refused {
        ExecuteError::Append(AppendError::Rewound(rewound))
        | ExecuteError::Load(LoadError::Rewound(rewound)) => rewound,
        other => panic!("{other:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Program::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}

async fn ledgers(executor: &Executor, count: usize) -> Vec<Uuid> {
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let id = Uuid::now_v7();
        run(executor, id, Command::Open).await.unwrap();
        ids.push(id);
    }
    ids
}

/// Stops the broker, changes its files, and starts it again.
async fn meanwhile(broker: &Broker, change: impl FnOnce(&Path) + Send + 'static) {
    let server = Arc::clone(&broker.server);
    tokio::task::spawn_blocking(move || {
        server.stop();
        change(&server.data_dir().join("store"));
        server.restart().unwrap();
    })
    .await
    .unwrap();
}

/// A broker, and a copy of its files as they were after three events.
struct House {
    broker: Broker,
    /// A process that has appended five events.
    executor: Executor,
    ids: Vec<Uuid>,
    older: PathBuf,
    _folder: TempDir,
}

impl House {
    async fn new() -> Self {
        let broker = Broker::start().await;
        let executor = Executor::new(Arc::new(broker.store().await));
        let mut ids = ledgers(&executor, 3).await;
        let folder = tempfile::tempdir().unwrap();
        let older = folder.path().join("other").join("store");
        std::fs::create_dir(older.parent().unwrap()).unwrap();
        let to = older.clone();
        meanwhile(&broker, move |store| copy(store, &to)).await;
        ids.extend(ledgers(&executor, 2).await);
        Self {
            broker,
            executor,
            ids,
            older,
            _folder: folder,
        }
    }

    /// The broker comes back with the older copy, to which so many ledgers were added elsewhere.
    async fn restored_and_grown(&self, added: usize) {
        let data = self.older.parent().unwrap().to_owned();
        let start = move || NatsServer::start(&Finder::new(), NatsOptions::new(data)).unwrap();
        let server = tokio::task::spawn_blocking(start).await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        let elsewhere = Arc::new(JetStreamStore::connect(client).await.unwrap());
        ledgers(&Executor::new(elsewhere), added).await;
        tokio::task::spawn_blocking(move || drop(server))
            .await
            .unwrap();
        let older = self.older.clone();
        meanwhile(&self.broker, move |store| {
            std::fs::remove_dir_all(store).unwrap();
            copy(&older, store);
        })
        .await;
    }

    /// The stream is deleted and made anew, while everybody is connected.
    async fn made_anew(&self) {
        let client = self.broker.client().await;
        let context = async_nats::jetstream::new(client.clone());
        context.delete_stream(topology::EVENTS).await.unwrap();
        topology::migrate(&client, 1).await.unwrap();
    }

    /// The word of what was known before is gone.
    async fn forgotten(&self) {
        let context = async_nats::jetstream::new(self.broker.client().await);
        let snapshots = context.get_stream("KV_snapshots").await.unwrap();
        snapshots.purge().await.unwrap();
    }

    async fn end(&self) -> Position {
        self.broker.store().await.end().await.unwrap().position
    }

    /// The process neither adds to the log nor decides on it any more, and says why and what to do.
    async fn refuses(&self, why: &str) {
        let end = self.end().await;
        // Something that the process remembers, something that it does not, and something of which it knows nothing.
        for id in [self.ids[4], self.ids[0], Uuid::now_v7()] {
            for command in [Command::Add(1), Command::Open] {
                let refused = run(&self.executor, id, command).await.unwrap_err();
                let said = rewound(refused).to_string();
                assert!(said.contains(why), "{said}");
                assert!(said.contains("docs/runbooks/log-rewound.md"), "{said}");
            }
        }
        assert_eq!(self.end().await, end, "nothing was added");
        let told = timeout(WAIT_MAX, self.executor.store().rewound()).await;
        assert!(told.unwrap().to_string().contains(why));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_adds_nothing_to_a_log_that_was_made_anew() {
    let house = House::new().await;
    let waiting = tokio::spawn({
        let store = Arc::clone(house.executor.store());
        async move { store.rewound().await }
    });
    let before = house.executor.store().identity().await.unwrap().to_string();
    house.made_anew().await;
    house.forgotten().await;
    // In the new log: less, as many events but others, and more of them.
    let other = house.broker.store().await;
    for (id, events) in [
        (house.ids[1], &[Event::Opened][..]),
        (house.ids[2], &[Event::Opened, Event::Added(10)]),
        (Uuid::now_v7(), &[Event::Opened]),
        (Uuid::now_v7(), &[Event::Opened]),
        (Uuid::now_v7(), &[Event::Opened]),
    ] {
        other.append(group_of(&[(id, 0, events)])).await.unwrap();
    }
    // Found out by a conflict, at once; and by whoever waits for it, though nobody works.
    let refused = run(&house.executor, house.ids[4], Command::Add(1)).await;
    let now = other.identity().await.unwrap().to_string();
    let rewound = LogRewound::Recreated { before, now };
    assert_eq!(
        refused.unwrap_err(),
        ExecuteError::Append(AppendError::Rewound(rewound.clone()))
    );
    assert_eq!(timeout(WAIT_MAX, waiting).await.unwrap().unwrap(), rewound);
    house.refuses("the log was recreated").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_made_anew_is_noticed_by_where_an_event_was_stored() {
    let house = House::new().await;
    house.made_anew().await;
    // Nothing contradicts it but the position, and nobody has looked.
    let refused = run(&house.executor, Uuid::now_v7(), Command::Open).await;
    assert!(
        matches!(
            refused,
            Err(ExecuteError::Append(AppendError::Rewound(
                LogRewound::Recreated { .. }
            )))
        ),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_adds_nothing_to_a_log_that_has_lost_its_tail() {
    let house = House::new().await;
    house.restored_and_grown(0).await;
    house
        .refuses("the log has lost its tail: it ends at 3, and an event at 5 is known")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_adds_nothing_to_a_log_that_has_grown_another_tail() {
    let house = House::new().await;
    house.restored_and_grown(4).await;
    house
        .refuses("the log has lost its tail and grown again: at 5")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_has_only_read_knows_its_log_too() {
    let house = House::new().await;
    let reader = Executor::new(Arc::new(house.broker.store().await));
    for id in [house.ids[3], house.ids[4]] {
        assert!(state(&reader, id).await.open);
    }
    house.restored_and_grown(4).await;
    let told = timeout(WAIT_MAX, reader.store().rewound()).await.unwrap();
    assert_eq!(told, LogRewound::Regrown { known: Position(5) });
    let refused = run(&reader, Uuid::now_v7(), Command::Open).await;
    assert_eq!(rewound(refused.unwrap_err()), told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_started_anew_knows_what_was_known_before() {
    let house = House::new().await;
    let store = Arc::clone(house.executor.store());
    let _regular_look = tokio::spawn(async move { store.rewound().await });
    let context = async_nats::jetstream::new(house.broker.client().await);
    let snapshots = context.get_key_value("snapshots").await.unwrap();
    timeout(WAIT_MAX, async {
        while snapshots.get("_log").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    // As it is, it is taken.
    let next = Executor::new(Arc::new(house.broker.store().await));
    run(&next, house.ids[4], Command::Add(1)).await.unwrap();
    house.made_anew().await;
    let next = Executor::new(Arc::new(house.broker.store().await));
    let refused = run(&next, Uuid::now_v7(), Command::Open).await.unwrap_err();
    let said = rewound(refused).to_string();
    assert!(said.contains("the log was recreated"), "{said}");
    assert_eq!(house.end().await, Position(0), "nothing was added");
    // A person has decided that it is the right one.
    house.forgotten().await;
    let next = Executor::new(Arc::new(house.broker.store().await));
    run(&next, Uuid::now_v7(), Command::Open).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_process_is_disturbed_when_the_broker_comes_back_as_it_was() {
    let house = House::new().await;
    let waiting = tokio::spawn({
        let store = Arc::clone(house.executor.store());
        async move { store.rewound().await }
    });
    let mut subscription = house
        .executor
        .store()
        .subscribe(Position(0), &["evt.>"])
        .await
        .unwrap();
    next(&mut subscription, 5).await;
    for _ in 0..2 {
        meanwhile(&house.broker, |_| {}).await;
        timeout(WAIT_MAX, async {
            while run(&house.executor, house.ids[4], Command::Add(1))
                .await
                .is_err()
            {}
        })
        .await
        .unwrap();
        next(&mut subscription, 1).await;
    }
    assert_eq!(state(&house.executor, house.ids[4]).await.total, 2);
    let said = timeout(NOTHING_SAID_FOR, waiting).await;
    assert!(said.is_err(), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_takes_the_log_as_it_is_and_believes_no_snapshot_of_a_lost_tail() {
    let house = House::new().await;
    let (store, id) = (Arc::clone(house.executor.store()), house.ids[0]);
    for _ in 0..256 {
        run(&house.executor, id, Command::Add(1)).await.unwrap();
    }
    let key = format!("ledger.{}.{id}", <Ledger as event_schema::Decider>::SHAPE);
    let snapshot = timeout(WAIT_MAX, async {
        loop {
            if let Some(bytes) = store.snapshot(&key).await.unwrap() {
                return bytes;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    house.restored_and_grown(0).await;
    let fresh = Arc::new(house.broker.store().await);
    fresh.put_snapshot(&key, snapshot).await;
    let executor = Executor::new(fresh);
    assert_eq!(state(&executor, id).await.total, 0);
    run(&executor, id, Command::Add(7)).await.unwrap();
    assert_eq!(state(&executor, id).await.total, 7);
    // What the lost tail held never happened here.
    let refused = run(&executor, house.ids[4], Command::Add(1)).await;
    assert_eq!(
        refused.unwrap_err(),
        ExecuteError::Rejected(Rejection::NotOpen)
    );
}

/// What somebody is told who has read five events, when the broker comes back with the copy of the time of the third, to
/// which so many have been added elsewhere.
async fn told_after(added: usize) -> SubscribeError {
    let house = House::new().await;
    let follower = house.broker.store().await;
    let mut subscription = follower.subscribe(Position(0), &["evt.>"]).await.unwrap();
    next(&mut subscription, 5).await;
    house.restored_and_grown(added).await;
    let told = timeout(WAIT_MAX, subscription.next()).await;
    told.expect("it says so in time").unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_is_told_that_the_log_ends_before_what_it_has_read() {
    let (reached, end) = (Position(5), Position(3));
    assert_eq!(
        told_after(0).await,
        SubscribeError::Rewound { reached, end }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_is_told_that_the_log_has_grown_another_tail() {
    let position = Position(5);
    assert_eq!(told_after(4).await, SubscribeError::Regrown { position });
}

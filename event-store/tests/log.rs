//! The log as a whole on a real nats-server: made anew, with foreign messages, long and cold.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod broker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use uuid::Uuid;

use broker::Broker;
use event_schema::{Position, Version};
use event_store::conformance::ledger::{Command, Event, Ledger, Rejection};
use event_store::conformance::{Place, group_of, ledger_subject, metadata, next, wait_until};
use event_store::{Executor, Freshness, JetStreamStore, LoadError, Stop, SubscribeError, topology};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_ends_when_the_log_was_made_anew() {
    let broker = Broker::start().await;
    let store = broker.open().await;
    store
        .append(group_of(&[(Uuid::now_v7(), 0, &[Event::Opened])]))
        .await
        .unwrap();
    let mut subscription = store.subscribe(Position(0), &["evt.>"]).await.unwrap();
    next(&mut subscription, 1).await;
    let before = store.identity().await.unwrap();
    let client = broker.client().await;
    async_nats::jetstream::new(client.clone())
        .delete_stream(topology::EVENTS)
        .await
        .unwrap();
    topology::migrate(&client, 1).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(60), subscription.next())
        .await
        .expect("says so in time");
    let now = store.identity().await.unwrap();
    assert_ne!(before, now);
    let (before, now) = (before.to_string(), now.to_string());
    assert_eq!(told.unwrap_err(), SubscribeError::Recreated { before, now });
    assert_eq!(
        subscription.next().await.unwrap_err(),
        SubscribeError::Ended
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_of_ours_is_told_with_its_place_and_passed_over() {
    let broker = Broker::start().await;
    let (store, id) = (broker.open().await, Uuid::now_v7());
    let client = broker.client().await;
    let foreign = client
        .request(ledger_subject(id).to_string(), "hello".into())
        .await
        .unwrap();
    assert!(!foreign.payload.is_empty());
    store
        .append(group_of(&[(Uuid::now_v7(), 0, &[Event::Opened])]))
        .await
        .unwrap();
    let mut subscription = store.subscribe(Position(0), &["evt.>"]).await.unwrap();
    let told = subscription.next().await.unwrap_err();
    assert!(
        matches!(
            told,
            SubscribeError::Unreadable {
                position: Position(1),
                ..
            }
        ),
        "{told}"
    );
    assert_eq!(next(&mut subscription, 1).await[0].position, Position(2));
    let error = store
        .load(&ledger_subject(id), Version::NONE, None, Freshness::Leader)
        .await
        .unwrap_err();
    assert!(matches!(error, LoadError::Corrupt { .. }), "{error}");
    assert!(matches!(
        store.read(Position(0), 10, None).await,
        Err(LoadError::Corrupt { .. })
    ));
}

#[tokio::test]
async fn a_history_scattered_over_a_long_log_is_walked_back_and_a_young_one_is_read_at_once() {
    let recorder = DebuggingRecorder::new();
    let walks = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let broker = Broker::start().await;
    let (store, id, other) = (broker.open().await, Uuid::now_v7(), Uuid::now_v7());
    let client = broker.client().await;
    let mut version = 0;
    for round in 0..4 {
        // Alone, as a group, and as chained groups that share a batch with others between them.
        let alone: &[Event] = if version == 0 {
            &[Event::Opened]
        } else {
            &[Event::Added(1)]
        };
        store
            .append(group_of(&[(id, version, alone)]))
            .await
            .unwrap();
        store
            .append(group_of(&[
                (other, version, alone),
                (id, version + 1, &[Event::Added(1); 2]),
            ]))
            .await
            .unwrap();
        let first = store
            .submit(group_of(&[(id, version + 3, &[Event::Added(1)])]))
            .await
            .unwrap();
        let between = store
            .submit(group_of(&[(other, version + 1, &[Event::Added(1); 4])]))
            .await
            .unwrap();
        let last = store
            .submit(group_of(&[(id, version + 4, &[Event::Added(1)])]))
            .await
            .unwrap();
        for answer in [first, between, last] {
            answer.await.unwrap();
        }
        version += 5;
        // Two shops' worth of other events in between.
        if round < 3 {
            for n in 0..15_000_u32 {
                client
                    .publish(format!("evt.filler.00.{n}"), "x".into())
                    .await
                    .unwrap();
            }
            client.flush().await.unwrap();
            let goal = Position(15_000 * (round + 1));
            let begun = Instant::now();
            while store.end().await.unwrap().position < goal {
                assert!(
                    begun.elapsed() < Duration::from_secs(60),
                    "the filler is stored"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    let executor = Executor::new(Arc::new(JetStreamStore::connect(client).await.unwrap()));
    let loaded = executor.load::<Ledger>(id, Freshness::Any).await.unwrap();
    assert_eq!((loaded.version, loaded.state.total), (Version(20), 19));
    let whole = executor
        .store()
        .load(&ledger_subject(id), Version::NONE, None, Freshness::Leader)
        .await
        .unwrap();
    let versions: Vec<u64> = whole.events.iter().map(|event| event.version.0).collect();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    let tail = executor
        .store()
        .load(
            &ledger_subject(id),
            Version(8),
            Some(whole.events[7].position),
            Freshness::Leader,
        )
        .await
        .unwrap();
    assert_eq!(tail.events, whole.events[8..]);
    let ways = || -> BTreeSet<String> {
        let told = walks.snapshot().into_vec();
        told.iter()
            .filter(|(.., count)| *count != DebugValue::Counter(0))
            .map(|(key, ..)| key.key())
            .filter(|key| key.name() == "waybill_history_reads_total")
            .flat_map(|key| key.labels().map(|label| label.value().to_owned()))
            .collect()
    };
    assert_eq!(ways(), BTreeSet::from(["walk".to_owned()]));

    // One as long that began where the log ends now: what lies before it is not its concern.
    let young = Uuid::now_v7();
    let events = [&[Event::Opened][..], &[Event::Added(1); 19][..]].concat();
    store
        .append(group_of(&[(young, 0, &events)]))
        .await
        .unwrap();
    let loaded = executor
        .load::<Ledger>(young, Freshness::Any)
        .await
        .unwrap();
    assert_eq!((loaded.version, loaded.state.total), (Version(20), 19));
    assert_eq!(ways(), BTreeSet::from(["batch".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_over_many_aggregates_is_one_group_and_one_batch() {
    let broker = Broker::start().await;
    let executor = Executor::new(broker.open().await);
    let ids: Vec<Uuid> = (0..50).map(|_| Uuid::now_v7()).collect();
    let opened = executor
        .execute(metadata(), None, |work| {
            work.states::<Ledger>(&ids)?;
            for id in &ids {
                work.decide::<Ledger>(*id, Command::Open)?;
            }
            Ok::<_, Stop<Rejection>>(())
        })
        .await
        .unwrap();
    let events = executor
        .store()
        .read(Position(0), 100, Some("evt.>"))
        .await
        .unwrap();
    assert_eq!(events.len(), 50);
    assert_eq!(opened.position, events[49].position);
    assert!(
        events
            .iter()
            .all(|event| event.metadata == events[0].metadata)
    );
    assert_eq!(opened.versions.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_far_behind_gets_every_event_once_and_learns_when_he_has_caught_up() {
    let broker = Broker::start().await;
    let (store, client) = (broker.open().await, broker.client().await);
    let id = Uuid::now_v7();
    store
        .append(group_of(&[(id, 0, &[Event::Opened])]))
        .await
        .unwrap();
    // More records than events, and what comes last is no event.
    let mut expected = 1;
    for (round, records) in (1_u64..).zip([9_000, 4_000, 3_000]) {
        for n in 0..records {
            let subject = format!("done.filler-{round}-{n}");
            client.publish(subject, "x".into()).await.unwrap();
        }
        client.flush().await.unwrap();
        expected += records;
        let begun = Instant::now();
        while store.end().await.unwrap().position.0 < expected {
            assert!(begun.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        expected += 1;
        store
            .append(group_of(&[(id, round, &[Event::Added(1)])]))
            .await
            .unwrap();
    }
    for n in 0..2_000 {
        let subject = format!("done.last-{n}");
        client.publish(subject, "x".into()).await.unwrap();
    }
    client.flush().await.unwrap();

    let reader = broker.open().await;
    let mut subscription = reader.subscribe(Position(0), &["evt.>"]).await.unwrap();
    let events = next(&mut subscription, 4).await;
    let versions: Vec<u64> = events.iter().map(|event| event.version.0).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
    wait_until("it has caught up", || subscription.caught_up()).await;
    store
        .append(group_of(&[(id, 4, &[Event::Added(1)])]))
        .await
        .unwrap();
    assert_eq!(next(&mut subscription, 1).await[0].version, Version(5));
    wait_until("it has caught up again", || subscription.caught_up()).await;
}

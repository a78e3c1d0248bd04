//! A log moves house: read whole from one broker, stored on an empty one, at the same positions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod broker;

use std::sync::Arc;

use broker::Broker;
use event_schema::envelope::{self, header};
use event_schema::ids::CommandId;
use event_schema::{Actor, Metadata, NewEvent, Position, Subject, Timestamp, Version};
use event_store::conformance::ledger::{Command, Ledger, Rejection};
use event_store::conformance::{metadata, next, run, state};
use event_store::topology::{self, TopologyError};
use event_store::{
    Claim, EventStore, ExecuteError, Executor, Export, Freshness, Import, ImportError,
    JetStreamStore, Once, Source, StoredMessage,
};
use uuid::Uuid;

/// Ledgers with several events, an additive command and a unique value; gives their ids and the command's.
async fn some_past(broker: &Broker) -> (Vec<Uuid>, CommandId) {
    let executor = Executor::new(Arc::new(broker.store().await));
    let ids: Vec<Uuid> = (0..30).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        run(&executor, *id, Command::Open).await.unwrap();
    }
    for (id, amount) in ids.iter().zip(1..) {
        run(&executor, *id, Command::Add(amount)).await.unwrap();
    }
    let command = CommandId(Uuid::now_v7());
    add_once(&executor, ids[0], command).await;
    executor
        .execute(metadata(), None, |work| {
            work.claim("email", "ab12", ids[0])?;
            Ok::<_, event_store::Stop<Rejection>>(work.decide::<Ledger>(ids[1], Command::Close)?)
        })
        .await
        .unwrap();
    (ids, command)
}

async fn add_once(executor: &Executor, id: Uuid, command: CommandId) -> Once {
    let metadata = Metadata {
        command_hash: Some("cafe".into()),
        ..Metadata::new(command, Actor::system(), Timestamp::now())
    };
    let executed = executor
        .execute(metadata, None, |work| {
            let once = work.once(command)?;
            if once == Once::First {
                work.decide::<Ledger>(id, Command::Add(100))?;
            }
            Ok::<_, event_store::Stop<Rejection>>(once)
        })
        .await;
    executed.unwrap().value
}

async fn exported(broker: &Broker) -> Vec<StoredMessage> {
    let mut export = Export::begin(broker.client().await, None).await.unwrap();
    let mut all = Vec::new();
    loop {
        let page = export.next_page().await.unwrap();
        if page.is_empty() {
            assert_eq!(all.len() as u64, export.end().0);
            return all;
        }
        all.extend(page);
    }
}

fn source(messages: &[StoredMessage]) -> Source {
    Source {
        fingerprint: "f1".into(),
        messages: messages.len() as u64,
    }
}

async fn empty() -> Broker {
    Broker::bare(dev_servers::NatsOptions::with_default_sync).await
}

async fn begin(broker: &Broker, messages: &[StoredMessage]) -> Result<Import, ImportError> {
    Import::begin(broker.client().await, 1, source(messages)).await
}

/// A message as our own store would have written it.
fn message(position: u64, id: Uuid, version: u64) -> StoredMessage {
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        event_type: "ledger.opened",
        schema_version: 1,
        payload: vec![0xc0].into(),
        saga: None,
    };
    let mut headers = envelope::to_headers(&event, Version(version), &metadata());
    headers.sort();
    StoredMessage {
        position: Position(position),
        recorded_at: Timestamp::UNIX_EPOCH,
        subject: Subject::history("ledger", id).to_string(),
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        payload: event.payload,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_on_a_new_broker_is_the_same_log() {
    let (old, new) = (Broker::start().await, empty().await);
    let (ids, command) = some_past(&old).await;
    let messages = exported(&old).await;
    let mut import = begin(&new, &messages).await.unwrap();
    import.append(&messages).await.unwrap();
    let end = import.finish().await.unwrap();
    assert_eq!(end.0, messages.len() as u64);

    assert_eq!(
        exported(&new).await,
        messages,
        "message by message, with headers and the times of the first broker"
    );
    let (before, after) = (old.store().await, new.store().await);
    let read = async |store: &JetStreamStore| store.read(Position(0), 1_000, None).await.unwrap();
    let (before, after) = (read(&before).await, read(&after).await);
    assert_eq!(before.len(), after.len());
    for (before, after) in before.into_iter().zip(after) {
        assert_eq!(after, before, "to the time it was first stored");
    }
    // Whichever way it is read.
    let mut followed = new.store().await.subscribe(Position(0), &["evt.>"]).await;
    let followed = next(followed.as_mut().unwrap(), 1).await.remove(0);
    assert_eq!(followed.recorded_at, messages[0].recorded_at);
    let first = Subject::history("ledger", ids[0]);
    let (old_house, new_house) = (old.store().await, new.store().await);
    let loaded = async |store: &JetStreamStore| {
        let history = store.load(&first, Version::NONE, None, Freshness::Leader);
        history.await.unwrap().events
    };
    assert_eq!(loaded(&new_house).await, loaded(&old_house).await);

    // The new house is lived in: states are the same, what has happened has happened, what is taken is taken.
    let (old, new) = (
        Executor::new(Arc::new(old.store().await)),
        Executor::new(Arc::new(new.store().await)),
    );
    for id in &ids {
        assert_eq!(state(&new, *id).await, state(&old, *id).await);
    }
    assert!(matches!(
        add_once(&new, ids[0], command).await,
        Once::Repeat { command_hash: Some(hash), .. } if hash == "cafe"
    ));
    let claimed = new
        .execute(metadata(), None, |work| {
            Ok::<_, event_store::Stop<Rejection>>(work.claim("email", "ab12", ids[3])?)
        })
        .await
        .unwrap();
    assert_eq!(claimed.value, Claim::Taken { owner: ids[0] });
    let refused = run(&new, ids[1], Command::Add(1)).await.unwrap_err();
    assert!(matches!(refused, ExecuteError::Rejected(Rejection::Closed)));
    run(&new, ids[2], Command::Add(5)).await.unwrap();
    assert_eq!(state(&new, ids[2]).await.total, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_imported_log_lets_nobody_in_and_is_finished_by_the_same_file() {
    let (old, new) = (Broker::start().await, empty().await);
    some_past(&old).await;
    let messages = exported(&old).await;
    let mut import = begin(&new, &messages).await.unwrap();
    import.append(&messages[..17]).await.unwrap();
    drop(import);

    let client = new.client().await;
    let refused = JetStreamStore::connect(client.clone()).await.unwrap_err();
    assert_eq!(refused, TopologyError::HalfImported);
    assert!(
        refused.to_string().contains("waybill events import"),
        "{refused}"
    );
    assert_eq!(
        topology::migrate(&client, 1).await,
        Err(TopologyError::HalfImported)
    );

    let other = Source {
        fingerprint: "f2".into(),
        messages: 90,
    };
    let refused = Import::begin(client.clone(), 1, other).await.unwrap_err();
    assert!(
        matches!(&refused, ImportError::AnotherFile { stored: 17, .. }),
        "{refused}"
    );
    // A file with another event where the stored part ends is another file, whatever it says of itself.
    let mut changed = messages.clone();
    let id = changed[16]
        .headers
        .iter_mut()
        .find(|(name, _)| name == header::EVENT_ID);
    id.unwrap().1 = Uuid::now_v7().to_string();
    let mut import = begin(&new, &messages).await.unwrap();
    let refused = import.append(&changed).await.unwrap_err();
    assert!(
        matches!(
            refused,
            ImportError::Differs {
                position: Position(17)
            }
        ),
        "{refused}"
    );
    // Nor is it finished before it is whole.
    let import = begin(&new, &messages).await.unwrap();
    assert_eq!(import.end(), Position(17));
    let refused = import.finish().await.unwrap_err();
    assert!(
        matches!(refused, ImportError::Incomplete { .. }),
        "{refused}"
    );

    let mut import = begin(&new, &messages).await.unwrap();
    import.append(&messages).await.unwrap();
    import.finish().await.unwrap();
    assert_eq!(exported(&new).await, messages);
    JetStreamStore::connect(client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_outlives_a_broker_that_is_killed_under_it() {
    let new = empty().await;
    let messages: Vec<StoredMessage> = (1..=6_000)
        .map(|position| message(position, Uuid::now_v7(), 1))
        .collect();
    let mut import = begin(&new, &messages).await.unwrap();
    let killed = tokio::spawn({
        let (server, client) = (Arc::clone(&new.server), new.client().await);
        async move {
            let context = async_nats::jetstream::new(client);
            let stored = async || {
                let mut stream = context.get_stream(topology::EVENTS).await.ok()?;
                Some(stream.info().await.ok()?.state.messages)
            };
            // Again and again: whatever the import is just asking or telling must outlive it.
            for part in 1..=5 {
                while stored().await.is_none_or(|stored| stored < part * 1_000) {
                    tokio::task::yield_now().await;
                }
                let server = Arc::clone(&server);
                tokio::task::spawn_blocking(move || {
                    server.kill9();
                    server.restart().unwrap();
                })
                .await
                .unwrap();
            }
        }
    });
    import.append(&messages).await.unwrap();
    killed.await.unwrap();
    import.finish().await.unwrap();
    assert!(
        exported(&new).await == messages,
        "all of them, once, in order"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_history_far_apart_in_the_log_is_walked_back_like_any_other() {
    let new = empty().await;
    let (rare, other) = (Uuid::now_v7(), Uuid::now_v7());
    let messages: Vec<StoredMessage> = (1..=25_000)
        .map(|position| match position {
            1 => message(position, rare, 1),
            25_000 => message(position, rare, 2),
            _ => message(position, other, position - 1),
        })
        .collect();
    let mut import = begin(&new, &messages).await.unwrap();
    for page in messages.chunks(1_000) {
        import.append(page).await.unwrap();
    }
    import.finish().await.unwrap();
    let subject = Subject::history("ledger", rare);
    let history = new
        .store()
        .await
        .load(&subject, Version::NONE, None, Freshness::Leader)
        .await
        .unwrap();
    let places: Vec<u64> = history.events.iter().map(|e| e.position.0).collect();
    assert_eq!(places, [1, 25_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_with_a_past_and_a_broker_in_use_take_no_import() {
    let (old, new) = (Broker::start().await, Broker::start().await);
    some_past(&old).await;
    let messages = exported(&old).await;
    let refused = begin(&old, &messages).await.unwrap_err();
    assert!(
        matches!(refused, ImportError::NotEmpty { messages: found } if found == messages.len() as u64),
        "{refused}"
    );
    // Refused as it was found: it goes on working.
    old.store().await;

    let client = new.client().await;
    use async_nats::service::ServiceExt as _;
    let service = client
        .service_builder()
        .start("saga", "1.0.0")
        .await
        .unwrap();
    let refused = begin(&new, &messages).await.unwrap_err();
    assert!(
        matches!(&refused, ImportError::InUse { who } if who == "saga"),
        "{refused}"
    );
    service.stop().await.unwrap();
    begin(&new, &messages).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_write_in_between_ends_the_import() {
    let new = empty().await;
    let messages: Vec<StoredMessage> = (1..=4)
        .map(|position| message(position, Uuid::now_v7(), 1))
        .collect();
    let mut import = begin(&new, &messages).await.unwrap();
    import.append(&messages[..2]).await.unwrap();
    let client = new.client().await;
    client
        .request(
            Subject::history("ledger", Uuid::now_v7()).to_string(),
            "x".into(),
        )
        .await
        .unwrap();
    let refused = import.append(&messages).await.unwrap_err();
    assert!(
        matches!(
            refused,
            ImportError::Interfered {
                expected: Position(2),
                end: Position(3)
            }
        ),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_cannot_be_part_of_a_log_are_refused_before_they_are_sent() {
    let new = empty().await;
    let id = Uuid::now_v7();
    let good = message(1, id, 1);
    let with_header = |name: &str, value: &str| {
        let mut message = good.clone();
        message.headers.push((name.to_owned(), value.to_owned()));
        message
    };
    for (bad, reason) in [
        (with_header("nats-rollup", "all"), "the broker's own"),
        (with_header("A b", "x"), "cannot be written"),
        (with_header("Note", "two\r\nlines"), "cannot be written"),
        (message(2, id, 1), "position 1 is due"),
        (message(1, id, 2), "version 2"),
        (
            StoredMessage {
                subject: "orders.1".into(),
                ..good.clone()
            },
            "takes no subject",
        ),
    ] {
        let mut import = begin(&new, std::slice::from_ref(&bad)).await.unwrap();
        let refused = import.append(std::slice::from_ref(&bad)).await.unwrap_err();
        assert!(matches!(refused, ImportError::Unsound { .. }), "{refused}");
        assert!(refused.to_string().contains(reason), "{refused}");
        assert_eq!(import.end(), Position(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_no_event_keeps_its_place() {
    let (old, new) = (Broker::start().await, empty().await);
    some_past(&old).await;
    let client = old.client().await;
    client.request("evt.strange", "x".into()).await.unwrap();
    let executor = Executor::new(Arc::new(old.store().await));
    run(&executor, Uuid::now_v7(), Command::Open).await.unwrap();
    let messages = exported(&old).await;
    let mut import = begin(&new, &messages).await.unwrap();
    import.append(&messages).await.unwrap();
    import.finish().await.unwrap();
    assert_eq!(exported(&new).await, messages);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_log_can_be_read_alone() {
    let old = Broker::start().await;
    let (ids, _) = some_past(&old).await;
    let subject = Subject::history("ledger", ids[4]);
    let client = old.client().await;
    let mut export = Export::begin(client.clone(), Some(subject.as_str()))
        .await
        .unwrap();
    let page = export.next_page().await.unwrap();
    assert_eq!(page.len(), 2);
    assert!(export.next_page().await.unwrap().is_empty());
    let mut nothing = Export::begin(client, Some("evt.order.>")).await.unwrap();
    assert!(nothing.next_page().await.unwrap().is_empty());
}

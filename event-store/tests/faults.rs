//! What the broker's answers do not say: lost, late and broken-off appends on a real nats-server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod broker;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use uuid::Uuid;

use broker::Broker;
use event_schema::{Position, Version};
use event_store::conformance::ledger::{Command, Event, Ledger, Rejection};
use event_store::conformance::{
    Place, assert_nothing_answered_is_lost, is_away, ledger_events, ledger_subject, metadata, next,
    run, state,
};
use event_store::jetstream::{Answer, Message, Wire};
use event_store::{
    AppendError, EventStore, Executor, Freshness, Group, JetStreamStore, LoadError, Part, Stop,
    SubscribeError, topology,
};

/// What happens to the next batches instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is stored, and the answer is lost.
    AnswerLost,
    /// It is lost itself.
    Lost,
    /// It is under way when the answer is given up, and lands just before the next one is sent.
    Late,
}

struct Faulty {
    wire: Arc<dyn Wire>,
    faults: Mutex<Vec<Fault>>,
    late: Mutex<Vec<Vec<Message>>>,
    sent: Arc<AtomicUsize>,
}

impl Faulty {
    fn over(wire: Arc<dyn Wire>, faults: &[Fault], sent: &Arc<AtomicUsize>) -> Arc<dyn Wire> {
        let faults = Mutex::new(faults.iter().rev().copied().collect());
        Arc::new(Self {
            wire,
            faults,
            late: Mutex::default(),
            sent: Arc::clone(sent),
        })
    }
}

#[async_trait]
impl Wire for Faulty {
    async fn send(&self, messages: &[Message]) -> Answer {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for batch in late {
            assert!(
                matches!(self.wire.send(&batch).await, Answer::Stored(_)),
                "the late batch lands"
            );
        }
        let fault = self.faults.lock().unwrap().pop();
        match fault {
            None => return self.wire.send(messages).await,
            Some(Fault::AnswerLost) => {
                assert!(
                    matches!(self.wire.send(messages).await, Answer::Stored(_)),
                    "it is really stored"
                );
            }
            Some(Fault::Lost) => {}
            Some(Fault::Late) => self.late.lock().unwrap().push(messages.to_vec()),
        }
        Answer::Unclear("the test lost the answer".into())
    }
}

/// A process whose first batches meet these faults, and a count of how often it sent.
async fn faulty(broker: &Broker, faults: &[Fault]) -> (Arc<dyn EventStore>, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let store = broker
        .through(|wire| Faulty::over(wire, faults, &sent))
        .await;
    (store, sent)
}

fn event(event: &Event) -> event_schema::NewEvent {
    use event_schema::EventSet;
    event_schema::NewEvent {
        event_id: Uuid::now_v7(),
        event_type: event.event_type(),
        schema_version: event.schema_version(),
        payload: event.encode().unwrap().into(),
        saga: None,
    }
}

fn group(parts: &[(Uuid, u64, &[Event])]) -> Group {
    let part = |(id, expected, events): &(Uuid, u64, &[Event])| Part {
        subject: ledger_subject(*id),
        expected: Version(*expected),
        seen: None,
        events: events.iter().map(event).collect(),
    };
    Group {
        metadata: metadata(),
        parts: parts.iter().map(part).collect(),
        conditions: Vec::new(),
    }
}

const SHAPES: [&[Event]; 2] = [
    &[Event::Opened],
    &[Event::Opened, Event::Added(1), Event::Added(1)],
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_answer_is_lost_is_found_and_not_stored_twice() {
    let broker = Broker::start().await;
    // A lone event goes as a plain publish, several as a batch.
    for events in SHAPES {
        let (store, sent) = faulty(&broker, &[Fault::AnswerLost]).await;
        let id = Uuid::now_v7();
        let appended = store.append(group(&[(id, 0, events)])).await.unwrap();
        assert_eq!(ledger_events(&store, id).await, events.len() as u64);
        assert_eq!(
            store.head(&ledger_subject(id)).await.unwrap().unwrap().1,
            appended.last
        );
        assert_eq!(
            sent.load(Ordering::SeqCst),
            1,
            "what is found is not sent again"
        );
        store
            .append(group(&[(id, events.len() as u64, &[Event::Closed])]))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_was_lost_itself_is_sent_again() {
    let broker = Broker::start().await;
    for events in SHAPES {
        let (store, sent) = faulty(&broker, &[Fault::Lost, Fault::Lost]).await;
        let id = Uuid::now_v7();
        store.append(group(&[(id, 0, events)])).await.unwrap();
        assert_eq!(ledger_events(&store, id).await, events.len() as u64);
        assert_eq!(sent.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_lands_after_it_was_looked_for_is_recognised() {
    let broker = Broker::start().await;
    for events in SHAPES {
        // Looked for and not found, sent again, refused – because the first try has landed in between.
        let (store, sent) = faulty(&broker, &[Fault::Late]).await;
        let id = Uuid::now_v7();
        let appended = store.append(group(&[(id, 0, events)])).await.unwrap();
        assert_eq!(ledger_events(&store, id).await, events.len() as u64);
        assert_eq!(
            store.head(&ledger_subject(id)).await.unwrap().unwrap().1,
            appended.last
        );
        assert_eq!(sent.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_told_apart_from_somebody_elses_write() {
    let broker = Broker::start().await;
    // Stored, answer lost, and others have gone on from there: it happened.
    struct ThenOthers(Arc<dyn Wire>, Arc<dyn EventStore>, Uuid, bool, AtomicBool);
    #[async_trait]
    impl Wire for ThenOthers {
        async fn send(&self, messages: &[Message]) -> Answer {
            let Self(wire, other, id, stored, met) = self;
            if met.swap(true, Ordering::SeqCst) {
                return wire.send(messages).await;
            }
            if *stored {
                assert!(matches!(wire.send(messages).await, Answer::Stored(_)));
            }
            let theirs = group(&[(
                *id,
                if *stored { 2 } else { 1 },
                &[Event::Added(40), Event::Added(2)],
            )]);
            other.append(theirs).await.unwrap();
            Answer::Unclear("the test lost the answer".into())
        }
    }
    for stored in [true, false] {
        let (other, id) = (broker.open().await, Uuid::now_v7());
        other
            .append(group(&[(id, 0, &[Event::Opened])]))
            .await
            .unwrap();
        let store = {
            let other = Arc::clone(&other);
            broker
                .through(|wire| {
                    Arc::new(ThenOthers(wire, other, id, stored, AtomicBool::new(false)))
                })
                .await
        };
        let answer = store.append(group(&[(id, 1, &[Event::Added(1)])])).await;
        if stored {
            assert_eq!(answer.unwrap().positions[0].1, Version(2));
            assert_eq!(ledger_events(&store, id).await, 4);
        } else {
            // Never stored, and never can be: a conflict, not "unclear".
            let (subject, expected, actual) = (ledger_subject(id), Version(1), Version(3));
            assert_eq!(
                answer.unwrap_err(),
                AppendError::Conflict {
                    subject,
                    expected,
                    actual
                }
            );
            assert_eq!(ledger_events(&store, id).await, 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_happens_once_whatever_is_lost_on_the_way() {
    let broker = Broker::start().await;
    let faults = [
        Fault::AnswerLost,
        Fault::Late,
        Fault::Lost,
        Fault::AnswerLost,
        Fault::Late,
        Fault::Late,
    ];
    let (store, _) = faulty(&broker, &faults).await;
    let (executor, id) = (Executor::new(store), Uuid::now_v7());
    run(&executor, id, Command::Open).await.unwrap();
    let adding = (0..50).map(|_| {
        let executor = executor.clone();
        tokio::spawn(async move { run(&executor, id, Command::Add(1)).await })
    });
    for added in futures::future::join_all(adding).await {
        added.unwrap().unwrap();
    }
    assert_eq!(state(&executor, id).await.total, 50);
    assert_eq!(ledger_events(executor.store(), id).await, 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_server_loses_nothing_answered_and_keeps_no_group_in_part() {
    // Every write on the disk before it is answered.
    let broker = Broker::bare(|options| options).await;
    topology::migrate(&broker.client().await, 1).await.unwrap();
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut writers = Vec::new();
    for _ in 0..8 {
        let store = broker.open().await;
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        writers.push(tokio::spawn(async move {
            let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
            let mut version = 0;
            while !stop.load(Ordering::SeqCst) {
                let events: &[Event] = if version == 0 {
                    &[Event::Opened]
                } else {
                    &[Event::Added(1)]
                };
                match store
                    .append(group(&[(a, version, events), (b, version, events)]))
                    .await
                {
                    Ok(_) => {
                        version += 1;
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    // Told to be unclear, or never sent: what is there decides how to go on.
                    Err(AppendError::Unavailable(_)) => {
                        if let Ok(head) = store.head(&ledger_subject(a)).await {
                            version = version.max(head.map_or(0, |(version, _)| version.0));
                        }
                    }
                    Err(error) => panic!("a lone writer is told {error}"),
                }
            }
            (a, b, version)
        }));
    }
    for _ in 0..3 {
        let goal = answered.load(Ordering::SeqCst) + 60;
        wait_until("the writers make progress", || {
            answered.load(Ordering::SeqCst) >= goal
        })
        .await;
        broker.server.kill9();
        broker.bring_back().await;
    }
    let goal = answered.load(Ordering::SeqCst) + 20;
    wait_until("the writers go on after the last kill", || {
        answered.load(Ordering::SeqCst) >= goal
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    let mut all = Vec::new();
    for writer in writers {
        all.push(writer.await.unwrap());
    }
    assert_nothing_answered_is_lost(&broker.open().await, &all).await;
}

async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(90), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_commands_say_so_and_afterwards_they_work() {
    let broker = Broker::start().await;
    let (executor, id) = (Executor::new(broker.open().await), Uuid::now_v7());
    run(&executor, id, Command::Open).await.unwrap();
    broker.server.kill9();
    let begun = Instant::now();
    let warm = run(&executor, id, Command::Add(1)).await.unwrap_err();
    let cold = run(&executor, Uuid::now_v7(), Command::Open)
        .await
        .unwrap_err();
    assert!(is_away(&warm), "{warm}");
    assert!(is_away(&cold), "{cold}");
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "they say so in time"
    );
    broker.bring_back().await;
    let begun = Instant::now();
    while let Err(error) = run(&executor, id, Command::Add(1)).await {
        assert!(
            is_away(&error) && begun.elapsed() < Duration::from_secs(30),
            "{error}"
        );
    }
    // Whatever was unclear: the state is what the log says.
    let state = state(&executor, id).await;
    assert_eq!(
        ledger_events(executor.store(), id).await,
        1 + state.total.unsigned_abs()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_log_says_so_and_takes_events_again_when_there_is_room() {
    let broker = Broker::start().await;
    let (store, id) = (broker.open().await, Uuid::now_v7());
    let end = store
        .append(group(&[(id, 0, &[Event::Opened])]))
        .await
        .unwrap()
        .last;
    let context = async_nats::jetstream::new(broker.client().await);
    let mut config = context
        .get_stream(topology::EVENTS)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.max_messages = end.0 as i64;
    context.update_stream(&config).await.unwrap();
    for events in [&[Event::Added(1)][..], &[Event::Added(1), Event::Added(1)]] {
        let error = store.append(group(&[(id, 1, events)])).await.unwrap_err();
        assert!(matches!(error, AppendError::Full(_)), "{error}");
    }
    config.max_messages = -1;
    context.update_stream(&config).await.unwrap();
    store
        .append(group(&[(id, 1, &[Event::Added(1)])]))
        .await
        .unwrap();
    assert_eq!(ledger_events(&store, id).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_ends_when_the_log_was_made_anew() {
    let broker = Broker::start().await;
    let store = broker.open().await;
    store
        .append(group(&[(Uuid::now_v7(), 0, &[Event::Opened])]))
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
async fn a_process_that_outlives_its_log_goes_on_with_the_new_one() {
    let broker = Broker::start().await;
    let (executor, id) = (Executor::new(broker.open().await), Uuid::now_v7());
    run(&executor, id, Command::Open).await.unwrap();
    run(&executor, id, Command::Add(1)).await.unwrap();
    let client = broker.client().await;
    async_nats::jetstream::new(client.clone())
        .delete_stream(topology::EVENTS)
        .await
        .unwrap();
    topology::migrate(&client, 1).await.unwrap();
    // Its warm state and its memory of heads are of a log that is gone; the new log is right.
    let refused = run(&executor, id, Command::Add(1)).await.unwrap_err();
    assert_eq!(
        refused,
        event_store::ExecuteError::Rejected(Rejection::NotOpen)
    );
    run(&executor, id, Command::Open).await.unwrap();
    assert_eq!(ledger_events(executor.store(), id).await, 1);
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
        .append(group(&[(Uuid::now_v7(), 0, &[Event::Opened])]))
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
async fn a_history_scattered_over_a_long_log_is_walked_back_and_not_scanned() {
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
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
        store.append(group(&[(id, version, alone)])).await.unwrap();
        store
            .append(group(&[
                (other, version, alone),
                (id, version + 1, &[Event::Added(1); 2]),
            ]))
            .await
            .unwrap();
        let first = store
            .submit(group(&[(id, version + 3, &[Event::Added(1)])]))
            .await
            .unwrap();
        let between = store
            .submit(group(&[(other, version + 1, &[Event::Added(1); 4])]))
            .await
            .unwrap();
        let last = store
            .submit(group(&[(id, version + 4, &[Event::Added(1)])]))
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
    let walked = walks.snapshot().into_vec().into_iter().any(|(key, ..)| {
        let key = key.key();
        key.name() == "waybill_history_reads_total"
            && key.labels().any(|label| label.value() == "walk")
    });
    assert!(walked, "it was read by walking back");
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

//! What the broker's answers do not say: lost and late appends on a real nats-server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod broker;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use uuid::Uuid;

use broker::Broker;
use event_schema::Version;
use event_store::conformance::ledger::{Command, Event};
use event_store::conformance::{Place, group_of, ledger_events, ledger_subject, run, state};
use event_store::jetstream::{Answer, Message, Wire};
use event_store::{AppendError, EventStore, Executor};

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
        let appended = store.append(group_of(&[(id, 0, events)])).await.unwrap();
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
            .append(group_of(&[(id, events.len() as u64, &[Event::Closed])]))
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
        store.append(group_of(&[(id, 0, events)])).await.unwrap();
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
        let appended = store.append(group_of(&[(id, 0, events)])).await.unwrap();
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
            let theirs = group_of(&[(
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
            .append(group_of(&[(id, 0, &[Event::Opened])]))
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
        let answer = store.append(group_of(&[(id, 1, &[Event::Added(1)])])).await;
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

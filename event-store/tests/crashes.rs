//! Servers that are killed, away or full.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod broker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use broker::Broker;
use event_store::conformance::ledger::{Command, Event};
use event_store::conformance::{
    Place, assert_nothing_answered_is_lost, group_of, is_away, ledger_events, ledger_subject, run,
    state, wait_until,
};
use event_store::{AppendError, Executor, topology};

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
                    .append(group_of(&[(a, version, events), (b, version, events)]))
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
        .append(group_of(&[(id, 0, &[Event::Opened])]))
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
        let error = store
            .append(group_of(&[(id, 1, events)]))
            .await
            .unwrap_err();
        assert!(matches!(error, AppendError::Full(_)), "{error}");
    }
    config.max_messages = -1;
    context.update_stream(&config).await.unwrap();
    store
        .append(group_of(&[(id, 1, &[Event::Added(1)])]))
        .await
        .unwrap();
    assert_eq!(ledger_events(&store, id).await, 2);
}

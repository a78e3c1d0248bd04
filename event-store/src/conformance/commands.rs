//! Commands through the executor.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use uuid::Uuid;

use event_schema::codec;
use event_schema::ids::CommandId;
use event_schema::{Actor, Decider, Metadata, Position, Subject, Timestamp, Version};

use super::ledger::{Command, Event, Ledger, Rejection, State};
use super::{
    Place, adding, assert_whole, group, history, last_position, metadata, opening, part, run,
    state, subject,
};
use crate::{
    AppendError, Claim, EventStore, ExecuteError, Executor, Freshness, Once, Part, Release, Seen,
    Stop, StoredSnapshot,
};

async fn process(place: &dyn Place) -> Executor {
    Executor::new(place.open().await)
}

pub async fn commands_of_one_process_never_conflict(place: &dyn Place) {
    let (executor, id) = (process(place).await, Uuid::now_v7());
    run(&executor, id, Command::Open).await.unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let adding = (0..200).map(|_| {
        let (executor, runs) = (executor.clone(), Arc::clone(&runs));
        tokio::spawn(async move {
            let added = executor.execute(metadata(), None, |work| {
                runs.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Stop<Rejection>>(work.decide::<Ledger>(id, Command::Add(1))?)
            });
            added.await
        })
    });
    for added in futures::future::join_all(adding).await {
        added.unwrap().unwrap();
    }
    // Once to learn what has to be loaded, once to decide: nothing was ever decided twice.
    assert_eq!(runs.load(Ordering::SeqCst), 2 * 200);
    assert_eq!(state(&executor, id).await.total, 200);
    assert_whole(&history(executor.store(), id).await, 201);
}

pub async fn a_state_that_leaves_the_cache_is_put_aside(place: &dyn Place) {
    let (store, long, short) = (place.open().await, Uuid::now_v7(), Uuid::now_v7());
    let executor = Executor::with_cache(Arc::clone(&store), NonZeroUsize::MIN);
    for id in [short, long] {
        run(&executor, id, Command::Open).await.unwrap();
    }
    for _ in 0..20 {
        run(&executor, long, Command::Add(1)).await.unwrap();
    }
    // The next one in turns it out; the short one was read back faster than a snapshot of it.
    run(&executor, Uuid::now_v7(), Command::Open).await.unwrap();
    let key = |id| format!("ledger.{}.{id}", Ledger::SHAPE);
    let stored = snapshot_of(&store, &key(long)).await;
    assert_eq!(stored.version, Version(21));
    assert_eq!(store.snapshot(&key(short)).await.unwrap(), None);
    run(&executor, long, Command::Add(1)).await.unwrap();
    assert_eq!(state(&executor, long).await.total, 21);
}

/// Waits for a snapshot, which is written in the background.
async fn snapshot_of(store: &Arc<dyn EventStore>, key: &str) -> StoredSnapshot {
    let begun = tokio::time::Instant::now();
    loop {
        if let Some(bytes) = store.snapshot(key).await.unwrap() {
            return event_schema::codec::decode(&bytes).unwrap();
        }
        assert!(begun.elapsed() < super::WAIT_MAX, "a snapshot is put aside");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn commands_of_two_processes_lose_nothing(place: &dyn Place) {
    let processes = [process(place).await, process(place).await];
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        run(&processes[0], *id, Command::Open).await.unwrap();
    }
    let adding = (0..80).map(|n| {
        let (executor, a, b) = (processes[n % 2].clone(), ids[n % 4], ids[(n + 1) % 4]);
        tokio::spawn(async move {
            loop {
                let both = executor
                    .execute(metadata(), None, |work| {
                        work.decide::<Ledger>(a, Command::Add(1))?;
                        work.decide::<Ledger>(b, Command::Add(1))?;
                        Ok::<_, Stop<Rejection>>(())
                    })
                    .await;
                match both {
                    // Whoever loses again and again is told so, and tries again.
                    Err(ExecuteError::Conflict) => {}
                    other => break other,
                }
            }
        })
    });
    for added in futures::future::join_all(adding).await {
        added.unwrap().unwrap();
    }
    let mut total = 0;
    for id in &ids {
        assert_eq!(
            state(&processes[0], *id).await,
            state(&processes[1], *id).await
        );
        total += state(&processes[0], *id).await.total;
    }
    assert_eq!(total, 160);
}

/// What a command records follows from what was recorded before it. Each process decides on what it has under way
/// itself; when the other one was faster, none of that may shine through in what is stored.
pub async fn what_two_processes_store_follows_from_what_is_before_it(place: &dyn Place) {
    const COMMANDS: usize = 40;
    const EACH: usize = 5;
    /// Above what follows from the total, so that no two processes record the same.
    const MARK: i64 = 1000;
    let follows = |total: i64| total % 97 + 1;
    let id = Uuid::now_v7();
    let processes = [process(place).await, process(place).await];
    processes[0].store().append(opening(id)).await.unwrap();
    let mut commands = tokio::task::JoinSet::new();
    for (mark, executor) in (1..).zip(&processes) {
        for _ in 0..COMMANDS {
            let executor = executor.clone();
            commands.spawn(async move {
                let mut left = EACH;
                while left > 0 {
                    let done = executor
                        .execute::<_, Rejection>(metadata(), None, |work| {
                            let total = work.state::<Ledger>(id)?.total;
                            let added = Event::Added(follows(total) + MARK * mark);
                            Ok(work.record::<Ledger>(id, vec![added])?)
                        })
                        .await;
                    // Whoever loses again and again is told so, and tries again.
                    if done.as_ref().err() != Some(&ExecuteError::Conflict) {
                        done.unwrap();
                        left -= 1;
                    }
                }
            });
        }
    }
    while let Some(command) = commands.join_next().await {
        command.unwrap();
    }
    let history = history(processes[0].store(), id).await;
    assert_eq!(history.len(), 1 + 2 * COMMANDS * EACH);
    let mut total = 0;
    for event in &history[1..] {
        let amount: i64 = codec::decode(&event.payload).unwrap();
        assert_eq!(amount % MARK, follows(total), "version {}", event.version);
        total += amount;
    }
}

pub async fn a_rejection_is_never_decided_on_stale_states(place: &dyn Place) {
    let (here, elsewhere, id) = (process(place).await, process(place).await, Uuid::now_v7());
    // Absent here, opened elsewhere meanwhile: neither "not open" nor "does not exist" may be answered.
    assert_eq!(
        run(&here, id, Command::Add(1)).await,
        Err(ExecuteError::Rejected(Rejection::NotOpen))
    );
    run(&elsewhere, id, Command::Open).await.unwrap();
    run(&here, id, Command::Add(1)).await.unwrap();
    // Open here, closed elsewhere: a no-op here is no no-op, and the other way round.
    let closed = run(&elsewhere, id, Command::Close).await.unwrap();
    let repeated = run(&here, id, Command::Close).await.unwrap();
    assert!(!repeated.appended);
    assert_eq!(
        (repeated.position, repeated.versions),
        (closed.position, vec![(subject(id), Version(3))])
    );
    assert_eq!(
        run(&here, id, Command::Add(1)).await,
        Err(ExecuteError::Rejected(Rejection::Closed))
    );
    assert_eq!(history(here.store(), id).await.len(), 3);

    // A state that was only read, and a rejection that rests on it.
    let (gate, goods) = (Uuid::now_v7(), Uuid::now_v7());
    let enter = |executor: Executor| async move {
        executor
            .execute(metadata(), None, |work| {
                if !work.state::<Ledger>(gate)?.open {
                    return Err(Stop::rejected(Rejection::NotOpen));
                }
                Ok(work.decide::<Ledger>(goods, Command::Open)?)
            })
            .await
    };
    assert_eq!(
        enter(here.clone()).await,
        Err(ExecuteError::Rejected(Rejection::NotOpen))
    );
    run(&elsewhere, gate, Command::Open).await.unwrap();
    enter(here.clone()).await.unwrap();
}

fn additive(command: CommandId, hash: &str) -> Metadata {
    Metadata {
        command_hash: Some(hash.into()),
        ..Metadata::new(
            command,
            Actor::from(format!("admin:{}", Uuid::now_v7())),
            Timestamp::now(),
        )
    }
}

async fn receive(
    executor: &Executor,
    id: Uuid,
    metadata: Metadata,
) -> Result<crate::Executed<Once>, ExecuteError<Rejection>> {
    let command = metadata.command_id;
    executor
        .execute(metadata, None, |work| {
            let once = work.once(command)?;
            if once == Once::First {
                work.decide::<Ledger>(id, Command::Add(5))?;
                work.decide::<Ledger>(id, Command::Add(5))?;
            }
            Ok(once)
        })
        .await
}

pub async fn an_additive_command_happens_once_whatever_is_repeated_whenever(place: &dyn Place) {
    let (id, command) = (Uuid::now_v7(), CommandId(Uuid::now_v7()));
    let executor = process(place).await;
    run(&executor, id, Command::Open).await.unwrap();
    let first = receive(&executor, id, additive(command, "aa"))
        .await
        .unwrap();
    assert_eq!((first.appended, first.value), (true, Once::First));

    // At once, by another process, after a restart, and with other events in between: the same answer.
    for _ in 0..3 {
        for executor in [executor.clone(), process(place).await] {
            let again = receive(&executor, id, additive(command, "bb"))
                .await
                .unwrap();
            let repeat = Once::Repeat {
                position: first.position,
                command_hash: Some("aa".into()),
            };
            assert_eq!(
                (again.appended, again.value, again.position),
                (false, repeat, first.position)
            );
        }
        place.restart().await;
        run(&process(place).await, id, Command::Add(100))
            .await
            .unwrap();
    }
    // Many at once, too.
    let command = CommandId(Uuid::now_v7());
    let (one, two) = (process(place).await, process(place).await);
    let racing = (0..16).map(|n| {
        let executor = if n % 2 == 0 { one.clone() } else { two.clone() };
        tokio::spawn(async move { receive(&executor, id, additive(command, "cc")).await })
    });
    let raced = futures::future::join_all(racing).await;
    let happened: Vec<_> = raced
        .into_iter()
        .map(|answer| answer.unwrap().unwrap())
        .collect();
    assert_eq!(happened.iter().filter(|answer| answer.appended).count(), 1);
    assert!(
        happened
            .iter()
            .all(|answer| answer.position == happened[0].position)
    );
    assert_eq!(state(&one, id).await.total, 10 + 300 + 10);
}

pub async fn an_additive_command_without_events_is_remembered_too(place: &dyn Place) {
    let (executor, id, command) = (
        process(place).await,
        Uuid::now_v7(),
        CommandId(Uuid::now_v7()),
    );
    let close = |executor: Executor| async move {
        executor
            .execute(additive(command, "aa"), None, |work| {
                let once = work.once(command)?;
                if once == Once::First && work.state::<Ledger>(id)?.open {
                    work.decide::<Ledger>(id, Command::Close)?;
                }
                Ok::<_, Stop<Rejection>>(once)
            })
            .await
            .unwrap()
    };
    // It has happened, with nothing to do; the repeat must not do what there is to do by now.
    let first = close(executor.clone()).await;
    run(&executor, id, Command::Open).await.unwrap();
    let again = close(process(place).await).await;
    let repeat = Once::Repeat {
        position: first.position,
        command_hash: Some("aa".into()),
    };
    assert_eq!(
        (again.value, again.position, again.appended),
        (repeat, first.position, false)
    );
    assert!(!state(&executor, id).await.closed);
}

pub async fn a_create_happens_once_whatever_is_repeated_whenever(place: &dyn Place) {
    let command = CommandId(Uuid::now_v7());
    let id = command.uuid();
    let create = |executor: Executor| async move {
        executor
            .execute(additive(command, "aa"), None, |work| {
                if let Some((by, hash, position)) = work.created_by::<Ledger>(id)? {
                    return Ok::<_, Stop<Rejection>>(Some((by, hash, position)));
                }
                work.decide::<Ledger>(id, Command::Open)?;
                Ok(None)
            })
            .await
            .unwrap()
    };
    let executor = process(place).await;
    let racing = (0..8).map(|_| tokio::spawn(create(executor.clone())));
    let raced: Vec<_> = futures::future::join_all(racing)
        .await
        .into_iter()
        .map(|answer| answer.unwrap())
        .collect();
    assert_eq!(raced.iter().filter(|answer| answer.appended).count(), 1);
    let position = raced[0].position;
    assert!(
        raced.iter().all(|answer| answer.position == position),
        "{raced:?}"
    );
    run(&executor, id, Command::Add(1)).await.unwrap();
    place.restart().await;
    for executor in [executor, process(place).await] {
        let again = create(executor).await;
        assert_eq!(
            (again.appended, again.value),
            (false, Some((command, Some("aa".into()), position)))
        );
    }
}

pub async fn a_unique_value_has_one_winner_of_32(place: &dyn Place) {
    let key = Uuid::now_v7().simple().to_string();
    let mut racing = Vec::new();
    for _ in 0..32 {
        let (executor, key, id) = (process(place).await, key.clone(), Uuid::now_v7());
        racing.push(tokio::spawn(async move {
            let claim = executor
                .execute(metadata(), None, |work| {
                    let claim = work.claim("email", &key, id)?;
                    if let Claim::Taken { owner } = claim {
                        return Err(Stop::Rejected(owner));
                    }
                    work.record::<Ledger>(id, vec![Event::Opened])?;
                    Ok(claim)
                })
                .await;
            (id, claim, executor)
        }));
    }
    let raced: Vec<_> = futures::future::join_all(racing)
        .await
        .into_iter()
        .map(|one| one.unwrap())
        .collect();
    let winners: Vec<Uuid> = raced
        .iter()
        .filter(|(_, claim, _)| claim.is_ok())
        .map(|(id, ..)| *id)
        .collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    for (id, claim, executor) in &raced {
        let open = state(executor, *id).await.open;
        match claim {
            Ok(claimed) => assert_eq!((claimed.value, open), (Claim::Claimed, true)),
            Err(error) => assert_eq!((error, open), (&ExecuteError::Rejected(winners[0]), false)),
        }
    }
}

pub async fn a_released_value_can_be_claimed_again(place: &dyn Place) {
    let (here, elsewhere) = (process(place).await, process(place).await);
    let [old, new] = [(); 2].map(|()| Uuid::now_v7().simple().to_string());
    let [ann, bob] = [(); 2].map(|()| Uuid::now_v7());
    let claim = |executor: Executor, key: String, owner: Uuid| async move {
        let claim = executor
            .execute(metadata(), None, |work| {
                Ok::<_, Stop<Rejection>>(work.claim("email", &key, owner)?)
            })
            .await;
        claim.unwrap().value
    };
    assert_eq!(claim(here.clone(), old.clone(), ann).await, Claim::Claimed);
    assert_eq!(
        claim(elsewhere.clone(), old.clone(), bob).await,
        Claim::Taken { owner: ann }
    );
    // A change is one group: the old one free, the new one held.
    let changed = here
        .execute(metadata(), None, |work| {
            let released = work.release("email", &old, ann)?;
            Ok::<_, Stop<Rejection>>((released, work.claim("email", &new, ann)?))
        })
        .await;
    assert_eq!(changed.unwrap().value, (Release::Released, Claim::Claimed));
    assert_eq!(
        claim(elsewhere.clone(), new.clone(), bob).await,
        Claim::Taken { owner: ann }
    );
    assert_eq!(
        claim(elsewhere.clone(), old.clone(), bob).await,
        Claim::Claimed
    );
    assert_eq!(claim(here.clone(), old, bob).await, Claim::Held);
    assert_eq!(claim(here, new, ann).await, Claim::Held);
}

pub async fn an_event_of_a_newer_build_stops_every_decision(place: &dyn Place) {
    let (executor, id) = (process(place).await, Uuid::now_v7());
    run(&executor, id, Command::Open).await.unwrap();
    let newer = Part {
        subject: subject(id),
        expected: Version(1),
        seen: Seen::Version,
        events: vec![super::append::from_the_future()],
    };
    place.open().await.append(group(vec![newer])).await.unwrap();
    let told = ExecuteError::Newer {
        event_type: "ledger.levitated v1".into(),
    };
    for executor in [executor, process(place).await] {
        // What would be an event, a no-op and a rejection: none of them is decided.
        for command in [Command::Add(1), Command::Open, Command::Close] {
            assert_eq!(run(&executor, id, command).await, Err(told.clone()));
        }
    }
    assert_eq!(
        place
            .open()
            .await
            .head(&subject(id))
            .await
            .unwrap()
            .unwrap()
            .0,
        Version(2)
    );
}

pub async fn a_read_state_is_a_condition_of_the_group(place: &dyn Place) {
    let (here, elsewhere) = (process(place).await, process(place).await);
    let (gate, goods) = (Uuid::now_v7(), Uuid::now_v7());
    run(&here, gate, Command::Open).await.unwrap();
    assert!(state(&here, gate).await.open);
    run(&elsewhere, gate, Command::Close).await.unwrap();
    // The warm state here says that the gate is open; the command must see that it is not.
    let entered = here
        .execute(metadata(), None, |work| {
            if work.state::<Ledger>(gate)?.closed {
                return Err(Stop::rejected(Rejection::Closed));
            }
            Ok(work.decide::<Ledger>(goods, Command::Open)?)
        })
        .await;
    assert_eq!(entered, Err(ExecuteError::Rejected(Rejection::Closed)));
    assert!(history(here.store(), goods).await.is_empty());
}

pub async fn a_reaction_sees_at_least_its_event(place: &dyn Place) {
    let (here, elsewhere, id) = (process(place).await, process(place).await, Uuid::now_v7());
    run(&here, id, Command::Open).await.unwrap();
    let caused = run(&elsewhere, id, Command::Add(7)).await.unwrap();
    let mut seen = Vec::new();
    here.execute(metadata(), Some(caused.position), |work| {
        seen.push(work.state::<Ledger>(id)?.total);
        Ok::<_, Stop<Rejection>>(work.decide::<Ledger>(id, Command::Add(1))?)
    })
    .await
    .unwrap();
    assert_eq!(seen, [7], "the first look sees the event already");
}

pub async fn a_snapshot_is_used_and_a_wrong_one_only_costs_time(place: &dyn Place) {
    let (store, id) = (place.open().await, Uuid::now_v7());
    store.append(opening(id)).await.unwrap();
    store
        .append(group(vec![part(id, 1, &vec![Event::Added(1); 255])]))
        .await
        .unwrap();
    let key = format!("ledger.{}.{id}", Ledger::SHAPE);
    assert_eq!(
        state(&Executor::new(Arc::clone(&store)), id).await.total,
        255
    );
    let snapshot = snapshot_of(&store, &key).await;
    assert_eq!(
        (snapshot.version, snapshot.log.clone()),
        (Version(256), store.identity().await.unwrap().to_string())
    );
    store.append(adding(id, 256)).await.unwrap();

    let put = |snapshot: StoredSnapshot| {
        let (store, key) = (Arc::clone(&store), key.clone());
        async move {
            store
                .put_snapshot(&key, event_schema::codec::encode(&snapshot).unwrap().into())
                .await;
            state(&Executor::new(store), id).await.total
        }
    };
    let forged = |total: i64| {
        event_schema::codec::encode(&State {
            open: true,
            closed: false,
            total,
        })
        .unwrap()
    };
    // A state that the events do not give shows that it is the snapshot that is read, and the tail after it.
    let marked = StoredSnapshot {
        state: forged(1_000),
        ..snapshot.clone()
    };
    assert_eq!(put(marked.clone()).await, 1_001);
    // A stale one is only longer to read on from.
    let events = history(&store, id).await;
    let stale = StoredSnapshot {
        version: Version(2),
        position: events[1].position,
        event_id: Some(events[1].event_id),
        state: forged(1),
        ..snapshot.clone()
    };
    assert_eq!(put(stale).await, 256);
    // Of another log, from beyond the end, at another place, of another event, of another shape, or no snapshot at all: not used.
    let end = last_position(&events);
    for wrong in [
        StoredSnapshot {
            log: "EVENTS@another".into(),
            ..marked.clone()
        },
        StoredSnapshot {
            version: Version(900),
            position: Position(end.0 + 900),
            ..marked.clone()
        },
        StoredSnapshot {
            version: Version(257),
            position: Position(end.0 + 1),
            ..marked.clone()
        },
        StoredSnapshot {
            event_id: Some(Uuid::now_v7()),
            ..marked.clone()
        },
        StoredSnapshot {
            event_id: None,
            ..marked.clone()
        },
        StoredSnapshot {
            state: vec![0xc1, 0xff],
            ..marked.clone()
        },
    ] {
        assert_eq!(put(wrong.clone()).await, 256, "{wrong:?}");
    }
    store
        .put_snapshot(&key, bytes::Bytes::from_static(b"\xff\xffno snapshot"))
        .await;
    let executor = Executor::new(Arc::clone(&store));
    assert_eq!(state(&executor, id).await.total, 256);
    // A command on a wrong one is put right, too: its expectation, or the check before a no, finds it out.
    let beyond = StoredSnapshot {
        version: Version(900),
        position: Position(end.0 + 900),
        ..marked
    };
    store
        .put_snapshot(&key, event_schema::codec::encode(&beyond).unwrap().into())
        .await;
    run(&Executor::new(Arc::clone(&store)), id, Command::Add(1))
        .await
        .unwrap();
    assert_eq!(state(&executor, id).await.total, 257);
}

pub async fn a_command_whose_caller_has_gone_is_still_settled(place: &dyn Place) {
    let (executor, id) = (process(place).await, Uuid::now_v7());
    run(&executor, id, Command::Open).await.unwrap();
    for _ in 0..20 {
        // The caller leaves at whatever point the command has reached.
        let gone = tokio::spawn({
            let executor = executor.clone();
            async move { run(&executor, id, Command::Add(1)).await }
        });
        tokio::task::yield_now().await;
        gone.abort();
        drop(gone.await);
    }
    run(&executor, id, Command::Close).await.unwrap();
    assert_eq!(
        run(&executor, id, Command::Add(1)).await,
        Err(ExecuteError::Rejected(Rejection::Closed))
    );
    let events = history(executor.store(), id).await;
    assert_whole(&events, events.len() as u64);
    assert_eq!(state(&executor, id).await, super::fold(&events));
}

/// Also used where the log is away for a while: what a command ends with then.
pub fn is_away(error: &ExecuteError<Rejection>) -> bool {
    matches!(
        error,
        ExecuteError::Append(AppendError::Unavailable(_))
            | ExecuteError::Load(crate::LoadError::Unavailable(_))
    )
}

/// The subject of a ledger, for tests that look at the log from outside.
pub fn ledger_subject(id: Uuid) -> Subject {
    subject(id)
}

/// A store's events of one ledger, from the leader.
pub async fn ledger_events(store: &Arc<dyn EventStore>, id: Uuid) -> u64 {
    store
        .load(&subject(id), Version::NONE, None, Freshness::Leader)
        .await
        .unwrap()
        .events
        .len() as u64
}

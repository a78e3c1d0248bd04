//! Appending groups.

use std::sync::Arc;

use uuid::Uuid;

use event_schema::{Position, Version};

use super::ledger::Event;
use super::{Place, adding, assert_whole, by, event, fold, group, history, opening, part, subject};
use crate::store::{GROUP_MESSAGES_MAX, PAYLOAD_BYTES_MAX};
use crate::{AppendError, EventStore, Freshness, Seen};

pub async fn an_event_is_appended_to_nothing(place: &dyn Place) {
    let (store, id) = (place.open().await, Uuid::now_v7());
    let appended = store.append(opening(id)).await.unwrap();
    assert_eq!(
        appended.positions,
        [(subject(id), Version(1), appended.last)]
    );
    assert_eq!(
        store.head(&subject(id)).await.unwrap(),
        Some((Version(1), appended.last))
    );
}

pub async fn events_are_read_back_as_they_were_appended(place: &dyn Place) {
    let (store, id) = (place.open().await, Uuid::now_v7());
    let mut opening = opening(id);
    opening.metadata.command_hash = Some("c0ffee".into());
    opening.metadata.causation_id = Some(Uuid::now_v7());
    opening.metadata.traceparent =
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    store.append(opening.clone()).await.unwrap();
    let more = group(vec![part(
        id,
        1,
        &[Event::Added(2), Event::Added(3), Event::Closed],
    )]);
    store.append(more.clone()).await.unwrap();

    let events = history(&place.open().await, id).await;
    assert_whole(&events, 4);
    assert_eq!(events[0].metadata, opening.metadata);
    assert_eq!(events[3].metadata, more.metadata);
    let appended = opening.parts[0].events.iter().chain(&more.parts[0].events);
    for (stored, appended) in events.iter().zip(appended) {
        assert_eq!(stored.event_id, appended.event_id);
        assert_eq!(stored.event_type, appended.event_type);
        assert_eq!(stored.payload, appended.payload);
    }
    assert_eq!(fold(&events).total, 5);
    assert_eq!(
        store.at(events[2].position).await.unwrap().as_ref(),
        Some(&events[2])
    );
}

pub async fn a_stale_belief_is_a_conflict_and_stores_nothing(place: &dyn Place) {
    let (store, id) = (place.open().await, Uuid::now_v7());
    store.append(opening(id)).await.unwrap();
    store.append(adding(id, 1)).await.unwrap();
    let conflict = |expected| AppendError::Conflict {
        subject: subject(id),
        expected: Version(expected),
        actual: Version(2),
    };
    // Behind, from nothing, and ahead of the log.
    for expected in [1, 0, 9] {
        assert_eq!(
            store.append(adding(id, expected)).await.unwrap_err(),
            conflict(expected)
        );
    }
    // Also by a process that knows nothing of what this one has done.
    let other = place.open().await;
    assert_eq!(other.append(adding(id, 1)).await.unwrap_err(), conflict(1));
    // And at the right version, seen where it is not: that is another log's history.
    let mut elsewhere = adding(id, 2);
    elsewhere.parts[0].seen = Seen::At(Position(1));
    assert_eq!(store.append(elsewhere).await.unwrap_err(), conflict(2));
    assert_eq!(history(&store, id).await.len(), 2);
    // A conflict is no reason to stop: the right version is taken at once.
    other.append(adding(id, 2)).await.unwrap();
}

pub async fn two_aggregates_are_stored_together_or_not_at_all(place: &dyn Place) {
    let (store, a, b) = (place.open().await, Uuid::now_v7(), Uuid::now_v7());
    let both = group(vec![
        part(a, 0, &[Event::Opened]),
        part(b, 0, &[Event::Opened, Event::Added(1)]),
    ]);
    let appended = store.append(both).await.unwrap();
    assert_eq!(
        appended.positions[1],
        (subject(b), Version(2), appended.last)
    );
    assert_eq!(appended.positions[0].2, Position(appended.last.0 - 2));

    place.open().await.append(adding(b, 2)).await.unwrap();
    let stale = group(vec![
        part(a, 1, &[Event::Added(1)]),
        part(b, 2, &[Event::Added(1)]),
    ]);
    let error = store.append(stale).await.unwrap_err();
    let (expected, actual) = (Version(2), Version(3));
    assert_eq!(
        error,
        AppendError::Conflict {
            subject: subject(b),
            expected,
            actual
        }
    );
    assert_eq!(
        (
            history(&store, a).await.len(),
            history(&store, b).await.len()
        ),
        (1, 3)
    );
}

/// Two processes on one history: what one decided on its own refused event must not be taken for decided on the
/// other's, although both histories are equally long.
pub async fn who_decided_on_a_refused_event_loses_even_where_another_took_its_place(
    place: &dyn Place,
) {
    let (store, id) = (place.open().await, Uuid::now_v7());
    store.append(opening(id)).await.unwrap();
    place.open().await.append(adding(id, 1)).await.unwrap();
    let theirs = history(&store, id).await.pop().unwrap();
    assert_eq!(theirs.version, Version(2));

    let refused = Seen::OnItsWay(Uuid::now_v7());
    let conflict = AppendError::Conflict {
        subject: subject(id),
        expected: Version(2),
        actual: Version(2),
    };
    let mut adding = group(vec![part(id, 2, &[Event::Added(5)])]);
    adding.parts[0].seen = refused;
    assert_eq!(store.append(adding).await, Err(conflict.clone()));
    let elsewhere = Uuid::now_v7();
    let mut reading = group(vec![part(elsewhere, 0, &[Event::Opened, Event::Added(1)])]);
    reading.conditions = vec![(subject(id), Version(2), refused)];
    assert_eq!(store.append(reading).await, Err(conflict));
    assert!(history(&store, elsewhere).await.is_empty());

    // The same is accepted when the event is the one that was decided on.
    let mut adding = group(vec![part(id, 2, &[Event::Added(5)])]);
    adding.parts[0].seen = Seen::OnItsWay(theirs.event_id);
    store.append(adding).await.unwrap();
}

pub async fn a_refused_group_takes_the_one_chained_on_it_along(place: &dyn Place) {
    let (store, a, b, c) = (
        place.open().await,
        Uuid::now_v7(),
        Uuid::now_v7(),
        Uuid::now_v7(),
    );
    for id in [a, b] {
        store.append(opening(id)).await.unwrap();
    }
    // Another process moves `a`, so that the first group is stale; the second was decided on what the first leaves.
    place.open().await.append(adding(a, 1)).await.unwrap();
    let first = store
        .submit(group(vec![
            part(a, 1, &[Event::Added(1)]),
            part(b, 1, &[Event::Added(1)]),
        ]))
        .await;
    let second = store.submit(adding(b, 2)).await;
    let third = store.submit(opening(c)).await;
    assert!(first.unwrap().await.unwrap_err().is_conflict());
    assert!(second.unwrap().await.unwrap_err().is_conflict());
    third.unwrap().await.unwrap();
    assert_eq!(
        (
            history(&store, a).await.len(),
            history(&store, b).await.len()
        ),
        (2, 1)
    );
}

pub async fn one_stale_group_among_64_fails_alone(place: &dyn Place) {
    let store = place.open().await;
    let ids: Vec<Uuid> = (0..64).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        store.append(opening(*id)).await.unwrap();
    }
    place.open().await.append(adding(ids[40], 1)).await.unwrap();
    let mut waiting = Vec::new();
    for id in &ids {
        waiting.push(store.submit(adding(*id, 1)).await.unwrap());
    }
    for (number, answer) in waiting.into_iter().enumerate() {
        let answer = answer.await;
        assert_eq!(answer.is_ok(), number != 40, "group {number}: {answer:?}");
    }
    for id in &ids {
        assert_whole(&history(&store, *id).await, 2);
    }
}

pub async fn a_condition_holds_or_refuses_the_group(place: &dyn Place) {
    let store = place.open().await;
    let read = Uuid::now_v7();
    let seen = store.append(opening(read)).await.unwrap().last;
    // One event alone, and two of one aggregate, reach a broker in different ways.
    for events in [&[Event::Opened][..], &[Event::Opened, Event::Added(1)]] {
        for known in [None, Some(seen)] {
            let id = Uuid::now_v7();
            let mut conditional = group(vec![part(id, 0, events)]);
            conditional.conditions = vec![
                (subject(read), Version(1), known.into()),
                (subject(Uuid::now_v7()), Version::NONE, Seen::Version),
            ];
            store.append(conditional).await.unwrap();
            assert_eq!(history(&store, id).await.len(), events.len());
        }
    }
    place.open().await.append(adding(read, 1)).await.unwrap();
    for events in [&[Event::Opened][..], &[Event::Opened, Event::Added(1)]] {
        for known in [None, Some(seen)] {
            let id = Uuid::now_v7();
            let mut conditional = group(vec![part(id, 0, events)]);
            conditional.conditions = vec![(subject(read), Version(1), known.into())];
            let error = store.append(conditional).await.unwrap_err();
            let (expected, actual) = (Version(1), Version(2));
            assert_eq!(
                error,
                AppendError::Conflict {
                    subject: subject(read),
                    expected,
                    actual
                }
            );
            assert!(history(&store, id).await.is_empty());
        }
    }
}

pub async fn a_group_that_no_log_takes_is_refused_before_it_is_sent(place: &dyn Place) {
    let (store, id) = (place.open().await, Uuid::now_v7());
    let mut large = opening(id);
    large.parts[0].events[0].payload = vec![0; PAYLOAD_BYTES_MAX + 1].into();
    let error = store.append(large).await.unwrap_err();
    assert!(
        matches!(
            error,
            AppendError::TooLarge {
                limit: PAYLOAD_BYTES_MAX,
                ..
            }
        ),
        "{error}"
    );

    let many = vec![Event::Added(1); GROUP_MESSAGES_MAX + 1];
    let error = store
        .append(group(vec![part(id, 0, &many)]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            AppendError::TooLarge {
                limit: GROUP_MESSAGES_MAX,
                ..
            }
        ),
        "{error}"
    );

    for unsound in [
        group(vec![]),
        group(vec![part(id, 0, &[])]),
        group(vec![
            part(id, 0, &[Event::Opened]),
            part(id, 1, &[Event::Closed]),
        ]),
    ] {
        let error = store.append(unsound).await.unwrap_err();
        assert!(matches!(error, AppendError::Refused(_)), "{error}");
    }
    assert!(history(&store, id).await.is_empty());

    // The largest of either kind is taken.
    let mut large = opening(id);
    large.parts[0].events[0].payload = vec![0; PAYLOAD_BYTES_MAX].into();
    store.append(large).await.unwrap();
    let many = vec![Event::Added(1); GROUP_MESSAGES_MAX];
    store
        .append(group(vec![part(Uuid::now_v7(), 0, &many)]))
        .await
        .unwrap();
}

pub async fn a_chain_of_groups_is_stored_in_order(place: &dyn Place) {
    let (store, id) = (place.open().await, Uuid::now_v7());
    let mut waiting = vec![store.submit(opening(id)).await.unwrap()];
    for version in 1..60 {
        waiting.push(store.submit(adding(id, version)).await.unwrap());
    }
    for (answer, version) in waiting.into_iter().zip(1..) {
        assert_eq!(answer.await.unwrap().positions[0].1, Version(version));
    }
    assert_whole(&history(&store, id).await, 60);
}

/// Not for every store: one that answers at once never has anybody waiting.
pub async fn a_caller_with_64_groups_waiting_is_told_to_wait(store: Arc<dyn EventStore>) {
    let caller = format!("customer:{}", Uuid::now_v7());
    let mut waiting = Vec::new();
    let busy = loop {
        let mut opening = opening(Uuid::now_v7());
        opening.metadata = by(&caller);
        match store.submit(opening).await {
            Ok(answer) => waiting.push(answer),
            Err(error) => break error,
        }
        assert!(waiting.len() <= 64, "a 65th group of one caller was taken");
    };
    assert_eq!(busy, AppendError::Busy { waiting: 64 });
    // Others are not held up, and the caller goes on when his groups are through.
    let other = store.submit(opening(Uuid::now_v7())).await.unwrap();
    for answer in waiting {
        answer.await.unwrap();
    }
    other.await.unwrap();
    let mut opening = opening(Uuid::now_v7());
    opening.metadata = by(&caller);
    store.append(opening).await.unwrap();
}

/// For stores on a server that may be killed: what was answered is there, and no group in part.
pub async fn assert_nothing_answered_is_lost(
    store: &Arc<dyn EventStore>,
    answered: &[(Uuid, Uuid, u64)],
) {
    for (a, b, version) in answered {
        for id in [a, b] {
            let events = store
                .load(&subject(*id), Version::NONE, None, Freshness::Leader)
                .await
                .unwrap()
                .events;
            assert!(
                events.len() as u64 >= *version,
                "{} of {version} answered are there",
                events.len()
            );
            assert_whole(&events, events.len() as u64);
        }
        let lengths = (
            history(store, *a).await.len(),
            history(store, *b).await.len(),
        );
        assert_eq!(lengths.0, lengths.1, "a group was stored in part");
    }
}

/// An event as a newer build would write it.
pub(crate) fn from_the_future() -> event_schema::NewEvent {
    event_schema::NewEvent {
        event_type: "ledger.levitated",
        ..event(&Event::Opened)
    }
}

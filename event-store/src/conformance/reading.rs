//! Reading the log, by history and as a whole.

use uuid::Uuid;

use event_schema::{Position, Version};

use super::ledger::Event;
use super::{
    Place, adding, assert_whole, group, history, last_position, next, opening, part, subject,
};
use crate::{Freshness, LoadError, SubscribeError};

pub async fn a_log_is_read_in_order_and_by_pattern(place: &dyn Place) {
    let (store, a, b) = (place.open().await, Uuid::now_v7(), Uuid::now_v7());
    let start = store.end().await.unwrap().position;
    for n in 0..300 {
        store
            .append(if n == 0 { opening(a) } else { adding(a, n) })
            .await
            .unwrap();
        if n % 100 == 0 {
            store
                .append(if n == 0 {
                    opening(b)
                } else {
                    adding(b, n / 100)
                })
                .await
                .unwrap();
        }
    }
    let all = store.read(start, 10_000, None).await.unwrap();
    assert_eq!(all.len(), 303);
    assert!(all.is_sorted_by(|x, y| x.position < y.position));
    let page = store.read(start, 280, Some("evt.>")).await.unwrap();
    assert_eq!(page, all[..280]);
    let rest = store
        .read(last_position(&page), 10_000, Some("evt.>"))
        .await
        .unwrap();
    assert_eq!(rest, all[280..]);
    let only_b = store
        .read(start, 10, Some(subject(b).as_str()))
        .await
        .unwrap();
    assert_whole(&only_b, 3);
    assert!(
        store
            .read(last_position(&all), 10, None)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.end().await.unwrap().position, last_position(&all));
    assert_eq!(
        store.at(Position(last_position(&all).0 + 1)).await.unwrap(),
        None
    );
}

pub async fn a_history_is_loaded_from_any_version_on(place: &dyn Place) {
    let (store, id, other) = (place.open().await, Uuid::now_v7(), Uuid::now_v7());
    store.append(opening(id)).await.unwrap();
    store
        .append(group(vec![part(id, 1, &vec![Event::Added(1); 255])]))
        .await
        .unwrap();
    store
        .append(group(vec![
            part(other, 0, &[Event::Opened]),
            part(id, 256, &vec![Event::Added(1); 200]),
        ]))
        .await
        .unwrap();
    let whole = history(&store, id).await;
    assert_whole(&whole, 456);
    for freshness in [
        Freshness::Any,
        Freshness::AtLeast(last_position(&whole)),
        Freshness::Leader,
    ] {
        for after in [0_usize, 1, 100, 256, 455, 456] {
            let seen = after.checked_sub(1).map(|n| whole[n].position);
            for seen in [seen, None] {
                let tail = store
                    .load(&subject(id), Version(after as u64), seen, freshness)
                    .await
                    .unwrap();
                let skipped = tail
                    .events
                    .iter()
                    .skip_while(|event| event.version.0 <= after as u64);
                assert!(skipped.eq(&whole[after..]), "after {after} with {seen:?}");
                if seen.is_some() {
                    assert_eq!(tail.events, whole[after..], "after {after}");
                }
            }
        }
    }
    let nothing = store
        .load(
            &subject(Uuid::now_v7()),
            Version::NONE,
            None,
            Freshness::Leader,
        )
        .await
        .unwrap();
    assert_eq!((nothing.events.len(), nothing.leader), (0, Some(None)));
    let beyond = Position(store.end().await.unwrap().position.0 + 1000);
    let error = store
        .load(
            &subject(id),
            Version::NONE,
            None,
            Freshness::AtLeast(beyond),
        )
        .await
        .unwrap_err();
    assert_eq!(error, LoadError::NotReached(beyond));
}

pub async fn heads_are_those_of_the_last_events(place: &dyn Place) {
    let store = place.open().await;
    let ids: Vec<Uuid> = (0..50).map(|_| Uuid::now_v7()).collect();
    let mut expected = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let events = vec![Event::Added(1); number];
        expected.push(if number == 0 {
            None
        } else {
            let appended = store
                .append(group(vec![part(*id, 0, &events)]))
                .await
                .unwrap();
            Some((Version(number as u64), appended.last))
        });
    }
    let subjects: Vec<_> = ids.iter().map(|id| subject(*id)).collect();
    assert_eq!(store.heads(&subjects).await.unwrap(), expected);
}

pub async fn a_subscription_goes_on_after_its_position(place: &dyn Place) {
    let (store, id, other) = (place.open().await, Uuid::now_v7(), Uuid::now_v7());
    store.append(opening(id)).await.unwrap();
    for version in 1..20 {
        store.append(adding(id, version)).await.unwrap();
        store
            .append(if version == 1 {
                opening(other)
            } else {
                adding(other, version - 1)
            })
            .await
            .unwrap();
    }
    let whole = history(&store, id).await;
    let mut subscription = store
        .subscribe(whole[9].position, &[subject(id).as_str()])
        .await
        .unwrap();
    assert_eq!(next(&mut subscription, 10).await, whole[10..]);
    assert!(subscription.caught_up());
    // And live, from another process.
    let writer = place.open().await;
    writer
        .append(group(vec![part(id, 20, &[Event::Added(1), Event::Closed])]))
        .await
        .unwrap();
    let live = next(&mut subscription, 2).await;
    assert_eq!(live, history(&store, id).await[20..]);

    let mut everything = store
        .subscribe(whole[18].position, &["evt.>", "done.>"])
        .await
        .unwrap();
    let seen = next(&mut everything, 5).await;
    assert!(seen.is_sorted_by(|a, b| a.position < b.position));
    assert_eq!(last_position(&seen), store.end().await.unwrap().position);
}

pub async fn a_subscription_goes_on_over_a_restart(place: &dyn Place) {
    let (store, id) = (place.open().await, Uuid::now_v7());
    store.append(opening(id)).await.unwrap();
    let mut subscription = store
        .subscribe(Position(0), &[subject(id).as_str()])
        .await
        .unwrap();
    assert_eq!(next(&mut subscription, 1).await.len(), 1);
    store.append(adding(id, 1)).await.unwrap();
    place.restart().await;
    let writer = place.open().await;
    for version in 2..10 {
        writer.append(adding(id, version)).await.unwrap();
    }
    let rest = next(&mut subscription, 9).await;
    assert_eq!(rest, history(&writer, id).await[1..]);
}

pub async fn a_subscription_from_beyond_the_end_says_so(place: &dyn Place) {
    let store = place.open().await;
    let end = store.append(opening(Uuid::now_v7())).await.unwrap().last;
    let reached = Position(end.0 + 100);
    let mut subscription = store.subscribe(reached, &["evt.>"]).await.unwrap();
    let told = tokio::time::timeout(super::WAIT_MAX, subscription.next())
        .await
        .expect("says so in time");
    assert!(
        matches!(told, Err(SubscribeError::Rewound { reached: at, .. }) if at == reached),
        "{told:?}"
    );
    assert_eq!(subscription.next().await, Err(SubscribeError::Ended));
}

//! What any store must do, as plain functions; every store runs them all.
//!
//! A [`Place`] is where a log lives. Each function opens it as often as it needs processes, and owns its aggregates,
//! so that many can run against one place.

mod append;
mod commands;
pub mod ledger;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use event_schema::ids::CommandId;
use event_schema::{
    Actor, Decider, EventSet, Metadata, NewEvent, Position, Recorded, Subject, Timestamp, Version,
};

use crate::{
    EventStore, ExecuteError, Executed, Executor, Freshness, Group, Part, Seen, Subscription,
};
use ledger::{Event, Ledger};

pub use append::*;
pub use commands::*;
pub use reading::*;

/// Longest that a test waits for something that has to come.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// Where a log lives.
#[async_trait]
pub trait Place: Send + Sync {
    /// The log as a process of its own sees it.
    async fn open(&self) -> Arc<dyn EventStore>;
    /// Stops and starts what keeps the log, if anything does.
    async fn restart(&self);
}

/// Makes a test of every function that all stores have to pass: `conformance_suite!(tests place)`, where `place` makes
/// a fresh place. Or runs them one after the other: `conformance_suite!(run place)`, for places that are dear to make.
#[macro_export]
macro_rules! conformance_suite {
    ($how:ident $place:path) => {
        $crate::conformance_suite!(@$how $place,
            an_event_is_appended_to_nothing
            events_are_read_back_as_they_were_appended
            a_stale_belief_is_a_conflict_and_stores_nothing
            two_aggregates_are_stored_together_or_not_at_all
            who_decided_on_a_refused_event_loses_even_where_another_took_its_place
            a_refused_group_takes_the_one_chained_on_it_along
            one_stale_group_among_64_fails_alone
            a_condition_holds_or_refuses_the_group
            a_group_that_no_log_takes_is_refused_before_it_is_sent
            a_chain_of_groups_is_stored_in_order
            a_log_is_read_in_order_and_by_pattern
            a_history_is_loaded_from_any_version_on
            heads_are_those_of_the_last_events
            a_subscription_goes_on_after_its_position
            a_subscription_goes_on_over_a_restart
            a_subscription_from_beyond_the_end_says_so
            commands_of_one_process_never_conflict
            commands_of_two_processes_lose_nothing
            what_two_processes_store_follows_from_what_is_before_it
            a_rejection_is_never_decided_on_stale_states
            an_additive_command_happens_once_whatever_is_repeated_whenever
            a_create_happens_once_whatever_is_repeated_whenever
            a_unique_value_has_one_winner_of_32
            a_released_value_can_be_claimed_again
            an_event_of_a_newer_build_stops_every_decision
            a_read_state_is_a_condition_of_the_group
            a_reaction_sees_at_least_its_event
            a_snapshot_is_used_and_a_wrong_one_only_costs_time
            a_state_that_leaves_the_cache_is_put_aside
            an_additive_command_without_events_is_remembered_too
            a_command_whose_caller_has_gone_is_still_settled
        );
    };
    (@tests $place:path, $($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let place = $place().await;
            $crate::conformance::$name(&place).await;
        }
    )*};
    (@run $place:path, $($name:ident)*) => {$(
        let place = $place(stringify!($name)).await;
        $crate::conformance::$name(&place).await;
    )*};
}

/// A ledger's subject.
pub(crate) fn subject(id: Uuid) -> Subject {
    Subject::history(Event::AGGREGATE, id)
}

/// Metadata of a command of some caller.
pub(crate) fn by(actor: &str) -> Metadata {
    let command = CommandId(Uuid::now_v7());
    Metadata::new(command, Actor::from(actor.to_owned()), Timestamp::now())
}

/// Metadata of a command of a caller of its own, so that no test fills up another's places.
pub fn metadata() -> Metadata {
    by(&format!("customer:{}", Uuid::now_v7()))
}

pub(crate) fn event(event: &Event) -> NewEvent {
    NewEvent {
        event_id: Uuid::now_v7(),
        event_type: event.event_type(),
        schema_version: event.schema_version(),
        payload: Bytes::from(event.encode().unwrap()),
        saga: None,
    }
}

pub(crate) fn part(id: Uuid, expected: u64, events: &[Event]) -> Part {
    Part {
        subject: subject(id),
        expected: Version(expected),
        seen: Seen::Version,
        events: events.iter().map(event).collect(),
    }
}

pub(crate) fn group(parts: Vec<Part>) -> Group {
    Group {
        metadata: metadata(),
        parts,
        conditions: Vec::new(),
    }
}

/// A group of several ledgers' events, each at the version it was decided on.
pub fn group_of(parts: &[(Uuid, u64, &[Event])]) -> Group {
    group(
        parts
            .iter()
            .map(|(id, expected, events)| part(*id, *expected, events))
            .collect(),
    )
}

/// Waits for a condition, within a limit.
pub async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = tokio::time::Instant::now();
    while !done() {
        assert!(begun.elapsed() < WAIT_MAX * 3, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A group that opens a ledger.
pub(crate) fn opening(id: Uuid) -> Group {
    group(vec![part(id, 0, &[Event::Opened])])
}

/// A group that adds one to a ledger at a version.
pub(crate) fn adding(id: Uuid, expected: u64) -> Group {
    group(vec![part(id, expected, &[Event::Added(1)])])
}

/// Every event of a ledger, from the leader.
pub(crate) async fn history(store: &Arc<dyn EventStore>, id: Uuid) -> Vec<Recorded> {
    store
        .load(&subject(id), Version::NONE, None, Freshness::Leader)
        .await
        .expect("loads")
        .events
}

/// Runs one command on one ledger.
pub async fn run(
    executor: &Executor,
    id: Uuid,
    command: ledger::Command,
) -> Result<Executed<usize>, ExecuteError<ledger::Rejection>> {
    executor
        .execute(metadata(), None, |work| {
            Ok(work.decide::<Ledger>(id, command)?)
        })
        .await
}

/// The ledger's state, from the leader.
pub async fn state(executor: &Executor, id: Uuid) -> ledger::State {
    let loaded = executor
        .load::<Ledger>(id, Freshness::Leader)
        .await
        .expect("loads");
    ledger::State::clone(&loaded.state)
}

/// The next so many events of a subscription.
pub async fn next(subscription: &mut Subscription, events: usize) -> Vec<Recorded> {
    let mut seen = Vec::with_capacity(events);
    while seen.len() < events {
        let told = tokio::time::timeout(WAIT_MAX, subscription.next()).await;
        seen.push(
            told.expect("an event comes in time")
                .expect("an event comes"),
        );
    }
    seen
}

/// Checks that versions are 1, 2, 3 … and positions rise.
pub(crate) fn assert_whole(events: &[Recorded], count: u64) {
    let versions: Vec<u64> = events.iter().map(|event| event.version.0).collect();
    assert_eq!(versions, (1..=count).collect::<Vec<_>>());
    assert!(events.is_sorted_by(|a, b| a.position < b.position));
}

pub(crate) fn last_position(events: &[Recorded]) -> Position {
    events.last().expect("there is an event").position
}

/// Folds a ledger's events.
pub(crate) fn fold(events: &[Recorded]) -> ledger::State {
    let read =
        |event: &Recorded| Event::decode(&event.event_type, event.schema_version, &event.payload);
    Ledger::fold(
        &events
            .iter()
            .map(|event| read(event).unwrap())
            .collect::<Vec<_>>(),
    )
}

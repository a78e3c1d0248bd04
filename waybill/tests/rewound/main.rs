//! A log that is not what it was, under every role as a process of its own. Each is done to a real broker: the stream made
//! anew, the broker restored from an older copy, the log robbed of its tail, and grown again since. Every role that works
//! stops with a plain word, nothing is added, and the way back works as docs/runbooks/log-rewound.md has it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod house;

use testkit::Role;

use house::{House, events, exchange, store};

const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_deleted_and_made_anew_stops_every_role() {
    let mut house = House::new().await;
    let context = async_nats::jetstream::new(house.client().await);
    context.delete_stream("EVENTS").await.unwrap();
    house.shop.operator(&["migrate"]).await;
    let why = "the log was recreated";
    house.is_stopped(why).await;
    house.stays_stopped(why).await;
    house.takes_no_sagas(why).await;
    house.taken_for_the_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restored_from_an_older_copy_stops_every_role_until_the_right_one_is_back() {
    let mut house = House::new().await;
    let (older, newer) = (house.path("older"), house.path("newer"));
    let from = older.clone();
    let aside = newer.clone();
    house
        .while_the_broker_is_down(move |data| exchange(&store(data), &from, &aside))
        .await;
    house
        .is_stopped("the log has lost its tail: it ends at")
        .await;
    let aside = house.path("wrong");
    house
        .while_the_broker_is_down(move |data| exchange(&store(data), &newer, &aside))
        .await;
    for role in [Role::CommandApi, Role::SagaOrchestrator] {
        house.shop.again(role, 0);
    }
    house.shop.ready().await;
    house.shows_the_last_order().await;
    house.sells(false).await;
    house.is_what_the_log_says().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_tail_stops_every_role() {
    let mut house = House::new().await;
    let (older, aside) = (house.path("older"), house.path("aside"));
    // The messages alone: consumers and buckets know of positions that are gone.
    house
        .while_the_broker_is_down(move |data| {
            let messages = events(&older).join("msgs");
            exchange(&events(&store(data)).join("msgs"), &messages, &aside);
        })
        .await;
    let why = "the log has lost its tail: it ends at";
    house.is_stopped(why).await;
    house.stays_stopped(why).await;
    house.takes_no_sagas(why).await;
    house.taken_for_the_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_tail_and_has_grown_again_stops_every_role() {
    let mut house = House::new().await;
    let (older, aside) = (house.path("older"), house.path("aside"));
    house.grown_elsewhere().await;
    house
        .while_the_broker_is_down(move |data| {
            exchange(&events(&store(data)), &events(&older), &aside);
        })
        .await;
    let why = "the log has lost its tail and grown again";
    house.is_stopped(why).await;
    house.stays_stopped(why).await;
    house.takes_no_sagas(why).await;
    house.taken_for_the_truth().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_back_as_it_was_stops_nobody() {
    let mut house = House::new().await;
    for _ in 0..2 {
        house.while_the_broker_is_down(|_| {}).await;
        house.sells(false).await;
    }
    assert_eq!(house.shop.fallen(), Vec::<String>::new());
    for role in [Role::CommandApi, Role::SagaOrchestrator, Role::Projector] {
        let said = house.shop.said(role, 0);
        assert!(!said.contains("docs/runbooks/log-rewound.md"), "{said}");
    }
}

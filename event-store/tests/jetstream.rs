//! The log on a real nats-server, held to the suite that every store has to pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod broker;

use std::sync::Arc;

use broker::Broker;
use event_store::conformance;

async fn place() -> Broker {
    Broker::start().await
}

event_store::conformance_suite!(tests place);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_with_64_groups_waiting_is_told_to_wait() {
    let broker = Broker::start().await;
    let store = Arc::new(broker.store().await);
    // While the broker does not answer everybody waits; it comes back before anything is given up.
    broker.server.pause();
    let resume = tokio::spawn({
        let server = Arc::clone(&broker.server);
        async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            server.resume();
        }
    });
    conformance::a_caller_with_64_groups_waiting_is_told_to_wait(store).await;
    resume.await.unwrap();
}

//! Delivery of webhooks: each event in the outbox is sent until it is accepted, signed anew each time.
//!
//! At least once. Events of one object go in order while its oldest one is fresh; one that keeps being refused no
//! longer holds the others back. A claim is a lease, so a deliverer that dies only delays what it had claimed.

mod deliver;
mod signature;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use deliver::Round;

pub use self::signature::signature;
use crate::Sandbox;

/// The client that delivers. No proxy and no redirects: what is signed goes where the setting says.
pub(crate) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(concat!(
            "waybill-payment-sandbox/",
            env!("CARGO_PKG_VERSION")
        ))
        .timeout(deliver::ANSWER_WITHIN)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
}

/// An outbox is looked at this often even when nothing in this process has filled it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a failure the ledger is given a moment.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// After a round of which most was refused the receiver is given one.
const PAUSE_AFTER_REFUSALS: Duration = Duration::from_millis(200);

/// Runs until `shutdown` fires; deliveries that are under way are finished.
pub(crate) async fn run(sandbox: &Sandbox, client: &reqwest::Client, shutdown: &CancellationToken) {
    let Some(url) = sandbox.config().webhook_url.clone() else {
        shutdown.cancelled().await;
        return;
    };
    // Whoever was away while the sandbox was, too, need not wait for yesterday's back-off.
    if let Err(error) = deliver::hasten(sandbox).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "waiting webhooks could not be hastened"
        );
    }
    while !shutdown.is_cancelled() {
        let pause = match deliver::deliver_due(sandbox, client, &url).await {
            Ok(Round { tried: 0, .. }) => LOOK_EVERY,
            // A receiver that has more than he can take is not helped by more of it.
            Ok(Round { tried, refused }) if refused * 2 > tried => PAUSE_AFTER_REFUSALS,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the outbox of webhooks could not be worked"
                );
                PAUSE_AFTER_FAILURE
            }
        };
        // What is new does not cut that pause short.
        let wakes = pause == LOOK_EVERY;
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sandbox.outbox().notified(), if wakes => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

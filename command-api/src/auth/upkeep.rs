//! What goes on beside the requests: hearing of sessions that other processes ended, and forgetting what time has made
//! useless.

use std::time::Duration;

use service_kit::Shutdown;

use crate::door::Door;

const SWEEP_PERIOD: Duration = Duration::from_secs(10 * 60);

/// Works until the shutdown begins.
pub(crate) async fn run(door: Door, shutdown: Shutdown) {
    if let Err(error) = door.passwords.warm_up().await {
        tracing::warn!(%error, "the hash of nobody's password will be made by the first sign-in");
    }
    let hearing = door
        .tokens
        .revoked()
        .watch(&door.vault, &door.clock, &shutdown);
    tokio::join!(hearing, sweep(&door, &shutdown));
}

async fn sweep(door: &Door, shutdown: &Shutdown) {
    loop {
        let wait = match door.vault.sweep(door.clock.now()).await {
            // A bite at a time, until nothing is left.
            Ok(swept) if swept > 0 => Duration::from_secs(1),
            Ok(_) => SWEEP_PERIOD,
            Err(error) => {
                tracing::debug!(%error, "the vault could not be swept");
                SWEEP_PERIOD
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.begun() => return,
        }
    }
}

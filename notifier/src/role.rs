//! The service as a process of its own.

use std::sync::Arc;

use service_kit::Settings;
use service_kit::process::{Served, run_role};

use crate::service::{Deps, Service};

const ROLE: &str = "notifier";

/// Tells people what happened until the first signal.
///
/// # Errors
/// When a server stays away or is not as it has to be, or the address is taken.
pub async fn run(settings: Arc<Settings>) -> anyhow::Result<()> {
    run_role(settings, ROLE, async |settings, lifetimes| {
        let service = Service::new(Deps::connect(settings, ROLE).await?).await?;
        let readiness = service.readiness();
        let shutdown = lifetimes.shutdown().clone();
        lifetimes.spawn_supervised("the notifier", service.run(shutdown));
        Ok(Served {
            readiness,
            ..Served::default()
        })
    })
    .await
}

//! The service as a process of its own.

use std::sync::Arc;

use service_kit::Settings;
use service_kit::http::Readiness;
use service_kit::process::{Served, run_role};

use crate::{Deps, Service};

const ROLE: &str = "command-api";

/// Serves every method of the API but GET, and the same commands over the broker, until the first signal.
///
/// # Errors
/// When a server stays away or is not as it has to be, or the address is taken.
pub async fn run(settings: Arc<Settings>) -> anyhow::Result<()> {
    run_role(settings, ROLE, async |settings, lifetimes| {
        let first_admin = settings.first_admin.clone();
        let deps = Deps::connect(settings, ROLE).await?;
        let tokens = Arc::clone(&deps.tokens);
        let service = Service::new(deps).await?;
        if let Some(admin) = &first_admin {
            service.ensure_first_admin(admin).await?;
        }
        let readiness = Readiness::new();
        service.readiness(&readiness);
        let api = service.api();
        let shutdown = lifetimes.shutdown().clone();
        lifetimes.spawn_supervised("commands over the broker", service.run(shutdown));
        Ok(Served {
            api: Some(api),
            tokens: Some(tokens),
            readiness,
            ..Served::default()
        })
    })
    .await
}

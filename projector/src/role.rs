//! The service as a process of its own.

use std::sync::Arc;

use service_kit::Settings;
use service_kit::http::Readiness;
use service_kit::process::{Served, run_role};
use utoipa::openapi::OpenApi;

use crate::service::{Deps, Service};

const ROLE: &str = "projector";

/// Keeps the read models and answers every GET until the first signal. The API's document is a GET too, so whoever
/// knows the rest of the API hands it in.
///
/// # Errors
/// When a server stays away or is not as it has to be, or the address is taken.
pub async fn run(
    settings: Arc<Settings>,
    described_elsewhere: Option<OpenApi>,
) -> anyhow::Result<()> {
    run_role(settings, ROLE, async |settings, lifetimes| {
        let deps = Deps::connect(settings, ROLE).await?;
        let tokens = Arc::clone(&deps.tokens);
        let service = Service::new(deps).await?;
        let readiness = Readiness::new();
        service.readiness(&readiness);
        let api = service.api();
        let shutdown = lifetimes.shutdown().clone();
        lifetimes.spawn_supervised("the projector", service.run(shutdown));
        Ok(Served {
            api: Some(api),
            described_elsewhere,
            tokens: Some(tokens),
            readiness,
        })
    })
    .await
}

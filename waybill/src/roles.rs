//! One role as a process of its own, with the settings that all roles share.

use std::sync::Arc;

use service_kit::http::Readiness;
use service_kit::process::{Served, run_role};
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Clock, Settings};
use utoipa::openapi::OpenApi;

/// Serves the commands.
pub async fn command_api(settings: Arc<Settings>) -> anyhow::Result<()> {
    run_role(settings, "command-api", |settings, lifetimes| async move {
        let deps = command_api::Deps::connect(settings, "command-api").await?;
        let tokens = Arc::clone(&deps.tokens);
        let service = command_api::Service::new(deps).await?;
        let readiness = Readiness::new();
        service.readiness(&readiness);
        let api = service.api();
        let shutdown = lifetimes.shutdown().clone();
        lifetimes.spawn_supervised("commands over the broker", service.run(shutdown));
        Ok(Served {
            api: Some(api),
            tokens: Some(tokens),
            readiness,
        })
    })
    .await
}

/// Keeps the read models and serves the queries.
pub async fn projector(settings: Arc<Settings>) -> anyhow::Result<()> {
    run_role(settings, "projector", |settings, lifetimes| async move {
        let key = SigningKey::load_or_create(&settings.signing_key_file)?;
        let tokens = Arc::new(Tokens::new(&key, Clock::system()));
        let service =
            projector::Service::new(projector::Deps::connect(settings, "projector").await?).await?;
        let readiness = Readiness::new();
        service.readiness(&readiness);
        let api = service.api();
        let shutdown = lifetimes.shutdown().clone();
        lifetimes.spawn_supervised("the projector", service.run(shutdown));
        Ok(Served {
            api: Some(api),
            tokens: Some(tokens),
            readiness,
        })
    })
    .await
}

/// Runs the sagas.
pub async fn saga_orchestrator(settings: Arc<Settings>) -> anyhow::Result<()> {
    run_role(
        settings,
        "saga-orchestrator",
        |settings, lifetimes| async move {
            let deps = saga_orchestrator::Deps::connect(settings, "saga-orchestrator").await?;
            let service = saga_orchestrator::Service::new(deps).await?;
            let readiness = service.readiness();
            let shutdown = lifetimes.shutdown().clone();
            lifetimes.spawn_supervised("the saga orchestrator", service.run(shutdown));
            Ok(Served {
                api: None,
                tokens: None,
                readiness,
            })
        },
    )
    .await
}

/// The document of the whole API, whichever role serves it.
pub fn openapi() -> OpenApi {
    command_api::openapi().merge_from(projector::openapi())
}

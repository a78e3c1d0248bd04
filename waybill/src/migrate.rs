//! `waybill migrate` and `waybill topology`: the only commands that change schemas, streams and buckets.

use event_store::topology;
use service_kit::{Settings, nats, vault};
use sqlx::PgPool;

use crate::{handles, out, running};

/// Prepares both servers of the settings. Safe to repeat and to run twice at once.
pub async fn run(settings: &Settings) -> anyhow::Result<()> {
    let settings = running::or_settings(settings)?;
    let nats = nats::connect(&settings, "migrate").await?;
    topology::migrate(&nats, settings.stream_replicas).await?;
    out::line("broker: stream EVENTS, buckets and consumers are as wanted");
    database(&handles::pool(&settings, "migrate").await?).await?;
    out::line("database: schemas vault and read are at their newest");
    Ok(())
}

/// Every schema but the sandbox's, which is its own business.
pub async fn database(pool: &PgPool) -> anyhow::Result<()> {
    vault::migrator().run(pool).await?;
    projector::migrate(pool).await?;
    Ok(())
}

/// `waybill topology apply`: creates what is missing and brings replicas to the setting.
pub async fn apply_topology(settings: &Settings) -> anyhow::Result<()> {
    let settings = running::or_settings(settings)?;
    let nats = nats::connect(&settings, "migrate").await?;
    topology::migrate(&nats, settings.stream_replicas).await?;
    out::line("stream EVENTS, buckets and consumers are as wanted");
    Ok(())
}

/// `waybill topology verify`: changes nothing.
pub async fn verify_topology(settings: &Settings) -> anyhow::Result<()> {
    let settings = running::or_settings(settings)?;
    let nats = nats::connect(&settings, "operator").await?;
    topology::verify(&nats, settings.stream_replicas).await?;
    out::line("stream EVENTS, buckets and consumers are as wanted");
    Ok(())
}

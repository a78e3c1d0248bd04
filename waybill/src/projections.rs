//! `waybill projections`: the same as the NATS service `projections` does, straight on the database and the log.

use std::process::ExitCode;

use anyhow::bail;
use indicatif::ProgressBar;
use projector::{Progress, Workshop, read_models, status};
use service_kit::Settings;
use service_kit::signing::SigningKey;
use service_kit::vault::Vault;

use crate::{handles, out, progress_bar};

/// Lists the projections.
pub async fn ls(settings: &Settings) -> anyhow::Result<ExitCode> {
    let pool = handles::pool(settings, "operator").await?;
    let store = handles::store(settings, "operator").await?;
    out::line(status::as_text(&status::list(&pool, store.as_ref()).await?).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Rebuilds one projection, or all of them one after the other.
pub async fn rebuild(settings: &Settings, name: Option<String>) -> anyhow::Result<ExitCode> {
    let workshop = workshop(settings).await?;
    for name in names(name) {
        let bar = progress_bar::new(&name);
        let rebuilt = workshop
            .rebuild(&name, |progress| show(&bar, progress))
            .await;
        bar.finish_and_clear();
        let rebuilt = rebuilt?;
        out::line(format!(
            "{name} is rebuilt and live at position {} ({:.0} events/s, {} parked)",
            rebuilt.position, rebuilt.progress.rate, rebuilt.parked
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares rows with the log; a difference is exit code 1.
pub async fn verify(settings: &Settings, name: Option<String>) -> anyhow::Result<ExitCode> {
    let workshop = workshop(settings).await?;
    let mut same = true;
    for name in names(name) {
        let bar = progress_bar::new(&name);
        let verified = workshop
            .verify(&name, |progress| show(&bar, progress))
            .await;
        bar.finish_and_clear();
        let verified = verified?;
        same &= verified.is_same();
        out::line(match &verified.difference {
            None => format!(
                "{name} is what the log says: {} rows at position {}",
                verified.rows, verified.position
            ),
            Some(difference) => format!(
                "{name} differs from the log at position {}: {difference}",
                verified.position
            ),
        });
    }
    Ok(if same {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Pauses a projection: it keeps its rows as they are until it is resumed.
pub async fn pause(settings: &Settings, name: &str) -> anyhow::Result<ExitCode> {
    let pool = handles::pool(settings, "operator").await?;
    told(status::pause(&pool, name).await?, name, "paused")
}

/// Lets a projection go on and has its parked keys tried again.
pub async fn resume(settings: &Settings, name: &str) -> anyhow::Result<ExitCode> {
    let pool = handles::pool(settings, "operator").await?;
    told(status::resume(&pool, name).await?, name, "resumed")
}

fn told(done: bool, name: &str, what: &str) -> anyhow::Result<ExitCode> {
    if !done {
        bail!(
            "there is no projection named {name:?}; there are {}",
            names(None).join(", ")
        );
    }
    out::line(format!("{name} is {what}"));
    Ok(ExitCode::SUCCESS)
}

async fn workshop(settings: &Settings) -> anyhow::Result<Workshop> {
    let pool = handles::pool(settings, "operator").await?;
    let store = handles::store(settings, "operator").await?;
    let key = SigningKey::load_or_create(&settings.signing_key_file)?;
    let vault = Vault::new(pool.clone(), &key.installation_key()?)?;
    Ok(Workshop::new(&pool, store, vault))
}

fn names(name: Option<String>) -> Vec<String> {
    name.map_or_else(
        || {
            read_models::all()
                .iter()
                .map(|projection| projection.name().to_owned())
                .collect()
        },
        |name| vec![name],
    )
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.end.0);
    bar.set_position(progress.position.0);
}

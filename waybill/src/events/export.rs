//! `waybill events export`: the log into a file.

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use event_store::{Export, JetStreamStore};
use service_kit::Settings;
use tempfile::NamedTempFile;

use super::file::{Head, Summary, Writer};
use super::house::House;
use super::pattern;
use crate::{out, progress_bar};

/// Standard output, as a file's name.
const STDOUT: &str = "-";

/// Writes the log, or the part of it that a pattern chooses, to a new file or to standard output.
pub async fn export(
    settings: &Settings,
    to: PathBuf,
    subject: Option<String>,
) -> anyhow::Result<()> {
    if let Some(subject) = &subject {
        pattern::check(subject)?;
    }
    let target = Target::open(to)?;
    let house = House::of(settings).await?;
    // Looks at the stream's settings too: a log that is only half there is not worth a copy.
    JetStreamStore::connect(house.client.clone()).await?;
    let export = Export::begin(house.client.clone(), subject.as_deref()).await?;
    let head = Head::new(export.log().to_string(), subject, export.end());
    let written = tokio::select! {
        written = target.fill(export, &head) => written,
        // What was written so far is removed with its file.
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into).and_then(|()| bail!("interrupted")),
    };
    house.leave().await?;
    let (place, summary) = written?;
    out::note(format!(
        "{} messages of {} are in {place}; sha256 {}",
        summary.messages, head.log, summary.sha256
    ));
    if head.subject.is_none() {
        out::note(
            "personal keys, secrets and the signing key are not in it; docs/runbooks/moving-house.md says how they travel",
        );
    }
    Ok(())
}

enum Target {
    Stdout,
    /// Written beside its place and put there when it is whole.
    File(NamedTempFile, PathBuf),
}

impl Target {
    fn open(to: PathBuf) -> anyhow::Result<Self> {
        if to.as_os_str() == STDOUT {
            return Ok(Self::Stdout);
        }
        if to.exists() {
            bail!("{} exists already; it is not overwritten", to.display());
        }
        let folder = match to.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".waybill-export-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder)
            .with_context(|| format!("a file in {} cannot be made", folder.display()))?;
        Ok(Self::File(file, to))
    }

    /// Fills it, and says where the result is.
    async fn fill(self, export: Export, head: &Head) -> anyhow::Result<(String, Summary)> {
        match self {
            Self::Stdout => {
                let (_, summary) = fill(export, head, BufWriter::new(io::stdout())).await?;
                Ok(("standard output".into(), summary))
            }
            Self::File(mut file, to) => {
                let (_, summary) = fill(export, head, BufWriter::new(file.as_file_mut())).await?;
                file.as_file().sync_all()?;
                file.persist_noclobber(&to)
                    .with_context(|| format!("{} cannot be written", to.display()))?;
                Ok((to.display().to_string(), summary))
            }
        }
    }
}

async fn fill<W: Write>(mut export: Export, head: &Head, out: W) -> anyhow::Result<(W, Summary)> {
    let bar = progress_bar::new("export");
    bar.set_length(export.end().0);
    let mut writer = Writer::begin(out, head)?;
    loop {
        let page = export.next_page().await?;
        let Some(last) = page.last() else { break };
        bar.set_position(last.position.0);
        for message in &page {
            writer.message(message)?;
        }
    }
    bar.finish_and_clear();
    writer.finish()
}

//! `running.json` in the data folder: where a running `waybill up` can be reached, for the operator's commands.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use service_kit::Settings;

/// Addresses of a running system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Process id of `up`.
    pub pid: u32,
    /// The broker.
    pub nats_url: String,
    /// The database, with its password: the file is readable by its owner only.
    pub database_url: String,
    /// Base URL of the API.
    pub http_url: String,
    /// Base URL of the payment sandbox.
    pub sandbox_url: String,
    /// Base URL of the message sandbox; its page is at `/messages`.
    #[serde(default)]
    pub messages_url: String,
}

impl Running {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("running.json")
    }

    /// Leaves the addresses for others.
    pub fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = Self::path(data_dir);
        let fresh = path.with_extension("json.new");
        let text = serde_json::to_string_pretty(self)?;
        write_private(&fresh, &text)
            .with_context(|| format!("{} cannot be written", fresh.display()))?;
        std::fs::rename(&fresh, &path)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// What the last `up` left, running or not.
    pub fn read(data_dir: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(Self::path(data_dir)).ok()?).ok()
    }

    /// Takes the file away after an orderly stop.
    pub fn remove(data_dir: &Path) {
        // Gone already is as good.
        let _ = std::fs::remove_file(Self::path(data_dir));
    }
}

/// The settings of an operator's command: as given, else those of the `up` that runs on the data folder.
pub fn or_settings(settings: &Settings) -> anyhow::Result<Settings> {
    let mut settings = settings.clone();
    if settings.nats_url.is_some() && settings.database_url.is_some() {
        return Ok(settings);
    }
    let Some(running) = Running::read(&settings.data_dir) else {
        bail!(
            "nothing runs on the data folder {} (no running.json), and WAYBILL_NATS_URL and WAYBILL_DATABASE_URL are not set",
            settings.data_dir.display()
        );
    };
    settings.nats_url.get_or_insert(vec![running.nats_url]);
    settings
        .database_url
        .get_or_insert(SecretString::from(running.database_url));
    Ok(settings)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_read_back_and_are_private() {
        use std::os::unix::fs::PermissionsExt as _;

        let dir = tempfile::tempdir().unwrap();
        let running = Running {
            pid: 1,
            nats_url: "nats://127.0.0.1:4222".into(),
            database_url: "postgres://x".into(),
            http_url: "http://127.0.0.1:8080".into(),
            sandbox_url: "http://127.0.0.1:12111".into(),
            messages_url: "http://127.0.0.1:12112".into(),
        };
        assert_eq!(Running::read(dir.path()), None);
        running.write(dir.path()).unwrap();
        assert_eq!(Running::read(dir.path()), Some(running));
        let mode = std::fs::metadata(Running::path(dir.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        Running::remove(dir.path());
        assert_eq!(Running::read(dir.path()), None);
    }
}

//! Secrets as `docker/secrets.sh` makes them, for servers on this machine.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::DOCKER;

/// A folder of fresh secrets.
pub struct Secrets {
    folder: TempDir,
}

impl Secrets {
    /// Secrets for brokers on these ports and a Postgres on that one.
    pub fn make(clients: [u16; 3], routes: [u16; 3], postgres: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let list = |ports: [u16; 3]| ports.map(|port| format!("127.0.0.1:{port}")).join(",");
        let made = Command::new("sh")
            .arg(format!("{DOCKER}/secrets.sh"))
            .arg(folder.path())
            .env("NATS_SERVERS", list(clients))
            .env("NATS_ROUTES", list(routes))
            .env("POSTGRES_SERVER", format!("127.0.0.1:{postgres}"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        Self { folder }
    }

    /// Where a secret is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it says.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A broker user's password, as the broker is told it.
    pub fn broker_password(&self, user: &str) -> String {
        let name = format!("{}_PASSWORD", user.to_uppercase().replace('-', "_"));
        self.of_configuration("nats_users.conf", &name)
    }

    /// The password among the brokers themselves.
    pub fn route_password(&self) -> String {
        self.of_configuration("nats_routes.conf", "ROUTE_PASSWORD")
    }

    fn of_configuration(&self, file: &str, name: &str) -> String {
        let text = self.read(file);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{file} has no {name}"))
            .trim_matches('"')
            .to_owned()
    }
}

#[test]
fn secrets_are_made_once_and_never_over_those_that_are_there() {
    let secrets = Secrets::make([1, 2, 3], [4, 5, 6], 7);
    let key = secrets.read("signing_key");
    let again = Command::new("sh")
        .arg(format!("{DOCKER}/secrets.sh"))
        .arg(secrets.folder.path())
        .output()
        .unwrap();
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));
    assert_eq!(secrets.read("signing_key"), key);
    let other = Secrets::make([1, 2, 3], [4, 5, 6], 7);
    assert_ne!(other.read("signing_key"), key);
    assert_ne!(
        other.broker_password("projector"),
        secrets.broker_password("projector")
    );
}

#[test]
fn only_their_owner_gets_into_the_folder_of_secrets() {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("secrets");
    let made = Command::new("sh")
        .arg(format!("{DOCKER}/secrets.sh"))
        .arg(&folder)
        .output()
        .unwrap();
    assert!(made.status.success());
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn the_signing_key_is_one_that_the_roles_read() {
    let secrets = Secrets::make([1, 2, 3], [4, 5, 6], 7);
    service_kit::crypto::install().unwrap();
    service_kit::signing::SigningKey::load_or_create(&secrets.path("signing_key"))
        .unwrap()
        .installation_key()
        .unwrap();
}

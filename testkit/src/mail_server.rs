//! A real SMTP server for tests: aiosmtpd from PyPI, which files what it is sent into a folder. It ends with the test's
//! process, whatever that ends with.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::packages;

const PACKAGE: &str = "aiosmtpd==1.4.6";
const FOLDER: &str = "aiosmtpd-1.4.6";
const POLL: Duration = Duration::from_millis(20);
/// No mail of a test takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Serves until nobody holds the other end of its standard input. A mail to `slow@…` is answered after a while, one to
/// `refused@…` never taken.
const PROGRAM: &str = r#"
import asyncio, os, socket, sys
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox

class Handler(Mailbox):
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused@"):
            return "550 5.1.1 nobody here has this address"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if any(to.startswith("slow@") for to in envelope.rcpt_tos):
            await asyncio.sleep(60)
        return await super().handle_DATA(server, session, envelope)

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
controller = Controller(Handler(sys.argv[1]), hostname="127.0.0.1", port=port)
controller.start()
print(port, flush=True)
sys.stdin.read()
os._exit(0)
"#;

/// A mail server and what it was sent.
#[derive(Debug)]
pub struct MailServer {
    port: u16,
    folder: TempDir,
    /// Its standard input is what keeps it alive.
    _process: Child,
}

/// A mail as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its subject.
    pub subject: String,
    /// Its text, behind the headers.
    pub text: String,
    headers: String,
}

impl MailServer {
    /// The one that all tests of this process share.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<MailServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let package = packages::installed(FOLDER, |folder| {
            packages::run(
                Command::new("python3")
                    .args(["-m", "pip", "install", "--quiet", "--target"])
                    .arg(folder)
                    .arg(PACKAGE),
            );
        });
        let folder = tempfile::tempdir().expect("a folder for mail can be made");
        let mut process = Command::new("python3")
            .args(["-c", PROGRAM])
            .arg(folder.path().join("mail"))
            .env("PYTHONPATH", package)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs the mail server");
        let said = process.stdout.take().expect("its output is read");
        let mut line = String::new();
        BufReader::new(said)
            .read_line(&mut line)
            .expect("the mail server says its port");
        let port = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the mail server said {line:?} instead of its port"));
        Self {
            port,
            folder,
            _process: process,
        }
    }

    /// For `WAYBILL_SMTP_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// All mails to this address so far, oldest first.
    #[must_use]
    pub fn mails_to(&self, address: &str) -> Vec<Received> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("mail/new")) else {
            return Vec::new();
        };
        let mut files: Vec<(std::time::SystemTime, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
            })
            .collect();
        files.sort();
        let wanted = format!("X-RcptTo: {address}");
        files
            .into_iter()
            .filter_map(|(_, file)| fs::read_to_string(file).ok())
            .map(|mail| mail.replace("\r\n", "\n"))
            .filter_map(|mail| {
                let (headers, text) = mail.split_once("\n\n")?;
                headers.lines().any(|line| line == wanted).then_some(())?;
                let subject = headers
                    .lines()
                    .find_map(|line| line.strip_prefix("Subject: "));
                Some(Received {
                    subject: subject.unwrap_or_default().to_owned(),
                    text: text.to_owned(),
                    headers: headers.to_owned(),
                })
            })
            .collect()
    }

    /// Waits for the `count`th mail to this address.
    pub async fn mail_to(&self, address: &str, count: usize) -> Received {
        let until = Instant::now() + PATIENCE;
        loop {
            let mails = self.mails_to(address);
            if let Some(mail) = mails.get(count - 1) {
                return mail.clone();
            }
            assert!(
                Instant::now() < until,
                "{address} has {} mails after {} s, not {count}",
                mails.len(),
                PATIENCE.as_secs()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Received {
    /// A header of it, whose lines are put together.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let whole = self.headers.replace("\n ", " ").replace("\n\t", " ");
        whole.lines().find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }

    /// The code in it: the first line of eight digits.
    #[must_use]
    pub fn code(&self) -> String {
        let is_code = |line: &&str| line.len() == 8 && line.bytes().all(|b| b.is_ascii_digit());
        let found = self.text.lines().map(str::trim).find(is_code);
        found
            .unwrap_or_else(|| panic!("there is no code in {self:?}"))
            .to_owned()
    }
}

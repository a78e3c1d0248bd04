//! A real server that speaks S3 for tests: moto from PyPI. It ends with the test's process, whatever that ends with.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::packages;

const PACKAGE: &str = "moto[server,s3]==5.2.5";
const FOLDER: &str = "moto-5.2.5";
/// Serves until nobody holds the other end of its standard input. It asks for credentials and does not check them.
const PROGRAM: &str = r#"
import os, sys
from moto.server import ThreadedMotoServer
import boto3
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1",
                  aws_access_key_id="test", aws_secret_access_key="test")
s3.create_bucket(Bucket=sys.argv[1])
print(port, flush=True)
sys.stdin.read()
os._exit(0)
"#;

/// A server with one bucket.
#[derive(Debug)]
pub struct S3Server {
    port: u16,
    /// Its standard input is what keeps it alive.
    _process: Child,
}

impl S3Server {
    /// The name of its bucket.
    pub const BUCKET: &'static str = "waybill-test";

    /// The one that all tests of this process share.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<S3Server> = OnceLock::new();
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
        let mut process = Command::new("python3")
            .args(["-c", PROGRAM, Self::BUCKET])
            .env("PYTHONPATH", package)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 runs the S3 server");
        let said = process.stdout.take().expect("its output is read");
        let mut line = String::new();
        BufReader::new(said)
            .read_line(&mut line)
            .expect("the S3 server says its port");
        let port = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the S3 server said {line:?} instead of its port"));
        Self {
            port,
            _process: process,
        }
    }

    /// What a process has to find in its environment to use the bucket.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", "test".into()),
            ("AWS_SECRET_ACCESS_KEY", "test".into()),
        ]
    }
}

//! The linter of protos of other people: buf from PyPI.

use std::path::Path;
use std::process::{Command, Output};

use crate::packages;

const PACKAGE: &str = "buf-bin==1.75.0";
const FOLDER: &str = "buf-bin-1.75.0";

/// What buf says of a folder of protos, by the rules of its `buf.yaml`.
#[must_use]
pub fn buf_lint(protos: &Path) -> Output {
    let package = packages::installed(FOLDER, |folder| {
        packages::run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--target"])
                .arg(folder)
                .arg(PACKAGE),
        );
    });
    Command::new(package.join("bin/buf"))
        .arg("lint")
        .arg(protos)
        // It keeps a cache of what it fetches, which is nothing here.
        .env("BUF_CACHE_DIR", std::env::temp_dir().join("waybill-buf"))
        .output()
        .expect("buf runs")
}

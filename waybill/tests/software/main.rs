//! How Waybill is delivered, as far as that can be seen without a cluster or somebody's CI: the manifests for Kubernetes
//! and the workflow say what they have to, and name only what is there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod ci;
mod edge;
mod kubernetes;
mod manifests;
mod protos;

use std::path::PathBuf;

const WAYBILL: &str = env!("CARGO_BIN_EXE_waybill");

/// A file of the project.
fn project(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// What is in a file of the project.
fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

//! Runs the real program for tests: a shop as a process of its own, people who use it over HTTP, and kills.
//!
//! Everything waits for a condition within a limit, and a failure shows what the program said. A dev-dependency only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test kit reports by panicking at the test's line"
)]

mod buf;
mod deployment;
mod fuzzer;
mod kubernetes;
mod mail_server;
mod market;
mod oidc_server;
mod packages;
mod patience;
mod person;
mod program;
mod s3_server;
mod shop;

pub use buf::buf_lint;
pub use deployment::{Deployment, Layout, Role, Servers};
pub use fuzzer::schemathesis;
pub use kubernetes::kubernetes_validate;
pub use mail_server::{MailServer, Received};
pub use market::{Market, Product};
pub use oidc_server::OidcServer;
pub use patience::{PATIENCE, Told};
pub use person::{Answer, Person, answer};
pub use program::{Program, free_port, within, within_time};
pub use s3_server::S3Server;
pub use shop::Shop;

//! The brokers with TLS: `nats-tls.conf`, and a client that trusts only our own CA.
//!
//! The certificates beside this file are for tests alone and name nothing but this machine; certificates/README.md says
//! how they were made.

use std::path::{Path, PathBuf};

use async_nats::ConnectErrorKind;
use event_store::topology;

use crate::brokers::Brokers;

fn certificate(name: &str) -> PathBuf {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/least_privilege/certificates"
    );
    Path::new(folder).join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_brokers_find_each_other_and_clients_see_whom_they_talk_to() {
    service_kit::crypto::install().unwrap();
    let environment = [
        ("NATS_TLS_CERT_FILE", certificate("server.pem")),
        ("NATS_TLS_KEY_FILE", certificate("server.key")),
        ("NATS_TLS_CA_FILE", certificate("ca.pem")),
    ];
    let brokers = Brokers::start_with(1, "nats-tls.conf", &environment, |_, text| text).await;

    let trusting = brokers
        .options("deployer", "migrate")
        .add_root_certificates(certificate("ca.pem"));
    let deployer = trusting.connect(brokers.addresses("tls")).await.unwrap();
    topology::migrate(&deployer, 3).await.unwrap();

    // Whoever does not know the CA does not go on, and does not show his password.
    let wary = brokers.options("deployer", "migrate");
    let error = wary.connect(brokers.addresses("tls")).await.unwrap_err();
    assert_ne!(
        error.kind(),
        ConnectErrorKind::AuthorizationViolation,
        "{error}"
    );
    assert!(brokers.violations().is_empty());
}

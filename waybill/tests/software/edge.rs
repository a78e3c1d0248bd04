//! The edge in a cluster is the edge of compose, with names that the cluster's resolver knows.

use std::process::{Command, Output};

use crate::project;

fn made(resolv_conf: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let resolv = folder.path().join("resolv.conf");
    std::fs::write(&resolv, resolv_conf).unwrap();
    Command::new("sh")
        .arg(project("docker/edge/in-cluster.sh"))
        .arg("--print")
        .env("EDGE_CONF", project("docker/edge/nginx.conf"))
        .env("EDGE_RESOLV_CONF", &resolv)
        .env("EDGE_MADE_CONF", folder.path().join("nginx.conf"))
        .output()
        .unwrap()
}

#[test]
fn in_a_cluster_the_edge_sends_reads_to_the_projector_and_the_rest_to_the_commands_by_whole_names()
{
    let said = made("nameserver 10.96.0.10\nsearch waybill.svc.cluster.local svc.cluster.local\n");
    assert!(said.status.success(), "{said:?}");
    let conf = String::from_utf8(said.stdout).unwrap();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = conf.lines().map(words).collect();
    let domain = "waybill.svc.cluster.local";
    for expected in [
        "resolver 10.96.0.10 valid=5s ipv6=off;".to_owned(),
        format!("GET projector.{domain}:8080;"),
        format!("HEAD projector.{domain}:8080;"),
        format!("default command-api.{domain}:8080;"),
        format!("set $sandbox payment-sandbox.{domain}:12111;"),
    ] {
        assert!(lines.contains(&expected), "{expected}\n{conf}");
    }
    // No short name is left, which this resolver would not find.
    for short in [
        " projector:",
        " command-api:",
        " payment-sandbox:",
        "127.0.0.11",
    ] {
        assert!(!conf.contains(short), "{short}");
    }
}

#[test]
fn without_a_resolver_the_edge_says_so_instead_of_starting_blind() {
    let said = made("# nothing\n");
    assert!(!said.status.success());
    let why = String::from_utf8(said.stderr).unwrap();
    assert!(why.contains("names no resolver"), "{why}");
}

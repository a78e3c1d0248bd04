//! Whatever way the parent ends, no server stays; and if one does, the next start deals with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use dev_servers::{NatsOptions, NatsServer, Postgres, PostgresOptions};
use sqlx::{Connection as _, Executor as _, PgConnection};

mod support;
use support::{
    Parent, alive, eventually, listening_finder, open_folder, server_pids, signal, signal_group,
};

async fn store_one_row(url: &str) {
    let mut db = PgConnection::connect(url).await.unwrap();
    db.execute("create table parcel (id int)").await.unwrap();
}

async fn the_table_is_still_there(url: &str) {
    let mut db = PgConnection::connect(url).await.unwrap();
    db.execute("select id from parcel").await.unwrap();
}

/// The watchdogs over these servers, by what they were called with.
fn watchdogs_over(pids: [u32; 2]) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if pids
            .iter()
            .any(|server| line.contains(&format!(" watchdog {server} ")))
        {
            found.push(pid);
        }
    }
    found
}

#[tokio::test]
async fn kill_9_of_the_parent_leaves_no_server_and_the_next_start_has_the_data() {
    let dir = open_folder();
    let mut parent = Parent::start(dir.path());
    let pids = server_pids(dir.path());
    let watchdogs = watchdogs_over(pids);
    assert!(pids.into_iter().all(alive));
    assert_eq!(watchdogs.len(), 2);
    store_one_row(&parent.database_url).await;
    let url = parent.database_url.clone();

    parent.kill9();
    eventually("the servers are gone", || !pids.into_iter().any(alive));
    eventually("the watchdogs are gone", || {
        !watchdogs.iter().copied().any(alive)
    });

    let again = Parent::start(dir.path());
    assert_eq!(again.database_url, url);
    the_table_is_still_there(&url).await;
}

#[tokio::test]
async fn a_start_right_after_kill_9_does_not_wait_for_anybody() {
    let dir = open_folder();
    let mut parent = Parent::start(dir.path());
    store_one_row(&parent.database_url).await;
    for _ in 0..3 {
        parent.kill9();
        parent = Parent::start(dir.path());
        the_table_is_still_there(&parent.database_url).await;
    }
}

#[tokio::test]
async fn servers_left_behind_by_a_killed_parent_and_watchdog_are_stopped_by_the_next_start() {
    let dir = open_folder();
    let mut parent = Parent::start(dir.path());
    let pids = server_pids(dir.path());
    store_one_row(&parent.database_url).await;
    for watchdog in watchdogs_over(pids) {
        assert!(signal("KILL", watchdog));
    }
    parent.kill9();
    assert!(pids.into_iter().all(alive), "nobody was there to stop them");

    let (finder, said) = listening_finder();
    let _nats = NatsServer::start(&finder, NatsOptions::new(dir.path().join("nats"))).unwrap();
    let postgres =
        Postgres::start(&finder, PostgresOptions::new(dir.path().join("postgres"))).unwrap();
    assert!(!pids.into_iter().any(alive));
    the_table_is_still_there(&postgres.url()).await;
    let said = said.lock().unwrap();
    for pid in pids {
        let told = format!("(process {pid}), left over");
        assert!(said.iter().any(|line| line.contains(&told)), "{said:#?}");
    }
}

#[tokio::test]
async fn a_postmaster_killed_alone_does_not_keep_the_next_start_from_working() {
    let dir = open_folder();
    let mut parent = Parent::start(dir.path());
    let pids = server_pids(dir.path());
    store_one_row(&parent.database_url).await;
    for watchdog in watchdogs_over(pids) {
        signal("KILL", watchdog);
    }
    // As the kernel does when memory runs out: its children live on for a moment.
    for pid in pids {
        signal("KILL", pid);
    }
    parent.kill9();
    let again = Parent::start(dir.path());
    the_table_is_still_there(&again.database_url).await;
}

#[test]
fn a_stale_process_id_that_now_belongs_to_another_program_harms_neither() {
    let dir = open_folder();
    let mut parent = Parent::start(dir.path());
    let pids = server_pids(dir.path());
    for pid in watchdogs_over(pids).into_iter().chain(pids) {
        signal("KILL", pid);
    }
    parent.kill9();
    let mut bystander = Command::new("sleep")
        .arg("600")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for file in ["nats/nats.pid", "postgres/data/postmaster.pid"] {
        put_pid(&dir.path().join(file), bystander.id());
    }

    let again = Parent::start(dir.path());
    assert!(bystander.try_wait().unwrap().is_none(), "it was killed");
    drop(again);
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

fn put_pid(file: &Path, pid: u32) {
    let text = fs::read_to_string(file).unwrap();
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    fs::write(file, format!("{pid}\n{rest}")).unwrap();
}

#[test]
fn ctrl_c_stops_everything_in_order() {
    ends_everything_in_order("INT");
}

#[test]
fn a_polite_request_to_end_stops_everything_in_order() {
    ends_everything_in_order("TERM");
}

/// The terminal or the service manager signals the whole process group.
fn ends_everything_in_order(name: &str) {
    let dir = open_folder();
    let mut parent = Parent::start(dir.path());
    let pids = server_pids(dir.path());
    signal_group(name, parent.child.id());
    assert!(parent.child.wait().unwrap().success());
    assert!(!pids.into_iter().any(alive));
    assert!(watchdogs_over(pids).is_empty());
    let log = fs::read_to_string(dir.path().join("postgres/server.log")).unwrap();
    assert!(log.contains("database system is shut down"), "{log}");
    let log = fs::read_to_string(dir.path().join("nats/server.log")).unwrap();
    assert!(log.contains("Server Exiting"), "{log}");
}

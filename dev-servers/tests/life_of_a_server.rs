//! Start, stop, crash, pause and restart of real servers, and what their data go through.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

use async_nats::jetstream::{self, stream};
use dev_servers::{
    Finder, NatsCluster, NatsOptions, NatsServer, Postgres, PostgresOptions, StartError, Stopped,
    fresh_database, shared_nats, shared_postgres,
};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};

mod support;
use support::{alive, closed_folder, is_root, open_folder};

async fn jetstream_at(url: &str) -> jetstream::Context {
    jetstream::new(async_nats::connect(url).await.unwrap())
}

async fn store_one_message(url: &str) {
    let js = jetstream_at(url).await;
    js.create_stream(stream::Config {
        name: "EVENTS".into(),
        subjects: vec!["evt.>".into()],
        ..Default::default()
    })
    .await
    .unwrap();
    js.publish("evt.order.00.1", "placed".into())
        .await
        .unwrap()
        .await
        .unwrap();
}

async fn the_message_is_still_there(url: &str) {
    let stream = jetstream_at(url).await.get_stream("EVENTS").await.unwrap();
    let message = stream.get_raw_message(1).await.unwrap();
    assert_eq!(&message.payload[..], b"placed");
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn store_one_row(url: &str) {
    let mut db = connect(url).await;
    db.execute("create table parcel (id int)").await.unwrap();
    db.execute("insert into parcel values (7)").await.unwrap();
}

async fn the_row_is_still_there(url: &str) {
    let row = connect(url)
        .await
        .fetch_one("select id from parcel")
        .await
        .unwrap();
    assert_eq!(row.get::<i32, _>(0), 7);
}

#[tokio::test]
async fn a_nats_server_keeps_its_data_and_address_over_stop_and_crash() {
    let server = NatsServer::temporary().unwrap();
    let url = server.url();
    store_one_message(&url).await;

    assert_eq!(server.stop(), Stopped::InOrder);
    assert_eq!(server.pid(), None);
    server.restart().unwrap();
    assert_eq!(server.url(), url);
    the_message_is_still_there(&url).await;

    let pid = server.pid().unwrap();
    server.kill9();
    assert!(!alive(pid));
    server.restart().unwrap();
    the_message_is_still_there(&url).await;
}

#[tokio::test]
async fn a_postgres_keeps_its_data_and_address_over_stop_and_crash() {
    let dir = open_folder();
    let server = Postgres::start(&Finder::new(), PostgresOptions::new(dir.path())).unwrap();
    let url = server.url();
    store_one_row(&url).await;

    assert_eq!(server.stop(), Stopped::InOrder);
    server.restart().unwrap();
    assert_eq!(server.url(), url);
    the_row_is_still_there(&url).await;

    server.kill9();
    server.restart().unwrap();
    the_row_is_still_there(&url).await;
}

#[tokio::test]
async fn a_later_start_on_the_same_folder_finds_the_same_data_address_and_password() {
    let dir = open_folder();
    let start = || {
        let finder = Finder::new();
        (
            NatsServer::start(&finder, NatsOptions::new(dir.path().join("nats"))).unwrap(),
            Postgres::start(&finder, PostgresOptions::new(dir.path().join("postgres"))).unwrap(),
        )
    };
    let (nats, postgres) = start();
    let urls = (nats.url(), postgres.url());
    store_one_message(&urls.0).await;
    store_one_row(&urls.1).await;
    drop((nats, postgres));

    let (nats, postgres) = start();
    assert_eq!((nats.url(), postgres.url()), urls);
    the_message_is_still_there(&urls.0).await;
    the_row_is_still_there(&urls.1).await;
}

#[tokio::test]
async fn the_database_wants_its_password() {
    let server = shared_postgres().unwrap();
    let password = server.url();
    let password = password.split([':', '@']).nth(2).unwrap();
    let wrong = server.url().replace(password, "guessed");
    assert!(PgConnection::connect(&wrong).await.is_err());
    connect(&server.url()).await;
}

#[tokio::test]
async fn a_nats_server_with_a_token_refuses_who_does_not_show_it() {
    let server = NatsServer::temporary_with(|options| options.with_token("s3 \"cret")).unwrap();
    let address = format!("127.0.0.1:{}", server.port());
    assert!(async_nats::connect(&address).await.is_err());
    async_nats::ConnectOptions::with_token("s3 \"cret".into())
        .connect(&address)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_acknowledged_write_is_on_the_disk_unless_asked_otherwise() {
    let durable = NatsServer::temporary_with(|options| options).unwrap();
    let fast = NatsServer::temporary().unwrap();
    let conf =
        |server: &NatsServer| std::fs::read_to_string(server.data_dir().join("nats.conf")).unwrap();
    assert!(conf(&durable).contains("sync_interval: always"));
    assert!(!conf(&fast).contains("sync_interval: always"));
    let client = async_nats::connect(durable.url()).await.unwrap();
    assert_eq!(client.server_info().max_payload, 1024 * 1024);
}

#[tokio::test]
async fn a_paused_server_answers_nothing_and_goes_on_where_it_was() {
    let nats = NatsServer::temporary().unwrap();
    let js = jetstream_at(&nats.url()).await;
    js.query_account().await.unwrap();
    let postgres = Postgres::temporary().unwrap();
    let mut db = connect(&postgres.url()).await;

    nats.pause();
    postgres.pause();
    let silence = Duration::from_millis(300);
    let asked = tokio::time::timeout(silence, js.query_account()).await;
    assert!(asked.is_err());
    let asked = tokio::time::timeout(silence, db.execute("select 1")).await;
    assert!(asked.is_err());
    nats.resume();
    postgres.resume();
    js.query_account().await.unwrap();
    db.execute("select 2").await.unwrap();
}

#[test]
fn a_paused_server_can_be_stopped() {
    let nats = NatsServer::temporary().unwrap();
    nats.pause();
    assert_eq!(nats.stop(), Stopped::InOrder);
    assert_eq!(nats.stop(), Stopped::AlreadyGone);
}

#[test]
fn temporary_data_go_with_their_server() {
    let nats = NatsServer::temporary().unwrap();
    let postgres = Postgres::temporary().unwrap();
    let left: Vec<_> = [
        (nats.data_dir().to_owned(), nats.pid().unwrap()),
        (postgres.data_dir().to_owned(), postgres.pid().unwrap()),
    ]
    .into();
    drop((nats, postgres));
    for (folder, pid) in left {
        assert!(!folder.exists(), "{}", folder.display());
        assert!(!alive(pid));
    }
}

#[test]
fn a_temporary_nats_server_is_cheap() {
    drop(NatsServer::temporary().unwrap());
    // The best of several: other tests load the machine.
    let best = (0..10)
        .map(|_| {
            let began = Instant::now();
            let server = NatsServer::temporary().unwrap();
            let took = began.elapsed();
            drop(server);
            took
        })
        .min()
        .unwrap();
    assert!(best < Duration::from_millis(300), "{best:?}");
}

#[test]
fn a_data_folder_is_used_by_one_at_a_time() {
    let dir = open_folder();
    let finder = Finder::new();
    let _first = NatsServer::start(&finder, NatsOptions::new(dir.path())).unwrap();
    let error = NatsServer::start(&finder, NatsOptions::new(dir.path())).unwrap_err();
    let StartError::InUse { holder, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*holder, std::process::id().to_string());
}

#[test]
fn a_fixed_port_that_is_taken_is_named_and_a_remembered_one_is_replaced() {
    let dir = open_folder();
    let finder = Finder::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();

    let fixed = NatsOptions::new(dir.path().join("nats")).with_port(port);
    let error = NatsServer::start(&finder, fixed).unwrap_err();
    assert!(matches!(error, StartError::PortTaken { port: p, .. } if p == port));
    let fixed = PostgresOptions::new(dir.path().join("postgres")).with_port(port);
    let error = Postgres::start(&finder, fixed).unwrap_err();
    assert!(matches!(error, StartError::PortTaken { port: p, .. } if p == port));

    std::fs::write(dir.path().join("nats/port"), port.to_string()).unwrap();
    let server = NatsServer::start(&finder, NatsOptions::new(dir.path().join("nats"))).unwrap();
    assert_ne!(server.port(), port);
}

#[test]
fn a_server_that_ends_at_once_shows_its_own_words() {
    let dir = open_folder();
    // A file where the store should be.
    std::fs::write(dir.path().join("store"), "in the way").unwrap();
    let error = NatsServer::start(&Finder::new(), NatsOptions::new(dir.path())).unwrap_err();
    let StartError::Exited { tail, .. } = &error else {
        panic!("{error}");
    };
    assert!(tail.contains("storage directory"), "{tail}");
}

#[tokio::test]
async fn every_test_gets_an_empty_database_of_its_own() {
    let (one, two) = tokio::join!(fresh_database(), fresh_database());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one, two);
    store_one_row(&one).await;
    store_one_row(&two).await;
}

#[tokio::test]
async fn many_databases_can_be_made_at_once() {
    let server = shared_postgres().unwrap();
    let made = futures::future::join_all((0..20).map(|_| server.fresh_database())).await;
    for url in made {
        connect(&url.unwrap()).await;
    }
}

#[tokio::test]
async fn a_database_can_be_copied_from_a_prepared_one() {
    let server = shared_postgres().unwrap();
    let prepared = server.fresh_database().await.unwrap();
    store_one_row(&prepared).await;
    let name = prepared.rsplit('/').next().unwrap();
    the_row_is_still_there(&server.database_from(name).await.unwrap()).await;
}

#[tokio::test]
async fn the_tests_of_one_process_share_their_servers() {
    assert_eq!(shared_nats().unwrap().pid(), shared_nats().unwrap().pid());
    async_nats::connect(shared_nats().unwrap().url())
        .await
        .unwrap();
    assert_eq!(
        shared_postgres().unwrap().pid(),
        shared_postgres().unwrap().pid()
    );
}

#[test]
fn shared_servers_and_their_data_go_with_the_test_process() {
    let folder = open_folder();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_tests_of_one_process_share_their_servers"])
        .env("TMPDIR", folder.path())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let left = || -> Vec<String> {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    // The reservations of ports are kept for the next process.
    assert!(left().iter().any(|name| name.starts_with("waybill-ports-")));
    support::eventually("the data are gone", || left().len() == 1);
}

#[test]
fn data_that_postgres_account_cannot_reach_are_kept_where_it_can_and_the_folder_says_where() {
    let home = closed_folder();
    let folder = home.path().join("shop/.waybill/postgres");
    let (finder, said) = support::listening_finder();
    let start = || Postgres::start(&finder, PostgresOptions::new(&folder)).unwrap();
    let server = start();
    let files = server.files().to_owned();
    let same_again = {
        drop(server);
        start().files().to_owned()
    };
    assert_eq!(files, same_again);
    let link = folder.join("data");
    assert_eq!(link.canonicalize().unwrap(), files.canonicalize().unwrap());
    if is_root() {
        assert!(link.is_symlink());
        assert!(files.starts_with("/var/lib/waybill"), "{}", files.display());
        let belongs_to = files.parent().unwrap().join("belongs-to");
        let owner = std::fs::read_to_string(belongs_to).unwrap();
        assert_eq!(Path::new(owner.trim()), folder.canonicalize().unwrap());
        let named = files.display().to_string();
        assert!(
            said.lock()
                .unwrap()
                .iter()
                .any(|line| line.contains(&named))
        );
        std::fs::remove_dir_all(files.parent().unwrap()).unwrap();
    } else {
        assert!(!link.is_symlink());
    }
}

#[test]
fn data_of_a_deleted_folder_are_not_taken_for_those_of_a_new_one_in_its_place() {
    let home = closed_folder();
    let folder = home.path().join("postgres");
    let start = || Postgres::start(&Finder::new(), PostgresOptions::new(&folder)).unwrap();
    let first = start();
    let (first_files, first_url) = (first.files().to_owned(), first.url());
    drop(first);
    std::fs::remove_dir_all(&folder).unwrap();
    let second = start();
    assert_ne!(second.url(), first_url);
    if is_root() {
        assert_ne!(second.files(), first_files);
        let places = [first_files, second.files().to_owned()];
        drop(second);
        for place in places {
            std::fs::remove_dir_all(place.parent().unwrap()).unwrap();
        }
    }
}

#[test]
fn a_first_start_that_was_killed_half_way_is_done_again() {
    let dir = open_folder();
    std::fs::create_dir(dir.path().join("data.new")).unwrap();
    std::fs::write(dir.path().join("data.new/PG_VERSION"), "15\n").unwrap();
    std::fs::write(dir.path().join("data.password"), "old").unwrap();
    Postgres::start(&Finder::new(), PostgresOptions::new(dir.path())).unwrap();
    assert!(!dir.path().join("data.new").exists());
    assert!(!dir.path().join("data.password").exists());
}

#[test]
fn data_of_a_postgres_that_cannot_be_had_are_refused_and_left_alone() {
    let dir = open_folder();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    std::fs::write(dir.path().join("data/PG_VERSION"), "9\n").unwrap();
    let empty = open_folder();
    let finder = Finder::new().with_search_path(empty.path());
    let error = Postgres::start(&finder, PostgresOptions::new(dir.path())).unwrap_err();
    assert!(
        matches!(error, StartError::WrongMajor { data_major: 9, .. }),
        "{error}"
    );
    assert!(dir.path().join("data/PG_VERSION").exists());
}

#[tokio::test]
async fn a_cluster_keeps_what_it_acknowledged_when_a_member_is_killed() {
    let cluster = NatsCluster::start(3).unwrap();
    let js = jetstream_at(&cluster.servers()[0].url()).await;
    let config = stream::Config {
        name: "EVENTS".into(),
        subjects: vec!["evt.>".into()],
        num_replicas: 3,
        ..Default::default()
    };
    js.create_stream(config).await.unwrap();
    js.publish("evt.order.00.1", "placed".into())
        .await
        .unwrap()
        .await
        .unwrap();
    cluster.servers()[0].kill9();

    let others = jetstream_at(&cluster.servers()[1].url()).await;
    let deadline = Instant::now() + support::LIMIT;
    loop {
        // A new leader is being elected; requests fail until then.
        if let Ok(stream) = others.get_stream("EVENTS").await
            && let Ok(message) = stream.get_raw_message(1).await
        {
            assert_eq!(&message.payload[..], b"placed");
            break;
        }
        assert!(Instant::now() < deadline, "the message was lost");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.servers()[0].restart().unwrap();
    cluster.wait_until_healthy().unwrap();
}

//! The suite on three servers: other codes for a lost race, replicas that lag, and leaders that go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Client, ServerAddr};
use async_trait::async_trait;
use dev_servers::NatsCluster;
use uuid::Uuid;

use event_store::conformance::ledger::{Command, Ledger};
use event_store::conformance::{
    Place, is_away, ledger_events, ledger_subject, run, state, wait_until,
};
use event_store::{EventStore, ExecuteError, Executor, Freshness, JetStreamStore, topology};

#[derive(Clone)]
struct Cluster {
    servers: Arc<NatsCluster>,
    opened: Arc<AtomicUsize>,
}

impl Cluster {
    async fn start() -> Self {
        let servers = tokio::task::spawn_blocking(|| NatsCluster::start(3))
            .await
            .unwrap()
            .expect("a cluster starts");
        Self {
            servers: Arc::new(servers),
            opened: Arc::default(),
        }
    }

    /// Every process begins at another server, so that reads come from replicas as well as from the leader.
    async fn client(&self) -> Client {
        let mut urls: Vec<ServerAddr> = self
            .servers
            .servers()
            .iter()
            .map(|server| server.url().parse().unwrap())
            .collect();
        let first = self.opened.fetch_add(1, Ordering::SeqCst) % urls.len();
        urls.rotate_left(first);
        async_nats::ConnectOptions::new()
            .retain_servers_order()
            .connect(urls)
            .await
            .expect("connects")
    }

    async fn healthy(&self) {
        let servers = Arc::clone(&self.servers);
        tokio::task::spawn_blocking(move || servers.wait_until_healthy())
            .await
            .unwrap()
            .expect("becomes healthy");
    }

    /// An empty log.
    async fn emptied(&self) {
        let client = self.client().await;
        let context = async_nats::jetstream::new(client.clone());
        let streams = ["quotes", "snapshots", "saga_status", "saga_attention"]
            .map(|bucket| format!("KV_{bucket}"));
        for stream in streams.iter().map(String::as_str).chain([topology::EVENTS]) {
            drop(context.delete_stream(stream).await);
        }
        let begun = Instant::now();
        while let Err(error) = topology::migrate(&client, 3).await {
            assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[async_trait]
impl Place for Cluster {
    async fn open(&self) -> Arc<dyn EventStore> {
        let client = self.client().await;
        let begun = Instant::now();
        loop {
            match JetStreamStore::connect(client.clone()).await {
                Ok(store) => return Arc::new(store),
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
            }
        }
    }

    async fn restart(&self) {
        let servers = Arc::clone(&self.servers);
        let restart = move || {
            servers.servers()[0].kill9();
            servers.servers()[0].restart()
        };
        tokio::task::spawn_blocking(restart)
            .await
            .unwrap()
            .expect("restarts");
        self.healthy().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_do_what_any_store_must_do() {
    let cluster = Cluster::start().await;
    let place = async |name: &str| {
        cluster.emptied().await;
        // The only word of where it stands, should it fail.
        tracing::info!(name, "runs");
        cluster.clone()
    };
    event_store::conformance_suite!(run place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_takes_nothing_answered_with_it() {
    let cluster = Cluster::start().await;
    cluster.emptied().await;
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let ledgers: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
    let opener = Executor::new(cluster.open().await);
    for id in &ledgers {
        run(&opener, *id, Command::Open).await.unwrap();
    }
    // A new leader must not look like a log that has lost something.
    let mut suspicions = Vec::new();
    for _ in 0..3 {
        let store = cluster.open().await;
        let suspicion = async move { store.rewound().await };
        suspicions.push(tokio::spawn(suspicion));
    }
    let opened = Arc::clone(opener.store());
    suspicions.push(tokio::spawn(async move { opened.rewound().await }));
    let mut writers = Vec::new();
    for n in 0..6 {
        // Two processes per ledger, so that races and failures come together.
        let executor = Executor::new(cluster.open().await);
        let (stop, answered, id) = (Arc::clone(&stop), Arc::clone(&answered), ledgers[n % 3]);
        writers.push(tokio::spawn(async move {
            let (mut sure, mut unsure) = (0, 0);
            while !stop.load(Ordering::SeqCst) {
                match run(&executor, id, Command::Add(1)).await {
                    Ok(_) => {
                        sure += 1;
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(ExecuteError::Conflict) => {}
                    Err(error) if is_away(&error) => unsure += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (id, sure, unsure)
        }));
    }
    for victim in 0..3 {
        let goal = answered.load(Ordering::SeqCst) + 100;
        wait_until("the writers make progress", || {
            answered.load(Ordering::SeqCst) >= goal
        })
        .await;
        let servers = Arc::clone(&cluster.servers);
        let restart = move || {
            servers.servers()[victim].kill9();
            servers.servers()[victim].restart()
        };
        tokio::task::spawn_blocking(restart)
            .await
            .unwrap()
            .expect("restarts");
        cluster.healthy().await;
    }
    let goal = answered.load(Ordering::SeqCst) + 50;
    wait_until("the writers go on", || {
        answered.load(Ordering::SeqCst) >= goal
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    for suspicion in &suspicions {
        assert!(!suspicion.is_finished(), "nothing was lost");
    }
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.unwrap());
    }
    for id in ledgers {
        let mine = || told.iter().filter(|(of, ..)| *of == id);
        let (sure, unsure): (i64, i64) = (
            mine().map(|(_, sure, _)| sure).sum(),
            mine().map(|(.., u)| u).sum(),
        );
        let total = state(&opener, id).await.total;
        assert!(
            (sure..=sure + unsure).contains(&total),
            "{total} of {sure} answered and {unsure} unclear"
        );
        assert_eq!(
            ledger_events(opener.store(), id).await,
            1 + total.unsigned_abs()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_refused_on_what_a_replica_has_not_seen_yet() {
    let cluster = Cluster::start().await;
    cluster.emptied().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(Executor::new(cluster.open().await));
    }
    // Replicas lag when there is much to replicate.
    let busy = tokio::spawn({
        let (client, stop) = (cluster.client().await, Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::SeqCst) {
                let filler = (0..64)
                    .map(|n| client.request(format!("evt.filler.00.{n}"), vec![b'x'; 400].into()));
                futures::future::join_all(filler)
                    .await
                    .into_iter()
                    .for_each(|stored| drop(stored.unwrap()));
            }
        }
    });
    for round in 0..500 {
        let (id, writer) = (Uuid::now_v7(), round % 3);
        let opened = run(&processes[writer], id, Command::Open).await.unwrap();
        // Straight after the answer, at both other servers: neither "there is none" nor "not open".
        let others = [(writer + 1) % 3, (writer + 2) % 3].map(|other| &processes[other]);
        let subject = ledger_subject(id);
        let (one, two) = tokio::join!(
            others[0].store().head(&subject),
            run(others[1], id, Command::Add(1))
        );
        assert!(
            one.unwrap().map(|(_, at)| at) >= Some(opened.position),
            "round {round}"
        );
        two.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        let seen = others[0]
            .load::<Ledger>(id, Freshness::AtLeast(opened.position))
            .await
            .unwrap();
        assert!(seen.position >= Some(opened.position), "round {round}");
    }
    stop.store(true, Ordering::SeqCst);
    busy.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_log_shows_what_was_answered_before_whichever_server_is_asked() {
    const APPENDS: usize = 300;
    let cluster = Cluster::start().await;
    cluster.emptied().await;
    let writer = Executor::new(cluster.open().await);
    let readers = [
        cluster.open().await,
        cluster.open().await,
        cluster.open().await,
    ];
    let id = Uuid::now_v7();
    run(&writer, id, Command::Open).await.unwrap();
    for _ in 0..APPENDS {
        let before = writer.store().end().await.unwrap().position;
        run(&writer, id, Command::Add(1)).await.unwrap();
        let pages = readers
            .iter()
            .map(|reader| reader.read(before, 10, Some("evt.>")));
        for page in futures::future::join_all(pages).await {
            assert_eq!(page.unwrap().len(), 1, "after position {before}");
        }
    }
}

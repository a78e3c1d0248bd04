//! Streams, buckets and consumers on a real nats-server, and the servers that are refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod broker;

use broker::Broker;
use event_store::topology::{self, EVENTS, TopologyError, migrate, verify};
use event_store::{JetStreamStore, conformance::Place};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn what_is_missing_is_named_until_it_was_created() {
    let broker = Broker::bare(dev_servers::NatsOptions::with_default_sync).await;
    let client = broker.client().await;
    let missing = TopologyError::Missing {
        what: "stream EVENTS".into(),
    };
    assert_eq!(verify(&client, 1).await, Err(missing.clone()));
    assert_eq!(
        JetStreamStore::connect(client.clone()).await.unwrap_err(),
        missing
    );
    migrate(&client, 1).await.unwrap();
    verify(&client, 1).await.unwrap();
    // Again, and over a restart: nothing to do.
    migrate(&client, 1).await.unwrap();
    broker.restart().await;
    let client = broker.client().await;
    verify(&client, 1).await.unwrap();

    let context = async_nats::jetstream::new(client.clone());
    context.delete_key_value(topology::QUOTES).await.unwrap();
    assert_eq!(
        verify(&client, 1).await,
        Err(TopologyError::Missing {
            what: "bucket quotes".into()
        })
    );
    migrate(&client, 1).await.unwrap();
    context
        .delete_consumer_from_stream("fulfilment-7", EVENTS)
        .await
        .unwrap();
    let what = "consumer fulfilment-7 of the stream EVENTS".to_owned();
    assert_eq!(
        verify(&client, 1).await,
        Err(TopologyError::Missing { what })
    );
    migrate(&client, 1).await.unwrap();
    verify(&client, 1).await.unwrap();
}

#[tokio::test]
async fn other_settings_are_refused_by_name_and_left_alone() {
    let broker = Broker::start().await;
    let client = broker.client().await;
    let context = async_nats::jetstream::new(client.clone());
    let mut config = context
        .get_stream(EVENTS)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.max_age = std::time::Duration::from_secs(3600);
    context.update_stream(&config).await.unwrap();
    for checked in [verify(&client, 1).await, migrate(&client, 1).await] {
        let Err(TopologyError::Different {
            what,
            setting,
            expected,
            found,
        }) = checked
        else {
            panic!("{checked:?}");
        };
        assert_eq!(
            (&*what, &*setting, &*expected, &*found),
            ("stream EVENTS", "max_age", "0", "3600000000000")
        );
    }
    assert_eq!(
        context
            .get_stream(EVENTS)
            .await
            .unwrap()
            .cached_info()
            .config
            .max_age
            .as_secs(),
        3600
    );
    assert!(JetStreamStore::connect(client.clone()).await.is_err());

    config.max_age = std::time::Duration::ZERO;
    context.update_stream(&config).await.unwrap();
    verify(&client, 1).await.unwrap();
    // Another number of replicas than the setting says is told, too.
    let error = verify(&client, 3).await.unwrap_err();
    assert!(
        matches!(&error, TopologyError::Different { setting, .. } if setting == "num_replicas"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stream_that_allows_no_batches_is_refused() {
    let broker = Broker::bare(dev_servers::NatsOptions::with_default_sync).await;
    let client = broker.client().await;
    let config = async_nats::jetstream::stream::Config {
        name: EVENTS.into(),
        subjects: topology::EVENT_SUBJECTS.map(str::to_owned).to_vec(),
        ..Default::default()
    };
    async_nats::jetstream::new(client.clone())
        .create_stream(config)
        .await
        .unwrap();
    let error = migrate(&client, 1).await.unwrap_err();
    assert!(matches!(error, TopologyError::Different { .. }), "{error}");
}

/// Says to be a server of some version, and answers nothing but the greeting.
async fn pretend(version: &str, jetstream: bool) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let greeting = serde_json::json!({
        "server_id": "X", "server_name": "pretender", "version": version, "go": "go", "host": "127.0.0.1",
        "port": address.port(), "headers": true, "max_payload": 1_048_576, "proto": 1, "jetstream": jetstream,
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let greeting = format!("INFO {greeting}\r\n");
            tokio::spawn(async move {
                stream.write_all(greeting.as_bytes()).await.unwrap();
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    if bytes[..read].windows(4).any(|word| word == b"PING") {
                        stream.write_all(b"PONG\r\n").await.unwrap();
                    }
                }
            });
        }
    });
    format!("nats://{address}")
}

#[tokio::test]
async fn a_server_that_is_too_old_or_without_jetstream_is_refused_in_one_line() {
    for old in ["2.9.25", "2.14.6", "2.15.0"] {
        let client = async_nats::connect(pretend(old, true).await).await.unwrap();
        let error = verify(&client, 1).await.unwrap_err();
        assert_eq!(error, TopologyError::ServerTooOld { found: old.into() });
        assert_eq!(
            error.to_string(),
            format!("the NATS server is version {old}; at least 2.15.1 is needed")
        );
    }
    let client = async_nats::connect(pretend("2.15.1", false).await)
        .await
        .unwrap();
    assert_eq!(
        verify(&client, 1).await,
        Err(TopologyError::NoJetStream {
            server: "pretender".into()
        })
    );
}

//! Stands in for the `nats` CLI where there is none: a program of its name that hands its arguments to the test, which
//! asks the broker for the same and prints the bare answer.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use async_nats::header::HeaderMap;
use async_nats::jetstream::{self, consumer::pull, stream::Stream};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const PROGRAM: &str = "#!/usr/bin/env bash
printf '%s\\0' \"$@\" | curl -sS --noproxy '*' --fail-with-body --max-time 60 --data-binary @- \"$NATS_STAND_IN\"
";
/// Somebody who listens for one message waits for it this long.
const MESSAGE_LIMIT: Duration = Duration::from_secs(50);

/// Answers until it is dropped.
pub struct StandIn {
    pub url: String,
    serves: JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

impl StandIn {
    /// Puts the program into the folder. Whoever has the folder on his path asks us.
    pub async fn start(nats_url: &str, folder: &Path) -> Self {
        let program = folder.join("nats");
        std::fs::write(&program, PROGRAM).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let client = async_nats::connect(nats_url).await.unwrap();
        let router = Router::new().route("/", post(answer)).with_state(client);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serves = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, serves }
    }
}

async fn answer(State(client): State<async_nats::Client>, body: Bytes) -> (StatusCode, String) {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let words: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
    match asked(&client, &words).await {
        Some(said) => (StatusCode::OK, said),
        None => (
            StatusCode::BAD_REQUEST,
            format!("not understood: {words:?}\n"),
        ),
    }
}

/// What the CLI would print of these arguments, without its decoration.
async fn asked(client: &async_nats::Client, words: &[&str]) -> Option<String> {
    match words {
        ["req", subject, rest @ ..] => Some(requested(client, subject, rest).await),
        ["sub", subject, "--count", "1"] => {
            let mut messages = client.subscribe((*subject).to_owned()).await.unwrap();
            let message = tokio::time::timeout(MESSAGE_LIMIT, messages.next()).await;
            Some(text(&message.ok()??.payload))
        }
        ["kv", verb, bucket, rest @ ..] => {
            let context = jetstream::new(client.clone());
            let bucket = context.get_key_value(*bucket).await.unwrap();
            match (*verb, rest) {
                ("get", [key, "--raw"]) => {
                    let value = bucket.get(*key).await.unwrap()?;
                    Some(String::from_utf8(value.to_vec()).unwrap())
                }
                ("ls" | "watch", []) => {
                    let keys = bucket.keys().await.unwrap();
                    let keys: Vec<String> = keys.map(Result::unwrap).collect().await;
                    Some(match keys.as_slice() {
                        [] => "No keys found in bucket\n".into(),
                        keys => format!("{}\n", keys.join("\n")),
                    })
                }
                _ => None,
            }
        }
        ["stream", verb, stream, rest @ ..] => {
            let context = jetstream::new(client.clone());
            let stream = context.get_stream(*stream).await.unwrap();
            match (*verb, rest) {
                ("view", ["25", "--subject", subject, "--translate", "waybill decode"]) => {
                    Some(history(&stream, subject).await)
                }
                ("get", ["--last-for", subject, "--translate", "waybill decode"]) => {
                    let last = stream.get_last_raw_message_by_subject(subject).await;
                    Some(decoded(&last.unwrap().payload))
                }
                ("subjects", [subject]) => {
                    let mut subjects = stream.info_with_subjects(*subject).await.unwrap();
                    match subjects.next().await {
                        None => Some(format!("No subjects found matching {subject}\n")),
                        Some(found) => Some(format!("{:?}\n", found.unwrap())),
                    }
                }
                _ => None,
            }
        }
        _ => None,
    }
}

async fn requested(client: &async_nats::Client, subject: &str, rest: &[&str]) -> String {
    let (mut headers, mut body) = (HeaderMap::new(), "");
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        match *word {
            "--raw" => {}
            "-H" => {
                let (name, value) = rest.next().unwrap().split_once(':').unwrap();
                headers.insert(name, value);
            }
            word => body = word,
        }
    }
    let body = body.to_owned().into();
    let answer = client.request_with_headers(subject.to_owned(), headers, body);
    text(&answer.await.unwrap().payload)
}

async fn history(stream: &Stream, subject: &str) -> String {
    let config = pull::OrderedConfig {
        filter_subject: subject.to_owned(),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut said = String::new();
    while let Some(message) = messages.next().await {
        let message = message.unwrap();
        said.push_str(&decoded(&message.payload));
        if message.info().unwrap().pending == 0 {
            break;
        }
    }
    said
}

fn text(payload: &[u8]) -> String {
    format!("{}\n", std::str::from_utf8(payload).unwrap())
}

/// What `--translate 'waybill decode'` makes of it.
fn decoded(payload: &[u8]) -> String {
    format!("{}\n", event_schema::codec::to_json(payload).unwrap())
}

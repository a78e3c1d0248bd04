//! The service `inbox` on NATS, for command-api, which has no rows: whether a notification is somebody's, what the newest
//! is that he could have seen, and in which history a message is kept. Each answer is one look into an index.

use std::time::Duration;

use async_nats::Client;
use async_nats::service::error::Error as ServiceError;
use async_nats::service::{Request, Service, ServiceExt as _};
use bytes::Bytes;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use service_kit::problem::Chain;
use service_kit::{Shutdown, postgres};

use crate::read_models::inbox::{Reader, newest, place_of};
use crate::read_models::notification_deliveries::history_of;

/// The service's name and the first token of its subjects.
pub const SERVICE: &str = "inbox";
/// Requests that are answered at once; more wait in the client.
const ANSWERS_AT_ONCE: usize = 32;
/// A body beyond this is no question to this service.
const BODY_BYTES_MAX: usize = 1024;
/// When the service cannot be started it is tried again after this long.
const START_RETRY_PERIOD: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
enum Verb {
    /// `{notification_id, person, partner_id?, admin}` → `{position}`, or 404.
    Find,
    /// `{person, partner_id?, admin}` → `{position}`, null for an empty inbox.
    Newest,
    /// `{delivery_id}` → `{history_id}`, or 404.
    Delivery,
}

const VERBS: [(&str, Verb); 3] = [
    ("find", Verb::Find),
    ("newest", Verb::Newest),
    ("delivery", Verb::Delivery),
];

/// Why a question has no answer; the code is the HTTP status.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    BadRequest(String),
    #[error("there is no such notification, or message")]
    NotFound,
    #[error("the database cannot be used at the moment")]
    Unavailable,
}

impl Refusal {
    fn code(&self) -> usize {
        match self {
            Self::BadRequest(_) => 400,
            Self::NotFound => 404,
            Self::Unavailable => 503,
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if !postgres::is_unavailable(&error) {
            tracing::error!(error = %Chain(&error), "a question to the service inbox failed");
        }
        Self::Unavailable
    }
}

#[derive(Debug, Deserialize)]
struct Wanted {
    notification_id: Uuid,
    #[serde(flatten)]
    reader: Reader,
}

#[derive(Debug, Deserialize)]
struct Message {
    delivery_id: Uuid,
}

/// Serves until the shutdown.
pub(crate) async fn run(client: Client, pool: PgPool, shutdown: Shutdown) {
    while !shutdown.has_begun() {
        match start(&client).await {
            Ok((service, requests)) => {
                serve(requests, &pool, &shutdown).await;
                if let Err(error) = service.stop().await {
                    tracing::debug!(%error, "the service inbox could not say goodbye");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the service inbox could not be started, trying again");
                tokio::select! {
                    () = shutdown.begun() => {}
                    () = tokio::time::sleep(START_RETRY_PERIOD) => {}
                }
            }
        }
    }
}

type Requests = SelectAll<BoxStream<'static, (Verb, Request)>>;

async fn start(client: &Client) -> Result<(Service, Requests), async_nats::Error> {
    let service = client
        .service_builder()
        .description("whether a notification is somebody's; for command-api")
        .start(SERVICE, env!("CARGO_PKG_VERSION"))
        .await?;
    let group = service.group(SERVICE);
    let mut requests = SelectAll::new();
    for (name, verb) in VERBS {
        let endpoint = group.endpoint(name).await?;
        requests.push(endpoint.map(move |request| (verb, request)).boxed());
    }
    Ok((service, requests))
}

async fn serve(requests: Requests, pool: &PgPool, shutdown: &Shutdown) {
    let answering = requests.for_each_concurrent(ANSWERS_AT_ONCE, |(verb, request)| async move {
        let response = match answer(verb, &request.message.payload, pool).await {
            Ok(answer) => Ok(Bytes::from(answer.to_string())),
            Err(refusal) => Err(ServiceError {
                code: refusal.code(),
                status: refusal.to_string().replace(char::is_control, " "),
            }),
        };
        if let Err(error) = request.respond(response).await {
            tracing::debug!(%error, "an answer of the service inbox could not be sent");
        }
    });
    tokio::select! {
        () = shutdown.begun() => {}
        () = answering.boxed() => {}
    }
}

async fn answer(verb: Verb, payload: &[u8], pool: &PgPool) -> Result<Value, Refusal> {
    match verb {
        Verb::Find => {
            let wanted: Wanted = read(payload)?;
            let place = place_of(pool, &wanted.reader, wanted.notification_id).await?;
            Ok(json!({ "position": place.ok_or(Refusal::NotFound)? }))
        }
        Verb::Newest => Ok(json!({ "position": newest(pool, &read(payload)?).await? })),
        Verb::Delivery => {
            let Message { delivery_id } = read(payload)?;
            let history = history_of(pool, delivery_id).await?;
            Ok(json!({ "history_id": history.ok_or(Refusal::NotFound)? }))
        }
    }
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Refusal> {
    if payload.len() > BODY_BYTES_MAX {
        return Err(Refusal::BadRequest(format!(
            "the request is longer than {BODY_BYTES_MAX} bytes"
        )));
    }
    serde_json::from_slice(payload).map_err(|error| Refusal::BadRequest(error.to_string()))
}

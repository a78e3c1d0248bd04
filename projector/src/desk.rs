//! The operators' service `projections` on NATS: `nats req projections.ls ''`, `nats req projections.rebuild orders`.
//! Answers are text for people, and JSON for the header `Accept: application/json`.

use std::time::Duration;

use async_nats::Client;
use async_nats::service::error::Error as ServiceError;
use async_nats::service::{Request, Service, ServiceExt as _};
use bytes::Bytes;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use service_kit::problem::Chain;
use service_kit::{Shutdown, postgres};

use crate::replay::{ReplayError, Workshop};
use crate::status;

/// The service's name and the first token of its subjects.
pub const SERVICE: &str = "projections";
/// Requests that are answered at once.
const ANSWERS_AT_ONCE: usize = 8;
/// A body beyond this is no question to this service.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// When the service cannot be started it is tried again after this long.
const START_RETRY_PERIOD: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
enum Verb {
    Ls,
    Rebuild,
    Verify,
    Pause,
    Resume,
}

const VERBS: [(&str, Verb); 5] = [
    ("ls", Verb::Ls),
    ("rebuild", Verb::Rebuild),
    ("verify", Verb::Verify),
    ("pause", Verb::Pause),
    ("resume", Verb::Resume),
];

/// Why a request has no answer; the code is the HTTP status.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    BadRequest(String),
    #[error("there is no projection named {0:?}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Unavailable(String),
}

impl Refusal {
    fn code(&self) -> usize {
        match self {
            Self::BadRequest(_) => 400,
            Self::NotFound(_) => 404,
            Self::Conflict(_) => 409,
            Self::Unavailable(_) => 503,
        }
    }
}

impl From<ReplayError> for Refusal {
    fn from(error: ReplayError) -> Self {
        let text = Chain(&error).to_string();
        match error {
            ReplayError::Unknown { name, .. } => Self::NotFound(name),
            ReplayError::UnderWay { .. }
            | ReplayError::ParksMore { .. }
            | ReplayError::ParksTooMuch { .. }
            | ReplayError::NeverCaughtUp { .. }
            | ReplayError::TakenOver => Self::Conflict(text),
            ReplayError::Log(_)
            | ReplayError::Follow(_)
            | ReplayError::Silent
            | ReplayError::Apply(_) => Self::Unavailable(text),
        }
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        if !postgres::is_unavailable(&error) {
            tracing::error!(error = %Chain(&error), "a request to the service projections failed");
        }
        Self::Unavailable("the database cannot be used at the moment".into())
    }
}

struct Answer {
    text: String,
    json: Value,
}

/// A request's body: a bare name, or JSON.
#[derive(Debug, Deserialize)]
struct Body {
    name: String,
    /// Whether a rebuild is answered only when it is done.
    #[serde(default)]
    wait: bool,
}

/// Serves until the shutdown.
pub(crate) async fn run(client: Client, workshop: Workshop, shutdown: Shutdown) {
    while !shutdown.has_begun() {
        match start(&client).await {
            Ok((service, requests)) => {
                serve(requests, &workshop, &shutdown).await;
                if let Err(error) = service.stop().await {
                    tracing::debug!(%error, "the service projections could not say goodbye");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the service projections could not be started, trying again");
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
        .description("where the read models stand, rebuild and verify")
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

async fn serve(requests: Requests, workshop: &Workshop, shutdown: &Shutdown) {
    let answering = requests.for_each_concurrent(ANSWERS_AT_ONCE, |(verb, request)| async move {
        let answered = answer(verb, &request, workshop).await;
        let response = match answered {
            Ok(answer) if wants_json(&request) => Ok(Bytes::from(answer.json.to_string())),
            Ok(answer) => Ok(Bytes::from(answer.text)),
            Err(refusal) => Err(ServiceError {
                status: one_line(&refusal.to_string()),
                code: refusal.code(),
            }),
        };
        if let Err(error) = request.respond(response).await {
            tracing::debug!(%error, "an answer of the service projections could not be sent");
        }
    });
    tokio::select! {
        () = shutdown.begun() => {}
        () = answering.boxed() => {}
    }
}

async fn answer(verb: Verb, request: &Request, workshop: &Workshop) -> Result<Answer, Refusal> {
    match verb {
        Verb::Ls => ls(workshop).await,
        Verb::Rebuild => {
            let body = body(request)?;
            rebuild(workshop, &body).await
        }
        Verb::Verify => verify(workshop, &body(request)?.name).await,
        Verb::Pause => {
            let name = body(request)?.name;
            let done = status::pause(&workshop.pool, &name).await?;
            changed(done, &name, "paused")
        }
        Verb::Resume => {
            let name = body(request)?.name;
            let done = status::resume(&workshop.pool, &name).await?;
            changed(done, &name, "resumed")
        }
    }
}

async fn ls(workshop: &Workshop) -> Result<Answer, Refusal> {
    let projections = status::list(&workshop.pool, &*workshop.store)
        .await
        .map_err(|error| match error {
            status::StatusError::Database(error) => error.into(),
            status::StatusError::Log(error) => Refusal::Unavailable(error.to_string()),
        })?;
    Ok(Answer {
        text: status::as_text(&projections),
        json: json!({ "data": projections }),
    })
}

async fn rebuild(workshop: &Workshop, body: &Body) -> Result<Answer, Refusal> {
    let rebuild = workshop.begin_rebuild(&body.name).await?;
    let name = &body.name;
    if body.wait {
        let rebuilt = rebuild.finish(|_| {}).await?;
        let text = format!(
            "{name} is rebuilt and live at position {}\n",
            rebuilt.position
        );
        return Ok(Answer {
            text,
            json: told(name, "rebuilt", Some(rebuilt.position.0)),
        });
    }
    let background = name.clone();
    tokio::spawn(async move {
        if let Err(error) = rebuild.finish(|_| {}).await {
            tracing::error!(projection = background, error = %Chain(&error), "the rebuild was given up; the live rows stay");
        }
    });
    let text = format!("rebuilding {name}; `projections.ls` shows how far it is\n");
    Ok(Answer {
        text,
        json: told(name, "rebuilding", None),
    })
}

async fn verify(workshop: &Workshop, name: &str) -> Result<Answer, Refusal> {
    let verified = workshop.verify(name, |_| {}).await?;
    let position = verified.position;
    let text = match &verified.difference {
        None => format!(
            "{name} is what the log says: {} rows at position {position}\n",
            verified.rows
        ),
        Some(difference) => {
            format!("{name} differs from the log at position {position}: {difference}\n")
        }
    };
    #[derive(Serialize)]
    struct Difference<'a> {
        table: &'a str,
        key: &'a str,
        column: Option<&'a str>,
        live: Option<&'a Value>,
        log: Option<&'a Value>,
    }
    let difference = verified.difference.as_ref().map(|d| Difference {
        table: &d.table,
        key: &d.key,
        column: d.column.as_deref(),
        live: d.live.as_ref(),
        log: d.log.as_ref(),
    });
    let json = json!({
        "name": name, "same": verified.is_same(), "position": position.0, "rows": verified.rows,
        "difference": difference,
    });
    Ok(Answer { text, json })
}

fn changed(done: bool, name: &str, what: &str) -> Result<Answer, Refusal> {
    if done {
        Ok(Answer {
            text: format!("{name} is {what}\n"),
            json: told(name, what, None),
        })
    } else {
        Err(Refusal::NotFound(name.to_owned()))
    }
}

fn told(name: &str, what: &str, position: Option<u64>) -> Value {
    json!({ "name": name, "result": what, "position": position })
}

fn body(request: &Request) -> Result<Body, Refusal> {
    let payload = &request.message.payload;
    if payload.len() > BODY_BYTES_MAX {
        return Err(Refusal::BadRequest(format!(
            "the request is longer than {BODY_BYTES_MAX} bytes"
        )));
    }
    let text = std::str::from_utf8(payload)
        .map_err(|_| Refusal::BadRequest("the request is not text".into()))?
        .trim();
    match text.chars().next() {
        None => Err(Refusal::BadRequest(
            "the request names no projection".into(),
        )),
        Some('{') => {
            serde_json::from_str(text).map_err(|error| Refusal::BadRequest(error.to_string()))
        }
        Some(_) => Ok(Body {
            name: text.to_owned(),
            wait: false,
        }),
    }
}

fn wants_json(request: &Request) -> bool {
    let headers = request.message.headers.as_ref();
    headers
        .and_then(|headers| headers.get("Accept"))
        .is_some_and(|accept| accept.as_str().contains("application/json"))
}

/// A header holds one line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

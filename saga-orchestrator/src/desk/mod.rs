//! The operators' desk: the NATS service `saga`. `nats req saga.list ''` and `nats req saga.show <order id>` answer
//! with text for people, and with JSON for the header `Accept: application/json`.

use std::sync::Arc;

use async_nats::Client;
use async_nats::service::error::Error as ServiceError;
use async_nats::service::{Request, Service, ServiceExt};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::runner::Context;
use crate::status::ascii;

mod list;
mod show;
mod text;

/// The service's name, and the first token of its subjects.
pub const SERVICE: &str = "saga";
/// Requests that are answered at once, for each endpoint.
const ANSWERS_AT_ONCE: usize = 16;
/// A body beyond this is no question to the desk.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Why a question has no answer; the code is the HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The question cannot be read.
    #[error("{0}")]
    BadRequest(String),
    /// There is no such saga.
    #[error("there is no saga of the order {0}")]
    NotFound(uuid::Uuid),
    /// Something is away; asking again later helps.
    #[error("{0}")]
    Unavailable(String),
}

impl Refusal {
    /// The HTTP status.
    pub const fn status(&self) -> usize {
        match self {
            Self::BadRequest(_) => 400,
            Self::NotFound(_) => 404,
            Self::Unavailable(_) => 503,
        }
    }
}

/// An answer in both forms.
pub(crate) struct Answer {
    text: String,
    json: Value,
}

impl Answer {
    fn new(text: String, json: &impl Serialize) -> Result<Self, Refusal> {
        let json =
            serde_json::to_value(json).map_err(|error| Refusal::Unavailable(error.to_string()))?;
        Ok(Self { text, json })
    }
}

/// What can be asked.
#[derive(Debug, Clone, Copy)]
enum Endpoint {
    List,
    Show,
}

/// Starts the service.
pub(crate) fn start(client: Client) -> BoxFuture<'static, Result<Desk, async_nats::Error>> {
    async move {
        let service = client
            .service_builder()
            .description("the operators' desk for sagas")
            .start(SERVICE, env!("CARGO_PKG_VERSION"))
            .await?;
        let group = service.group(SERVICE);
        let list = group.endpoint("list".to_owned()).await?.boxed();
        let show = group.endpoint("show".to_owned()).await?.boxed();
        Ok(Desk {
            service,
            endpoints: vec![(Endpoint::List, list), (Endpoint::Show, show)],
        })
    }
    .boxed()
}

/// The running service.
pub(crate) struct Desk {
    service: Service,
    endpoints: Vec<(Endpoint, BoxStream<'static, Request>)>,
}

impl Desk {
    /// Answers until the end.
    pub(crate) async fn run(self, context: Arc<Context>, shutdown: CancellationToken) {
        let mut answering = JoinSet::new();
        for (endpoint, requests) in self.endpoints {
            let context = Arc::clone(&context);
            answering.spawn(async move {
                requests
                    .for_each_concurrent(ANSWERS_AT_ONCE, |request| {
                        respond(Arc::clone(&context), endpoint, request)
                    })
                    .await;
            });
        }
        shutdown.cancelled().await;
        if let Err(error) = self.service.stop().await {
            tracing::debug!(%error, "the desk could not say goodbye");
        }
    }
}

async fn respond(context: Arc<Context>, endpoint: Endpoint, request: Request) {
    let answered = match (question(&request), endpoint) {
        (Ok(question), Endpoint::List) => list::answer(&context, &question).await,
        (Ok(question), Endpoint::Show) => show::answer(&context, &question).await,
        (Err(refusal), _) => Err(refusal),
    };
    let response = match answered {
        Ok(answer) if wants_json(&request) => ascii::to_line(&answer.json)
            .map(Bytes::from)
            .map_err(|error| ServiceError {
                status: error.to_string(),
                code: 500,
            }),
        Ok(answer) => Ok(Bytes::from(answer.text)),
        Err(refusal) => Err(ServiceError {
            status: ascii::plain_line(&refusal.to_string()),
            code: refusal.status(),
        }),
    };
    if let Err(error) = request.respond(response).await {
        tracing::debug!(%error, "an answer of the desk could not be sent");
    }
}

fn question(request: &Request) -> Result<String, Refusal> {
    let payload = &request.message.payload;
    if payload.len() > BODY_BYTES_MAX {
        return Err(Refusal::BadRequest(format!(
            "the request is longer than {BODY_BYTES_MAX} bytes"
        )));
    }
    let text = std::str::from_utf8(payload)
        .map_err(|_| Refusal::BadRequest("the request is not text".into()))?;
    Ok(text.trim().to_owned())
}

fn wants_json(request: &Request) -> bool {
    let headers = request.message.headers.as_ref();
    let accept = headers.and_then(|headers| headers.get("Accept"));
    accept.is_some_and(|accept| accept.as_str().contains("application/json"))
}

/// A field of a JSON body, or the first word of a plain one.
fn field(question: &str, name: &str) -> Result<Option<String>, Refusal> {
    if question.starts_with('{') {
        let body: Value = serde_json::from_str(question)
            .map_err(|error| Refusal::BadRequest(format!("the request is not JSON: {error}")))?;
        return match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Refusal::BadRequest(format!("{name} must be a text"))),
        };
    }
    Ok(question.split_whitespace().next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_plain_word_or_json() {
        assert_eq!(field("running", "status"), Ok(Some("running".into())));
        assert_eq!(field("", "status"), Ok(None));
        assert_eq!(
            field(r#"{"status":"running"}"#, "status"),
            Ok(Some("running".into()))
        );
        assert_eq!(field("{}", "status"), Ok(None));
        assert!(matches!(
            field(r#"{"status":3}"#, "status"),
            Err(Refusal::BadRequest(_))
        ));
        assert!(matches!(field("{", "status"), Err(Refusal::BadRequest(_))));
    }
}

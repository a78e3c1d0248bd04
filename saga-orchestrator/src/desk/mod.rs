//! The operators' desk: the NATS service `saga`.
//!
//! | Subject | Body | Answer |
//! |---|---|---|
//! | `saga.list` | a status, or nothing | a line for each saga, those that need a person first |
//! | `saga.show` | order id | one saga in full: steps, money, stock, what one may do |
//! | `saga.explain` | order id | the same in sentences |
//! | `saga.retry` `saga.skip` `saga.resolve` `saga.abort` `saga.close` | order id, step | what was done, or would be |
//!
//! Text for people, JSON for the header `Accept: application/json`. Errors are in the service error headers, their code
//! is the HTTP status, and `Waybill-Error-Code` is the stable word.

use std::sync::Arc;

use async_nats::service::{
    NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request, Service, ServiceExt,
};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use domain::fulfilment::OperatorVerb;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use serde::Serialize;
use serde_json::Value;
use service_kit::telemetry::traces::{self, TRACE_TARGET};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::runner::Context;
use crate::status::ascii;
use question::Question;
use refusal::Refusal;

mod command;
mod explain;
mod list;
mod question;
mod refusal;
mod show;
mod subject;
mod text;

/// The service's name, and the first token of its subjects.
pub const SERVICE: &str = "saga";
/// Requests that are answered at once, for each endpoint.
const ANSWERS_AT_ONCE: usize = 16;
const ERROR_CODE: &str = "Waybill-Error-Code";

/// An answer in both forms.
pub(crate) struct Answer {
    text: String,
    json: Value,
}

impl Answer {
    fn new(text: String, json: &impl Serialize) -> Result<Self, Refusal> {
        let json =
            serde_json::to_value(json).map_err(|error| Refusal::Unexpected(error.to_string()))?;
        Ok(Self { text, json })
    }
}

/// What can be asked.
#[derive(Debug, Clone, Copy)]
enum Endpoint {
    List,
    Show,
    Explain,
    Command(OperatorVerb),
}

const ENDPOINTS: [Endpoint; 8] = [
    Endpoint::List,
    Endpoint::Show,
    Endpoint::Explain,
    Endpoint::Command(OperatorVerb::Retry),
    Endpoint::Command(OperatorVerb::Skip),
    Endpoint::Command(OperatorVerb::Resolve),
    Endpoint::Command(OperatorVerb::Abort),
    Endpoint::Command(OperatorVerb::Close),
];

impl Endpoint {
    fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Show => "show",
            Self::Explain => "explain",
            Self::Command(verb) => verb.as_str(),
        }
    }
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
        let mut endpoints = Vec::with_capacity(ENDPOINTS.len());
        for endpoint in ENDPOINTS {
            let requests = group.endpoint(endpoint.name().to_owned()).await?.boxed();
            endpoints.push((endpoint, requests));
        }
        Ok(Desk { service, endpoints })
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
    let (payload, headers) = (&request.message.payload, request.message.headers.as_ref());
    let question = Question::read(payload, headers);
    let wants_json = question.as_ref().is_ok_and(|question| question.wants_json);
    let answered = match question {
        Ok(question) => {
            let span = asked(endpoint, headers);
            answer(&context, endpoint, &question).instrument(span).await
        }
        Err(refusal) => Err(refusal),
    };
    let (body, headers) = match answered {
        Ok(answer) => match body(answer, wants_json) {
            Ok(body) => (body, HeaderMap::new()),
            Err(refusal) => refused(&refusal, wants_json),
        },
        Err(refusal) => refused(&refusal, wants_json),
    };
    if let Err(error) = request.respond_with_headers(Ok(body), headers).await {
        tracing::debug!(%error, "an answer of the desk could not be sent");
    }
}

/// The span of a question, in the trace of whoever asks.
fn asked(endpoint: Endpoint, headers: Option<&HeaderMap>) -> Span {
    let span = tracing::info_span!(
        target: TRACE_TARGET, "desk", otel.name = format!("{SERVICE}.{}", endpoint.name()), otel.kind = "server",
        messaging.system = "nats",
    );
    let traceparent = headers.and_then(|headers| headers.get(traces::HEADER));
    traces::go_on(&span, traceparent.map(|value| value.as_str()));
    span
}

async fn answer(
    context: &Context,
    endpoint: Endpoint,
    question: &Question,
) -> Result<Answer, Refusal> {
    match endpoint {
        Endpoint::List => list::answer(context, question).await,
        Endpoint::Show => show::answer(context, question).await,
        Endpoint::Explain => explain::answer(context, question).await,
        Endpoint::Command(verb) => command::answer(context, verb, question).await,
    }
}

fn body(answer: Answer, wants_json: bool) -> Result<Bytes, Refusal> {
    match wants_json {
        false => Ok(Bytes::from(answer.text)),
        true => ascii::to_line(&answer.json)
            .map(Bytes::from)
            .map_err(|error| Refusal::Unexpected(error.to_string())),
    }
}

/// A refusal in the service error headers, and in the body for whoever does not see headers.
fn refused(refusal: &Refusal, wants_json: bool) -> (Bytes, HeaderMap) {
    let (status, code) = (refusal.status().to_string(), refusal.code());
    let said = ascii::plain_line(&format!("{code}: {refusal}"));
    let mut headers = HeaderMap::new();
    headers.insert(NATS_SERVICE_ERROR_CODE, status.as_str());
    headers.insert(NATS_SERVICE_ERROR, said.as_str());
    headers.insert(ERROR_CODE, code);
    let problem = serde_json::json!({
        "status": refusal.status(), "code": code, "detail": refusal.to_string(),
    });
    let body = match wants_json {
        true => ascii::to_line(&problem).unwrap_or(said),
        false => format!("{said}\n"),
    };
    (Bytes::from(body), headers)
}

//! Carries batches of spans to the collector. The exporter has a thread of its own, which knows no runtime; the exchange
//! happens on that of the process.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

/// How long one batch may take to arrive.
pub(super) const SEND_LIMIT: Duration = Duration::from_secs(5);
/// What a collector says to a batch is a sentence; more than this is not read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

impl Sender {
    pub(super) fn new(runtime: Handle) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(SEND_LIMIT)
            // A redirect would carry what is secret about the way to the collector elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, runtime })
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let exchange = converse(self.client.clone(), request);
        let ended = self.runtime.spawn(exchange).await?;
        let outcome = match &ended {
            Ok(answer) if answer.status().is_success() => "sent",
            Ok(_) => "refused",
            Err(_) => "failed",
        };
        metrics::counter!("waybill_trace_batches_total", "outcome" => outcome).increment(1);
        ended
    }
}

async fn converse(
    client: reqwest::Client,
    request: reqwest::Request,
) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request).await?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("the collector answers more than {ANSWER_BYTES_MAX} bytes").into());
        }
        body.extend_from_slice(&chunk);
    }
    *response.body_mut() = body.freeze();
    Ok(response)
}

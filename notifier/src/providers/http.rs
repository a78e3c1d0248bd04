//! One exchange with a provider's HTTP API: bounded in time and size, without redirects. What a status means is each
//! provider's own table; what silence means is the same everywhere.

use std::time::Duration;

use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

use crate::port::Outcome;

/// From connecting to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Servers keep idle connections for a minute and more; ours end before, so that a request never meets a closing one.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// An answer with more is not one of a provider's: a page of 100 text messages is under half of it.
const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// A provider that wants more than this is asked again by our own back-off.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);
/// A cause is a code, not a text.
const CAUSE_CHARS_MAX: usize = 48;

/// A provider's API at its base address.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
}

/// What the provider answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// No byte of ours has left.
    NotConnected,
    /// Nobody knows what was done.
    NoAnswer,
}

impl From<Silence> for Outcome {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::NotConnected => later("not_connected", None),
            Silence::NoAnswer => unknown("no_answer"),
        }
    }
}

impl Api {
    /// The API at this address, which has no slash at its end.
    pub(super) fn at(base: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            // A redirect would carry what we send, secrets included, elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(DEADLINE)
            .pool_idle_timeout(IDLE_MAX)
            .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            base: base.to_owned(),
        })
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<RequestBuilder> {
        let mut url = Url::parse(&format!("{}{path}", self.base)).ok()?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Some(self.client.get(url))
    }

    /// Sends a request and reads its answer.
    pub(super) async fn exchange(request: RequestBuilder) -> Result<Reply, Silence> {
        // The client's own time limit starts anew with some phases; ours is one for the whole exchange.
        match tokio::time::timeout(DEADLINE, converse(request)).await {
            Ok(ended) => ended,
            Err(_) => Err(Silence::NoAnswer),
        }
    }
}

async fn converse(request: RequestBuilder) -> Result<Reply, Silence> {
    let response = request.send().await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            Silence::NotConnected
        } else {
            Silence::NoAnswer
        }
    })?;
    let mut reply = Reply {
        status: response.status().as_u16(),
        retry_after: header(&response, &RETRY_AFTER)
            .and_then(|seconds| seconds.parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
        location: header(&response, &LOCATION),
        body: Vec::new(),
    };
    match body(response).await {
        Some(body) => reply.body = body,
        // The status alone decides for everything that is not a definite answer.
        None if reply.status < 500 => return Err(Silence::NoAnswer),
        None => {}
    }
    Ok(reply)
}

fn header(response: &Response, name: &reqwest::header::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.trim().to_owned())
}

async fn body(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body, if it is JSON of this shape.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// What a failing server means. An error in the provider's own words is its answer, and so is 503, by which nothing was
/// taken; any other 5xx comes from something in between, behind which the message may have been taken.
pub(super) fn of_failing(status: u16, own_words: bool, after: Option<Duration>) -> Outcome {
    if own_words || status == 503 {
        later(&format!("http_{status}"), after)
    } else {
        unknown(&format!("http_{status}"))
    }
}

pub(super) fn sent(provider_id: Option<String>) -> Outcome {
    Outcome::Sent { provider_id }
}

pub(super) fn rejected(cause: &str) -> Outcome {
    Outcome::Rejected {
        cause: code(cause),
        gone: false,
    }
}

pub(super) fn gone(cause: &str) -> Outcome {
    Outcome::Rejected {
        cause: code(cause),
        gone: true,
    }
}

pub(super) fn later(cause: &str, retry_after: Option<Duration>) -> Outcome {
    Outcome::Transient {
        cause: code(cause),
        retry_after,
    }
}

pub(super) fn unknown(cause: &str) -> Outcome {
    Outcome::Unknown { cause: code(cause) }
}

pub(super) fn key_in_use(cause: &str) -> Outcome {
    Outcome::KeyInUse { cause: code(cause) }
}

/// Causes are recorded for ever, so nothing but letters, digits and underscores of what a provider writes gets into them.
fn code(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .take(CAUSE_CHARS_MAX)
        .collect()
}

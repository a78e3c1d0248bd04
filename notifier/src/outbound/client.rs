//! The call itself.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use reqwest::redirect::Policy;
use tokio::time::{Instant, timeout_at};

use super::address::Nets;
use super::lookup::{Judging, Lookup, Reach, Refused, SystemLookup};
use super::target::{BadTarget, Target, TargetError};
use super::{Answer, Limits, OutboundError};

/// Connections are kept for a message that follows soon; a server's own patience is seldom shorter.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Of one host.
const IDLE_CONNECTIONS_MAX: usize = 4;
/// An answer with more has nothing to tell us.
const ANSWER_HEADERS_MAX: usize = 64;
/// The longest answer's headers, over HTTP/2.
const ANSWER_HEADER_BYTES_MAX: u32 = 16 * 1024;

/// Calls addresses that other people chose. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// To the internet and the allowed networks: https on ports of the web.
    outside: reqwest::Client,
    /// To the allowed networks and nowhere else: plain http, and ports of other services.
    inside: reqwest::Client,
    allowed: Nets,
    limits: Limits,
}

impl Outbound {
    /// With the system's resolver and the usual limits.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(allowed: Nets) -> Result<Self, OutboundError> {
        Self::with(allowed, Limits::default(), Arc::new(SystemLookup))
    }

    /// With another resolver and other limits.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn with(
        allowed: Nets,
        limits: Limits,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, OutboundError> {
        let client = |reach| {
            reqwest::Client::builder()
                .dns_resolver(Judging::new(Arc::clone(&lookup), allowed.clone(), reach))
                // A proxy would look names up itself, and a redirect lead elsewhere.
                .no_proxy()
                .redirect(Policy::none())
                .referer(false)
                .connect_timeout(limits.connect)
                .timeout(limits.whole)
                .pool_idle_timeout(IDLE_MAX)
                .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
                .http1_max_headers(ANSWER_HEADERS_MAX)
                .http2_max_header_list_size(ANSWER_HEADER_BYTES_MAX)
                .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(OutboundError::Client)
        };
        Ok(Self {
            outside: client(Reach::Anywhere)?,
            inside: client(Reach::Inside)?,
            allowed: allowed.clone(),
            limits,
        })
    }

    /// Posts a body. It is sent once: nothing is repeated by itself.
    ///
    /// # Errors
    /// When the address is not called, nobody is reached, or no answer begins in time. An answer that breaks off or does
    /// not end is an answer: its status counts.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, OutboundError> {
        let target = Target::parse(url, &self.allowed)?;
        let client = match target.inside_only() {
            None => &self.outside,
            Some(_) => &self.inside,
        };
        let until = Instant::now() + self.limits.whole;
        let response = client
            .request(Method::POST, target.url().clone())
            .headers(headers)
            .body(body)
            .send()
            .await
            .map_err(|error| told(error, &target))?;
        Ok(read(response, self.limits.answer_bytes, until).await)
    }
}

/// Reads an answer as far as it is wanted, and lets go of the connection if there is more.
async fn read(mut response: reqwest::Response, bytes_max: usize, until: Instant) -> Answer {
    let mut body = BytesMut::new();
    let whole = loop {
        match timeout_at(until, response.chunk()).await {
            Ok(Ok(None)) => break true,
            Ok(Ok(Some(chunk))) => {
                let room = bytes_max - body.len();
                if chunk.len() > room {
                    body.extend_from_slice(&chunk[..room]);
                    break false;
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Err(_)) | Err(_) => break false,
        }
    };
    Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body: body.freeze(),
        whole,
    }
}

/// What our resolver said lies at the bottom of what the client says.
fn told(error: reqwest::Error, target: &Target) -> OutboundError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        match at.downcast_ref::<Refused>() {
            Some(Refused::Address(not)) => return TargetError::Address(*not).into(),
            Some(Refused::Outside) => {
                let why = target.inside_only().unwrap_or(BadTarget::Plain);
                return TargetError::Form(why).into();
            }
            Some(Refused::Unknown) | None => cause = at.source(),
        }
    }
    // Addresses may hold what only their owner should know.
    let error = error.without_url();
    if error.is_connect() {
        OutboundError::Connect(error)
    } else if error.is_builder() {
        OutboundError::Client(error)
    } else {
        OutboundError::NoAnswer(error)
    }
}

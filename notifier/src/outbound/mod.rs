//! Calls to addresses that other people chose: a partner's webhook, a browser's push service.
//!
//! Whoever may name an address could name one of ours: the broker, the database, a cloud's metadata. So a call goes only
//! where the internet goes, by https, on a port that serves the web, unless the operator allows a network
//! (WAYBILL_WEBHOOK_ALLOW_NETS). A name is looked up once for each connection, what it answers is judged, and the
//! connection goes to what was judged, so that a name which changes its mind gains nothing. No redirect is followed, no
//! proxy is used, an answer is read up to a limit, and everything ends in time.

mod address;
mod client;
mod lookup;
mod target;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

pub use address::{Nets, NotPublic};
pub use client::Outbound;
pub use lookup::{Lookup, SystemLookup};
pub use target::{BadTarget, Target, TargetError};

/// Limits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Looking up, connecting and agreeing on a key.
    pub connect: Duration,
    /// The whole call, with the answer's body.
    pub whole: Duration,
    /// Of an answer's body as much is read; the rest is left.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            whole: Duration::from_secs(10),
            answer_bytes: 64 * 1024,
        }
    }
}

/// What the other side said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status; a redirect is an answer like every other one.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, up to the limit and up to where it broke off.
    pub body: Bytes,
    /// Whether that is all of it.
    pub whole: bool,
}

impl Answer {
    /// How long the other side asks to be left alone, by `Retry-After` in seconds or as a date.
    #[must_use]
    pub fn retry_after(&self, now: std::time::SystemTime) -> Option<Duration> {
        let text = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
        if let Ok(seconds) = text.trim().parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = httpdate::parse_http_date(text.trim()).ok()?;
        Some(until.duration_since(now).unwrap_or_default())
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address is never called: its form, or it leads to where nobody outside may send us. Nothing was sent.
    #[error("the address is not called: {0}")]
    Target(#[from] TargetError),
    /// Nobody could be reached: the name is unknown, no connection, no agreement on a key. Nothing was sent.
    #[error("no connection: {0}")]
    Connect(#[source] reqwest::Error),
    /// The message may have arrived: the connection broke or fell silent before there was an answer.
    #[error("no answer: {0}")]
    NoAnswer(#[source] reqwest::Error),
    /// The client itself could not be made or used.
    #[error("the client cannot be used")]
    Client(#[source] reqwest::Error),
}

impl OutboundError {
    /// Whether it is certain that the other side has received nothing.
    #[must_use]
    pub fn nothing_was_sent(&self) -> bool {
        !matches!(self, Self::NoAnswer(_))
    }

    /// A short name without anything of the address.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Target(TargetError::Form(_)) => "address_unusable",
            Self::Target(TargetError::Address(_)) => "address_not_public",
            Self::Connect(error) if error.is_timeout() => "connect_timed_out",
            Self::Connect(_) => "not_connected",
            Self::NoAnswer(error) if error.is_timeout() => "timed_out",
            Self::NoAnswer(_) => "connection_broken",
            Self::Client(_) => "client_failed",
        }
    }
}

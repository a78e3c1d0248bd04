//! One HTTP exchange with a Stripe-compatible server, and the only place that decides what a status or a broken
//! connection means. The key and the card token are never logged and never part of a fault's text.

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use service_kit::telemetry::traces::{self, TRACE_TARGET};
use tracing::Instrument;
use tracing::field::Empty;

use super::BuildError;
use super::wire::WireError;
use crate::provider::Fault;

/// Stripe's code for an id that it does not have.
pub(super) const RESOURCE_MISSING: &str = "resource_missing";
/// An answer beyond this is not one of Stripe's: a page of 100 payments is well under it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A server that wants more than this is asked again by our own back-off.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);
/// Longest pause that one answer can impose on everybody.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const TEXT_CHARS_MAX: usize = 300;
/// Pins the shapes that we read; without it every account has its own default.
const API_VERSION: &str = "2024-06-20";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");

#[derive(Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    base: Url,
    answer_deadline: Duration,
    /// Set by an answer that asks for a pause; until then nothing is sent, whosever order it is.
    pause_until: Mutex<Option<Instant>>,
}

/// A 2xx answer.
pub(super) struct Reply {
    body: Vec<u8>,
}

impl Reply {
    /// An answer that cannot be read says nothing about what was done.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| Fault::Unknown {
            detail: cut(&format!("the answer cannot be read: {error}")),
            reachable: true,
            after: None,
            replayed: false,
        })
    }
}

impl Transport {
    pub(super) fn new(
        base_url: &str,
        api_key: &SecretString,
        answer_deadline: Duration,
    ) -> Result<Self, BuildError> {
        let refused = || BuildError::BaseUrl {
            url: base_url.to_owned(),
        };
        let mut base = Url::parse(base_url).map_err(|_| refused())?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(refused());
        }
        base.set_query(None);
        base.set_fragment(None);

        let mut key = HeaderValue::from_str(&format!("Bearer {}", api_key.expose_secret()))
            .map_err(|_| BuildError::ApiKey)?;
        key.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, key),
            (STRIPE_VERSION, HeaderValue::from_static(API_VERSION)),
        ]);
        let client = reqwest::Client::builder()
            .default_headers(headers)
            // A redirect would send the key elsewhere, and turn a POST into a GET.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(answer_deadline))
            .timeout(answer_deadline)
            .user_agent(concat!("waybill/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(BuildError::Client)?;
        Ok(Self {
            client,
            base,
            answer_deadline,
            pause_until: Mutex::default(),
        })
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Reply, Fault> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.request(Method::GET, url);
        self.traced("GET", path, request).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        form: &[(String, String)],
        key: &str,
    ) -> Result<Reply, Fault> {
        let request = self
            .client
            .request(Method::POST, self.url(path))
            .header(IDEMPOTENCY_KEY, key)
            .form(form);
        self.traced("POST", path, request).await
    }

    /// One exchange as a span of what is being done, which the provider may go on with.
    async fn traced(
        &self,
        method: &'static str,
        path: &str,
        mut request: reqwest::RequestBuilder,
    ) -> Result<Reply, Fault> {
        let span = tracing::info_span!(
            target: TRACE_TARGET, "provider", otel.name = format!("{method} payment provider"), otel.kind = "client",
            otel.status_code = Empty, http.request.method = method, url.path = path,
            server.address = self.base.host_str(),
        );
        if let Some(traceparent) = span.in_scope(traces::traceparent) {
            request = request.header(traces::HEADER, traceparent);
        }
        let ended = self.exchange(request).instrument(span.clone()).await;
        if ended.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        ended
    }

    /// The base may have a path of its own, as behind a proxy.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let whole = format!("{}{path}", self.base.path().trim_end_matches('/'));
        url.set_path(&whole);
        url
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Reply, Fault> {
        if let Some(left) = self.pause_left() {
            let detail = format!("the provider asked for a pause, {left:?} of it are left");
            return Err(Fault::Later {
                detail,
                after: Some(left),
                reachable: true,
            });
        }
        // The client's own time limit starts anew with some phases; ours is one for the whole exchange.
        let ended = match tokio::time::timeout(self.answer_deadline, converse(request)).await {
            Ok(ended) => ended,
            Err(_) => Err(no_answer(self.answer_deadline)),
        };
        if let Err(Fault::Later {
            after: Some(after),
            reachable: true,
            ..
        }) = &ended
        {
            let until = Instant::now() + (*after).min(PAUSE_MAX);
            let mut pause = self
                .pause_until
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *pause = (*pause).max(Some(until));
        }
        ended
    }

    fn pause_left(&self) -> Option<Duration> {
        let until = *self
            .pause_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        until?
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
    }
}

async fn converse(request: reqwest::RequestBuilder) -> Result<Reply, Fault> {
    let response = request
        .send()
        .await
        .map_err(|error| of_connection(&error))?;
    let status = response.status();
    let after = retry_after(response.headers());
    let replayed = response
        .headers()
        .get(IDEMPOTENT_REPLAYED)
        .is_some_and(|value| value == "true");
    // The status alone decides for everything but a definite answer, so a cut-off error body changes nothing.
    let body = match body(response).await {
        Ok(body) => body,
        Err(fault) if status.is_success() || status.is_client_error() => return Err(fault),
        Err(_) => Vec::new(),
    };
    if status.is_success() {
        Ok(Reply { body })
    } else {
        Err(of_status(status, after, replayed, &body))
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| of_connection(&error))?
    {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Fault::Unknown {
                detail: format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"),
                reachable: true,
                after: None,
                replayed: false,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn no_answer(limit: Duration) -> Fault {
    Fault::Unknown {
        detail: format!("no answer within {limit:?}"),
        reachable: false,
        after: None,
        replayed: false,
    }
}

/// A connection that could not be made carried nothing; any other break says nothing about what was done.
fn of_connection(error: &reqwest::Error) -> Fault {
    // The URL could carry an id of ours but never the key; still, the reason alone is enough to read.
    let mut reason = None;
    let mut source = error.source();
    while let Some(inner) = source {
        reason = Some(inner.to_string());
        source = inner.source();
    }
    let reason = cut(&reason.unwrap_or_else(|| "the connection broke".into()));
    if error.is_connect() {
        Fault::Later {
            detail: format!("not connected: {reason}"),
            after: None,
            reachable: false,
        }
    } else if error.is_timeout() {
        Fault::Unknown {
            detail: "no answer in time".into(),
            reachable: false,
            after: None,
            replayed: false,
        }
    } else if error.is_builder() {
        Fault::Refused {
            code: "unusable_request".into(),
            message: reason,
        }
    } else {
        Fault::Unknown {
            detail: format!("the connection broke: {reason}"),
            reachable: false,
            after: None,
            replayed: false,
        }
    }
}

fn of_status(status: StatusCode, after: Option<Duration>, replayed: bool, body: &[u8]) -> Fault {
    let error = WireError::read(body);
    let kind = error.kind.as_deref().unwrap_or_default();
    let message = cut(error.message.as_deref().unwrap_or("no reason given"));
    let code = error
        .code
        .clone()
        .unwrap_or_else(|| status.as_u16().to_string());
    let unknown = |detail: String| Fault::Unknown {
        detail: cut(&detail),
        reachable: true,
        after,
        replayed,
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS => Fault::Later {
            detail: format!("{status}: {message}"),
            after,
            reachable: true,
        },
        // Another call under this key is being carried out, or was made with other parameters: either way this key
        // has been used, and the answer to what for is not here.
        StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT => {
            unknown(format!("{status}: {message}"))
        }
        _ if kind == "idempotency_error" => unknown(format!("{status}: {message}")),
        StatusCode::PAYMENT_REQUIRED => Fault::Refused {
            code: error.decline_code.unwrap_or(code),
            message,
        },
        _ if kind == "card_error" => Fault::Refused {
            code: error.decline_code.unwrap_or(code),
            message,
        },
        // Our key is wrong or lacks a right: the shop's to put right, not the customer's; nothing was done.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::Later {
            detail: format!("{status}: {message}"),
            after,
            reachable: true,
        },
        StatusCode::NOT_FOUND if error.kind.is_some() => Fault::WrongState {
            code: RESOURCE_MISSING.into(),
            message,
        },
        // A 404 that is not Stripe's own comes from something in between; nothing was done there.
        StatusCode::NOT_FOUND => Fault::Later {
            detail: format!("{status}: {message}"),
            after,
            reachable: true,
        },
        _ if status.is_client_error() && about_state(&code) => Fault::WrongState { code, message },
        _ if status.is_client_error() && error.kind.is_some() => Fault::Refused { code, message },
        // An error without Stripe's shape is not Stripe's answer.
        _ => Fault::Unknown {
            detail: cut(&format!("{status}: {message}")),
            // A failing server is an outage: it must not use up the patience for what is unknown.
            reachable: status.is_client_error(),
            after,
            replayed,
        },
    }
}

/// Codes that say "not in this state": the truth is read before anything is concluded.
fn about_state(code: &str) -> bool {
    code.ends_with("_unexpected_state")
        || code.starts_with("charge_already_")
        || matches!(
            code,
            "charge_expired_for_capture" | "refund_already_exists" | "intent_invalid_state"
        )
        || code == "checkout_session_not_open"
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(TEXT_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, body: &str) -> Fault {
        of_status(
            StatusCode::from_u16(status).unwrap(),
            Some(Duration::from_secs(7)),
            false,
            body.as_bytes(),
        )
    }

    #[test]
    fn a_declined_card_is_refused_with_its_decline_code() {
        let body = r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds","message":"No."}}"#;
        assert_eq!(
            fault(402, body),
            Fault::Refused {
                code: "insufficient_funds".into(),
                message: "No.".into()
            }
        );
    }

    #[test]
    fn too_many_requests_ask_again_when_the_provider_says_so() {
        let Fault::Later {
            after, reachable, ..
        } = fault(429, "{}")
        else {
            panic!("not later")
        };
        assert_eq!((after, reachable), (Some(Duration::from_secs(7)), true));
    }

    #[test]
    fn a_key_in_use_a_failing_server_and_nonsense_are_unknown_and_never_refused() {
        for (status, body) in [
            (
                409,
                r#"{"error":{"type":"idempotency_error","message":"in use"}}"#,
            ),
            (
                400,
                r#"{"error":{"type":"idempotency_error","message":"other parameters"}}"#,
            ),
            (500, r#"{"error":{"type":"api_error","message":"oops"}}"#),
            (502, "<html>bad gateway</html>"),
            (302, ""),
            (400, "<html>not Stripe</html>"),
        ] {
            assert!(
                matches!(fault(status, body), Fault::Unknown { .. }),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_wrong_state_is_looked_at_and_a_wrong_key_is_the_shops_to_put_right() {
        let body = r#"{"error":{"type":"invalid_request_error","code":"payment_intent_unexpected_state","message":"m"}}"#;
        assert!(matches!(fault(400, body), Fault::WrongState { .. }));
        let body = r#"{"error":{"type":"invalid_request_error","message":"Invalid API Key"}}"#;
        assert!(matches!(
            fault(401, body),
            Fault::Later {
                reachable: true,
                ..
            }
        ));
    }

    #[test]
    fn a_server_that_fails_does_not_count_as_reachable() {
        assert!(matches!(
            fault(503, ""),
            Fault::Unknown {
                reachable: false,
                ..
            }
        ));
    }
}

//! What a sandbox must be told: its key, where webhooks go, and how slow its slow cards are.

use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

/// A setting that should be a URL and is not.
#[derive(Debug, thiserror::Error)]
#[error("`{value}` is not an http(s) URL: {reason}")]
pub struct UrlError {
    value: String,
    reason: String,
}

/// Settings of one sandbox. [`Config::new`] fills the delays with values that fit Waybill's defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The secret key that callers present (`sk_…`).
    pub api_key: SecretString,
    /// Signs webhooks (`whsec_…`, used whole as the HMAC key, as Stripe does).
    pub webhook_secret: SecretString,
    /// Where webhooks are delivered; without it they stay in the outbox.
    pub webhook_url: Option<Url>,
    /// The types of events that somebody has subscribed to, as Stripe's `enabled_events`; none means all.
    pub webhook_events: Option<&'static [&'static str]>,
    /// The address under which customers reach the hosted pages.
    pub public_url: Url,
    /// How late `pm_waybill_slow` answers: beyond Waybill's answer deadline of 5 s.
    pub slow_delay: Duration,
    /// How long `pm_waybill_timeout` keeps the connection open before dropping it.
    pub timeout_hold: Duration,
    /// How far `search` lags behind the ledger.
    pub search_lag: Duration,
    /// How long a payment stays `processing` and a refund `pending`, for the cards that do so.
    pub settle_delay: Duration,
}

impl Config {
    /// The default settings with this key, secret and public address, and no webhook address.
    pub fn new(
        api_key: impl Into<SecretString>,
        webhook_secret: impl Into<SecretString>,
        public_url: &str,
    ) -> Result<Self, UrlError> {
        Ok(Self {
            api_key: api_key.into(),
            webhook_secret: webhook_secret.into(),
            webhook_url: None,
            webhook_events: None,
            public_url: parse_url(public_url)?,
            slow_delay: Duration::from_secs(8),
            timeout_hold: Duration::from_secs(60),
            search_lag: Duration::from_secs(2),
            settle_delay: Duration::from_secs(3),
        })
    }

    /// The same settings with only these types of events recorded and delivered.
    #[must_use]
    pub fn with_webhook_events(self, types: &'static [&'static str]) -> Self {
        Self {
            webhook_events: Some(types),
            ..self
        }
    }

    /// Whether anybody wants to hear of such an event.
    pub(crate) fn announces(&self, kind: &str) -> bool {
        self.webhook_events
            .is_none_or(|types| types.contains(&kind))
    }

    /// The same settings with webhooks delivered to `url`.
    pub fn with_webhook_url(mut self, url: &str) -> Result<Self, UrlError> {
        self.webhook_url = Some(parse_url(url)?);
        Ok(self)
    }

    /// An address on the sandbox's own pages.
    pub(crate) fn page_url(&self, path: &str) -> String {
        format!("{}/{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

fn parse_url(value: &str) -> Result<Url, UrlError> {
    let refuse = |reason: String| UrlError {
        value: value.to_owned(),
        reason,
    };
    let url = Url::parse(value).map_err(|error| refuse(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(format!("its scheme is `{}`", url.scheme())));
    }
    Ok(url)
}

//! The connection to NATS: waits for a server at the start, and never gives up afterwards.

use std::str::FromStr;
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use thiserror::Error;

use crate::settings::{MissingSetting, Settings};

/// How long a start waits for a server.
pub const STARTUP_WAIT: Duration = Duration::from_secs(60);
const STARTUP_RETRY_PERIOD: Duration = Duration::from_millis(500);
/// How often the log says that we are still waiting.
const STARTUP_REPORT_PERIOD: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// A request without an answer for this long has failed; nothing waits for ever.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent server is noticed after two of these.
const PING_PERIOD: Duration = Duration::from_secs(10);
const RECONNECT_FIRST_DELAY: Duration = Duration::from_millis(50);
const RECONNECT_MAX_DELAY: Duration = Duration::from_secs(2);

/// Why there is no connection to NATS.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// No server was named.
    #[error(transparent)]
    Setting(#[from] MissingSetting),
    /// A server's address is not one.
    #[error("the NATS address cannot be read: {0}")]
    Address(String),
    /// A server answered, and refused us for good.
    #[error("NATS at {servers} refuses the connection: {kind}")]
    Refused {
        /// The servers that were tried.
        servers: String,
        /// Why.
        kind: ConnectErrorKind,
    },
    /// No server came within the time a start waits.
    #[error("NATS at {servers} could not be reached within {} s: {kind}", STARTUP_WAIT.as_secs())]
    NotReached {
        /// The servers that were tried.
        servers: String,
        /// Why the last attempt failed.
        kind: ConnectErrorKind,
    },
}

/// Connects a role to the NATS servers of the settings, waiting up to a minute for one that is still starting.
/// Afterwards a lost connection is taken up again without end, with a growing and bounded delay.
///
/// `role` names the connection and its inbox (`_INBOX_<role>`), so that permissions can keep roles from reading each
/// other's answers.
///
/// # Errors
/// When no server is named, a server refuses us, or none comes in time.
pub async fn connect(settings: &Settings, role: &str) -> Result<Client, ConnectError> {
    let addresses = settings
        .nats_url()?
        .iter()
        .map(|url| {
            ServerAddr::from_str(url).map_err(|error| ConnectError::Address(error.to_string()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let servers = addresses
        .iter()
        .map(|address| format!("{}:{}", address.host(), address.port()))
        .collect::<Vec<_>>()
        .join(", ");
    let started = Instant::now();
    let mut reported = Duration::ZERO;
    loop {
        let attempt = options(settings, role, &addresses).connect(addresses.clone());
        let error = match attempt.await {
            Ok(client) => {
                tracing::info!(%servers, "connected to NATS");
                return Ok(client);
            }
            Err(error) => error,
        };
        let kind = error.kind();
        if is_final(kind) {
            return Err(ConnectError::Refused { servers, kind });
        }
        let waited = started.elapsed();
        if waited >= STARTUP_WAIT {
            return Err(ConnectError::NotReached { servers, kind });
        }
        if waited - reported >= STARTUP_REPORT_PERIOD || reported.is_zero() {
            reported = waited.max(Duration::from_nanos(1));
            tracing::info!(%servers, error = %kind, waited_s = waited.as_secs(), "waiting for NATS");
        }
        tokio::time::sleep(STARTUP_RETRY_PERIOD).await;
    }
}

/// The inbox prefix of a role, for permission files.
#[must_use]
pub fn inbox_prefix(role: &str) -> String {
    format!("_INBOX_{}", role.replace(['-', '.', ' '], "_"))
}

/// What waiting would not change.
fn is_final(kind: ConnectErrorKind) -> bool {
    matches!(
        kind,
        ConnectErrorKind::ServerParse
            | ConnectErrorKind::Authentication
            | ConnectErrorKind::AuthorizationViolation
            | ConnectErrorKind::Tls
    )
}

fn options(settings: &Settings, role: &str, addresses: &[ServerAddr]) -> ConnectOptions {
    with_credentials(ConnectOptions::new(), addresses)
        .name(format!("waybill {role} {}", settings.instance))
        .custom_inbox_prefix(inbox_prefix(role))
        .connection_timeout(CONNECTION_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .ping_interval(PING_PERIOD)
        .max_reconnects(None)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(|event| async move { log_event(&event) })
}

/// The client leaves the credentials of an address alone, so they are handed to it: those of the first address that has
/// any, for all servers, as they are one cluster. A user without a password is a token, as NATS writes it.
fn with_credentials(options: ConnectOptions, addresses: &[ServerAddr]) -> ConnectOptions {
    let found = addresses
        .iter()
        .find_map(|address| Some((address.username()?, address.password())));
    match found {
        Some((user, Some(password))) => {
            options.user_and_password(user.to_owned(), password.to_owned())
        }
        Some((token, None)) => options.token(token.to_owned()),
        None => options,
    }
}

/// Doubles from 50 ms to 2 s: a restart of the server is noticed soon, an outage is not hammered.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    RECONNECT_FIRST_DELAY
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(RECONNECT_MAX_DELAY)
}

fn log_event(event: &Event) {
    match event {
        Event::Connected => tracing::info!("NATS: connected"),
        Event::Disconnected => tracing::warn!("NATS: disconnected, connecting again"),
        Event::LameDuckMode => tracing::warn!("NATS: this server is going away, moving to another"),
        Event::Draining | Event::Closed => tracing::info!(%event, "NATS: closing"),
        Event::SlowConsumer(subscription) => {
            metrics::counter!("waybill_nats_slow_consumers_total").increment(1);
            tracing::warn!(
                subscription,
                "NATS: a subscription is too slow, messages were dropped"
            );
        }
        // Permission violations arrive here: they are mistakes in the server's configuration and never go away alone.
        Event::ServerError(error) => tracing::error!(%error, "NATS: the server reports an error"),
        Event::ClientError(error) => tracing::error!(%error, "NATS: the client reports an error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingsArgs;

    #[test]
    fn the_delay_before_connecting_again_grows_and_is_bounded() {
        assert_eq!(reconnect_delay(0), RECONNECT_FIRST_DELAY);
        assert_eq!(reconnect_delay(1), RECONNECT_FIRST_DELAY);
        assert_eq!(reconnect_delay(3), RECONNECT_FIRST_DELAY * 4);
        assert_eq!(reconnect_delay(usize::MAX), RECONNECT_MAX_DELAY);
    }

    #[test]
    fn a_roles_inbox_is_one_token_of_a_subject() {
        assert_eq!(inbox_prefix("command-api"), "_INBOX_command_api");
    }

    #[tokio::test]
    async fn without_a_server_named_the_missing_setting_is_named() {
        let settings = SettingsArgs::default().resolve().unwrap();
        let error = connect(&settings, "test").await.unwrap_err();
        assert!(error.to_string().contains("WAYBILL_NATS_URL"), "{error}");
    }
}

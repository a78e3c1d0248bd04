//! Every setting of Waybill, checked together: a start with three bad values names all three.

mod args;
mod messages;
mod reader;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

pub use args::SettingsArgs;
pub use messages::{FcmSettings, MailApiSettings, SmsSettings, WebPushSettings};
pub use values::{format_duration, parse_duration};

/// What stands in place of a secret wherever settings are shown.
const HIDDEN: &str = "(hidden)";

/// The settings of a process, all of them valid.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    /// Where everything is served as well, for gRPC clients that want an address of their own.
    pub grpc_addr: Option<SocketAddr>,
    /// The NATS servers, if some were named; `up` starts one otherwise.
    pub nats_url: Option<Vec<String>>,
    /// The Postgres database, if one was named; `up` starts one otherwise.
    pub database_url: Option<SecretString>,
    /// Where the servers that `up` starts keep their data.
    pub data_dir: PathBuf,
    /// The installation's signing key.
    pub signing_key_file: PathBuf,
    /// Where people's pictures are kept.
    pub avatars: AvatarPlace,
    /// How many replicas streams and buckets have.
    pub stream_replicas: usize,
    /// This replica's name in logs and ownership.
    pub instance: String,
    /// The first admin.
    pub first_admin: Option<FirstAdmin>,
    /// The address under which the world reaches us, without a slash at the end.
    pub public_url: String,
    /// How many proxies in front of us add to `X-Forwarded-For`.
    pub trusted_hops: usize,
    /// From where admins may act; `None` is everywhere.
    pub admin_nets: Option<Vec<IpNet>>,
    /// Whose pages may read our answers in a browser; `None` is nobody's but our own.
    pub cors_origins: Option<CorsOrigins>,
    /// Whether callers are limited in how much they ask.
    pub rate_limit: bool,
    /// Whether `up` runs a notifier.
    pub notifier: bool,
    /// An outside provider whose tokens are accepted too.
    pub oidc: Option<OidcSettings>,
    /// The mail server; without one mails are written to the log.
    pub smtp: Option<SmtpSettings>,
    /// Whom mails come from, by whatever way they leave.
    pub mail_from: String,
    /// An HTTP API for mail.
    pub mail_api: Option<MailApiSettings>,
    /// A service for text messages.
    pub sms: Option<SmsSettings>,
    /// Pushes to apps.
    pub fcm: Option<FcmSettings>,
    /// Pushes to browsers.
    pub webpush: Option<WebPushSettings>,
    /// Private networks that may be called although other people name the address, if something was said about them.
    pub webhook_allow_nets: Option<Vec<IpNet>>,
    /// A Stripe-compatible payment provider; without one the sandbox is used.
    pub payment: Option<PaymentSettings>,
    /// After this long without an answer a payment's outcome is unknown.
    pub payment_answer_deadline: Duration,
    /// How long an unknown outcome is asked about, while the provider can be reached, before an operator is needed.
    pub payment_unknown_budget: Duration,
    /// How long a hosted checkout may take.
    pub time_to_pay: Duration,
    /// How long stock is held.
    pub hold_expiry: Duration,
    /// How long a quote is good.
    pub quote_ttl: Duration,
    /// Where traces are sent; without it nothing is traced.
    pub traces: Option<TraceSettings>,
    /// The log filter.
    pub log: String,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// A fixed port for the NATS server that `up` starts.
    pub nats_port: Option<u16>,
    /// A fixed port for the Postgres that `up` starts.
    pub postgres_port: Option<u16>,
}

/// The account that exists before any other.
#[derive(Debug, Clone)]
pub struct FirstAdmin {
    /// His e-mail address.
    pub email: String,
    /// His password.
    pub password: SecretString,
}

/// Whose tokens are accepted besides our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// The issuer, exactly as its tokens name it.
    pub issuer: String,
    /// The audience that its tokens must be meant for.
    pub audience: String,
}

/// How mails leave.
#[derive(Debug, Clone)]
pub struct SmtpSettings {
    /// `smtp://` or `smtps://`, with user and password if the server wants them.
    pub url: SecretString,
    /// Whom mails come from.
    pub from: String,
}

/// How to reach a payment provider.
#[derive(Debug, Clone)]
pub struct PaymentSettings {
    /// The base address of its API, without a slash at the end.
    pub url: String,
    /// The secret key.
    pub key: SecretString,
    /// The secret that its callbacks are signed with.
    pub webhook_secret: SecretString,
}

/// Where traces are sent, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSettings {
    /// Base address of a collector that speaks OTLP as http/protobuf, without a slash at the end.
    pub endpoint: String,
    /// The share of traces begun here that is kept, from 0 to 1.
    pub share: f64,
}

/// Where people's pictures are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AvatarPlace {
    /// In this folder.
    Folder(PathBuf),
    /// In a bucket that speaks S3, as `s3://bucket/prefix`; region, endpoint and credentials come from the `AWS_*`
    /// variables.
    Bucket(String),
}

impl fmt::Display for AvatarPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "file://{}", folder.display()),
            Self::Bucket(url) => f.write_str(url),
        }
    }
}

/// Whose pages may read our answers in a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Everybody's.
    Any,
    /// Those of these origins, each written as browsers write it.
    These(Vec<String>),
}

impl fmt::Display for CorsOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::These(origins) => f.write_str(&origins.join(",")),
        }
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it, without the value if it is a secret.
    pub why: String,
}

/// All settings that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct InvalidSettings(pub Vec<InvalidSetting>);

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "1 setting cannot be used:")?,
            many => write!(f, "{many} settings cannot be used:")?,
        }
        for invalid in &self.0 {
            write!(f, "\n  {}: {}", invalid.name, invalid.why)?;
        }
        Ok(())
    }
}

/// A setting that this role cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} is not set; set it, or use `waybill up`, which starts the servers for you")]
pub struct MissingSetting(pub &'static str);

fn shown_nets(nets: &[IpNet]) -> String {
    let shown: Vec<_> = nets.iter().map(IpNet::to_string).collect();
    shown.join(",")
}

impl Settings {
    /// The NATS servers.
    ///
    /// # Errors
    /// When none were named.
    pub fn nats_url(&self) -> Result<&[String], MissingSetting> {
        self.nats_url
            .as_deref()
            .ok_or(MissingSetting("WAYBILL_NATS_URL"))
    }

    /// The Postgres database.
    ///
    /// # Errors
    /// When none was named.
    pub fn database_url(&self) -> Result<&SecretString, MissingSetting> {
        self.database_url
            .as_ref()
            .ok_or(MissingSetting("WAYBILL_DATABASE_URL"))
    }

    /// The settings in force, secrets hidden, in the order of the documentation.
    #[must_use]
    pub fn effective(&self) -> Vec<(&'static str, String)> {
        let text = |option: Option<String>| option.unwrap_or_else(|| "(not set)".to_owned());
        let hidden = |there: bool| if there { HIDDEN } else { "(not set)" }.to_owned();
        let payment = self.payment.as_ref();
        vec![
            ("WAYBILL_HTTP_ADDR", self.http_addr.to_string()),
            (
                "WAYBILL_GRPC_ADDR",
                self.grpc_addr.unwrap_or(self.http_addr).to_string(),
            ),
            (
                "WAYBILL_NATS_URL",
                text(self.nats_url.as_ref().map(|urls| {
                    let shown: Vec<_> = urls
                        .iter()
                        .map(|url| values::without_password(url))
                        .collect();
                    shown.join(",")
                })),
            ),
            (
                "WAYBILL_DATABASE_URL",
                text(
                    self.database_url
                        .as_ref()
                        .map(|url| values::without_password(url.expose_secret())),
                ),
            ),
            ("WAYBILL_DATA_DIR", self.data_dir.display().to_string()),
            (
                "WAYBILL_SIGNING_KEY_FILE",
                self.signing_key_file.display().to_string(),
            ),
            ("WAYBILL_AVATAR_URL", self.avatars.to_string()),
            ("WAYBILL_STREAM_REPLICAS", self.stream_replicas.to_string()),
            ("WAYBILL_INSTANCE", self.instance.clone()),
            (
                "WAYBILL_ADMIN_EMAIL",
                text(self.first_admin.as_ref().map(|admin| admin.email.clone())),
            ),
            ("WAYBILL_ADMIN_PASSWORD", hidden(self.first_admin.is_some())),
            ("WAYBILL_PUBLIC_URL", self.public_url.clone()),
            ("WAYBILL_TRUSTED_HOPS", self.trusted_hops.to_string()),
            (
                "WAYBILL_ADMIN_NETS",
                self.admin_nets
                    .as_ref()
                    .map_or_else(|| "all".to_owned(), |nets| shown_nets(nets)),
            ),
            (
                "WAYBILL_CORS_ORIGINS",
                text(self.cors_origins.as_ref().map(CorsOrigins::to_string)),
            ),
            (
                "WAYBILL_RATE_LIMIT",
                if self.rate_limit { "on" } else { "off" }.to_owned(),
            ),
            (
                "WAYBILL_NOTIFIER",
                if self.notifier { "on" } else { "off" }.to_owned(),
            ),
            (
                "WAYBILL_OIDC_ISSUER",
                text(self.oidc.as_ref().map(|oidc| oidc.issuer.clone())),
            ),
            (
                "WAYBILL_OIDC_AUDIENCE",
                text(self.oidc.as_ref().map(|oidc| oidc.audience.clone())),
            ),
            (
                "WAYBILL_SMTP_URL",
                self.smtp.as_ref().map_or_else(
                    || "(written to the log)".to_owned(),
                    |smtp| values::without_password(smtp.url.expose_secret()),
                ),
            ),
            ("WAYBILL_SMTP_FROM", self.mail_from.clone()),
            ("WAYBILL_MAIL_API_KEY", hidden(self.mail_api.is_some())),
            (
                "WAYBILL_MAIL_API_URL",
                text(self.mail_api.as_ref().map(|api| api.url.clone())),
            ),
            (
                "WAYBILL_SMS_ACCOUNT",
                text(self.sms.as_ref().map(|sms| sms.account.clone())),
            ),
            ("WAYBILL_SMS_TOKEN", hidden(self.sms.is_some())),
            (
                "WAYBILL_SMS_FROM",
                text(self.sms.as_ref().map(|sms| sms.from.clone())),
            ),
            (
                "WAYBILL_SMS_URL",
                text(self.sms.as_ref().map(|sms| sms.url.clone())),
            ),
            (
                "WAYBILL_FCM_CREDENTIALS_FILE",
                text(
                    self.fcm
                        .as_ref()
                        .map(|fcm| format!("(of {})", fcm.client_email)),
                ),
            ),
            (
                "WAYBILL_FCM_URL",
                text(self.fcm.as_ref().map(|fcm| fcm.url.clone())),
            ),
            ("WAYBILL_WEBPUSH_KEY_FILE", hidden(self.webpush.is_some())),
            (
                "WAYBILL_WEBPUSH_SUBJECT",
                text(self.webpush.as_ref().map(|push| push.subject.clone())),
            ),
            (
                "WAYBILL_WEBHOOK_ALLOW_NETS",
                match self.webhook_allow_nets.as_deref().unwrap_or_default() {
                    [] => "none".to_owned(),
                    nets => shown_nets(nets),
                },
            ),
            (
                "WAYBILL_PAYMENT_URL",
                payment.map_or_else(|| "(the sandbox)".to_owned(), |payment| payment.url.clone()),
            ),
            ("WAYBILL_PAYMENT_KEY", hidden(payment.is_some())),
            ("WAYBILL_PAYMENT_WEBHOOK_SECRET", hidden(payment.is_some())),
            (
                "WAYBILL_PAYMENT_ANSWER_DEADLINE",
                format_duration(self.payment_answer_deadline),
            ),
            (
                "WAYBILL_PAYMENT_UNKNOWN_BUDGET",
                format_duration(self.payment_unknown_budget),
            ),
            ("WAYBILL_TIME_TO_PAY", format_duration(self.time_to_pay)),
            ("WAYBILL_HOLD_EXPIRY", format_duration(self.hold_expiry)),
            ("WAYBILL_QUOTE_TTL", format_duration(self.quote_ttl)),
            (
                "WAYBILL_OTLP_ENDPOINT",
                text(self.traces.as_ref().map(|traces| traces.endpoint.clone())),
            ),
            (
                "WAYBILL_TRACE_SHARE",
                text(self.traces.as_ref().map(|traces| traces.share.to_string())),
            ),
            ("WAYBILL_LOG", self.log.clone()),
            (
                "WAYBILL_LOG_FORMAT",
                match self.log_format {
                    LogFormat::Pretty => "pretty",
                    LogFormat::Json => "json",
                }
                .to_owned(),
            ),
            (
                "WAYBILL_NATS_PORT",
                text(self.nats_port.map(|port| port.to_string())),
            ),
            (
                "WAYBILL_POSTGRES_PORT",
                text(self.postgres_port.map(|port| port.to_string())),
            ),
        ]
    }

    /// Writes the settings in force to the log, on one line.
    pub fn log_effective(&self) {
        let shown: Vec<_> = self
            .effective()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        tracing::info!(settings = %shown.join(" "), "settings in force");
    }
}

//! The settings as people write them: options and WAYBILL_* variables, turned into `Settings` all at once.

use std::fmt;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::EnvFilter;

use super::reader::Reader;
use super::values::{
    default_instance, parse_allowed_nets, parse_avatar_place, parse_http_url, parse_instance,
    parse_nets, parse_origins, parse_share, parse_switch,
};
use super::{
    AvatarPlace, FirstAdmin, InvalidSettings, LogFormat, OidcSettings, PaymentSettings, Settings,
    SmtpSettings, TraceSettings,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// JetStream's own limit.
const MAX_STREAM_REPLICAS: usize = 5;
/// More proxies in a row than this is a mistake in the setting.
const MAX_TRUSTED_HOPS: usize = 16;

/// All settings as options and environment variables. They are plain text here, because the command-line parser would
/// stop at the first bad value; [`SettingsArgs::resolve`] reads them and names every bad one.
#[derive(Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// Where HTTP is served [default: 127.0.0.1:8080].
    #[arg(long, env = "WAYBILL_HTTP_ADDR", value_name = "IP:PORT", global = true)]
    pub http_addr: Option<String>,
    /// Where gRPC is served as well [default: where HTTP is].
    #[arg(
        long,
        env = "WAYBILL_GRPC_ADDR",
        value_name = "HOST:PORT",
        global = true
    )]
    pub grpc_addr: Option<String>,
    /// The NATS servers, separated by commas [default: `up` starts one].
    #[arg(
        long,
        env = "WAYBILL_NATS_URL",
        value_name = "URL,…",
        global = true,
        hide_env_values = true
    )]
    pub nats_url: Option<String>,
    /// A file that holds WAYBILL_NATS_URL.
    #[arg(
        long,
        env = "WAYBILL_NATS_URL_FILE",
        value_name = "FILE",
        global = true
    )]
    pub nats_url_file: Option<PathBuf>,
    /// The Postgres database [default: `up` starts one].
    #[arg(
        long,
        env = "WAYBILL_DATABASE_URL",
        value_name = "URL",
        global = true,
        hide_env_values = true
    )]
    pub database_url: Option<String>,
    /// A file that holds WAYBILL_DATABASE_URL.
    #[arg(
        long,
        env = "WAYBILL_DATABASE_URL_FILE",
        value_name = "FILE",
        global = true
    )]
    pub database_url_file: Option<PathBuf>,
    /// Where the servers that `up` starts keep their data [default: .waybill].
    #[arg(long, env = "WAYBILL_DATA_DIR", value_name = "FOLDER", global = true)]
    pub data_dir: Option<PathBuf>,
    /// The installation's signing key, made when there is none [default: signing.key in the data folder].
    #[arg(
        long,
        env = "WAYBILL_SIGNING_KEY_FILE",
        value_name = "FILE",
        global = true
    )]
    pub signing_key_file: Option<PathBuf>,
    /// Where people's pictures are kept: file:///folder or s3://bucket/prefix, the latter with the AWS_* variables
    /// [default: avatars in the data folder].
    #[arg(long, env = "WAYBILL_AVATAR_URL", value_name = "URL", global = true)]
    pub avatar_url: Option<String>,
    /// Replicas of streams and buckets [default: 1].
    #[arg(
        long,
        env = "WAYBILL_STREAM_REPLICAS",
        value_name = "1|3|5",
        global = true
    )]
    pub stream_replicas: Option<String>,
    /// This replica's name in logs and ownership [default: host-pid].
    #[arg(long, env = "WAYBILL_INSTANCE", value_name = "NAME", global = true)]
    pub instance: Option<String>,
    /// E-mail address of the first admin.
    #[arg(long, env = "WAYBILL_ADMIN_EMAIL", value_name = "EMAIL", global = true)]
    pub admin_email: Option<String>,
    /// Password of the first admin.
    #[arg(
        long,
        env = "WAYBILL_ADMIN_PASSWORD",
        value_name = "PASSWORD",
        global = true,
        hide_env_values = true
    )]
    pub admin_password: Option<String>,
    /// A file that holds WAYBILL_ADMIN_PASSWORD.
    #[arg(
        long,
        env = "WAYBILL_ADMIN_PASSWORD_FILE",
        value_name = "FILE",
        global = true
    )]
    pub admin_password_file: Option<PathBuf>,
    /// The address under which the world reaches us [default: http://<http-addr>].
    #[arg(long, env = "WAYBILL_PUBLIC_URL", value_name = "URL", global = true)]
    pub public_url: Option<String>,
    /// How many proxies in front of us add to X-Forwarded-For [default: 0].
    #[arg(long, env = "WAYBILL_TRUSTED_HOPS", value_name = "N", global = true)]
    pub trusted_hops: Option<String>,
    /// Networks from which admins may act, separated by commas [default: all].
    #[arg(
        long,
        env = "WAYBILL_ADMIN_NETS",
        value_name = "CIDR,…|all",
        global = true
    )]
    pub admin_nets: Option<String>,
    /// Origins whose pages may use the API from a browser, separated by commas [default: none].
    #[arg(
        long,
        env = "WAYBILL_CORS_ORIGINS",
        value_name = "ORIGIN,…|*",
        global = true
    )]
    pub cors_origins: Option<String>,
    /// Whether callers are limited in how much they ask [default: on].
    #[arg(long, env = "WAYBILL_RATE_LIMIT", value_name = "on|off", global = true)]
    pub rate_limit: Option<String>,
    /// Whether `up` tells people outside of the shop what happened; inboxes are kept all the same [default: on].
    #[arg(long, env = "WAYBILL_NOTIFIER", value_name = "on|off", global = true)]
    pub notifier: Option<String>,
    /// Issuer of an OpenID Connect provider whose tokens are accepted too [default: none].
    #[arg(long, env = "WAYBILL_OIDC_ISSUER", value_name = "URL", global = true)]
    pub oidc_issuer: Option<String>,
    /// Audience that the provider's tokens must be meant for.
    #[arg(
        long,
        env = "WAYBILL_OIDC_AUDIENCE",
        value_name = "NAME",
        global = true
    )]
    pub oidc_audience: Option<String>,
    /// The mail server, smtp://user:password@host:port or smtps://… [default: mails are written to the log].
    #[arg(
        long,
        env = "WAYBILL_SMTP_URL",
        value_name = "URL",
        global = true,
        hide_env_values = true
    )]
    pub smtp_url: Option<String>,
    /// A file that holds WAYBILL_SMTP_URL.
    #[arg(
        long,
        env = "WAYBILL_SMTP_URL_FILE",
        value_name = "FILE",
        global = true
    )]
    pub smtp_url_file: Option<PathBuf>,
    /// Whom mails come from [default: Waybill <no-reply@host of the public address>].
    #[arg(long, env = "WAYBILL_SMTP_FROM", value_name = "ADDRESS", global = true)]
    pub smtp_from: Option<String>,
    /// Key of an HTTP API for mail that speaks as Resend's does [default: none]. Its sender is WAYBILL_SMTP_FROM.
    #[arg(
        long,
        env = "WAYBILL_MAIL_API_KEY",
        value_name = "KEY",
        global = true,
        hide_env_values = true
    )]
    pub mail_api_key: Option<String>,
    /// A file that holds WAYBILL_MAIL_API_KEY.
    #[arg(
        long,
        env = "WAYBILL_MAIL_API_KEY_FILE",
        value_name = "FILE",
        global = true
    )]
    pub mail_api_key_file: Option<PathBuf>,
    /// Base address of that API [default: https://api.resend.com].
    #[arg(long, env = "WAYBILL_MAIL_API_URL", value_name = "URL", global = true)]
    pub mail_api_url: Option<String>,
    /// Account (AC…) at a service for text messages that speaks as Twilio's does [default: they are written to the log].
    #[arg(long, env = "WAYBILL_SMS_ACCOUNT", value_name = "SID", global = true)]
    pub sms_account: Option<String>,
    /// The account's token.
    #[arg(
        long,
        env = "WAYBILL_SMS_TOKEN",
        value_name = "TOKEN",
        global = true,
        hide_env_values = true
    )]
    pub sms_token: Option<String>,
    /// A file that holds WAYBILL_SMS_TOKEN.
    #[arg(
        long,
        env = "WAYBILL_SMS_TOKEN_FILE",
        value_name = "FILE",
        global = true
    )]
    pub sms_token_file: Option<PathBuf>,
    /// Whom text messages come from: a number (+1555…), a name, or a messaging service (MG…).
    #[arg(long, env = "WAYBILL_SMS_FROM", value_name = "NUMBER", global = true)]
    pub sms_from: Option<String>,
    /// Base address of that service [default: https://api.twilio.com].
    #[arg(long, env = "WAYBILL_SMS_URL", value_name = "URL", global = true)]
    pub sms_url: Option<String>,
    /// Key file of a service account that may send by Firebase Cloud Messaging [default: no pushes to apps].
    #[arg(
        long,
        env = "WAYBILL_FCM_CREDENTIALS_FILE",
        value_name = "FILE",
        global = true
    )]
    pub fcm_credentials_file: Option<PathBuf>,
    /// Base address of Firebase Cloud Messaging [default: https://fcm.googleapis.com].
    #[arg(long, env = "WAYBILL_FCM_URL", value_name = "URL", global = true)]
    pub fcm_url: Option<String>,
    /// Private key (P-256) that pushes to browsers are signed with; `waybill notifications push-key` makes one and prints
    /// its public half [default: no pushes to browsers].
    #[arg(
        long,
        env = "WAYBILL_WEBPUSH_KEY_FILE",
        value_name = "FILE",
        global = true
    )]
    pub webpush_key_file: Option<PathBuf>,
    /// Whom a push service tells when our pushes make trouble: mailto:… or https://….
    #[arg(
        long,
        env = "WAYBILL_WEBPUSH_SUBJECT",
        value_name = "URL",
        global = true
    )]
    pub webpush_subject: Option<String>,
    /// Private networks that partners' webhooks and browsers' push services may be in, separated by commas
    /// [default: none; `up`: 127.0.0.0/8].
    #[arg(
        long,
        env = "WAYBILL_WEBHOOK_ALLOW_NETS",
        value_name = "CIDR,…|none",
        global = true
    )]
    pub webhook_allow_nets: Option<String>,
    /// Base address of a Stripe-compatible API [default: the sandbox].
    #[arg(long, env = "WAYBILL_PAYMENT_URL", value_name = "URL", global = true)]
    pub payment_url: Option<String>,
    /// Secret key of the payment provider.
    #[arg(
        long,
        env = "WAYBILL_PAYMENT_KEY",
        value_name = "KEY",
        global = true,
        hide_env_values = true
    )]
    pub payment_key: Option<String>,
    /// A file that holds WAYBILL_PAYMENT_KEY.
    #[arg(
        long,
        env = "WAYBILL_PAYMENT_KEY_FILE",
        value_name = "FILE",
        global = true
    )]
    pub payment_key_file: Option<PathBuf>,
    /// Secret that the payment provider's callbacks are signed with (whsec_…).
    #[arg(
        long,
        env = "WAYBILL_PAYMENT_WEBHOOK_SECRET",
        value_name = "SECRET",
        global = true,
        hide_env_values = true
    )]
    pub payment_webhook_secret: Option<String>,
    /// A file that holds WAYBILL_PAYMENT_WEBHOOK_SECRET.
    #[arg(
        long,
        env = "WAYBILL_PAYMENT_WEBHOOK_SECRET_FILE",
        value_name = "FILE",
        global = true
    )]
    pub payment_webhook_secret_file: Option<PathBuf>,
    /// After this long without an answer a payment's outcome is unknown [default: 5s].
    #[arg(
        long,
        env = "WAYBILL_PAYMENT_ANSWER_DEADLINE",
        value_name = "DURATION",
        global = true
    )]
    pub payment_answer_deadline: Option<String>,
    /// How long an unknown outcome is asked about before an operator is needed [default: 15m].
    #[arg(
        long,
        env = "WAYBILL_PAYMENT_UNKNOWN_BUDGET",
        value_name = "DURATION",
        global = true
    )]
    pub payment_unknown_budget: Option<String>,
    /// How long a hosted checkout may take [default: 15m].
    #[arg(
        long,
        env = "WAYBILL_TIME_TO_PAY",
        value_name = "DURATION",
        global = true
    )]
    pub time_to_pay: Option<String>,
    /// How long stock is held [default: 20m].
    #[arg(
        long,
        env = "WAYBILL_HOLD_EXPIRY",
        value_name = "DURATION",
        global = true
    )]
    pub hold_expiry: Option<String>,
    /// How long a quote is good [default: 10m].
    #[arg(
        long,
        env = "WAYBILL_QUOTE_TTL",
        value_name = "DURATION",
        global = true
    )]
    pub quote_ttl: Option<String>,
    /// A collector that traces are sent to as OTLP over HTTP, such as http://otel:4318 [default: nothing is traced].
    #[arg(long, env = "WAYBILL_OTLP_ENDPOINT", value_name = "URL", global = true)]
    pub otlp_endpoint: Option<String>,
    /// The share of traces that is kept, from 0 to 1; who calls with a traceparent decides for himself [default: 1].
    #[arg(long, env = "WAYBILL_TRACE_SHARE", value_name = "SHARE", global = true)]
    pub trace_share: Option<String>,
    /// What is logged, for example `info` or `warn,projector=debug` [default: info].
    #[arg(long, env = "WAYBILL_LOG", value_name = "FILTER", global = true)]
    pub log: Option<String>,
    /// The form of log lines [default: pretty on a terminal, else json].
    #[arg(
        long,
        env = "WAYBILL_LOG_FORMAT",
        value_name = "pretty|json",
        global = true
    )]
    pub log_format: Option<String>,
    /// A fixed port for the NATS server that `up` starts [default: a free one].
    #[arg(long, env = "WAYBILL_NATS_PORT", value_name = "PORT", global = true)]
    pub nats_port: Option<String>,
    /// A fixed port for the Postgres that `up` starts [default: a free one].
    #[arg(
        long,
        env = "WAYBILL_POSTGRES_PORT",
        value_name = "PORT",
        global = true
    )]
    pub postgres_port: Option<String>,
}

/// Shows nothing: some of the values are secrets, and commands that embed these options derive `Debug`.
impl fmt::Debug for SettingsArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettingsArgs(hidden)")
    }
}

impl SettingsArgs {
    /// Reads all settings.
    ///
    /// # Errors
    /// Names every setting that cannot be used, not only the first.
    pub fn resolve(&self) -> Result<Settings, InvalidSettings> {
        let mut reader = Reader::default();
        let settings = self.read(&mut reader);
        if reader.invalid.is_empty() {
            Ok(settings)
        } else {
            Err(InvalidSettings(reader.invalid))
        }
    }

    fn read(&self, reader: &mut Reader) -> Settings {
        let http_addr = reader.value(
            "WAYBILL_HTTP_ADDR",
            self.http_addr.as_deref(),
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            parse_addr,
        );
        let grpc_addr = reader.optional("WAYBILL_GRPC_ADDR", self.grpc_addr.as_deref(), parse_addr);
        let data_dir = path(self.data_dir.as_deref(), || PathBuf::from(".waybill"));
        let signing_key_file = path(self.signing_key_file.as_deref(), || {
            data_dir.join("signing.key")
        });
        let avatars = reader.value(
            "WAYBILL_AVATAR_URL",
            self.avatar_url.as_deref(),
            AvatarPlace::Folder(data_dir.join("avatars")),
            parse_avatar_place,
        );
        let time_to_pay = reader.duration(
            "WAYBILL_TIME_TO_PAY",
            self.time_to_pay.as_deref(),
            15 * MINUTE,
        );
        let hold_expiry = reader.duration(
            "WAYBILL_HOLD_EXPIRY",
            self.hold_expiry.as_deref(),
            20 * MINUTE,
        );
        if hold_expiry < time_to_pay {
            reader.refuse(
                "WAYBILL_HOLD_EXPIRY",
                "is shorter than WAYBILL_TIME_TO_PAY, so stock would be given away while its buyer still pays",
            );
        }
        let public_url = reader.value(
            "WAYBILL_PUBLIC_URL",
            self.public_url.as_deref(),
            format!("http://{http_addr}"),
            parse_http_url,
        );
        let mail_from = self.mail_from(reader, &public_url);
        Settings {
            http_addr,
            grpc_addr,
            nats_url: self.nats_servers(reader),
            database_url: self.database(reader),
            data_dir,
            signing_key_file,
            avatars,
            stream_replicas: reader.value(
                "WAYBILL_STREAM_REPLICAS",
                self.stream_replicas.as_deref(),
                1,
                |text| parse_number(text, 1, MAX_STREAM_REPLICAS),
            ),
            instance: reader
                .optional("WAYBILL_INSTANCE", self.instance.as_deref(), parse_instance)
                .unwrap_or_else(default_instance),
            first_admin: self.first_admin(reader),
            oidc: self.oidc(reader),
            smtp: self.smtp(reader, &mail_from),
            mail_api: self.mail_api(reader),
            mail_from,
            sms: self.sms(reader),
            fcm: self.fcm(reader),
            webpush: self.webpush(reader),
            webhook_allow_nets: reader.optional(
                "WAYBILL_WEBHOOK_ALLOW_NETS",
                self.webhook_allow_nets.as_deref(),
                parse_allowed_nets,
            ),
            public_url,
            trusted_hops: reader.value(
                "WAYBILL_TRUSTED_HOPS",
                self.trusted_hops.as_deref(),
                0,
                |text| parse_number(text, 0, MAX_TRUSTED_HOPS),
            ),
            admin_nets: reader.value(
                "WAYBILL_ADMIN_NETS",
                self.admin_nets.as_deref(),
                None,
                parse_nets,
            ),
            cors_origins: reader.optional(
                "WAYBILL_CORS_ORIGINS",
                self.cors_origins.as_deref(),
                parse_origins,
            ),
            rate_limit: reader.value(
                "WAYBILL_RATE_LIMIT",
                self.rate_limit.as_deref(),
                true,
                parse_switch,
            ),
            notifier: reader.value(
                "WAYBILL_NOTIFIER",
                self.notifier.as_deref(),
                true,
                parse_switch,
            ),
            payment: self.payment(reader),
            payment_answer_deadline: reader.duration(
                "WAYBILL_PAYMENT_ANSWER_DEADLINE",
                self.payment_answer_deadline.as_deref(),
                5 * SECOND,
            ),
            payment_unknown_budget: reader.duration(
                "WAYBILL_PAYMENT_UNKNOWN_BUDGET",
                self.payment_unknown_budget.as_deref(),
                15 * MINUTE,
            ),
            time_to_pay,
            hold_expiry,
            quote_ttl: reader.duration("WAYBILL_QUOTE_TTL", self.quote_ttl.as_deref(), 10 * MINUTE),
            traces: self.traces(reader),
            log: reader.value(
                "WAYBILL_LOG",
                self.log.as_deref(),
                "info".to_owned(),
                |text| {
                    EnvFilter::try_new(text)
                        .map(|_| text.to_owned())
                        .map_err(|error| format!("`{text}` is not a log filter: {error}"))
                },
            ),
            log_format: reader.value(
                "WAYBILL_LOG_FORMAT",
                self.log_format.as_deref(),
                default_log_format(),
                |text| match text {
                    "pretty" => Ok(LogFormat::Pretty),
                    "json" => Ok(LogFormat::Json),
                    other => Err(format!("`{other}` is neither `pretty` nor `json`")),
                },
            ),
            nats_port: reader.optional("WAYBILL_NATS_PORT", self.nats_port.as_deref(), parse_port),
            postgres_port: reader.optional(
                "WAYBILL_POSTGRES_PORT",
                self.postgres_port.as_deref(),
                parse_port,
            ),
        }
    }

    fn nats_servers(&self, reader: &mut Reader) -> Option<Vec<String>> {
        let text = reader.secret(
            "WAYBILL_NATS_URL",
            self.nats_url.as_deref(),
            self.nats_url_file.as_deref(),
        )?;
        let urls: Vec<String> = text
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
            .map(str::to_owned)
            .collect();
        let bad = urls
            .iter()
            .filter(|url| async_nats::ServerAddr::from_str(url).is_err())
            .count();
        if bad > 0 || urls.is_empty() {
            reader.refuse(
                "WAYBILL_NATS_URL",
                format!(
                    "{} of {} servers is not of the form nats://host:port",
                    bad.max(1),
                    urls.len().max(1)
                ),
            );
            return None;
        }
        Some(urls)
    }

    fn database(&self, reader: &mut Reader) -> Option<SecretString> {
        let text = reader.secret(
            "WAYBILL_DATABASE_URL",
            self.database_url.as_deref(),
            self.database_url_file.as_deref(),
        )?;
        let scheme = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if !scheme || PgConnectOptions::from_str(&text).is_err() {
            reader.refuse(
                "WAYBILL_DATABASE_URL",
                "is not of the form postgres://user:password@host:port/database",
            );
            return None;
        }
        Some(SecretString::from(text))
    }

    fn first_admin(&self, reader: &mut Reader) -> Option<FirstAdmin> {
        let email =
            reader.optional(
                "WAYBILL_ADMIN_EMAIL",
                self.admin_email.as_deref(),
                |text| match text.split_once('@') {
                    Some((name, host))
                        if !name.is_empty() && host.contains('.') || host_is_local(text) =>
                    {
                        Ok(text.to_owned())
                    }
                    _ => Err(format!("`{text}` is not an e-mail address")),
                },
            );
        let password = reader.secret(
            "WAYBILL_ADMIN_PASSWORD",
            self.admin_password.as_deref(),
            self.admin_password_file.as_deref(),
        );
        match (email, password) {
            (Some(email), Some(password)) => Some(FirstAdmin {
                email,
                password: SecretString::from(password),
            }),
            (Some(_), None) => {
                reader.refuse(
                    "WAYBILL_ADMIN_PASSWORD",
                    "is needed together with WAYBILL_ADMIN_EMAIL",
                );
                None
            }
            (None, Some(_)) if self.admin_email.as_deref().is_none_or(str::is_empty) => {
                reader.refuse(
                    "WAYBILL_ADMIN_EMAIL",
                    "is needed together with WAYBILL_ADMIN_PASSWORD",
                );
                None
            }
            // Neither is set, or the address was refused above.
            (None, _) => None,
        }
    }

    fn oidc(&self, reader: &mut Reader) -> Option<OidcSettings> {
        // Taken as it is written: it is compared with what tokens say, a slash at its end included.
        let as_written = |text: &str| parse_http_url(text).map(|_| text.to_owned());
        let issuer = reader.optional(
            "WAYBILL_OIDC_ISSUER",
            self.oidc_issuer.as_deref(),
            as_written,
        );
        let audience = reader.optional(
            "WAYBILL_OIDC_AUDIENCE",
            self.oidc_audience.as_deref(),
            |text| Ok(text.to_owned()),
        );
        let named = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        match (issuer, audience) {
            (Some(issuer), Some(audience)) => Some(OidcSettings { issuer, audience }),
            (Some(_), None) => {
                reader.refuse(
                    "WAYBILL_OIDC_AUDIENCE",
                    "is needed together with WAYBILL_OIDC_ISSUER",
                );
                None
            }
            (None, Some(_)) if !named(&self.oidc_issuer) => {
                reader.refuse(
                    "WAYBILL_OIDC_ISSUER",
                    "is needed together with WAYBILL_OIDC_AUDIENCE",
                );
                None
            }
            (None, _) => None,
        }
    }

    fn traces(&self, reader: &mut Reader) -> Option<TraceSettings> {
        let endpoint = reader.optional(
            "WAYBILL_OTLP_ENDPOINT",
            self.otlp_endpoint.as_deref(),
            parse_http_url,
        );
        let share = reader.value(
            "WAYBILL_TRACE_SHARE",
            self.trace_share.as_deref(),
            1.0,
            parse_share,
        );
        endpoint.map(|endpoint| TraceSettings { endpoint, share })
    }

    fn smtp(&self, reader: &mut Reader, from: &str) -> Option<SmtpSettings> {
        let url = reader.secret(
            "WAYBILL_SMTP_URL",
            self.smtp_url.as_deref(),
            self.smtp_url_file.as_deref(),
        )?;
        if !crate::mail::is_address(&url) {
            reader.refuse(
                "WAYBILL_SMTP_URL",
                "is not of the form smtp://user:password@host:port or smtps://user:password@host",
            );
            return None;
        }
        Some(SmtpSettings {
            url: SecretString::from(url),
            from: from.to_owned(),
        })
    }

    fn payment(&self, reader: &mut Reader) -> Option<PaymentSettings> {
        let url = reader.optional(
            "WAYBILL_PAYMENT_URL",
            self.payment_url.as_deref(),
            parse_http_url,
        );
        let key = reader.secret(
            "WAYBILL_PAYMENT_KEY",
            self.payment_key.as_deref(),
            self.payment_key_file.as_deref(),
        );
        let webhook_secret = reader.secret(
            "WAYBILL_PAYMENT_WEBHOOK_SECRET",
            self.payment_webhook_secret.as_deref(),
            self.payment_webhook_secret_file.as_deref(),
        );
        let url = url?;
        if key.is_none() {
            reader.refuse(
                "WAYBILL_PAYMENT_KEY",
                "is needed together with WAYBILL_PAYMENT_URL",
            );
        }
        if webhook_secret.is_none() {
            reader.refuse(
                "WAYBILL_PAYMENT_WEBHOOK_SECRET",
                "is needed together with WAYBILL_PAYMENT_URL",
            );
        }
        Some(PaymentSettings {
            url,
            key: SecretString::from(key?),
            webhook_secret: SecretString::from(webhook_secret?),
        })
    }
}

fn path(given: Option<&Path>, default: impl FnOnce() -> PathBuf) -> PathBuf {
    match given {
        Some(path) if !path.as_os_str().is_empty() => path.to_owned(),
        _ => default(),
    }
}

fn parse_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not an address with a port, for example 127.0.0.1:8080 or [::]:8080")
    })
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is not a port from 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

fn parse_number(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not a number from {least} to {most}")),
    }
}

fn host_is_local(email: &str) -> bool {
    matches!(email.split_once('@'), Some((name, "localhost")) if !name.is_empty())
}

fn default_log_format() -> LogFormat {
    if std::io::stderr().is_terminal() {
        LogFormat::Pretty
    } else {
        LogFormat::Json
    }
}

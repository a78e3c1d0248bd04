//! Mail: over SMTP when a server is set, else into the log, where a demo's reader finds it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use secrecy::ExposeSecret;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::settings::{Settings, SmtpSettings};

/// A whole conversation with the server, from connecting to its last word.
const SEND_LIMIT: Duration = Duration::from_secs(15);
/// Connections that are kept for the next mail; more than this many are opened and closed.
const CONNECTIONS_MAX: u32 = 4;
/// A server closes idle connections after a while; ours are younger.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(30);
/// Mails that wait to be sent in the background at one moment; the rest is dropped, and said to be.
const WAITING_MAX: usize = 256;

/// Why a mail was not sent.
#[derive(Debug, Error)]
pub enum MailError {
    /// The setting is not an address of an SMTP server.
    #[error("the SMTP server's address cannot be used")]
    Address(#[source] lettre::transport::smtp::Error),
    /// Sender or recipient is not a mail address, or the text is not one.
    #[error("the mail cannot be written: {0}")]
    Unwritable(String),
    /// The server refuses it for good.
    #[error("the mail server refuses the mail")]
    Refused(#[source] lettre::transport::smtp::Error),
    /// The server could not be reached or asks to come back; it was not sent.
    #[error("the mail server cannot take the mail now")]
    Unavailable(#[source] lettre::transport::smtp::Error),
    /// The server fell silent: whether it has the mail is unknown.
    #[error("the mail server did not answer within {} s; it may have the mail", SEND_LIMIT.as_secs())]
    Unknown,
}

/// One mail of plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Whom to.
    pub to: String,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// Sends mail. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Mailer {
    way: Way,
    waiting: Arc<Semaphore>,
}

#[derive(Clone)]
enum Way {
    Log,
    Smtp {
        transport: AsyncSmtpTransport<Tokio1Executor>,
        from: Mailbox,
    },
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.way {
            Way::Log => "Mailer(log)",
            Way::Smtp { .. } => "Mailer(smtp)",
        })
    }
}

impl Mailer {
    /// As the settings have it.
    ///
    /// # Errors
    /// When the server's address or the sender's cannot be used.
    pub fn of(settings: &Settings) -> Result<Self, MailError> {
        match &settings.smtp {
            Some(smtp) => Self::smtp(smtp),
            None => Ok(Self::log()),
        }
    }

    /// Every mail becomes a line of the log, with all that it says.
    #[must_use]
    pub fn log() -> Self {
        Self::on(Way::Log)
    }

    /// Over this server.
    ///
    /// # Errors
    /// When its address or the sender's cannot be used.
    pub fn smtp(smtp: &SmtpSettings) -> Result<Self, MailError> {
        let pool = PoolConfig::new()
            .max_size(CONNECTIONS_MAX)
            .idle_timeout(CONNECTION_IDLE_MAX);
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp.url.expose_secret())
            .map_err(MailError::Address)?
            .timeout(Some(SEND_LIMIT))
            .pool_config(pool)
            .build();
        let from = smtp
            .from
            .parse()
            .map_err(|error| MailError::Unwritable(format!("the sender {}: {error}", smtp.from)))?;
        Ok(Self::on(Way::Smtp { transport, from }))
    }

    fn on(way: Way) -> Self {
        Self {
            way,
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }

    /// Sends a mail. A connection that went stale while it was kept is tried once more on a fresh one.
    ///
    /// # Errors
    /// When it was not sent, or the server fell silent.
    pub async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let (transport, from) = match &self.way {
            Way::Log => {
                tracing::info!(
                    mail.to = %mail.to, mail.subject = %mail.subject, mail.text = %mail.text,
                    "no mail server is set (WAYBILL_SMTP_URL): this mail is written here and nowhere else"
                );
                return Ok(());
            }
            Way::Smtp { transport, from } => (transport, from),
        };
        let to: Mailbox = mail
            .to
            .parse()
            .map_err(|error| MailError::Unwritable(format!("the recipient: {error}")))?;
        let message = Message::builder()
            .from(from.clone())
            .to(to)
            .subject(&mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone())
            .map_err(|error| MailError::Unwritable(error.to_string()))?;
        let mut last = None;
        for _ in 0..2 {
            // The library's own limit covers connecting only.
            match tokio::time::timeout(SEND_LIMIT, transport.send(message.clone())).await {
                Err(_) => return Err(MailError::Unknown),
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) if error.is_permanent() => return Err(MailError::Refused(error)),
                Ok(Err(error)) if error.is_timeout() => return Err(MailError::Unknown),
                Ok(Err(error)) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(MailError::Unavailable(error)),
            None => Err(MailError::Unknown),
        }
    }

    /// Makes and sends a mail in the background, so that the time an answer takes tells nothing about whom it was for.
    /// What goes wrong is in the log; nobody waits for it.
    pub fn send_later<F>(&self, write: F)
    where
        F: Future<Output = Result<Option<Mail>, crate::Problem>> + Send + 'static,
    {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            tracing::warn!("too many mails are waiting to be sent; one was dropped");
            metrics::counter!("waybill_mails_total", "outcome" => "dropped").increment(1);
            return;
        };
        let mailer = self.clone();
        tokio::spawn(async move {
            let outcome = match write.await {
                Ok(Some(mail)) => match mailer.send(&mail).await {
                    Ok(()) => "sent",
                    Err(error) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(%error, cause, mail.subject, "a mail was not sent");
                        "failed"
                    }
                },
                Ok(None) => "nobody",
                Err(problem) => {
                    tracing::warn!(code = problem.code(), "a mail could not be written");
                    "failed"
                }
            };
            metrics::counter!("waybill_mails_total", "outcome" => outcome).increment(1);
            drop(place);
        });
    }
}

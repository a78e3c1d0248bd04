//! Mail: over SMTP when a server is set, else into the log, where a demo's reader finds it.

mod smtp;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use secrecy::ExposeSecret;
use thiserror::Error;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::settings::{Settings, SmtpSettings};

/// A whole conversation with the server, from connecting to its last word.
const SEND_LIMIT: Duration = Duration::from_secs(15);
/// The order that a mail is about, for whoever sorts mails.
const ORDER_HEADER: &str = "Waybill-Order";
/// Mails that wait to be sent in the background at one moment; the rest is dropped, and said to be.
const WAITING_MAX: usize = 256;

/// Why a mail was not sent.
#[derive(Debug, Error)]
pub enum MailError {
    /// The setting is not an address of an SMTP server.
    #[error("the SMTP server's address cannot be used")]
    Address,
    /// Sender or recipient is not a mail address, or the text is not one.
    #[error("the mail cannot be written: {0}")]
    Unwritable(String),
    /// The server refuses the recipient or the mail for good.
    #[error("the mail server refuses the mail")]
    Refused(#[source] lettre::transport::smtp::Error),
    /// The server could not be reached, asks to come back or does not let us send; it was not sent. Without a source it
    /// did not answer in time, before it had the mail.
    #[error("the mail server cannot take the mail now")]
    Unavailable(#[source] Option<lettre::transport::smtp::Error>),
    /// The server fell silent after the mail was handed over: whether it has the mail is unknown.
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

impl MailError {
    /// The server's code (550, say), when it was an answer of the server that ended it.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(error) | Self::Unavailable(Some(error)) => error.status().map(u16::from),
            Self::Address | Self::Unwritable(_) | Self::Unavailable(None) | Self::Unknown => None,
        }
    }
}

/// A mail with everything around its text.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'m> {
    /// To whom, about what, and its text.
    pub mail: &'m Mail,
    /// The recipient's name.
    pub name: Option<&'m str>,
    /// The same content for readers that show HTML.
    pub html: Option<&'m str>,
    /// What the mail's id is made of, so that a repetition can be recognised.
    pub id: Option<Uuid>,
    /// The order that it is about.
    pub order: Option<Uuid>,
}

impl<'m> From<&'m Mail> for Letter<'m> {
    fn from(mail: &'m Mail) -> Self {
        Self {
            mail,
            name: None,
            html: None,
            id: None,
            order: None,
        }
    }
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
        server: Arc<smtp::Server>,
        from: Mailbox,
    },
}

pub(crate) use smtp::is_address;

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
        let server = smtp::Server::at(smtp.url.expose_secret()).ok_or(MailError::Address)?;
        let from = smtp
            .from
            .parse()
            .map_err(|error| MailError::Unwritable(format!("the sender {}: {error}", smtp.from)))?;
        Ok(Self::on(Way::Smtp {
            server: Arc::new(server),
            from,
        }))
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
        self.post(&Letter::from(mail)).await
    }

    /// Sends a mail with everything around its text.
    ///
    /// # Errors
    /// When it was not sent, or the server fell silent.
    pub async fn post(&self, letter: &Letter<'_>) -> Result<(), MailError> {
        let (server, from) = match &self.way {
            Way::Log => {
                let mail = letter.mail;
                tracing::info!(
                    mail.to = %mail.to, mail.subject = %mail.subject, mail.text = %mail.text,
                    "no mail server is set (WAYBILL_SMTP_URL): this mail is written here and nowhere else"
                );
                return Ok(());
            }
            Way::Smtp { server, from } => (server, from),
        };
        let message = message(letter, from)?;
        server.send(message.envelope(), &message.formatted()).await
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

/// The mail as it is sent.
fn message(letter: &Letter<'_>, from: &Mailbox) -> Result<Message, MailError> {
    let mail = letter.mail;
    let to = mailbox(letter.name, &mail.to)?;
    let mut builder = Message::builder()
        .from(from.clone())
        .to(to)
        .subject(one_line(&mail.subject));
    if let Some(id) = letter.id {
        builder = builder.message_id(Some(format!("<{id}@{}>", from.email.domain())));
    }
    if let Some(order) = letter.order {
        let name = HeaderName::new_from_ascii_str(ORDER_HEADER);
        builder = builder.raw_header(HeaderValue::new(name, order.to_string()));
    }
    match letter.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(
            mail.text.clone(),
            html.to_owned(),
        )),
        None => builder
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone()),
    }
    .map_err(|error| MailError::Unwritable(error.to_string()))
}

/// A recipient as a mail names him.
///
/// # Errors
/// When it is no mail address.
pub fn mailbox(name: Option<&str>, address: &str) -> Result<Mailbox, MailError> {
    let name = name.map(one_line).filter(|name| !name.is_empty());
    match name {
        Some(name) => address
            .parse::<Address>()
            .map(|address| Mailbox::new(Some(name), address)),
        None => address.parse::<Mailbox>(),
    }
    .map_err(|error| MailError::Unwritable(format!("the recipient: {error}")))
}

/// A header is one line, whatever somebody wrote into his name.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

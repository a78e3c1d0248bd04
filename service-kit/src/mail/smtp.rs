//! The conversation with an SMTP server, so that it is known how far it came: before the mail was handed over nothing
//! was sent, whatever broke; after that a silence says nothing.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::{MailError, SEND_LIMIT};

/// Conversations at one moment; servers refuse whoever comes with many.
const CONVERSATIONS_MAX: usize = 10;
/// Connections that are kept for the next mail.
const KEPT_MAX: usize = 4;
/// A server closes idle connections after a while; ours are younger.
const KEPT_AGE_MAX: Duration = Duration::from_secs(30);
/// The server wants us to sign in first, which is nothing that the recipient can do something about.
const SIGN_IN_FIRST: u16 = 530;

/// A server that mails leave by, with the connections to it that are kept.
pub(super) struct Server {
    place: Place,
    turns: Semaphore,
    kept: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({}:{})", self.place.host, self.place.port)
    }
}

/// Where it is and how it is spoken to.
struct Place {
    host: String,
    port: u16,
    wrapping: Wrapping,
    hello: ClientId,
    user: Option<(String, SecretString)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrapping {
    /// Nothing is hidden.
    Plain,
    /// Hidden if the server can.
    IfOffered,
    /// Hidden after the greeting, or not at all.
    Required,
    /// Hidden from the first byte.
    FromTheStart,
}

/// Whether a mail server can be reached by this address as it is written.
pub(crate) fn is_address(url: &str) -> bool {
    Place::of(url).is_some()
}

impl Place {
    /// `smtp://user:password@host:port/hello-name?tls=required|opportunistic`, or `smtps://…`.
    fn of(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
        let asked = url.query_pairs().find(|(name, _)| name == "tls");
        let (wrapping, usual_port) =
            match (url.scheme(), asked.as_ref().map(|(_, how)| how.as_ref())) {
                ("smtp", None) => (Wrapping::Plain, 25),
                ("smtp", Some("required")) => (Wrapping::Required, 587),
                ("smtp", Some("opportunistic")) => (Wrapping::IfOffered, 587),
                ("smtps", _) => (Wrapping::FromTheStart, 465),
                _ => return None,
            };
        let plain = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        let user = match url.password() {
            Some(password) => Some((plain(url.username())?, SecretString::from(plain(password)?))),
            None => None,
        };
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Some(Self {
            port: url.port().unwrap_or(usual_port),
            host,
            wrapping,
            hello,
            user,
        })
    }
}

impl Server {
    /// The server at this address; nothing is connected yet.
    pub(super) fn at(url: &str) -> Option<Self> {
        Some(Self {
            place: Place::of(url)?,
            turns: Semaphore::new(CONVERSATIONS_MAX),
            kept: Mutex::default(),
        })
    }

    /// Sends a mail, and says what is known when it was not sent.
    pub(super) async fn send(&self, envelope: &Envelope, mail: &[u8]) -> Result<(), MailError> {
        let turn = tokio::time::timeout(SEND_LIMIT, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(MailError::Unavailable(None));
        };
        let handed_over = AtomicBool::new(false);
        let conversation = self.converse(envelope, mail, &handed_over);
        match tokio::time::timeout(SEND_LIMIT, conversation).await {
            Ok(ended) => ended,
            Err(_) if handed_over.load(Ordering::Relaxed) => Err(MailError::Unknown),
            Err(_) => Err(MailError::Unavailable(None)),
        }
    }

    async fn converse(
        &self,
        envelope: &Envelope,
        mail: &[u8],
        handed_over: &AtomicBool,
    ) -> Result<(), MailError> {
        if let Some(mut connection) = self.kept().await {
            match converse_on(&mut connection, envelope, mail, handed_over).await {
                // It went stale while it was kept: a fresh one tells.
                Err(MailError::Unavailable(Some(error))) if error.status().is_none() => {}
                ended => return self.end(connection, ended),
            }
        }
        let mut connection = self
            .connect()
            .await
            .map_err(|error| MailError::Unavailable(Some(error)))?;
        let ended = converse_on(&mut connection, envelope, mail, handed_over).await;
        self.end(connection, ended)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let place = &self.place;
        let tls = || TlsParameters::new(place.host.clone());
        let at_once = match place.wrapping {
            Wrapping::FromTheStart => Some(tls()?),
            Wrapping::Plain | Wrapping::IfOffered | Wrapping::Required => None,
        };
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            (place.host.trim_matches(['[', ']']), place.port),
            Some(SEND_LIMIT),
            &place.hello,
            at_once,
            None,
        )
        .await?;
        match place.wrapping {
            Wrapping::Required => connection.starttls(tls()?, &place.hello).await?,
            Wrapping::IfOffered if connection.can_starttls() => {
                connection.starttls(tls()?, &place.hello).await?;
            }
            Wrapping::IfOffered | Wrapping::Plain | Wrapping::FromTheStart => {}
        }
        if let Some((user, password)) = &place.user {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }

    /// A connection that was kept and still answers.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (mut connection, since) = self
                .kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop()?;
            if since.elapsed() < KEPT_AGE_MAX && connection.test_connected().await {
                return Some(connection);
            }
        }
    }

    /// Keeps the connection of a mail that went well; any other is closed.
    fn end(
        &self,
        connection: AsyncSmtpConnection,
        ended: Result<(), MailError>,
    ) -> Result<(), MailError> {
        if ended.is_ok() {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT_MAX {
                kept.push((connection, Instant::now()));
            }
        }
        ended
    }
}

async fn converse_on(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    mail: &[u8],
    handed_over: &AtomicBool,
) -> Result<(), MailError> {
    let server = connection.server_info();
    let mut parameters = Vec::new();
    let foreign = envelope
        .from()
        .into_iter()
        .chain(envelope.to())
        .any(|address| !address.to_string().is_ascii());
    if foreign {
        if !server.supports_feature(Extension::SmtpUtfEight) {
            return Err(MailError::Unwritable(
                "the server takes only addresses of plain letters".into(),
            ));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !mail.is_ascii() && server.supports_feature(Extension::EightBitMime) {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    // Who may send here at all is between the shop and its server: no fault of the recipient's.
    connection
        .command(Mail::new(envelope.from().cloned(), parameters))
        .await
        .map_err(|error| MailError::Unavailable(Some(error)))?;
    for to in envelope.to() {
        connection
            .command(Rcpt::new(to.clone(), Vec::new()))
            .await
            .map_err(before_the_mail)?;
    }
    connection.command(Data).await.map_err(before_the_mail)?;
    handed_over.store(true, Ordering::Relaxed);
    match connection.message(mail).await {
        Ok(_) => Ok(()),
        // An answer with a code is an answer; any other end leaves open what the server has.
        Err(error) if error.is_permanent() => Err(MailError::Refused(error)),
        Err(error) if error.is_transient() => Err(MailError::Unavailable(Some(error))),
        Err(_) => Err(MailError::Unknown),
    }
}

fn before_the_mail(error: Error) -> MailError {
    let about_us = error.status().map(u16::from) == Some(SIGN_IN_FIRST);
    if error.is_permanent() && !about_us {
        MailError::Refused(error)
    } else {
        MailError::Unavailable(Some(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_host_port_wrapping_and_whom_to_sign_in_as() {
        let place = |url: &str| Place::of(url).unwrap();
        let plain = place("smtp://127.0.0.1:2525");
        assert_eq!((plain.host.as_str(), plain.port), ("127.0.0.1", 2525));
        assert!(plain.user.is_none() && plain.wrapping == Wrapping::Plain);
        let usual = place("smtps://sh%40op:s%2Fcret@mail.example/shop.example");
        assert_eq!(usual.port, 465);
        let (user, password) = usual.user.unwrap();
        assert_eq!(
            (user.as_str(), password.expose_secret()),
            ("sh@op", "s/cret")
        );
        assert!(matches!(usual.hello, ClientId::Domain(name) if name == "shop.example"));
        assert!(place("smtp://mail.example?tls=required").wrapping == Wrapping::Required);
        assert_eq!(place("smtp://mail.example?tls=opportunistic").port, 587);
        for bad in [
            "http://mail.example",
            "smtp://",
            "mail.example",
            "smtp://m?tls=maybe",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}

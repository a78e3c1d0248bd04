//! E-mail over SMTP. The protocol knows neither a key nor a question by which a mail could be found again: when the
//! server falls silent after it was handed over, nobody can say whether it has it, and it is not sent again. The
//! Message-ID is made of the delivery's id, so that a person can find it in the server's log.

use async_trait::async_trait;
use event_schema::notification::Channel;
use service_kit::mail::{Letter, Mail, MailError, Mailer};
use service_kit::settings::SmtpSettings;

use super::http::{later, rejected, sent, unknown};
use crate::port::{Address, Outcome, Outgoing, Provider, Recovery};

/// E-mail over SMTP.
#[derive(Debug)]
pub struct Smtp {
    mailer: Mailer,
}

impl Smtp {
    /// Over this server.
    ///
    /// # Errors
    /// When its address or the sender's cannot be used.
    pub fn new(settings: &SmtpSettings) -> Result<Self, MailError> {
        Ok(Self {
            mailer: Mailer::smtp(settings)?,
        })
    }
}

#[async_trait]
impl Provider for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn channel(&self) -> Channel {
        Channel::Email
    }

    fn recovery(&self) -> Recovery {
        Recovery::Nothing
    }

    fn serves(&self, to: &Address) -> bool {
        matches!(to, Address::Email { .. })
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let Address::Email { address, name } = &message.to else {
            return rejected("not_an_email_address");
        };
        let mail = Mail {
            to: address.clone(),
            subject: message.content.subject.clone(),
            text: message.content.text.clone(),
        };
        let letter = Letter {
            mail: &mail,
            name: name.as_deref(),
            html: Some(&message.content.html)
                .filter(|html| !html.is_empty())
                .map(String::as_str),
            id: Some(message.delivery_id),
            order: message.order_id,
        };
        match self.mailer.post(&letter).await {
            Ok(()) => sent(None),
            Err(error) => outcome(&error),
        }
    }
}

/// What an error means.
fn outcome(error: &MailError) -> Outcome {
    let code = error.code().map(|code| format!("smtp_{code}"));
    match error {
        MailError::Unwritable(_) => rejected("unusable_address"),
        MailError::Refused(_) => rejected(code.as_deref().unwrap_or("smtp_refused")),
        MailError::Unavailable(_) | MailError::Address => {
            later(code.as_deref().unwrap_or("not_connected"), None)
        }
        MailError::Unknown => unknown("no_answer"),
    }
}

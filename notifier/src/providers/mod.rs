//! Who carries messages out of the house: one file a provider, each with its table of what an answer means.

mod fcm;
mod google;
mod http;
mod log;
mod push;
mod resend;
mod smtp;
#[cfg(test)]
mod test_kit;
mod twilio;
mod webhooks;
mod webpush;

use std::sync::Arc;

use event_schema::notification::Channel;
use service_kit::mail::MailError;
use service_kit::{Clock, Settings};

pub use self::fcm::Fcm;
pub use self::google::AccountError;
pub use self::log::Log;
pub use self::resend::Resend;
pub use self::smtp::Smtp;
pub use self::twilio::Twilio;
pub use self::webhooks::Webhooks;
pub use self::webpush::WebPush;
use crate::outbound::{Nets, Outbound, OutboundError};
use crate::port::Provider;

/// Why the providers of the settings cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProvidersError {
    /// The mail server's address or the sender's cannot be used.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// No client can be made.
    #[error("no HTTP client can be made")]
    Client(#[from] reqwest::Error),
    /// The guard of addresses that other people chose cannot be made.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The account for pushes cannot be used.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// The providers of the settings, those of a channel in the order in which they are tried unless an agent says otherwise.
/// A channel without any has the log.
///
/// # Errors
/// When one of them cannot be made.
pub fn all(settings: &Settings) -> Result<Vec<Arc<dyn Provider>>, ProvidersError> {
    let clock = Clock::system();
    let mut all: Vec<Arc<dyn Provider>> = Vec::new();
    if let Some(smtp) = &settings.smtp {
        all.push(Arc::new(Smtp::new(smtp)?));
    }
    if let Some(api) = &settings.mail_api {
        all.push(Arc::new(Resend::new(api, &settings.mail_from)?));
    }
    if let Some(sms) = &settings.sms {
        all.push(Arc::new(Twilio::new(sms)?));
    }
    if let Some(fcm) = &settings.fcm {
        all.push(Arc::new(Fcm::new(fcm, clock.clone())?));
    }
    let allowed = settings.webhook_allow_nets.as_deref().unwrap_or_default();
    let outbound = Outbound::new(Nets::new(allowed))?;
    if let Some(webpush) = &settings.webpush {
        let outbound = outbound.clone();
        all.push(Arc::new(WebPush::new(webpush, outbound, clock.clone())));
    }
    all.push(Arc::new(Webhooks::new(outbound, clock)));
    for channel in Channel::ALL {
        if !all.iter().any(|provider| provider.channel() == channel) {
            all.push(Arc::new(Log::new(channel)));
        }
    }
    Ok(all)
}

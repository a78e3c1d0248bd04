//! A message as it arrived.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// What kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A mail.
    Email,
    /// A text message.
    Sms,
    /// A push to a device or a browser.
    Push,
    /// A call of a partner's system.
    Webhook,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Email, Self::Sms, Self::Push, Self::Webhook];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
            Self::Webhook => "webhook",
        }
    }
}

/// By which door it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// SMTP.
    Smtp,
    /// The mail API.
    MailApi,
    /// The SMS API.
    SmsApi,
    /// Firebase Cloud Messaging.
    Fcm,
    /// The push service for browsers.
    WebPush,
    /// A partner's webhook.
    Webhook,
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id here, which the APIs answer in their own form.
    pub id: Uuid,
    /// When it arrived.
    pub arrived_at: Timestamp,
    /// What kind it is.
    pub channel: Channel,
    /// By which door it came.
    pub via: Via,
    /// Whom it is said to be from.
    #[serde(default)]
    pub from: Option<String>,
    /// Whom it is for.
    pub to: String,
    /// Its subject or title.
    #[serde(default)]
    pub subject: Option<String>,
    /// Its text.
    #[serde(default)]
    pub text: Option<String>,
    /// Its HTML.
    #[serde(default)]
    pub html: Option<String>,
    /// What else is said about it: headers of a mail or a call.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What programs read of it.
    #[serde(default)]
    pub data: Option<Value>,
    /// The key under which the sender may repeat it, where the service knows one.
    #[serde(default)]
    pub key: Option<String>,
    /// A digest of what came under the key.
    #[serde(default)]
    pub fingerprint: Option<String>,
}

impl Message {
    /// One that arrives now, with nothing in it.
    #[must_use]
    pub fn new(via: Via, to: impl Into<String>) -> Self {
        let channel = match via {
            Via::Smtp | Via::MailApi => Channel::Email,
            Via::SmsApi => Channel::Sms,
            Via::Fcm | Via::WebPush => Channel::Push,
            Via::Webhook => Channel::Webhook,
        };
        Self {
            id: Uuid::now_v7(),
            arrived_at: Timestamp::now(),
            channel,
            via,
            from: None,
            to: to.into(),
            subject: None,
            text: None,
            html: None,
            headers: BTreeMap::new(),
            data: None,
            key: None,
            fingerprint: None,
        }
    }
}

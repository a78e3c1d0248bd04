//! How mails, text messages and pushes leave the house.

use std::fmt;
use std::path::Path;

use lettre::message::Mailbox;
use secrecy::SecretString;
use serde::Deserialize;

use super::args::SettingsArgs;
use super::reader::Reader;
use super::values::{parse_http_url, read_secret_file};
use crate::push_key::PushKey;

const RESEND_URL: &str = "https://api.resend.com";
const TWILIO_URL: &str = "https://api.twilio.com";
const FCM_URL: &str = "https://fcm.googleapis.com";
/// A sender's number, name or service is short.
const FROM_CHARS_MAX: usize = 64;

/// An HTTP API for mail that speaks as Resend's does.
#[derive(Debug, Clone)]
pub struct MailApiSettings {
    /// Its base address, without a slash at the end.
    pub url: String,
    /// The key.
    pub key: SecretString,
}

/// A service for text messages that speaks as Twilio's does.
#[derive(Debug, Clone)]
pub struct SmsSettings {
    /// Its base address, without a slash at the end.
    pub url: String,
    /// The account.
    pub account: String,
    /// Its token.
    pub token: SecretString,
    /// A number, a name, or a messaging service.
    pub from: String,
}

/// A service account that may send by Firebase Cloud Messaging.
#[derive(Debug, Clone)]
pub struct FcmSettings {
    /// The base address of the API, without a slash at the end.
    pub url: String,
    /// The project whose apps are pushed to.
    pub project_id: String,
    /// Who we are there.
    pub client_email: String,
    /// Which of its keys this is.
    pub private_key_id: String,
    /// The key, as a PEM document (RSA).
    pub private_key: SecretString,
    /// Where the key is exchanged for an access token.
    pub token_uri: String,
}

/// What pushes to browsers are signed with.
#[derive(Clone)]
pub struct WebPushSettings {
    /// The key.
    pub key: PushKey,
    /// Whom a push service tells when our pushes make trouble.
    pub subject: String,
}

impl fmt::Debug for WebPushSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebPushSettings({})", self.subject)
    }
}

/// The fields of a service account's key file that are needed.
#[derive(Deserialize)]
struct ServiceAccount {
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

impl SettingsArgs {
    pub(super) fn mail_from(&self, reader: &mut Reader, public_url: &str) -> String {
        let from = reader.optional("WAYBILL_SMTP_FROM", self.smtp_from.as_deref(), |text| {
            text.parse::<Mailbox>()
                .map(|_| text.to_owned())
                .map_err(|_| format!("`{text}` is not of the form Shop <shop@example.com>"))
        });
        from.unwrap_or_else(|| {
            let host = public_url
                .parse::<http::Uri>()
                .ok()
                .and_then(|uri| uri.host().map(str::to_owned))
                // An address of numbers is no domain.
                .filter(|host| host.contains(char::is_alphabetic) && !host.starts_with('['))
                .unwrap_or_else(|| "localhost".to_owned());
            format!("Waybill <no-reply@{host}>")
        })
    }

    pub(super) fn mail_api(&self, reader: &mut Reader) -> Option<MailApiSettings> {
        let key = reader.secret(
            "WAYBILL_MAIL_API_KEY",
            self.mail_api_key.as_deref(),
            self.mail_api_key_file.as_deref(),
        );
        let url = reader.optional(
            "WAYBILL_MAIL_API_URL",
            self.mail_api_url.as_deref(),
            parse_http_url,
        );
        if key.is_none() && url.is_some() {
            reader.refuse(
                "WAYBILL_MAIL_API_KEY",
                "is needed together with WAYBILL_MAIL_API_URL",
            );
        }
        Some(MailApiSettings {
            url: url.unwrap_or_else(|| RESEND_URL.to_owned()),
            key: SecretString::from(as_header("WAYBILL_MAIL_API_KEY", key?, reader)?),
        })
    }

    pub(super) fn sms(&self, reader: &mut Reader) -> Option<SmsSettings> {
        let account = reader.optional("WAYBILL_SMS_ACCOUNT", self.sms_account.as_deref(), |text| {
            if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                Ok(text.to_owned())
            } else {
                Err(format!("`{text}` is not an account such as AC0123…"))
            }
        });
        let token = reader.secret(
            "WAYBILL_SMS_TOKEN",
            self.sms_token.as_deref(),
            self.sms_token_file.as_deref(),
        );
        let from = reader.optional("WAYBILL_SMS_FROM", self.sms_from.as_deref(), |text| {
            if text.chars().count() <= FROM_CHARS_MAX && !text.contains(char::is_control) {
                Ok(text.to_owned())
            } else {
                Err(format!("is longer than {FROM_CHARS_MAX} letters"))
            }
        });
        let url = reader.optional("WAYBILL_SMS_URL", self.sms_url.as_deref(), parse_http_url);
        let named = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let parts = [
            ("WAYBILL_SMS_ACCOUNT", named(&self.sms_account)),
            (
                "WAYBILL_SMS_TOKEN",
                named(&self.sms_token) || self.sms_token_file.is_some(),
            ),
            ("WAYBILL_SMS_FROM", named(&self.sms_from)),
        ];
        let any = named(&self.sms_url) || parts.iter().any(|(_, there)| *there);
        for (name, there) in parts {
            if any && !there {
                reader.refuse(
                    name,
                    "is needed: text messages take WAYBILL_SMS_ACCOUNT, WAYBILL_SMS_TOKEN and WAYBILL_SMS_FROM",
                );
            }
        }
        Some(SmsSettings {
            url: url.unwrap_or_else(|| TWILIO_URL.to_owned()),
            account: account?,
            token: SecretString::from(token?),
            from: from?,
        })
    }

    pub(super) fn fcm(&self, reader: &mut Reader) -> Option<FcmSettings> {
        let url = reader.optional("WAYBILL_FCM_URL", self.fcm_url.as_deref(), parse_http_url);
        let Some(file) = set(self.fcm_credentials_file.as_deref()) else {
            if url.is_some() {
                reader.refuse(
                    "WAYBILL_FCM_CREDENTIALS_FILE",
                    "is needed together with WAYBILL_FCM_URL",
                );
            }
            return None;
        };
        let account = match service_account(file) {
            Ok(account) => account,
            Err(why) => {
                reader.refuse("WAYBILL_FCM_CREDENTIALS_FILE", why);
                return None;
            }
        };
        Some(FcmSettings {
            url: url.unwrap_or_else(|| FCM_URL.to_owned()),
            project_id: account.project_id,
            client_email: account.client_email,
            private_key_id: account.private_key_id,
            private_key: SecretString::from(account.private_key),
            token_uri: account.token_uri,
        })
    }

    pub(super) fn webpush(&self, reader: &mut Reader) -> Option<WebPushSettings> {
        let subject = reader.optional(
            "WAYBILL_WEBPUSH_SUBJECT",
            self.webpush_subject.as_deref(),
            |text| {
                let known = text
                    .strip_prefix("mailto:")
                    .is_some_and(|address| address.parse::<lettre::Address>().is_ok())
                    || (text.starts_with("https://") && parse_http_url(text).is_ok());
                if known {
                    Ok(text.to_owned())
                } else {
                    Err(format!(
                        "`{text}` is neither mailto:you@example.com nor https://…"
                    ))
                }
            },
        );
        let file = set(self.webpush_key_file.as_deref());
        let key = file.and_then(|file| {
            let read = read_secret_file(file).and_then(|text| {
                PushKey::parse(&text).ok_or_else(|| {
                    format!(
                        "{} is not a private key on P-256, as PEM or as 43 letters of base64url",
                        file.display()
                    )
                })
            });
            read.map_err(|why| reader.refuse("WAYBILL_WEBPUSH_KEY_FILE", why))
                .ok()
        });
        let subject_given = self
            .webpush_subject
            .as_deref()
            .is_some_and(|text| !text.trim().is_empty());
        match (file.is_some(), subject_given) {
            (true, false) => reader.refuse(
                "WAYBILL_WEBPUSH_SUBJECT",
                "is needed together with WAYBILL_WEBPUSH_KEY_FILE",
            ),
            (false, true) => reader.refuse(
                "WAYBILL_WEBPUSH_KEY_FILE",
                "is needed together with WAYBILL_WEBPUSH_SUBJECT",
            ),
            (true, true) | (false, false) => {}
        }
        Some(WebPushSettings {
            key: key?,
            subject: subject?,
        })
    }
}

/// An empty variable counts as one that is not set.
fn set(file: Option<&Path>) -> Option<&Path> {
    file.filter(|file| !file.as_os_str().is_empty())
}

/// A secret that travels in a header has only visible letters.
fn as_header(name: &'static str, secret: String, reader: &mut Reader) -> Option<String> {
    if secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(secret)
    } else {
        reader.refuse(name, "has letters that no key has");
        None
    }
}

/// Whatever is wrong is said without anything of the file's content.
fn service_account(file: &Path) -> Result<ServiceAccount, String> {
    let shown = file.display();
    let text = read_secret_file(file)?;
    let account: ServiceAccount = serde_json::from_str(&text).map_err(|error| {
        format!(
            "{shown} is not the key file of a service account (project_id, private_key_id, private_key, client_email, \
             token_uri): line {}",
            error.line()
        )
    })?;
    if jsonwebtoken::EncodingKey::from_rsa_pem(account.private_key.as_bytes()).is_err() {
        return Err(format!("the private_key in {shown} is not an RSA key"));
    }
    if parse_http_url(&account.token_uri).is_err() {
        return Err(format!("the token_uri in {shown} is not an address"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if account.project_id.is_empty() || !account.project_id.chars().all(plain) {
        return Err(format!("the project_id in {shown} is not a project's"));
    }
    Ok(account)
}

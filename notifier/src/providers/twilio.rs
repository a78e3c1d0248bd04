//! Text messages by an API that speaks as Twilio's does.
//!
//! The API knows no idempotency key, and of what it is told with a message only the text comes back when messages are
//! listed. So the text ends in a reference made of the delivery's id, and after an unknown outcome the messages to that
//! number are listed and the reference is looked for. "Not found" is believed only [`SETTLE`] after the last time it was
//! sent from here or first looked for, because a call that we gave up on may still be carried out.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use event_schema::Timestamp;
use event_schema::notification::Channel;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use service_kit::settings::SmsSettings;
use uuid::Uuid;

use super::http::{Api, Reply, later, of_failing, rejected, sent, unknown};
use crate::port::{Address, Found, Outcome, Outgoing, Provider, Recovery};

/// Letters of a text message.
const SMS_CHARS_MAX: usize = 160;
/// Hexadecimal digits of the reference: enough among the messages of a day to one number.
const REFERENCE_CHARS: usize = 8;
/// Messages of one page of the list.
const PAGE_SIZE: usize = 100;
/// Pages that are read; nobody gets more text messages since one was intended.
const PAGES_MAX: usize = 5;
/// How far the service's clock may be behind ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);
/// A call that we gave up on has been carried out by then, if ever.
const SETTLE: Duration = Duration::from_secs(30);
/// Deliveries whose last call is remembered.
const CALLS_MAX: usize = 10_000;

/// Text messages by Twilio's API.
#[derive(Debug)]
pub struct Twilio {
    api: Api,
    account: String,
    token: SecretString,
    from: String,
    calls: Mutex<Calls>,
}

/// When each delivery was last sent from here, or first looked for; the oldest are forgotten.
#[derive(Debug, Default)]
struct Calls {
    last: HashMap<Uuid, Instant>,
    order: VecDeque<Uuid>,
}

impl Calls {
    fn sent(&mut self, delivery: Uuid) {
        if self.last.insert(delivery, Instant::now()).is_none() {
            self.order.push_back(delivery);
        }
        while self.order.len() > CALLS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.last.remove(&oldest);
            }
        }
    }

    /// How long it is since a call of this delivery could have begun.
    fn since(&mut self, delivery: Uuid) -> Duration {
        match self.last.get(&delivery) {
            Some(at) => at.elapsed(),
            None => {
                self.sent(delivery);
                Duration::ZERO
            }
        }
    }
}

/// A message as the service has it.
#[derive(Deserialize)]
struct Message {
    sid: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    date_created: Option<String>,
}

/// A page of the list.
#[derive(Deserialize)]
struct Page {
    messages: Vec<Message>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

/// An error in the service's own words.
#[derive(Deserialize)]
struct Refusal {
    code: u32,
}

impl Twilio {
    /// As this account.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(settings: &SmsSettings) -> Result<Self, reqwest::Error> {
        Ok(Self {
            api: Api::at(&settings.url)?,
            account: settings.account.clone(),
            token: settings.token.clone(),
            from: settings.from.clone(),
            calls: Mutex::default(),
        })
    }

    fn messages(&self) -> String {
        format!("/2010-04-01/Accounts/{}/Messages.json", self.account)
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<Page> {
        let request = self
            .api
            .get(path, query)?
            .basic_auth(&self.account, Some(self.token.expose_secret()));
        let reply = Api::exchange(request).await.ok()?;
        if reply.is_success() {
            reply.read()
        } else {
            None
        }
    }

    /// The message in the list; none if the list could not be read to where it would be.
    async fn find(&self, message: &Outgoing, to: &str) -> Option<Found> {
        let reference = reference(message.delivery_id);
        let since = message.intended_at.checked_sub(CLOCK_SKEW).ok()?;
        let size = PAGE_SIZE.to_string();
        let first = [("To", to), ("PageSize", size.as_str())];
        let mut page = self.get(&self.messages(), &first).await?;
        for _ in 0..PAGES_MAX {
            if let Some(ours) = page.messages.iter().find(|m| m.body.ends_with(&reference)) {
                return Some(Found::Sent {
                    provider_id: Some(ours.sid.clone()),
                });
            }
            // Newest first: where messages are older than the intent, ours is not behind them.
            let older = page
                .messages
                .last()
                .and_then(created)
                .is_some_and(|at| at < since);
            let next = page.next_page_uri.filter(|next| next.starts_with('/'));
            match next {
                Some(next) if !older => page = self.get(&next, &[]).await?,
                Some(_) | None => return Some(Found::NotSent),
            }
        }
        None
    }
}

#[async_trait]
impl Provider for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn channel(&self) -> Channel {
        Channel::Sms
    }

    fn recovery(&self) -> Recovery {
        Recovery::LookUp
    }

    fn serves(&self, to: &Address) -> bool {
        matches!(to, Address::Phone(_))
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let Address::Phone(to) = &message.to else {
            return rejected("not_a_phone_number");
        };
        let to = dialled(to);
        let service = self.from.starts_with("MG");
        let from = if service {
            "MessagingServiceSid"
        } else {
            "From"
        };
        let text = text(&message.content.short, message.delivery_id);
        let request = self
            .api
            .post(&self.messages())
            .basic_auth(&self.account, Some(self.token.expose_secret()))
            .form(&[("To", to.as_str()), (from, &self.from), ("Body", &text)]);
        let ended = Api::exchange(request).await;
        // From its end: until then the call may still be carried out.
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sent(message.delivery_id);
        match ended {
            Ok(reply) => outcome(&reply),
            Err(silence) => silence.into(),
        }
    }

    async fn look_up(&self, message: &Outgoing) -> Found {
        let Address::Phone(to) = &message.to else {
            return Found::NotSent;
        };
        let to = &dialled(to);
        let since = self
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .since(message.delivery_id);
        match self.find(message, to).await {
            Some(Found::NotSent) if since < SETTLE => Found::Unknown,
            Some(found) => found,
            None => Found::Unknown,
        }
    }
}

/// A number as it is dialled: people write spaces and dashes into it, which E.164 does not have.
fn dialled(number: &str) -> String {
    number
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '/' | '.' | '(' | ')'))
        .collect()
}

/// What the text ends in.
fn reference(delivery: Uuid) -> String {
    let mut digits = delivery.simple().to_string();
    digits.truncate(REFERENCE_CHARS);
    format!(" Ref {digits}")
}

/// The text as it is sent, which is one message.
fn text(short: &str, delivery: Uuid) -> String {
    let reference = reference(delivery);
    let room = SMS_CHARS_MAX - reference.len();
    let mut text: String = short.chars().take(room).collect();
    text.push_str(&reference);
    text
}

fn created(message: &Message) -> Option<Timestamp> {
    let at = message.date_created.as_deref()?;
    Some(jiff::fmt::rfc2822::parse(at).ok()?.timestamp())
}

/// What an answer means.
fn outcome(reply: &Reply) -> Outcome {
    if reply.is_success() {
        return match reply.read::<Message>() {
            Some(message) => sent(Some(message.sid)),
            None => unknown("unreadable_answer"),
        };
    }
    let code = reply.read::<Refusal>().map(|refusal| refusal.code);
    let cause = match code {
        Some(code) => format!("twilio_{code}"),
        None => format!("http_{}", reply.status),
    };
    match (reply.status, code) {
        (408, _) => unknown(&cause),
        (429, _) | (_, Some(20_429)) => later(&cause, reply.retry_after),
        (500.., _) => of_failing(reply.status, code.is_some(), reply.retry_after),
        (400, Some(code)) if about_us(code) => later(&cause, reply.retry_after),
        (400, Some(_)) => rejected(&cause),
        // Account, token or address of the API are the shop's to put right.
        _ => later(&cause, reply.retry_after),
    }
}

/// Whether a refusal is about the shop's account or sender and says nothing about the recipient.
const fn about_us(code: u32) -> bool {
    matches!(
        code,
        // Permission, account and balance.
        20_001..=20_010
            // The sender is not ours, cannot send text messages, or has no room in its queue.
            | 21_212 | 21_603 | 21_606 | 21_611 | 21_659 | 21_660 | 21_661
            // The messaging service does not exist or has no senders.
            | 21_701..=21_705
            // The account may not send there yet.
            | 21_408 | 30_002
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_dialled_without_what_people_write_into_it() {
        assert_eq!(dialled("+49 (30) 765-43.21"), "+49307654321");
    }
    use crate::providers::test_kit::{Row, assert_table};

    #[test]
    fn every_answer_of_the_service_has_its_meaning() {
        let error = |code: u32| format!(r#"{{"code":{code},"message":"no","status":0}}"#);
        let taken = r#"{"sid":"SM1","status":"queued","error_code":null,"body":"x"}"#;
        assert_table(
            outcome,
            &[
                Row(201, taken.into(), "sent SM1"),
                Row(
                    200,
                    "<html>hello</html>".into(),
                    "unknown unreadable_answer",
                ),
                // The number: not one, unreachable, not mobile, does not want us, no way to it.
                Row(400, error(21_211), "rejected twilio_21211"),
                Row(400, error(21_214), "rejected twilio_21214"),
                Row(400, error(21_217), "rejected twilio_21217"),
                Row(400, error(21_610), "rejected twilio_21610"),
                Row(400, error(21_612), "rejected twilio_21612"),
                Row(400, error(21_614), "rejected twilio_21614"),
                // The text.
                Row(400, error(21_602), "rejected twilio_21602"),
                Row(400, error(21_617), "rejected twilio_21617"),
                // The shop.
                Row(400, error(21_212), "transient twilio_21212"),
                Row(400, error(21_408), "transient twilio_21408"),
                Row(400, error(21_606), "transient twilio_21606"),
                Row(400, error(21_611), "transient twilio_21611"),
                Row(400, error(21_703), "transient twilio_21703"),
                Row(401, error(20_003), "transient twilio_20003"),
                Row(403, error(20_005), "transient twilio_20005"),
                Row(404, error(20_404), "transient twilio_20404"),
                Row(404, "nginx".into(), "transient http_404"),
                Row(400, "<html>a proxy</html>".into(), "transient http_400"),
                Row(408, String::new(), "unknown http_408"),
                Row(429, error(20_429), "transient twilio_20429 after 7s"),
                Row(429, String::new(), "transient http_429 after 7s"),
                Row(400, error(20_429), "transient twilio_20429 after 7s"),
                Row(500, error(20_500), "transient http_500 after 7s"),
                Row(500, String::new(), "unknown http_500"),
                Row(502, String::new(), "unknown http_502"),
                Row(503, String::new(), "transient http_503 after 7s"),
                Row(504, String::new(), "unknown http_504"),
                Row(301, String::new(), "transient http_301 after 7s"),
            ],
        );
    }

    #[test]
    fn a_text_is_one_message_and_ends_in_its_reference() {
        let delivery: Uuid = "0197c3f0-aaaa-7bbb-8ccc-123456789abc".parse().unwrap();
        assert_eq!(text("Shop: hello.", delivery), "Shop: hello. Ref 0197c3f0");
        let long = text(&"x".repeat(500), delivery);
        assert_eq!(long.chars().count(), SMS_CHARS_MAX);
        assert!(long.ends_with(" Ref 0197c3f0"));
    }

    #[test]
    fn the_last_calls_of_many_deliveries_are_remembered_and_no_more() {
        let mut calls = Calls::default();
        for n in 0..(CALLS_MAX as u128 + 5) {
            calls.sent(Uuid::from_u128(n));
            calls.sent(Uuid::from_u128(n));
        }
        assert_eq!(
            (calls.last.len(), calls.order.len()),
            (CALLS_MAX, CALLS_MAX)
        );
        assert!(!calls.last.contains_key(&Uuid::from_u128(0)));
    }
}

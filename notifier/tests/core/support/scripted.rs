//! A provider whose answers a test writes. What it accepted it keeps, so that it knows a key or can be asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use event_schema::notification::{Channel, Kind};
use notifier::port::{Address, Found, Outcome, Outgoing, Provider, Recovery};
use uuid::Uuid;

/// What the provider does with a call.
#[derive(Clone)]
pub enum Does {
    Accept,
    /// Takes the message and says something else.
    AcceptAndSay(Outcome),
    Say(Outcome),
    /// Takes the message and never answers.
    AcceptAndHang,
}

/// One call as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub id: Uuid,
    pub attempt: u32,
    pub kind: Kind,
    pub order: Option<Uuid>,
    pub to: String,
}

type Script = Box<dyn Fn(&Call, usize) -> Does + Send + Sync>;

pub struct Scripted {
    name: &'static str,
    channel: Channel,
    recovery: Recovery,
    takes: Duration,
    script: Mutex<Script>,
    calls: Mutex<Vec<Call>>,
    /// How often each message really went out.
    out: Mutex<HashMap<Uuid, u32>>,
    at_once: Mutex<(usize, usize)>,
    /// What the addresses begin with that it reaches.
    reaches: Mutex<&'static str>,
}

pub const KEY: Recovery = Recovery::Key {
    lives: Duration::from_secs(24 * 3600),
};

impl Scripted {
    pub fn new(name: &'static str, channel: Channel, recovery: Recovery) -> Arc<Self> {
        Self::that_takes(name, channel, recovery, Duration::ZERO)
    }

    pub fn that_takes(
        name: &'static str,
        channel: Channel,
        recovery: Recovery,
        takes: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            channel,
            recovery,
            takes,
            script: Mutex::new(Box::new(|_, _| Does::Accept)),
            calls: Mutex::default(),
            out: Mutex::default(),
            at_once: Mutex::default(),
            reaches: Mutex::default(),
        })
    }

    /// From now on it reaches only addresses that begin so.
    pub fn reaches(&self, beginning: &'static str) {
        *self.reaches.lock().unwrap() = beginning;
    }

    /// From now on: the call, and how many there were before it.
    pub fn does(&self, script: impl Fn(&Call, usize) -> Does + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// What went out: (message, how often).
    pub fn out(&self) -> HashMap<Uuid, u32> {
        self.out.lock().unwrap().clone()
    }

    pub fn duplicates(&self) -> u32 {
        self.out().values().map(|times| times - 1).sum()
    }

    pub fn most_at_once(&self) -> usize {
        self.at_once.lock().unwrap().1
    }

    fn accept(&self, id: Uuid) {
        let mut out = self.out.lock().unwrap();
        let times = out.entry(id).or_default();
        // Whoever keeps keys takes a repeat for what it is.
        if !matches!(self.recovery, Recovery::Key { .. }) || *times == 0 {
            *times += 1;
        }
    }
}

fn shown(to: &Address) -> String {
    match to {
        Address::Email { address, .. } => address.clone(),
        Address::Phone(phone) => phone.clone(),
        Address::Device(token) => token.clone(),
        Address::Webhook { url, .. } => url.clone(),
    }
}

#[async_trait]
impl Provider for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn channel(&self) -> Channel {
        self.channel
    }

    fn recovery(&self) -> Recovery {
        self.recovery
    }

    fn serves(&self, to: &Address) -> bool {
        shown(to).starts_with(*self.reaches.lock().unwrap())
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let call = Call {
            id: message.delivery_id,
            attempt: message.attempt,
            kind: message.kind,
            order: message.order_id,
            to: shown(&message.to),
        };
        let before = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(call.clone());
            calls.len() - 1
        };
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        let does = (self.script.lock().unwrap())(&call, before);
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        self.at_once.lock().unwrap().0 -= 1;
        match does {
            Does::Accept => {
                self.accept(call.id);
                Outcome::Sent {
                    provider_id: Some(format!("{}-{}", self.name, call.id)),
                }
            }
            Does::AcceptAndSay(outcome) => {
                self.accept(call.id);
                outcome
            }
            Does::Say(outcome) => outcome,
            Does::AcceptAndHang => {
                self.accept(call.id);
                std::future::pending().await
            }
        }
    }

    async fn look_up(&self, message: &Outgoing) -> Found {
        if self.out().contains_key(&message.delivery_id) {
            Found::Sent { provider_id: None }
        } else {
            Found::NotSent
        }
    }
}

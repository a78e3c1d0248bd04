//! What everything in here works with.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use event_schema::ids::DeliveryId;
use event_schema::notification::Channel;
use event_store::Executor;
use service_kit::Clock;

use crate::circuit::Circuits;
use crate::keys::Keys;
use crate::lease::Pulse;
use crate::port::Provider;

/// Shared by all tasks of a process.
pub(crate) struct Context {
    pub(crate) executor: Executor,
    pub(crate) clock: Clock,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) providers: Providers,
    pub(crate) circuits: Circuits,
    pub(crate) pulse: Pulse,
    /// What this process is carrying, whoever leads meanwhile.
    pub(crate) in_hand: InHand,
    pub(crate) trouble: Trouble,
    /// The address under which the world reaches the shop.
    pub(crate) public_url: String,
    /// What the shop is called in its messages.
    pub(crate) shop_name: String,
}

/// Why this process could not lead the last time that it was its turn, if so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    pub(crate) fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(crate) fn get(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Those who carry messages.
pub(crate) struct Providers(Vec<Arc<dyn Provider>>);

impl Providers {
    pub(crate) fn new(all: Vec<Arc<dyn Provider>>) -> Self {
        Self(all)
    }

    /// Who carries on the channel, in the order that was asked for; everyone when nobody was named.
    pub(crate) fn order(&self, channel: Channel, named: &[String]) -> Vec<String> {
        let all = self.0.iter().filter(|known| known.channel() == channel);
        let all: Vec<String> = all.map(|known| known.name().to_owned()).collect();
        if named.is_empty() {
            return all;
        }
        let known = named.iter().filter(|name| all.contains(name));
        known.cloned().collect()
    }

    pub(crate) fn find(&self, channel: Channel, name: &str) -> Option<&Arc<dyn Provider>> {
        let mut all = self.0.iter();
        all.find(|known| known.channel() == channel && known.name() == name)
    }
}

/// Messages that a task of this process has in hand: nobody else of this process takes them up, also not when the lead
/// was lost and won again meanwhile.
#[derive(Debug, Clone, Default)]
pub(crate) struct InHand(Arc<Mutex<HashSet<DeliveryId>>>);

/// The message is in hand as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    in_hand: InHand,
    id: DeliveryId,
}

impl InHand {
    pub(crate) fn take(&self, id: DeliveryId) -> Option<Held> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(id).then(|| Held {
            in_hand: self.clone(),
            id,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.is_empty()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let all = &self.in_hand.0;
        all.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

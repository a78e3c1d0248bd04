//! What decisions about messages remember: all that are under way, and the newest of those that are over.

use std::collections::{BTreeMap, VecDeque};

use event_schema::Timestamp;
use event_schema::ids::DeliveryId;
use event_schema::notification::{Event, Intended, Outcome, Status};
use serde::{Deserialize, Serialize};

/// How many settled messages of one history are remembered. No event older than a day makes an intent, so what is
/// forgotten is asked for again by nobody.
const REMEMBERED: usize = 512;

/// The messages of one history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    deliveries: BTreeMap<DeliveryId, Delivery>,
    settled: VecDeque<DeliveryId>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What was intended.
    pub intent: Intended,
    /// Where it is.
    pub stage: Stage,
    /// How many attempts there were.
    pub attempts: u32,
    /// How many of them ended because something was away, in all.
    pub failures: u32,
    /// How many of them did so one after another at the provider whose turn it is.
    pub in_a_row: u32,
    /// Set while it may have been sent and nobody knows.
    pub unclear: Option<Unclear>,
}

/// A message that may have been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclear {
    /// By whom; nobody else may be asked.
    pub provider: String,
    /// Since the attempt of this moment: from then on the provider remembers its key.
    pub since: Timestamp,
}

/// Where a message is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It is to be tried.
    Waiting {
        /// Not before this moment.
        not_before: Option<Timestamp>,
        /// Whose turn it is.
        provider: Option<String>,
    },
    /// A provider is being asked.
    Underway {
        /// The provider.
        provider: String,
        /// Since when.
        at: Timestamp,
    },
    /// The last attempt has an unknown outcome.
    Unclear {
        /// The provider that knows.
        provider: String,
        /// Not before this moment is it asked again.
        retry_at: Option<Timestamp>,
    },
    /// It is over.
    Settled(Status),
}

impl State {
    /// The message, if anybody intended it and it is remembered.
    pub fn delivery(&self, id: DeliveryId) -> Option<&Delivery> {
        self.deliveries.get(&id)
    }

    /// Every message that is remembered.
    pub fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.values()
    }

    /// Those that are not over.
    pub fn open(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries().filter(|delivery| delivery.is_open())
    }

    pub(super) fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Intended(intended) => {
                let delivery = Delivery {
                    stage: Stage::Waiting {
                        not_before: intended.not_before,
                        provider: intended.providers.first().cloned(),
                    },
                    intent: intended.clone(),
                    attempts: 0,
                    failures: 0,
                    in_a_row: 0,
                    unclear: None,
                };
                self.deliveries.insert(intended.delivery_id, delivery);
            }
            Event::Attempted(e) => self.changed(e.delivery_id, |delivery| {
                delivery.attempts = e.attempt;
                delivery.stage = Stage::Underway {
                    provider: e.provider.clone(),
                    at: e.at,
                };
            }),
            Event::AttemptEnded(e) => self.changed(e.delivery_id, |delivery| {
                delivery.ended(
                    e.outcome,
                    &e.provider,
                    e.retry_at,
                    e.next_provider.as_deref(),
                );
            }),
            Event::Settled(e) => {
                self.changed(e.delivery_id, |delivery| {
                    delivery.stage = Stage::Settled(e.status);
                });
                self.settled.push_back(e.delivery_id);
                while self.settled.len() > REMEMBERED {
                    if let Some(oldest) = self.settled.pop_front() {
                        self.deliveries.remove(&oldest);
                    }
                }
            }
        }
        self
    }

    fn changed(&mut self, id: DeliveryId, change: impl FnOnce(&mut Delivery)) {
        if let Some(delivery) = self.deliveries.get_mut(&id) {
            change(delivery);
        }
    }
}

impl Delivery {
    /// Whether something can still be done about it.
    pub fn is_open(&self) -> bool {
        !matches!(self.stage, Stage::Settled(_))
    }

    /// When the latest attempt began, while it has no outcome.
    fn underway_since(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Underway { at, .. } => Some(at),
            Stage::Waiting { .. } | Stage::Unclear { .. } | Stage::Settled(_) => None,
        }
    }

    fn ended(
        &mut self,
        outcome: Outcome,
        provider: &str,
        retry_at: Option<Timestamp>,
        next: Option<&str>,
    ) {
        let since = self.underway_since();
        match outcome {
            // Sent and rejected are settled in the same group.
            Outcome::Sent | Outcome::Rejected => {
                self.unclear = None;
                return;
            }
            Outcome::Transient => {
                // A look-up proved that nothing was sent; one more refusal under the same key proves nothing.
                if since.is_none() {
                    self.unclear = None;
                }
            }
            Outcome::Unknown => {
                if let (None, Some(since)) = (&self.unclear, since) {
                    self.unclear = Some(Unclear {
                        provider: provider.to_owned(),
                        since,
                    });
                }
            }
        }
        self.failures = self.failures.saturating_add(1);
        self.in_a_row = if next == Some(provider) {
            self.in_a_row.saturating_add(1)
        } else {
            0
        };
        // Another provider's turn: it may rather arrive twice than not at all.
        if next.is_some_and(|next| next != provider) {
            self.unclear = None;
        }
        self.stage = match &self.unclear {
            Some(unclear) => Stage::Unclear {
                provider: unclear.provider.clone(),
                retry_at,
            },
            None => Stage::Waiting {
                not_before: retry_at,
                provider: next.map(str::to_owned),
            },
        };
    }
}

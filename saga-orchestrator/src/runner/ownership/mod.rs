//! Who works which of the 16 shares.
//!
//! A share's owner is written in the bucket `saga_status` under `_owner.<hex>`, taken by compare-and-set; a process is
//! alive while its `_instance.<token>` keeps changing. The broker's pinned consumers alone cannot tell: they choose
//! a client when there is a message, and a share whose sagas all wait for a deadline has none.
//!
//! Living processes share the work evenly: whoever has too much gives back in order, whoever has too little takes what
//! is free. A newcomer gets his part when he has lived for a while, so that sagas do not wait for one that dies again and
//! again. A process is told apart by its token, never by its name.
//!
//! Ownership only keeps processes from doing the same work twice. What keeps them from doing harm is the expected
//! version of every append and the provider's idempotency keys, so a sleeper that wakes up late finds its place taken.

mod balance;
mod keeper;
mod pulse;
mod registry;
mod signs;

use std::time::Duration;

use event_schema::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use keeper::Keeper;
pub use pulse::Pulse;
pub use registry::read_owner;

/// How many shares there are: one for each first digit of the bucket.
pub const SHARES: u8 = 16;
/// How often an owner says that it is alive, and everybody looks who is.
pub const BEAT_PERIOD: Duration = Duration::from_secs(1);
/// An owner that has said nothing for so long has lost its shares.
pub const OWNER_SILENCE_MAX: Duration = Duration::from_secs(5);
/// An owner that could not say that it is alive for so long stops working: before others may take over.
pub const SELF_DOUBT_AFTER: Duration = Duration::from_secs(4);

/// A process that has said so often that it is alive is believed to stay.
const BEATS_SETTLED: u32 = 10;

/// One of the 16 parts of all sagas, by the first digit of the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u8);

impl Share {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARES).map(Self)
    }

    /// The share that an order's saga belongs to.
    pub fn of(order: Uuid) -> Self {
        Self(event_schema::subject::share(order))
    }

    /// The share's place, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The consumer that wakes its sagas.
    pub fn consumer(self) -> String {
        format!("fulfilment-{self}")
    }

    /// Reads the digit that `Display` writes.
    fn parse(digit: &str) -> Option<Self> {
        let number = u8::from_str_radix(digit, 16).ok()?;
        (digit.len() == 1 && number < SHARES).then_some(Self(number))
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// The entry `_owner.<hex>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The owner's name; empty when the share was given back.
    pub instance: String,
    /// Tells two processes of one name apart.
    pub token: String,
    /// How often the share has changed hands.
    pub epoch: u64,
    /// Since when.
    pub since: Timestamp,
}

impl Owner {
    /// The name, and enough of the token to tell two processes of one name apart.
    pub fn label(&self) -> String {
        let tail = self.token.len().saturating_sub(LABEL_TOKEN_CHARS);
        format!(
            "{}/{}",
            self.instance,
            self.token.get(tail..).unwrap_or_default()
        )
    }

    fn nobody(epoch: u64, since: Timestamp) -> Self {
        Self {
            instance: String::new(),
            token: String::new(),
            epoch,
            since,
        }
    }
}

/// The end of a token is random, its beginning a time.
const LABEL_TOKEN_CHARS: usize = 6;

/// The entry `_instance.<token>`: a process is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sign {
    instance: String,
    at: Timestamp,
    /// Whether it takes shares; a build that cannot carry a live saga does not.
    #[serde(default = "takes")]
    takes: bool,
    /// The saga definition that it carries.
    #[serde(default)]
    def: String,
    /// How often it has said so by now; builds that did not count are believed.
    #[serde(default = "settled")]
    beats: u32,
}

fn takes() -> bool {
    true
}

fn settled() -> u32 {
    BEATS_SETTLED
}

/// The bucket could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the bucket saga_status could not be reached: {0}")]
pub struct BeatError(String);

impl BeatError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

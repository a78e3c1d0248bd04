//! The two buckets that operators read with the plain `nats` CLI, and how they are written.
//!
//! `saga_status` is a projection of the histories: key `fulfilment.<order id>`, one line of ASCII JSON, the verdict
//! first. It also holds what the orchestrators need among themselves: `_complete_to.<hex>` (every saga event of that
//! share up to this position of this log is shown), `_owner.<hex>`, `_instance.<token>`, and
//! `_refused.<order id>` of a saga that keeps a build from working.
//! `saga_attention` holds only what needs a person: key `fulfilment.<cause>.<order id>`, one line of text.

use async_nats::Client;
use async_nats::jetstream::kv;
use uuid::Uuid;

pub mod ascii;
mod board;
mod completeness;
pub(crate) mod refused;
mod saga;
mod scan;
mod sweep;
pub(crate) mod vocabulary;

pub use board::Board;
pub use completeness::{Completeness, complete_to};
pub use saga::{MoneyStatus, OutsideStatus, SagaStatus, StepStatus, StockStatus, Verdict};
pub use scan::{Entry, ScanError, scan};
pub use sweep::sweep;

/// The bucket with the latest state of every saga.
pub const STATUS_BUCKET: &str = "saga_status";
/// The bucket with the sagas that need a person.
pub const ATTENTION_BUCKET: &str = "saga_attention";
/// Keys of sagas in `saga_status`.
pub const SAGA_KEYS: &str = "fulfilment.*";

/// Both buckets, and the connection for advisories.
#[derive(Debug, Clone)]
pub struct Buckets {
    /// The connection.
    pub client: Client,
    /// `saga_status`.
    pub status: kv::Store,
    /// `saga_attention`.
    pub attention: kv::Store,
}

/// A bucket is not there; `waybill migrate` makes them.
#[derive(Debug, thiserror::Error)]
#[error("the bucket {bucket} cannot be opened, run `waybill migrate`: {reason}")]
pub struct MissingBucket {
    bucket: &'static str,
    reason: String,
}

impl Buckets {
    /// Opens both.
    pub async fn open(client: Client) -> Result<Self, MissingBucket> {
        let jetstream = async_nats::jetstream::new(client.clone());
        let open = async |bucket: &'static str| {
            jetstream
                .get_key_value(bucket)
                .await
                .map_err(|error| MissingBucket {
                    bucket,
                    reason: error.to_string(),
                })
        };
        Ok(Self {
            status: open(STATUS_BUCKET).await?,
            attention: open(ATTENTION_BUCKET).await?,
            client,
        })
    }
}

/// A saga's key in `saga_status`.
pub fn status_key(order: Uuid) -> String {
    format!("fulfilment.{order}")
}

/// The order of a saga's key.
pub fn order_of_key(key: &str) -> Option<Uuid> {
    Uuid::parse_str(key.strip_prefix("fulfilment.")?).ok()
}

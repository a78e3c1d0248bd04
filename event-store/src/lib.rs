//! The only code that appends to the log or loads from it.
//!
//! [`EventStore`] is what a log can do; [`JetStreamStore`] does it on a real broker, [`InMemoryStore`] is its twin
//! for tests, and both are held to one conformance suite. [`Executor`] is the write path: load, decide, append as
//! one group, and again on a conflict.
//!
//! What can be measured: `waybill_append_seconds`, `waybill_append_batch_messages`, `waybill_append_waiting_groups`,
//! `waybill_append_groups_total{result}`, `waybill_append_resends_total`, `waybill_command_conflicts_total`,
//! `waybill_command_stale_answers_total`, `waybill_loads_total{kind}`, `waybill_history_reads_total{way}`,
//! `waybill_snapshots_total{result}`, `waybill_subscription_remade_total`.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

#[cfg(feature = "testing")]
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a conformance test fails by panicking, whichever crate runs it"
)]
pub mod conformance;
pub mod execute;
pub mod export;
pub mod import;
pub mod in_memory;
pub mod jetstream;
pub mod records;
mod rewound;
pub mod store;
mod subscription;
pub mod topology;

pub use execute::{
    Claim, ExecuteError, Executed, Executor, Halt, Loaded, Once, Refusal, Release, Stop,
    StoredSnapshot, Work,
};
pub use export::{Export, StoredMessage};
pub use import::{Import, ImportError, Source};
pub use in_memory::InMemoryStore;
pub use jetstream::JetStreamStore;
pub use records::{Done, Uniq};
pub use rewound::LogRewound;
pub use store::{
    AppendError, Appended, EventStore, Freshness, Group, History, LoadError, LogEnd, LogIdentity,
    Part, Seen, Waiting,
};
pub use subscription::{SubscribeError, Subscription};

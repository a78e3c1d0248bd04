//! The API over gRPC: each rpc is turned into the HTTP request that it stands for and passes the very same layers and
//! handlers, so it has the same rules, limits, command ids and answers. What it stands for is said in the protos.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod answer;
mod codec;
mod deadline;
mod door;
mod request;
mod rpc;
mod status;
mod watch;

pub use door::{Door, DoorError, Health};
pub use rpc::{BadProtos, Rpc, descriptors, rpcs};

/// Messages and clients, as they are made of the protos.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "made by a machine"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/waybill.v1.rs"));
}

//! Every event type this build knows, over all aggregates.

use crate::event_set::{DecodeError, EventSet};
use crate::{
    assignment, customer, fulfilment, inbox, inventory, notification, notification_agent, offer,
    order, partner, payment, payment_provider, product, record, resource, stray_callback,
};

/// One aggregate's events: names with newest versions, and a decoder that only checks.
pub struct Registered {
    /// The aggregate.
    pub aggregate: &'static str,
    /// Stored type names with the newest version.
    pub types: &'static [(&'static str, u16)],
    /// Reads a stored payload of any version and gives its type's `Debug` text; tools and tests use it.
    pub check: fn(&str, u16, &[u8]) -> Result<String, DecodeError>,
}

const fn registered<E: EventSet>() -> Registered {
    Registered {
        aggregate: E::AGGREGATE,
        types: E::TYPES,
        check: check::<E>,
    }
}

fn check<E: EventSet>(
    event_type: &str,
    version: u16,
    payload: &[u8],
) -> Result<String, DecodeError> {
    E::decode(event_type, version, payload).map(|event| format!("{event:#?}"))
}

/// All aggregates, and the two kinds of guarding records.
pub const ALL: &[Registered] = &[
    registered::<customer::Event>(),
    registered::<resource::Event>(),
    registered::<assignment::Event>(),
    registered::<partner::Event>(),
    registered::<product::Event>(),
    registered::<offer::Event>(),
    registered::<inventory::Event>(),
    registered::<order::Event>(),
    registered::<payment::Event>(),
    registered::<payment_provider::Event>(),
    registered::<fulfilment::Event>(),
    registered::<inbox::Event>(),
    registered::<stray_callback::Event>(),
    registered::<notification::Event>(),
    registered::<notification_agent::Event>(),
    registered::<record::DoneEvent>(),
    registered::<record::UniqEvent>(),
];

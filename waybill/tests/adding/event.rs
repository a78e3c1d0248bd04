//! What can happen to a gift card. Inside the tree `event_set!` writes the second half of this file.

use event_schema::codec::{self, CodecError};
use event_schema::upcast::Upcast;
use event_schema::{DecodeError, EventSet, SagaHeaders};
use serde::{Deserialize, Serialize};

const ISSUED: &str = "gift_card.issued";
const REDEEMED: &str = "gift_card.redeemed";

/// A card exists, with so much on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    pub cents: u32,
}

/// So much of it was spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redeemed {
    pub cents: u32,
}

/// A gift card's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Issued(Issued),
    Redeemed(Redeemed),
}

impl EventSet for Event {
    const AGGREGATE: &'static str = "gift_card";
    const TYPES: &'static [(&'static str, u16)] = &[(ISSUED, 1), (REDEEMED, 1)];
    const UPCASTS: &'static [Upcast] = &[];

    fn event_type(&self) -> &'static str {
        match self {
            Self::Issued(_) => ISSUED,
            Self::Redeemed(_) => REDEEMED,
        }
    }

    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::Issued(issued) => codec::encode(issued),
            Self::Redeemed(redeemed) => codec::encode(redeemed),
        }
    }

    fn decode(event_type: &str, version: u16, payload: &[u8]) -> Result<Self, DecodeError> {
        match (event_type, version) {
            (ISSUED, 1) => Ok(Self::Issued(codec::decode(payload)?)),
            (REDEEMED, 1) => Ok(Self::Redeemed(codec::decode(payload)?)),
            (ISSUED | REDEEMED, version) => Err(DecodeError::UnknownVersion {
                event_type: event_type.to_owned(),
                version,
            }),
            (other, _) => Err(DecodeError::UnknownType(other.to_owned())),
        }
    }

    fn saga_headers(&self) -> Option<SagaHeaders> {
        None
    }
}

/// The stored bytes are for ever. Inside the tree the golden corpus says so of every event.
#[test]
fn a_gift_cards_events_are_stored_as_they_always_were() {
    for (event, stored) in [
        (
            Event::Issued(Issued { cents: 5000 }),
            b"\x81\xa5cents\xcd\x13\x88",
        ),
        (
            Event::Redeemed(Redeemed { cents: 2000 }),
            b"\x81\xa5cents\xcd\x07\xd0",
        ),
    ] {
        assert_eq!(event.encode().unwrap(), stored);
        let read = Event::decode(event.event_type(), event.schema_version(), stored).unwrap();
        assert_eq!(read, event);
    }
    let newer = Event::decode(ISSUED, 2, b"\x80").unwrap_err();
    assert!(
        newer.is_newer(),
        "nothing is decided on what is not understood"
    );
}

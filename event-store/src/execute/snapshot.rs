//! A state put aside with the version and position it stands for. Never the truth: one that is lost, stale or of
//! another log only costs time.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use event_schema::codec;
use event_schema::ids::CommandId;
use event_schema::{Position, Version};

use super::cache::{Origin, Warm};
use super::kind::Kind;
use crate::store::LogIdentity;

/// A snapshot as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSnapshot {
    /// The log it was taken from; a snapshot of another log is not used.
    pub log: String,
    /// The version it stands for.
    pub version: Version,
    /// Where the event of that version is.
    pub position: Position,
    /// And which event that is; a snapshot of a tail that is lost is not used.
    #[serde(default)]
    pub event_id: Option<Uuid>,
    /// The command that began the history.
    pub command_id: CommandId,
    /// And the hash of it.
    pub command_hash: Option<String>,
    /// Where the history begins.
    pub begins: Position,
    /// The state, as the decider's own codec wrote it.
    #[serde(with = "as_bytes")]
    pub state: Vec<u8>,
}

impl StoredSnapshot {
    /// A state that is wholly in the log; none for others.
    pub(crate) fn of(warm: &Warm, log: &LogIdentity, event_id: Uuid) -> Option<Self> {
        let origin = warm.origin.as_ref()?;
        Some(Self {
            log: log.to_string(),
            version: warm.version,
            position: warm.position?,
            event_id: Some(event_id),
            command_id: origin.command_id,
            command_hash: origin.command_hash.clone(),
            begins: origin.position?,
            state: (warm.kind.keep)(&warm.state)?,
        })
    }

    pub(crate) fn to_bytes(&self) -> Option<Bytes> {
        codec::encode(self).ok().map(Bytes::from)
    }

    /// Reads a stored snapshot back; anything that is not of this log is as good as none.
    pub(crate) fn read(bytes: &[u8], log: &LogIdentity) -> Option<Self> {
        let stored: Self = codec::decode(bytes).ok()?;
        (stored.log == log.to_string() && stored.version != Version::NONE).then_some(stored)
    }

    /// The state it stands for; none when its bytes do not give one.
    pub(crate) fn restore(self, kind: Kind) -> Option<Warm> {
        Some(Warm {
            kind,
            state: (kind.restore)(&self.state).ok()?,
            version: self.version,
            position: Some(self.position),
            checked_to: None,
            origin: Some(Origin {
                command_id: self.command_id,
                command_hash: self.command_hash,
                position: Some(self.begins),
            }),
            snapshot: Some((self.version, self.position)),
            pending: None,
            on_its_way: None,
        })
    }
}

/// Bytes as one MessagePack binary instead of a list of numbers.
mod as_bytes {
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

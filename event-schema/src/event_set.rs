//! The events one aggregate can have, as a closed set: stored names, versions, encoding and decoding.

use crate::codec::{self, CodecError};
use crate::envelope::SagaHeaders;
use crate::upcast::Upcast;

/// Why a stored event could not be read as one of a set.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer build, or by something that is not Waybill: never guess, never decide on it.
    #[error("the event type {0:?} is not known to this build")]
    UnknownType(String),
    /// The type is known, its version is newer than this build.
    #[error("version {version} of the event type {event_type:?} is not known to this build")]
    UnknownVersion {
        /// Stored type name.
        event_type: String,
        /// The version that cannot be read.
        version: u16,
    },
    /// An upcaster refused the stored payload.
    #[error("version {from} of {event_type:?} cannot be read any more: {why}")]
    Upcast {
        /// Stored type name.
        event_type: String,
        /// The version it was stored in.
        from: u16,
        /// What the payload lacks.
        why: String,
    },
    /// The bytes are damaged.
    #[error("the payload cannot be read")]
    Codec(#[from] CodecError),
}

impl DecodeError {
    /// Whether a newer build wrote the event; such a history must not be decided on.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::UnknownType(_) | Self::UnknownVersion { .. })
    }
}

/// A closed set of events. Implemented by the [`event_set!`](crate::event_set) macro only.
pub trait EventSet: Sized + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The aggregate the events belong to.
    const AGGREGATE: &'static str;
    /// Every stored type name with the newest version of its payload.
    const TYPES: &'static [(&'static str, u16)];
    /// How older versions are read.
    const UPCASTS: &'static [Upcast];

    /// Stored type name.
    fn event_type(&self) -> &'static str;
    /// The payload as stored.
    fn encode(&self) -> Result<Vec<u8>, CodecError>;
    /// Reads a stored payload of any version.
    fn decode(event_type: &str, version: u16, payload: &[u8]) -> Result<Self, DecodeError>;
    /// Headers of a saga's event; none for the others.
    fn saga_headers(&self) -> Option<SagaHeaders>;

    /// Newest version of this event's payload.
    fn schema_version(&self) -> u16 {
        Self::TYPES
            .iter()
            .find(|(name, _)| *name == self.event_type())
            .map_or(1, |(_, version)| *version)
    }
}

/// Declares an aggregate's events: the enum, the stored names with versions, and the upcasters.
macro_rules! event_set {
    (
        $(#[$doc:meta])*
        $vis:vis enum $name:ident of $aggregate:literal {
            $($(#[$vdoc:meta])* $type:literal $version:literal => $variant:ident($payload:ty),)+
        }
        upcasts [$($upcast:expr),* $(,)?]
        $(saga_headers $saga:path)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "events live briefly; a box would cost every reader more")]
        $vis enum $name {
            $($(#[$vdoc])* $variant($payload),)+
        }

        impl $crate::event_set::EventSet for $name {
            const AGGREGATE: &'static str = $aggregate;
            const TYPES: &'static [(&'static str, u16)] = &[$(($type, $version)),+];
            const UPCASTS: &'static [$crate::upcast::Upcast] = &[$($upcast),*];

            fn event_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => $type),+ }
            }

            fn encode(&self) -> Result<Vec<u8>, $crate::codec::CodecError> {
                match self { $(Self::$variant(payload) => $crate::codec::encode(payload)),+ }
            }

            fn decode(
                event_type: &str,
                version: u16,
                payload: &[u8],
            ) -> Result<Self, $crate::event_set::DecodeError> {
                match event_type {
                    $($type => Ok(Self::$variant($crate::event_set::read(
                        Self::UPCASTS, $type, version, $version, payload,
                    )?)),)+
                    other => Err($crate::event_set::DecodeError::UnknownType(other.to_owned())),
                }
            }

            fn saga_headers(&self) -> Option<$crate::envelope::SagaHeaders> {
                event_set!(@saga self $($saga)?)
            }
        }

        $(impl From<$payload> for $name {
            fn from(payload: $payload) -> Self {
                Self::$variant(payload)
            }
        })+
    };
    (@saga $self:ident) => { None };
    (@saga $self:ident $saga:path) => { Some($saga($self)) };
}
pub(crate) use event_set;

/// Reads a payload of any version as the newest shape.
pub(crate) fn read<T: serde::de::DeserializeOwned>(
    upcasts: &[Upcast],
    event_type: &str,
    stored: u16,
    newest: u16,
    payload: &[u8],
) -> Result<T, DecodeError> {
    let upcasted = crate::upcast::to_newest(upcasts, event_type, stored, newest, payload)?;
    Ok(codec::decode(upcasted.as_deref().unwrap_or(payload))?)
}

//! Upcasters: pure functions that turn a payload of one schema version into the next, on read.
//!
//! A stored event is never rewritten. A breaking change of a payload gets a new version and one [`Upcast`] from
//! the version before; readers chain them until the newest shape is reached.

use rmpv::Value;

use crate::codec;
use crate::event_set::DecodeError;

/// One step: payload of version `from` to version `from + 1` of the same event type.
#[derive(Clone, Copy)]
pub struct Upcast {
    /// Stored type name.
    pub event_type: &'static str,
    /// The version it reads.
    pub from: u16,
    /// The change; an error text says what the payload lacks.
    pub change: fn(Value) -> Result<Value, String>,
}

/// Brings a payload from its stored version to the newest one; leaves the newest untouched and undecoded.
pub fn to_newest(
    upcasts: &[Upcast],
    event_type: &str,
    stored: u16,
    newest: u16,
    payload: &[u8],
) -> Result<Option<Vec<u8>>, DecodeError> {
    if stored == newest {
        return Ok(None);
    }
    let unknown = |version| DecodeError::UnknownVersion {
        event_type: event_type.to_owned(),
        version,
    };
    if stored > newest || stored == 0 {
        return Err(unknown(stored));
    }
    let mut value = codec::decode_any(payload)?;
    for version in stored..newest {
        let step = upcasts
            .iter()
            .find(|u| u.event_type == event_type && u.from == version);
        let change = step.ok_or_else(|| unknown(version))?.change;
        value = change(value).map_err(|why| DecodeError::Upcast {
            event_type: event_type.to_owned(),
            from: version,
            why,
        })?;
    }
    Ok(Some(codec::encode_any(&value)?))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::event_set::{EventSet, event_set};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Renamed {
        full_name: String,
        loud: bool,
    }

    event_set! {
        /// A set with a history of two breaking changes.
        enum Event of "sample" {
            "sample.renamed" 3 => Renamed(Renamed),
        }
        upcasts [
            Upcast { event_type: "sample.renamed", from: 1, change: join_names },
            Upcast { event_type: "sample.renamed", from: 2, change: add_loud },
        ]
    }

    fn field(value: &Value, name: &str) -> Result<String, String> {
        value
            .as_map()
            .and_then(|m| m.iter().find(|(k, _)| k.as_str() == Some(name)))
            .and_then(|(_, v)| v.as_str().map(str::to_owned))
            .ok_or_else(|| format!("no field {name}"))
    }

    fn join_names(v: Value) -> Result<Value, String> {
        let full = format!("{} {}", field(&v, "first")?, field(&v, "last")?);
        Ok(Value::Map(vec![("full_name".into(), full.into())]))
    }

    fn add_loud(v: Value) -> Result<Value, String> {
        let Value::Map(mut map) = v else {
            return Err("not a map".into());
        };
        map.push(("loud".into(), false.into()));
        Ok(Value::Map(map))
    }

    #[derive(Serialize)]
    struct V1 {
        first: &'static str,
        last: &'static str,
    }

    #[test]
    fn a_payload_two_versions_old_reads_as_the_newest() {
        let bytes = codec::encode(&V1 {
            first: "Ada",
            last: "Byron",
        })
        .unwrap();
        let event = Event::decode("sample.renamed", 1, &bytes).unwrap();
        assert_eq!(
            event,
            Event::Renamed(Renamed {
                full_name: "Ada Byron".into(),
                loud: false
            })
        );
    }

    #[test]
    fn a_version_from_the_future_is_unknown_and_never_guessed() {
        let error = Event::decode("sample.renamed", 4, &[0x80]).unwrap_err();
        assert!(
            matches!(error, DecodeError::UnknownVersion { version: 4, .. }),
            "{error}"
        );
        let error = Event::decode("sample.flown", 1, &[0x80]).unwrap_err();
        assert!(matches!(error, DecodeError::UnknownType(_)), "{error}");
    }

    #[test]
    fn an_old_payload_that_lacks_what_the_upcaster_needs_says_so() {
        let error = Event::decode("sample.renamed", 1, &[0x80]).unwrap_err();
        assert!(
            matches!(error, DecodeError::Upcast { from: 1, .. }),
            "{error}"
        );
    }
}

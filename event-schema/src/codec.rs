//! The one module that turns payloads into bytes and back: MessagePack with field names, human-readable flavour.
//!
//! Named fields survive added, removed and reordered fields; the human-readable flavour keeps ids and times as
//! text, so that any MessagePack reader can show an event without its Rust type. Never use `rmp_serde` elsewhere.

use rmp_serde::decode::ReadReader;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The value has a shape MessagePack cannot hold.
    #[error("the value cannot be encoded as MessagePack")]
    Encode(#[source] rmp_serde::encode::Error),
    /// The bytes are not what the type expects.
    #[error("the bytes are not a readable payload")]
    Decode(#[source] rmp_serde::decode::Error),
    /// The bytes hold a value and then something more; accepting that would hide corruption.
    #[error("{0} bytes are left after the payload")]
    TrailingBytes(usize),
    /// The bytes are not MessagePack at all.
    #[error("the bytes are not MessagePack")]
    NotMessagePack(#[source] rmpv::decode::Error),
    /// The payload cannot be shown as JSON.
    #[error("the payload cannot be shown as JSON")]
    Json(#[source] serde_json::Error),
}

/// Writes a value as MessagePack with field names.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(128);
    let mut serializer = rmp_serde::Serializer::new(&mut bytes)
        .with_struct_map()
        .with_human_readable();
    value
        .serialize(&mut serializer)
        .map_err(CodecError::Encode)?;
    Ok(bytes)
}

/// Reads a value written by [`encode`]; refuses bytes that go on after the value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut deserializer = rmp_serde::Deserializer::new(bytes).with_human_readable();
    let value = T::deserialize(&mut deserializer).map_err(CodecError::Decode)?;
    finish(&deserializer, value)
}

fn finish<T, C: rmp_serde::config::SerializerConfig>(
    deserializer: &rmp_serde::Deserializer<ReadReader<&[u8]>, C>,
    value: T,
) -> Result<T, CodecError> {
    let left = deserializer.get_ref().len();
    if left > 0 {
        Err(CodecError::TrailingBytes(left))
    } else {
        Ok(value)
    }
}

/// Reads a payload without knowing its type, for upcasters and tools.
pub fn decode_any(mut bytes: &[u8]) -> Result<rmpv::Value, CodecError> {
    let value = rmpv::decode::read_value(&mut bytes).map_err(CodecError::NotMessagePack)?;
    if bytes.is_empty() {
        Ok(value)
    } else {
        Err(CodecError::TrailingBytes(bytes.len()))
    }
}

/// Writes an untyped payload, after an upcaster changed it.
pub fn encode_any(value: &rmpv::Value) -> Result<Vec<u8>, CodecError> {
    encode(value)
}

/// Shows a payload as JSON without knowing its type (`waybill decode`, `GET /v1/events`).
pub fn to_json(bytes: &[u8]) -> Result<serde_json::Value, CodecError> {
    serde_json::to_value(decode_any(bytes)?).map_err(CodecError::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Sample {
        id: uuid::Uuid,
        #[serde(default)]
        note: Option<String>,
    }

    #[test]
    fn a_payload_reads_back_and_shows_as_json_without_its_type() {
        let sample = Sample {
            id: uuid::Uuid::from_u128(7),
            note: Some("ü".into()),
        };
        let bytes = encode(&sample).unwrap();
        assert_eq!(decode::<Sample>(&bytes).unwrap(), sample);
        assert_eq!(
            to_json(&bytes).unwrap(),
            serde_json::json!({"id": "00000000-0000-0000-0000-000000000007", "note": "ü"})
        );
    }

    #[test]
    fn bytes_after_the_payload_are_refused() {
        let mut bytes = encode(&1u8).unwrap();
        bytes.push(0);
        assert!(matches!(
            decode::<u8>(&bytes),
            Err(CodecError::TrailingBytes(1))
        ));
        assert!(matches!(
            decode_any(&bytes),
            Err(CodecError::TrailingBytes(1))
        ));
    }

    #[test]
    fn a_field_added_later_reads_as_absent_and_one_dropped_is_passed_over() {
        #[derive(serde::Serialize)]
        struct Other {
            gone: u8,
            id: uuid::Uuid,
        }
        let bytes = encode(&Other {
            gone: 1,
            id: uuid::Uuid::nil(),
        })
        .unwrap();
        assert_eq!(decode::<Sample>(&bytes).unwrap().note, None);
    }
}

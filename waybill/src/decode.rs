//! `waybill decode`: a payload on standard input as JSON, for `nats stream view EVENTS --translate 'waybill decode'`.

use std::io::Read;

use anyhow::Context;
use event_schema::codec;

use crate::out;

/// The broker's largest payload; more cannot be an event.
const PAYLOAD_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Reads one payload and prints it as one line of JSON.
pub fn run() -> anyhow::Result<()> {
    let mut payload = Vec::new();
    std::io::stdin()
        .lock()
        .take(PAYLOAD_BYTES_MAX)
        .read_to_end(&mut payload)
        .context("standard input cannot be read")?;
    out::line(show(&payload)?);
    Ok(())
}

fn show(payload: &[u8]) -> anyhow::Result<String> {
    let json = codec::to_json(payload).context("this is no payload of a Waybill event")?;
    Ok(serde_json::to_string(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_payload_reads_as_json() {
        let payload = codec::encode(&event_schema::record::Done { following: 2 }).unwrap();
        assert_eq!(show(&payload).unwrap(), r#"{"following":2}"#);
    }

    #[test]
    fn something_else_is_refused_in_words() {
        let error = show(b"{\"json\": true}").unwrap_err();
        assert!(error.to_string().contains("no payload"), "{error}");
    }
}

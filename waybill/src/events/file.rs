//! The file that a log travels in: lines of JSON, described in `docs/events-file.md`. Written and read line by line, so
//! a log of any length passes through the same few kilobytes.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event_schema::{Position, Timestamp};
use event_store::StoredMessage;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the form that this build writes, and the newest that it reads.
const VERSION: u32 = 1;
/// A line beyond this holds no message that the broker would take.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How the last line begins, and no other.
const TRAILER_START: &[u8] = b"{\"messages\":";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Version of the form.
    #[serde(rename = "waybill_events")]
    version: u32,
    /// Which log it was read from.
    pub log: String,
    /// The pattern that chose the messages; none when all of them are in it.
    pub subject: Option<String>,
    /// The position of the last of them.
    pub end: Position,
}

impl Head {
    /// The head of a file of this build's form.
    pub fn new(log: String, subject: Option<String>, end: Position) -> Self {
        Self {
            version: VERSION,
            log,
            subject,
            end,
        }
    }
}

/// A message as a line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    position: Position,
    recorded_at: Timestamp,
    subject: String,
    headers: BTreeMap<String, String>,
    payload: String,
}

/// The last line: how many messages there were, and what all bytes before it digest to.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailer {
    messages: u64,
    sha256: String,
}

/// What a whole file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many messages.
    pub messages: u64,
    /// The digest, in hex.
    pub sha256: String,
}

/// Writes a file.
pub struct Writer<W> {
    out: W,
    digest: digest::Context,
    messages: u64,
}

impl<W: Write> Writer<W> {
    /// Begins with the head.
    pub fn begin(out: W, head: &Head) -> anyhow::Result<Self> {
        let mut writer = Self {
            out,
            digest: digest::Context::new(&digest::SHA256),
            messages: 0,
        };
        writer.line(head)?;
        Ok(writer)
    }

    /// Adds a message.
    pub fn message(&mut self, message: &StoredMessage) -> anyhow::Result<()> {
        self.messages += 1;
        self.line(&Line {
            position: message.position,
            recorded_at: message.recorded_at,
            subject: message.subject.clone(),
            headers: message.headers.iter().cloned().collect(),
            payload: STANDARD.encode(&message.payload),
        })
    }

    /// Ends with the trailer, and gives back what was written to.
    pub fn finish(mut self) -> anyhow::Result<(W, Summary)> {
        let summary = Summary {
            messages: self.messages,
            sha256: hex::encode(self.digest.clone().finish()),
        };
        let trailer = Trailer {
            messages: summary.messages,
            sha256: summary.sha256.clone(),
        };
        self.line(&trailer)?;
        self.out.flush()?;
        Ok((self.out, summary))
    }

    fn line(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.digest.update(&bytes);
        self.out.write_all(&bytes)?;
        Ok(())
    }
}

/// Reads a file; every line is checked, and the end against the trailer.
pub struct Reader<R> {
    input: R,
    digest: digest::Context,
    head: Head,
    line: u64,
    messages: u64,
    ended: Option<Summary>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the head.
    pub fn begin(mut input: R) -> anyhow::Result<Self> {
        let mut digest = digest::Context::new(&digest::SHA256);
        let bytes = next_line(&mut input, 1)?.context("the file is empty")?;
        digest.update(&bytes);
        // A newer form may have any head; its version comes before anything else that is wrong with it.
        #[derive(Deserialize)]
        struct AnyHead {
            waybill_events: u32,
        }
        let any: AnyHead = serde_json::from_slice(&bytes)
            .context("this is no file that `waybill events export` has written")?;
        ensure!(
            any.waybill_events <= VERSION,
            "the file is of version {}; this build reads up to version {VERSION}",
            any.waybill_events
        );
        Ok(Self {
            head: parse(&bytes, 1)?,
            input,
            digest,
            line: 1,
            messages: 0,
            ended: None,
        })
    }

    /// What the file says of itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The line that was read last, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next message; none at the end of a file that is whole.
    pub fn next_message(&mut self) -> anyhow::Result<Option<StoredMessage>> {
        if self.ended.is_some() {
            return Ok(None);
        }
        self.line += 1;
        let line = self.line;
        let Some(bytes) = next_line(&mut self.input, line)? else {
            bail!(
                "the file ends in the middle, after {} messages",
                self.messages
            );
        };
        if bytes.starts_with(TRAILER_START) {
            self.end(&bytes)?;
            return Ok(None);
        }
        self.digest.update(&bytes);
        let message: Line = parse(&bytes, line)?;
        self.messages += 1;
        let payload = STANDARD.decode(&message.payload);
        let payload = payload.with_context(|| format!("line {line}: the payload is no base64"))?;
        Ok(Some(StoredMessage {
            position: message.position,
            recorded_at: message.recorded_at,
            subject: message.subject,
            headers: message.headers.into_iter().collect(),
            payload: payload.into(),
        }))
    }

    /// Reads to the end and gives what the whole is.
    pub fn summary(mut self) -> anyhow::Result<Summary> {
        while self.next_message()?.is_some() {}
        self.ended.context("the file has no end")
    }

    fn end(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let trailer: Trailer = parse(bytes, self.line)?;
        let sha256 = hex::encode(self.digest.clone().finish());
        ensure!(
            trailer.messages == self.messages,
            "the file has {} messages and should have {}",
            self.messages,
            trailer.messages
        );
        ensure!(
            trailer.sha256 == sha256,
            "the file was changed since it was written: its digest is {sha256}, and should be {}",
            trailer.sha256
        );
        ensure!(
            next_line(&mut self.input, self.line + 1)?.is_none(),
            "the file goes on after its last line"
        );
        self.ended = Some(Summary {
            messages: self.messages,
            sha256,
        });
        Ok(())
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], line: u64) -> anyhow::Result<T> {
    serde_json::from_slice(bytes).with_context(|| format!("line {line} cannot be read"))
}

/// A line with its end; none after the last one.
fn next_line(input: &mut impl BufRead, line: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut bounded = Read::take(&mut *input, LINE_BYTES_MAX);
    let read = bounded
        .read_until(b'\n', &mut bytes)
        .with_context(|| format!("line {line} cannot be read"))?;
    if read as u64 == LINE_BYTES_MAX {
        bail!("line {line} is longer than {LINE_BYTES_MAX} bytes");
    }
    if read > 0 && bytes.last() != Some(&b'\n') {
        bail!("the file ends in the middle of line {line}");
    }
    Ok((read > 0).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(position: u64) -> StoredMessage {
        StoredMessage {
            position: Position(position),
            recorded_at: Timestamp::UNIX_EPOCH,
            subject: "evt.order.00.x".into(),
            headers: vec![("Actor".into(), "saga \"1\"".into())],
            payload: vec![0x80, 0, 255].into(),
        }
    }

    fn written() -> Vec<u8> {
        let head = Head::new("EVENTS@then".into(), None, Position(2));
        let mut writer = Writer::begin(Vec::new(), &head).unwrap();
        writer.message(&message(1)).unwrap();
        writer.message(&message(2)).unwrap();
        writer.finish().unwrap().0
    }

    fn read(bytes: &[u8]) -> anyhow::Result<(Head, Vec<StoredMessage>, Summary)> {
        let mut reader = Reader::begin(bytes)?;
        let mut messages = Vec::new();
        while let Some(message) = reader.next_message()? {
            messages.push(message);
        }
        let head = reader.head().clone();
        Ok((head, messages, reader.summary()?))
    }

    #[test]
    fn what_is_written_reads_back() {
        let (head, messages, summary) = read(&written()).unwrap();
        assert_eq!(head.end, Position(2));
        assert_eq!(messages, [message(1), message(2)]);
        assert_eq!(summary.messages, 2);
        assert_eq!(
            summary,
            Reader::begin(&*written()).unwrap().summary().unwrap()
        );
    }

    #[test]
    fn the_lines_are_what_the_document_shows() {
        let text = String::from_utf8(written()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..2],
            [
                r#"{"waybill_events":1,"log":"EVENTS@then","subject":null,"end":2}"#,
                r#"{"position":1,"recorded_at":"1970-01-01T00:00:00Z","subject":"evt.order.00.x","headers":{"Actor":"saga \"1\""},"payload":"gAD/"}"#,
            ]
        );
        assert!(
            lines[3].starts_with(r#"{"messages":2,"sha256":""#),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_is_cut_changed_or_continued_is_refused_in_words() {
        let whole = written();
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        let mut changed = whole.clone();
        let byte = changed.windows(4).position(|w| w == b"saga").unwrap();
        changed[byte] = b'S';
        for (bytes, told) in [
            (Vec::new(), "is empty"),
            (
                b"{\"a\":1}\n".to_vec(),
                "no file that `waybill events export`",
            ),
            (
                b"{\"waybill_events\":2}\n".to_vec(),
                "this build reads up to version 1",
            ),
            (lines[..3].concat(), "ends in the middle, after 2 messages"),
            (whole[..whole.len() - 1].to_vec(), "in the middle of line 4"),
            (
                [lines[0], lines[1], lines[3]].concat(),
                "has 1 messages and should have 2",
            ),
            (changed, "was changed since it was written"),
            ([&*whole, lines[1]].concat(), "goes on after its last line"),
            ([lines[0], b"{}\n"].concat(), "line 2 cannot be read"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert!(format!("{error:#}").contains(told), "{error:#}");
        }
    }
}

//! JSON that the plain `nats` CLI shows as it is: one line, printable ASCII only. One other byte and the CLI prints
//! base64 instead.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut units = [0_u16; 2];
        for c in fragment.chars() {
            if c.is_ascii() && !c.is_ascii_control() {
                writer.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// A value as one line of ASCII JSON.
pub fn to_line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(512);
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut bytes, Ascii,
    ))?;
    // Only ASCII was written, so nothing is ever replaced.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Plain text as one line of printable ASCII; what is not becomes `?`.
pub fn plain_line(text: &str) -> String {
    let plain = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_ascii() && !c.is_ascii_control() => c,
        _ => '?',
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn every_text_becomes_one_line_of_printable_ascii_that_reads_back() {
        for text in [
            "plain",
            "Müller & Söhne",
            "two\nlines\t\u{7}",
            "🚲 \u{2028}",
            "quote \" back \\ slash",
            "\u{7f}",
        ] {
            let line = to_line(&json!({ "text": text })).unwrap();
            assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line:?}");
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["text"], text);
        }
    }

    #[test]
    fn plain_text_loses_what_a_terminal_would_not_print() {
        assert_eq!(plain_line("a\nü\u{1b}[1m"), "a ??[1m");
    }
}

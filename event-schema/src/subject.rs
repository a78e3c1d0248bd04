//! The only place that spells a subject: the address of one history in the stream `EVENTS`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::CommandId;

/// A literal subject of the stream `EVENTS`. Three families exist:
///
/// * `evt.<aggregate>.<bucket>.<id>`: an aggregate's history; the bucket is the last two hex digits of the id.
/// * `uniq.<rule>.<key>`: who holds a unique value; the key is a keyed hash, never the value.
/// * `done.<command id>`: an additive command that has happened.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);

/// The text is no subject of the stream `EVENTS`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a subject of the stream EVENTS")]
pub struct InvalidSubject(pub String);

impl Subject {
    /// The history of an aggregate.
    pub fn history(aggregate: &str, id: Uuid) -> Self {
        Self(format!("evt.{aggregate}.{}.{id}", bucket(id)))
    }

    /// The record that an additive command has happened.
    pub fn done(command: CommandId) -> Self {
        Self(format!("done.{command}"))
    }

    /// The history of a unique value; `key` is a keyed hash in hex.
    pub fn uniq(rule: &str, key: &str) -> Self {
        Self(format!("uniq.{rule}.{key}"))
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The aggregate's name and id, when this is an aggregate's history.
    pub fn aggregate(&self) -> Option<(&str, Uuid)> {
        let mut tokens = self.0.split('.');
        match (
            tokens.next(),
            tokens.next(),
            tokens.next(),
            tokens.next(),
            tokens.next(),
        ) {
            (Some("evt"), Some(name), Some(_), Some(id), None) => {
                Some((name, Uuid::parse_str(id).ok()?))
            }
            _ => None,
        }
    }
}

/// The last two hex digits of an id: 256 buckets, spread evenly because the tail of a UUID is random.
pub fn bucket(id: Uuid) -> String {
    format!("{:02x}", id.as_bytes()[15])
}

/// Which of the 16 saga shares an id belongs to: the bucket's first digit.
pub fn share(id: Uuid) -> u8 {
    id.as_bytes()[15] >> 4
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tokens: Vec<&str> = text.split('.').collect();
        let plain = |t: &&str| {
            !t.is_empty()
                && t.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        let known = match tokens.as_slice() {
            ["evt", _, bucket_token, id] => {
                Uuid::parse_str(id).is_ok_and(|id| bucket(id) == *bucket_token)
            }
            ["uniq", _, _] => true,
            ["done", id] => Uuid::parse_str(id).is_ok(),
            _ => false,
        };
        if known && tokens.iter().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSubject(text.chars().take(120).collect()))
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidSubject;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aggregates_subject_names_its_bucket_and_reads_back() {
        let id = Uuid::parse_str("01890a5d-ac96-774b-bcce-b302099a80f3").unwrap();
        let subject = Subject::history("order", id);
        assert_eq!(
            subject.as_str(),
            "evt.order.f3.01890a5d-ac96-774b-bcce-b302099a80f3"
        );
        assert_eq!(subject.aggregate(), Some(("order", id)));
        assert_eq!(subject.as_str().parse::<Subject>().unwrap(), subject);
        assert_eq!(share(id), 0xf);
    }

    #[test]
    fn wildcards_wrong_buckets_and_foreign_subjects_are_refused() {
        for bad in [
            "evt.order.*.01890a5d-ac96-774b-bcce-b302099a80f3",
            "evt.order.f4.01890a5d-ac96-774b-bcce-b302099a80f3",
            "evt.>",
            "orders.f3.x",
            "uniq.email.a b",
            "",
        ] {
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
    }
}

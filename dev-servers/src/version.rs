//! Server versions: what a binary says about itself, and the least that is accepted.

use std::fmt;

/// The oldest nats-server that Waybill works with: atomic batches behave as the event store expects from here on.
pub const MINIMUM_NATS: Version = Version::new(2, 15, 1);

/// The oldest Postgres that Waybill works with.
pub const MINIMUM_POSTGRES_MAJOR: u32 = 15;

/// A version as a server reports it. A pre-release sorts before its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number; 0 when the server gives none.
    pub minor: u32,
    /// Third number; 0 when the server gives none.
    pub patch: u32,
    released: bool,
}

impl Version {
    /// A released version.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
            released: true,
        }
    }

    /// The first word of `text` that looks like a version: `nats-server: v2.15.1`, `postgres (PostgreSQL) 16.14 (Debian …)`,
    /// `postgres (PostgreSQL) 18beta1`.
    #[must_use]
    pub fn find_in(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::parse)
    }

    /// As Postgres writes it: two numbers.
    pub(crate) fn two_numbers(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    fn parse(word: &str) -> Option<Self> {
        let word = word.strip_prefix('v').unwrap_or(word);
        let numbers_end = word
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(word.len());
        let (numbers, rest) = word.split_at(numbers_end);
        let mut parts = numbers.split('.');
        let major = parts.next()?.parse().ok()?;
        let mut next = || match parts.next() {
            None | Some("") => Some(0),
            Some(part) => part.parse().ok(),
        };
        Some(Self {
            major,
            minor: next()?,
            patch: next()?,
            released: rest.is_empty() || rest.starts_with('+'),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.released {
            Ok(())
        } else {
            f.write_str(" (pre-release)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_understood() {
        let nats = Version::find_in("nats-server: v2.15.1\n");
        assert_eq!(nats, Some(Version::new(2, 15, 1)));
        let debian =
            Version::find_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)").unwrap();
        assert_eq!((debian.major, debian.minor), (15, 18));
        assert_eq!(Version::find_in("command not understood"), None);
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_a_pre_release_is_older_than_its_release() {
        assert!(Version::new(2, 9, 10) < MINIMUM_NATS);
        assert!(Version::new(2, 15, 2) > MINIMUM_NATS);
        assert!(Version::new(3, 0, 0) > MINIMUM_NATS);
        assert!(Version::find_in("v2.15.1-RC.2").unwrap() < MINIMUM_NATS);
        assert!(Version::find_in("v2.15.2-dev").unwrap() > MINIMUM_NATS);
    }
}

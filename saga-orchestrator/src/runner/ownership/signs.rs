//! Who lives: a sign of life is believed when it is seen to change, by our own clock; what others' clocks say counts for
//! nothing.

use std::collections::HashMap;

use tokio::time::Instant;

use super::{OWNER_SILENCE_MAX, Sign};

/// What was last seen of a process.
#[derive(Debug, Clone)]
struct Seen {
    revision: u64,
    at: Instant,
    /// Seen to change, so more than what a dead process left behind.
    changes: bool,
    takes: bool,
    beats: u32,
}

/// When others were last seen to be alive.
#[derive(Debug, Default)]
pub(super) struct Signs(HashMap<String, Seen>);

impl Signs {
    /// Notes all signs as they are now. A stranger gets the benefit of the doubt.
    pub(super) fn look<'a>(
        &mut self,
        now: Instant,
        signs: impl Iterator<Item = (&'a str, u64, &'a Sign)>,
    ) {
        let mut seen = HashMap::new();
        for (token, revision, sign) in signs {
            let known = self.0.remove(token);
            let next = match known {
                Some(known) if known.revision == revision => known,
                known => Seen {
                    revision,
                    at: now,
                    changes: known.is_some(),
                    takes: sign.takes,
                    beats: sign.beats,
                },
            };
            seen.insert(token.to_owned(), next);
        }
        self.0 = seen;
    }

    /// Whether the process may still be alive: nobody may take its shares.
    pub(super) fn may_live(&self, token: &str, now: Instant) -> bool {
        self.0
            .get(token)
            .is_some_and(|seen| now.duration_since(seen.at) < OWNER_SILENCE_MAX)
    }

    /// The processes that surely live and take shares, and how often each has said so.
    pub(super) fn takers(&self, now: Instant) -> impl Iterator<Item = (&str, u32)> {
        self.0
            .iter()
            .filter(move |(_, seen)| {
                seen.changes && seen.takes && now.duration_since(seen.at) < OWNER_SILENCE_MAX
            })
            .map(|(token, seen)| (token.as_str(), seen.beats))
    }

    /// Signs that have not changed for many times as long as a living process is silent.
    pub(super) fn left_behind(&self, now: Instant) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(_, seen)| now.duration_since(seen.at) > OWNER_SILENCE_MAX * 12)
            .map(|(token, _)| token.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use event_schema::Timestamp;

    use super::*;

    fn sign(takes: bool) -> Sign {
        Sign {
            instance: "i".into(),
            at: Timestamp::UNIX_EPOCH,
            takes,
            def: String::new(),
            beats: 3,
        }
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_doubted_for_a_while_and_never_counts_as_a_taker() {
        let (mut signs, left, now) = (Signs::default(), sign(true), Instant::now());
        signs.look(now, [("dead", 1, &left)].into_iter());
        assert!(signs.may_live("dead", now) && signs.takers(now).next().is_none());
        let later = now + OWNER_SILENCE_MAX;
        signs.look(later, [("dead", 1, &left)].into_iter());
        assert!(!signs.may_live("dead", later));
        assert!(!signs.may_live("never seen", now));
    }

    #[tokio::test]
    async fn a_sign_that_changes_is_a_taker_unless_it_refuses_to_take() {
        let (mut signs, now) = (Signs::default(), Instant::now());
        let (takes, refuses) = (sign(true), sign(false));
        for (after, revision) in [(0, 1), (1, 2)] {
            let at = now + Duration::from_secs(after);
            signs.look(
                at,
                [("a", revision, &takes), ("b", revision, &refuses)].into_iter(),
            );
        }
        let soon = now + Duration::from_secs(2);
        assert_eq!(signs.takers(soon).collect::<Vec<_>>(), [("a", 3)]);
        assert!(signs.may_live("b", soon));
    }

    #[tokio::test]
    async fn a_sign_that_is_taken_away_is_the_end_at_once() {
        let (mut signs, now, left) = (Signs::default(), Instant::now(), sign(true));
        signs.look(now, [("gone", 1, &left)].into_iter());
        signs.look(now, std::iter::empty());
        assert!(!signs.may_live("gone", now));
    }
}

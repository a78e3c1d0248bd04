//! What goes together: which waiting groups share a batch, what the batch expects, and who loses when it is refused.
//! Nothing here talks to the broker.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use event_schema::{Position, Subject, Version, envelope};

use super::callers::Turn;
use super::wire::Message;
use crate::store::{AppendError, Appended, GROUP_MESSAGES_MAX, Group, Seen};

/// A broker expectation: the position of a subject's last message.
pub(crate) const EXPECTED_POSITION: &str = "Nats-Expected-Last-Subject-Sequence";
/// … of another subject than the message's own.
pub(crate) const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// The last event of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Last {
    pub(crate) version: Version,
    pub(crate) position: Position,
    /// Its id, where it is one of ours or could be read.
    pub(crate) event: Option<Uuid>,
}

impl Last {
    pub(crate) fn place(self) -> (Version, Position) {
        (self.version, self.position)
    }
}

/// What the leader last said about a history; none when it has none.
pub(crate) type Head = Option<Last>;

/// Where subjects end after a batch.
pub(crate) type Ends = Vec<(Subject, Last)>;

/// A group that waits for the log.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) group: Group,
    pub(crate) answer: oneshot::Sender<Result<Appended, AppendError>>,
    pub(crate) since: Instant,
    /// How often it was put back because a batch it was in was refused.
    pub(crate) rounds: u32,
    /// Whether it must not share a batch any more.
    pub(crate) alone: bool,
    /// Held only to be given back: the caller's place among those waiting.
    pub(crate) _turn: Turn,
}

impl Queued {
    pub(crate) fn answer(self, answer: Result<Appended, AppendError>) {
        // Nobody has to wait for the answer; the group is in the log, or not, all the same.
        drop(self.answer.send(answer));
    }

    pub(crate) fn subjects(&self) -> impl Iterator<Item = &Subject> {
        let parts = self.group.parts.iter().map(|part| &part.subject);
        parts.chain(self.group.conditions.iter().map(|(subject, ..)| subject))
    }
}

/// What the batch needs of one subject before its first message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    version: Version,
    seen: Option<Position>,
    /// The event `version`, if a group was decided on one that was on its way.
    event: Option<Uuid>,
    /// The version after the groups so far, and the event that makes it, if one of them does.
    now: Version,
    written: Option<Uuid>,
}

impl Start {
    /// Whether a group decided on this can follow the groups so far: only the state that they leave will do.
    fn leaves(&self, version: Version, seen: Seen) -> bool {
        self.now == version
            && match (seen, self.written) {
                (Seen::Version, _) => true,
                (Seen::OnItsWay(event), Some(written)) => event == written,
                (Seen::At(_), Some(_)) => false,
                (Seen::At(at), None) => {
                    self.event.is_none() && self.seen.is_none_or(|seen| seen == at)
                }
                (Seen::OnItsWay(event), None) => {
                    self.seen.is_none() && self.event.is_none_or(|known| known == event)
                }
            }
    }
}

/// Groups that travel together, first come first served.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) groups: Vec<Queued>,
    starts: BTreeMap<Subject, Start>,
    messages: usize,
    /// The history that all of them are on and somebody else writes too, if there is one: who is faster there decides.
    pub(crate) contended: Option<Subject>,
}

/// A plan as messages.
pub(crate) struct Built {
    pub(crate) messages: Vec<Message>,
    /// Position expected before the first message's subject.
    pub(crate) first_expected: Position,
    /// Conditions that found no message to ride on, to be looked up just before sending.
    pub(crate) unguarded: Vec<(Subject, Position)>,
}

impl Plan {
    /// Takes a group in, or gives it back when it has to wait for the next batch.
    pub(crate) fn try_add(&mut self, queued: Queued) -> Result<(), Box<Queued>> {
        let messages = self.messages + queued.group.messages();
        let shut = self.groups.iter().any(|group| group.alone)
            || (queued.alone && !self.groups.is_empty());
        if shut || (messages > GROUP_MESSAGES_MAX && !self.groups.is_empty()) {
            return Err(Box::new(queued));
        }
        let wants = queued
            .group
            .parts
            .iter()
            .map(|part| (&part.subject, part.expected, part.seen));
        let reads = queued
            .group
            .conditions
            .iter()
            .map(|(subject, version, seen)| (subject, *version, *seen));
        let fits = |(subject, version, seen): (&Subject, Version, Seen)| {
            self.starts
                .get(subject)
                .is_none_or(|start| start.leaves(version, seen))
        };
        if !wants.clone().chain(reads.clone()).all(fits) {
            return Err(Box::new(queued));
        }
        for (subject, version, seen) in reads.chain(wants.clone()) {
            let fresh = || Start {
                version,
                seen: None,
                event: None,
                now: version,
                written: None,
            };
            let start = self.starts.entry(subject.clone()).or_insert_with(fresh);
            if start.written.is_none() {
                match seen {
                    Seen::Version => {}
                    Seen::At(at) => start.seen = Some(at),
                    Seen::OnItsWay(event) => start.event = Some(event),
                }
            }
        }
        for part in &queued.group.parts {
            if let Some(start) = self.starts.get_mut(&part.subject) {
                start.now = start.now.after(part.events.len() as u64);
                start.written = part.events.last().map(|event| event.event_id);
            }
        }
        self.messages = messages;
        self.groups.push(queued);
        Ok(())
    }

    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    pub(crate) fn subjects(&self) -> Vec<Subject> {
        self.starts.keys().cloned().collect()
    }

    /// What the batch expects, by subject.
    pub(crate) fn expected(&self) -> impl Iterator<Item = (&Subject, Position)> {
        self.starts
            .iter()
            .map(|(subject, start)| (subject, start.seen.unwrap_or_default()))
    }

    /// What the batch expects of one subject.
    pub(crate) fn expects(&self, subject: &Subject) -> Option<Position> {
        let start = self.starts.get(subject)?;
        Some(start.seen.unwrap_or_default())
    }

    /// Turns versions into positions with what the groups have seen and `known`; gives back what is still missing.
    pub(crate) fn resolve(&mut self, known: impl Fn(&Subject) -> Head) -> Vec<Subject> {
        let mut missing = Vec::new();
        for (subject, start) in &mut self.starts {
            if start.version == Version::NONE {
                start.seen = Some(Position(0));
            } else if start.seen.is_none() {
                // The same version may be another writer's event, if the one that was on its way was refused.
                start.seen = known(subject)
                    .filter(|last| last.version == start.version)
                    .filter(|last| start.event.is_none() || start.event == last.event)
                    .map(|last| last.position);
            }
            if start.seen.is_none() {
                missing.push(subject.clone());
            }
        }
        missing
    }

    /// Spells the messages. Every subject must have a position by now; one without is told.
    pub(crate) fn build(&self) -> Result<Built, Subject> {
        let position = |subject: &Subject| {
            self.starts
                .get(subject)
                .and_then(|start| start.seen)
                .ok_or_else(|| subject.clone())
        };
        let mut messages = Vec::with_capacity(self.messages);
        let mut begun: HashSet<&Subject> = HashSet::with_capacity(self.starts.len());
        let mut first_expected = Position(0);
        for queued in &self.groups {
            for part in &queued.group.parts {
                let mut version = part.expected;
                for event in &part.events {
                    version = version.after(1);
                    let mut message = Message {
                        subject: part.subject.clone(),
                        event_id: event.event_id,
                        headers: envelope::to_headers(event, version, &queued.group.metadata),
                        payload: event.payload.clone(),
                        expects: false,
                    };
                    // One expectation per subject, on its first message in the batch; more are refused.
                    if begun.insert(&part.subject) {
                        let expected = position(&part.subject)?;
                        if messages.is_empty() {
                            first_expected = expected;
                        }
                        message.expect(expected, None);
                    }
                    messages.push(message);
                }
            }
        }
        // A message can carry one expectation; those that carry none lend their place to the conditions. A condition
        // on a subject that the batch writes needs none: it was checked against the chain, which expects the same.
        let mut unguarded = Vec::new();
        let mut free = messages.iter_mut().filter(|message| !message.expects);
        for (subject, _) in self
            .starts
            .iter()
            .filter(|(_, start)| start.written.is_none())
        {
            let expected = position(subject)?;
            match free.next() {
                Some(message) => message.expect(expected, Some(subject)),
                None => unguarded.push((subject.clone(), expected)),
            }
        }
        Ok(Built {
            messages,
            first_expected,
            unguarded,
        })
    }

    /// Whether its groups can as well go one by one, in any order: each is one event that expects its own history to
    /// end somewhere, and nothing more.
    pub(crate) fn can_part(&self) -> bool {
        self.groups.len() > 1
            && self.messages == self.groups.len()
            && self.starts.len() == self.groups.len()
            && self
                .groups
                .iter()
                .all(|queued| queued.group.parts.len() == 1 && queued.group.conditions.is_empty())
    }

    /// The groups of a plan that [can part](Self::can_part), each with its message.
    pub(crate) fn part(mut self, built: Built) -> Vec<(Self, Built)> {
        let mut parted = Vec::with_capacity(self.groups.len());
        for (queued, message) in self.groups.into_iter().zip(built.messages) {
            let starts: BTreeMap<_, _> = self
                .starts
                .remove_entry(&message.subject)
                .into_iter()
                .collect();
            let first_expected = starts
                .values()
                .find_map(|start| start.seen)
                .unwrap_or_default();
            let plan = Self {
                groups: vec![queued],
                starts,
                messages: 1,
                contended: None,
            };
            let built = Built {
                messages: vec![message],
                first_expected,
                unguarded: Vec::new(),
            };
            parted.push((plan, built));
        }
        parted
    }

    /// What each group gets when the batch was stored from `first` on; and where each subject now ends.
    pub(crate) fn stored(self, first: Position) -> (Vec<(Queued, Appended)>, Ends) {
        let mut next = first.0;
        let mut heads = HashMap::new();
        let mut answers = Vec::with_capacity(self.groups.len());
        for queued in self.groups {
            let mut positions = Vec::with_capacity(queued.group.parts.len());
            for part in &queued.group.parts {
                let events = part.events.len() as u64;
                next = next.saturating_add(events);
                let (version, last) = (
                    part.expected.after(events),
                    Position(next.saturating_sub(1)),
                );
                let end = Last {
                    version,
                    position: last,
                    event: part.events.last().map(|event| event.event_id),
                };
                heads.insert(part.subject.clone(), end);
                positions.push((part.subject.clone(), version, last));
            }
            answers.push((
                queued,
                Appended {
                    last: Position(next.saturating_sub(1)),
                    positions,
                },
            ));
        }
        (answers, heads.into_iter().collect())
    }

    /// After a refusal: who lost, by what the leader has now, and who may go again. A group that was decided on what
    /// a loser would have left loses with it.
    pub(crate) fn sift(
        groups: Vec<Queued>,
        heads: &HashMap<Subject, Head>,
    ) -> (Vec<(Queued, AppendError)>, Vec<Queued>) {
        let mut now: HashMap<Subject, (Version, Option<Position>, Option<Uuid>)> = heads
            .iter()
            .map(|(subject, head)| {
                let nothing = (Version::NONE, Some(Position(0)), None);
                let ends = |last: Last| (last.version, Some(last.position), last.event);
                (subject.clone(), head.map_or(nothing, ends))
            })
            .collect();
        let (mut lost, mut left) = (Vec::new(), Vec::new());
        for queued in groups {
            let parts = queued
                .group
                .parts
                .iter()
                .map(|part| (&part.subject, part.expected, part.seen));
            let reads = queued
                .group
                .conditions
                .iter()
                .map(|(subject, version, seen)| (subject, *version, *seen));
            let stale = parts.chain(reads).find_map(|(subject, expected, seen)| {
                let (actual, at, event) = *now.get(subject)?;
                // The same version elsewhere is another history than the one it was decided on.
                let elsewhere = match seen {
                    Seen::Version => false,
                    Seen::At(seen) => at.is_some_and(|at| at != seen),
                    Seen::OnItsWay(seen) => event != Some(seen),
                };
                let moved = expected != Version::NONE && elsewhere;
                (actual != expected || moved).then(|| AppendError::Conflict {
                    subject: subject.clone(),
                    expected,
                    actual,
                })
            });
            match stale {
                Some(conflict) => {
                    for part in &queued.group.parts {
                        // What it would have left will not be there for those decided on it.
                        let (at, event) = match part.seen {
                            Seen::Version => (None, None),
                            Seen::At(at) => (Some(at), None),
                            Seen::OnItsWay(event) => (None, Some(event)),
                        };
                        now.entry(part.subject.clone())
                            .or_insert((part.expected, at, event));
                    }
                    lost.push((queued, conflict));
                }
                None => {
                    for part in &queued.group.parts {
                        let after = part.expected.after(part.events.len() as u64);
                        let event = part.events.last().map(|event| event.event_id);
                        now.insert(part.subject.clone(), (after, None, event));
                    }
                    left.push(queued);
                }
            }
        }
        (lost, left)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::jetstream::callers::Callers;
    use crate::store::Part;
    use event_schema::ids::CommandId;
    use event_schema::{Actor, Metadata, NewEvent, Timestamp};

    fn subject(n: u128) -> Subject {
        Subject::history("order", Uuid::from_u128(n))
    }

    /// Somebody's event.
    fn last(version: u64, position: u64) -> Last {
        Last {
            version: Version(version),
            position: Position(position),
            event: Some(Uuid::now_v7()),
        }
    }

    /// As if it was decided on what this one leaves, before the log has answered.
    fn decided_on(mut queued: Queued, before: &Queued) -> Queued {
        let left = before.group.parts[0].events.last().unwrap().event_id;
        queued.group.parts[0].seen = Seen::OnItsWay(left);
        queued
    }

    #[test]
    fn a_group_decided_on_a_refused_event_never_takes_another_writers_event_for_it() {
        let refused = group(&[(1, 2, 1)], &[]);
        let follower = || decided_on(group(&[(1, 3, 1)], &[]), &refused);
        // Somebody else's history has reached version 3 instead.
        let theirs = last(3, 70);
        let mut plan = Plan::default();
        plan.try_add(follower()).unwrap();
        assert_eq!(plan.resolve(|_| Some(theirs)), [subject(1)]);
        let (lost, left) = Plan::sift(
            vec![follower()],
            &HashMap::from([(subject(1), Some(theirs))]),
        );
        assert_eq!((lost.len(), left.len()), (1, 0));

        // And it follows nobody in a batch but the one it was decided on.
        let mut plan = Plan::default();
        plan.try_add(group(&[(1, 2, 1)], &[])).unwrap();
        assert!(plan.try_add(follower()).is_err());
        let mut plan = Plan::default();
        let (before, after) = {
            let before = group(&[(1, 2, 1)], &[]);
            let after = decided_on(group(&[(1, 3, 1)], &[]), &before);
            (before, after)
        };
        plan.try_add(before).unwrap();
        plan.try_add(after).unwrap();
    }

    /// Events on some histories: which, the version expected, how many; read-only conditions: which, at which version.
    pub(in crate::jetstream) fn group(
        parts: &[(u128, u64, usize)],
        conditions: &[(u128, u64)],
    ) -> Queued {
        let event = || NewEvent {
            event_id: Uuid::now_v7(),
            event_type: "order.placed",
            schema_version: 1,
            payload: "x".into(),
            saga: None,
        };
        let part = |(n, expected, events): &(u128, u64, usize)| Part {
            subject: subject(*n),
            expected: Version(*expected),
            seen: Seen::Version,
            events: (0..*events).map(|_| event()).collect(),
        };
        let metadata = Metadata::new(
            CommandId(Uuid::nil()),
            Actor::system(),
            Timestamp::UNIX_EPOCH,
        );
        let conditions = conditions
            .iter()
            .map(|(n, version)| (subject(*n), Version(*version), Seen::Version))
            .collect();
        Queued {
            group: Group {
                metadata,
                parts: parts.iter().map(part).collect(),
                conditions,
            },
            answer: oneshot::channel().0,
            since: Instant::now(),
            rounds: 0,
            alone: false,
            _turn: Callers::default().enter(&Actor::system()).unwrap(),
        }
    }

    fn built(groups: Vec<Queued>, heads: &[(u128, u64, u64)]) -> Built {
        let mut plan = Plan::default();
        for group in groups {
            plan.try_add(group).expect("fits");
        }
        let heads: HashMap<_, _> = heads
            .iter()
            .map(|(n, v, at)| (subject(*n), last(*v, *at)))
            .collect();
        assert_eq!(
            plan.resolve(|subject| heads.get(subject).copied()),
            Vec::<Subject>::new()
        );
        plan.build()
            .unwrap_or_else(|subject| panic!("the position of {subject} is known"))
    }

    fn expectations(built: &Built) -> Vec<(Option<&str>, Option<&str>)> {
        let get = |message: &'_ Message, name| {
            message
                .headers
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.clone())
        };
        built
            .messages
            .iter()
            .map(|message| {
                let leak = |text: Option<String>| text.map(|text| &*text.leak());
                (
                    leak(get(message, EXPECTED_POSITION)),
                    leak(get(message, EXPECTED_SUBJECT)),
                )
            })
            .collect()
    }

    #[test]
    fn only_the_first_message_of_a_subject_expects_and_a_chain_expects_nothing_more() {
        let built = built(
            vec![group(&[(1, 2, 2)], &[]), group(&[(1, 4, 1)], &[])],
            &[(1, 2, 90)],
        );
        assert_eq!(
            expectations(&built),
            [(Some("90"), None), (None, None), (None, None)]
        );
    }

    #[test]
    fn a_condition_rides_on_a_message_that_expects_nothing_itself() {
        let built = built(vec![group(&[(1, 0, 2)], &[(2, 5)])], &[(2, 5, 70)]);
        let two = subject(2).as_str().to_owned();
        assert_eq!(
            expectations(&built),
            [(Some("0"), None), (Some("70"), Some(&*two))]
        );
        assert!(built.unguarded.is_empty());
    }

    #[test]
    fn a_condition_without_a_free_message_is_left_to_be_looked_up() {
        let built = built(vec![group(&[(1, 0, 1)], &[(2, 5)])], &[(2, 5, 70)]);
        assert_eq!(expectations(&built), [(Some("0"), None)]);
        assert_eq!(built.unguarded, [(subject(2), Position(70))]);
    }

    #[test]
    fn a_group_decided_on_another_state_than_the_batch_leaves_waits_for_the_next_batch() {
        let mut plan = Plan::default();
        plan.try_add(group(&[(1, 2, 1)], &[])).unwrap();
        assert!(
            plan.try_add(group(&[(1, 2, 1)], &[])).is_err(),
            "decided on the same state"
        );
        assert!(
            plan.try_add(group(&[(2, 0, 1)], &[(1, 2)])).is_err(),
            "read what the batch changes"
        );
        plan.try_add(group(&[(2, 0, 1)], &[(1, 3)]))
            .expect("read what the batch leaves");
        plan.try_add(group(&[(3, 0, 1)], &[(4, 7)])).unwrap();
        assert!(
            plan.try_add(group(&[(4, 6, 1)], &[])).is_err(),
            "would break a condition"
        );
    }

    #[test]
    fn a_batch_holds_no_more_messages_than_allowed() {
        let mut plan = Plan::default();
        plan.try_add(group(&[(1, 0, GROUP_MESSAGES_MAX - 1)], &[]))
            .unwrap();
        assert!(plan.try_add(group(&[(2, 0, 2)], &[])).is_err());
        plan.try_add(group(&[(3, 0, 1)], &[])).unwrap();
    }

    #[test]
    fn losers_take_those_with_them_who_were_decided_on_what_they_would_have_left() {
        let groups = vec![
            group(&[(1, 3, 1), (9, 0, 1)], &[]), // 1 has moved on
            group(&[(9, 1, 1)], &[]),            // decided on the loser
            group(&[(2, 4, 1)], &[]),            // holds
            group(&[(2, 5, 1)], &[]),            // chained on one that holds
            group(&[(3, 0, 1)], &[(1, 3)]),      // read what has moved
        ];
        let heads = HashMap::from([
            (subject(1), Some(last(5, 50))),
            (subject(2), Some(last(4, 44))),
        ]);
        let (lost, left) = Plan::sift(groups, &heads);
        let told: Vec<_> = lost.iter().map(|(_, error)| error.clone()).collect();
        let conflict = |n, expected, actual| AppendError::Conflict {
            subject: subject(n),
            expected: Version(expected),
            actual: Version(actual),
        };
        assert_eq!(
            told,
            [conflict(1, 3, 5), conflict(9, 1, 0), conflict(1, 3, 5)]
        );
        assert_eq!(left.len(), 2);
    }

    #[test]
    fn only_groups_that_have_nothing_to_do_with_each_other_can_part() {
        let can_part = |groups: Vec<Queued>| {
            let mut plan = Plan::default();
            for group in groups {
                plan.try_add(group).unwrap();
            }
            plan.can_part()
        };
        assert!(can_part(vec![
            group(&[(1, 2, 1)], &[]),
            group(&[(2, 0, 1)], &[])
        ]));
        assert!(!can_part(vec![group(&[(1, 2, 1)], &[])]), "a lone one");
        assert!(
            !can_part(vec![group(&[(1, 2, 1)], &[]), group(&[(1, 3, 1)], &[])]),
            "a chain"
        );
        assert!(
            !can_part(vec![group(&[(1, 2, 1)], &[]), group(&[(2, 0, 2)], &[])]),
            "two events"
        );
        assert!(
            !can_part(vec![
                group(&[(1, 2, 1)], &[]),
                group(&[(2, 0, 1)], &[(3, 1)])
            ]),
            "a condition"
        );
    }

    #[test]
    fn parted_groups_expect_what_they_would_have_together() {
        let mut plan = Plan::default();
        plan.try_add(group(&[(2, 5, 1)], &[])).unwrap();
        plan.try_add(group(&[(1, 0, 1)], &[])).unwrap();
        let heads = HashMap::from([(subject(2), last(5, 70))]);
        plan.resolve(|subject| heads.get(subject).copied());
        let built = plan.build().unwrap();
        let parted = plan.part(built);
        let told: Vec<_> = parted
            .iter()
            .map(|(plan, built)| {
                let expected: Vec<_> = plan.expected().map(|(s, at)| (s.clone(), at)).collect();
                assert_eq!(
                    expected,
                    [(built.messages[0].subject.clone(), built.first_expected)]
                );
                (expected, expectations(built))
            })
            .collect();
        assert_eq!(
            told[0],
            (vec![(subject(2), Position(70))], vec![(Some("70"), None)])
        );
        assert_eq!(
            told[1],
            (vec![(subject(1), Position(0))], vec![(Some("0"), None)])
        );
    }

    #[test]
    fn positions_are_told_per_group_and_subject() {
        let mut plan = Plan::default();
        for queued in [
            group(&[(1, 0, 2), (2, 0, 1)], &[]),
            group(&[(1, 2, 1)], &[]),
        ] {
            plan.try_add(queued).unwrap();
        }
        let (answers, mut heads) = plan.stored(Position(10));
        let lasts: Vec<_> = answers
            .iter()
            .map(|(_, appended)| appended.last.0)
            .collect();
        assert_eq!(lasts, [12, 13]);
        heads.sort();
        let heads: Vec<_> = heads
            .into_iter()
            .map(|(subject, last)| (subject, last.place()))
            .collect();
        assert_eq!(
            heads,
            [
                (subject(1), (Version(3), Position(13))),
                (subject(2), (Version(1), Position(12)))
            ]
        );
    }
}

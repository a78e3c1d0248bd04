//! Who waits for the log, and who rides in the next round. Nothing here talks to the broker.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use event_schema::Subject;

use super::plan::{Plan, Queued};
use crate::store::AppendError;

/// A subject that conflicted travels apart for so long, so that it does not spoil the batches of others.
const APART_AFTER_CONFLICT: Duration = Duration::from_secs(1);
/// Who has won a round on such a history lets the others have a turn: at random up to so many times what it took, since
/// who has lost must read what he missed, and a read waits for the disk as long as the winner's next round would take.
const RESTS_FOR_ROUNDS: f64 = 3.0;
/// … and never longer than this.
const RESTS_FOR_MAX: Duration = Duration::from_millis(50);
/// Most subjects remembered as having conflicted.
const CONFLICTED_SUBJECTS_MAX: usize = 4096;
/// A group that was put back so often travels alone from then on.
pub(super) const ROUNDS_TOGETHER_MAX: u32 = 3;
/// How long a group may wait for its first try.
const WAIT_FOR_TURN_MAX: Duration = Duration::from_secs(20);

/// Groups in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Queued>,
    /// Histories that somebody else was faster on.
    conflicted: HashMap<Subject, Contended>,
    /// Whether the last round was one of those that others may spoil.
    contended: bool,
}

/// A history that others write too.
#[derive(Debug, Clone, Copy)]
struct Contended {
    /// Until when that counts.
    until: Instant,
    /// Until when it is the others' turn.
    rests: Option<Instant>,
}

/// Whom a group may share a round with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Company {
    /// All others like it.
    Any,
    /// Those on the same history, which somebody else was faster on a moment ago: they win or lose together.
    Of(Subject),
    Nobody,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push_back(&mut self, queued: Queued) {
        self.waiting.push_back(queued);
    }

    /// For one that was taken and has to go again.
    pub(super) fn push_front(&mut self, queued: Queued) {
        self.waiting.push_front(queued);
    }

    /// Somebody else was faster on a history.
    pub(super) fn mark_contended(&mut self, subject: &Subject) {
        if self.conflicted.len() < CONFLICTED_SUBJECTS_MAX {
            let until = Instant::now() + APART_AFTER_CONFLICT;
            let contended = Contended { until, rests: None };
            self.conflicted.insert(subject.clone(), contended);
        }
    }

    /// We were faster on a history that others write too, by a round that took so long.
    pub(super) fn won(&mut self, subject: &Subject, took: Duration) {
        if let Some(contended) = self.conflicted.get_mut(subject) {
            let rest = took.mul_f64(RESTS_FOR_ROUNDS * fastrand::f64());
            contended.rests = Some(Instant::now() + rest.min(RESTS_FOR_MAX));
        }
    }

    /// When the first of the histories that rest may be written again.
    pub(super) fn rested(&self) -> Option<Instant> {
        let rests = self.conflicted.values();
        rests.filter_map(|contended| contended.rests).min()
    }

    /// The next round, first come first served; but histories that others write too take turns with the rest. Nobody,
    /// if all who wait are on histories that rest.
    pub(super) fn take(&mut self) -> Plan {
        let now = Instant::now();
        self.conflicted.retain(|_, contended| contended.until > now);
        for contended in self.conflicted.values_mut() {
            contended.rests = contended.rests.filter(|rests| *rests > now);
        }
        if self.contended {
            let plan = self.select(true);
            if !plan.groups.is_empty() {
                self.contended = false;
                return plan;
            }
        }
        let plan = self.select(false);
        self.contended = plan.contended.is_some();
        plan
    }

    /// Whom a group may travel with.
    fn company(&self, queued: &Queued) -> Company {
        if queued.alone {
            return Company::Nobody;
        }
        if self.conflicted.is_empty() {
            return Company::Any;
        }
        let mut subjects = queued.subjects();
        match subjects.find(|subject| self.conflicted.contains_key(subject)) {
            Some(subject) => Company::Of(subject.clone()),
            None => Company::Any,
        }
    }

    fn rests(&self, subject: &Subject) -> bool {
        let contended = self.conflicted.get(subject);
        contended.is_some_and(|contended| contended.rests.is_some())
    }

    /// Groups for one round. Nobody overtakes a group whose histories he touches.
    fn select(&mut self, uncontended: bool) -> Plan {
        let mut plan = Plan::default();
        let mut company = None;
        let mut passed_over: VecDeque<Queued> = VecDeque::new();
        let mut waited_for: HashSet<Subject> = HashSet::new();
        while let Some(mut queued) = self.waiting.pop_front() {
            if queued.since.elapsed() > WAIT_FOR_TURN_MAX && queued.rounds == 0 {
                let why = format!(
                    "the group waited {} s for its turn; nothing was sent",
                    WAIT_FOR_TURN_MAX.as_secs()
                );
                queued.answer(Err(AppendError::Unavailable(why)));
                continue;
            }
            queued.alone |= queued.rounds > ROUNDS_TOGETHER_MAX;
            let its = self.company(&queued);
            let fits = match &company {
                None => !uncontended || its == Company::Any,
                Some(company) => *company == its && its != Company::Nobody,
            };
            let held_up = queued
                .subjects()
                .any(|subject| waited_for.contains(subject) || self.rests(subject));
            if !fits || held_up {
                waited_for.extend(queued.subjects().cloned());
                passed_over.push_back(queued);
                continue;
            }
            if let Err(queued) = plan.try_add(queued) {
                self.waiting.push_front(*queued);
                break;
            }
            company = Some(its);
        }
        while let Some(queued) = passed_over.pop_back() {
            self.waiting.push_front(queued);
        }
        if let Some(Company::Of(subject)) = company {
            plan.contended = Some(subject);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::plan::tests::group;

    fn subject(n: u128) -> Subject {
        Subject::history("order", uuid::Uuid::from_u128(n))
    }

    /// The first history of each group of the next round.
    fn round(queue: &mut Queue) -> Vec<Subject> {
        let groups = queue.take().groups;
        groups
            .iter()
            .map(|queued| queued.group.parts[0].subject.clone())
            .collect()
    }

    fn queue(groups: Vec<Queued>) -> Queue {
        let mut queue = Queue::default();
        groups.into_iter().for_each(|group| queue.push_back(group));
        queue
    }

    #[test]
    fn without_a_conflict_all_share_a_round() {
        let mut queue = queue((1..=5).map(|n| group(&[(n, 2, 1)], &[])).collect());
        assert_eq!(round(&mut queue), [1, 2, 3, 4, 5].map(subject));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_contended_history_has_rounds_of_its_own_and_takes_turns_with_the_others() {
        let chain = |version| group(&[(1, version, 1)], &[]);
        let mut queue = queue(vec![chain(2), chain(3), group(&[(7, 0, 1)], &[]), chain(4)]);
        queue.mark_contended(&subject(1));
        assert_eq!(
            round(&mut queue),
            [1, 1, 1].map(subject),
            "they win or lose together"
        );
        queue.push_back(chain(5));
        assert_eq!(round(&mut queue), [subject(7)], "it is the others' turn");
        assert_eq!(round(&mut queue), [subject(1)]);
        queue.push_back(chain(6));
        assert_eq!(round(&mut queue), [subject(1)], "nobody else is there");
    }

    #[test]
    fn who_has_won_on_a_contended_history_lets_others_have_a_turn() {
        let chain = |version| group(&[(1, version, 1)], &[]);
        let mut queue = queue(vec![chain(2), group(&[(1, 3, 1), (8, 0, 1)], &[])]);
        queue.mark_contended(&subject(1));
        // So long a round that its rest is the longest there is.
        while queue
            .rested()
            .is_none_or(|rested| rested < Instant::now() + RESTS_FOR_MAX / 2)
        {
            queue.won(&subject(1), Duration::from_secs(60));
        }
        assert!(queue.take().groups.is_empty(), "it rests");
        queue.push_back(group(&[(7, 0, 1)], &[]));
        queue.push_back(group(&[(8, 1, 1)], &[]));
        assert_eq!(round(&mut queue), [subject(7)], "whom it does not concern");
        queue.mark_contended(&subject(1));
        assert_eq!(
            round(&mut queue),
            [1, 1].map(subject),
            "the others had their turn"
        );
        assert_eq!(round(&mut queue), [subject(8)]);
        assert!(queue.rested().is_none());
        queue.won(&subject(7), Duration::from_secs(60));
        assert!(queue.rested().is_none(), "nobody else writes this one");
    }

    #[test]
    fn nobody_overtakes_a_group_whose_history_he_touches() {
        let mut queue = queue(vec![
            group(&[(7, 0, 1)], &[]),
            group(&[(1, 2, 1), (8, 0, 1)], &[]),
            group(&[(8, 1, 1)], &[]),
            group(&[(9, 0, 1)], &[(8, 2)]),
            group(&[(5, 0, 1)], &[]),
        ]);
        queue.mark_contended(&subject(1));
        assert_eq!(round(&mut queue), [7, 5].map(subject));
        assert_eq!(round(&mut queue), [subject(1)]);
        assert_eq!(round(&mut queue), [8, 9].map(subject));
    }

    #[test]
    fn one_that_was_put_back_again_and_again_goes_alone() {
        let mut often = group(&[(1, 0, 1)], &[]);
        often.rounds = ROUNDS_TOGETHER_MAX + 1;
        let mut queue = queue(vec![often, group(&[(2, 0, 1)], &[])]);
        assert_eq!(round(&mut queue), [subject(1)]);
        assert_eq!(round(&mut queue), [subject(2)]);
    }
}

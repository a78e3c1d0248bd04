//! The sagas of one share as its owner knows them: who has something to do, who is being worked, who waits until when.
//! Pure bookkeeping, so that the order of things can be tested without a broker.

use std::collections::{BTreeSet, HashMap, VecDeque};

use event_schema::ids::EffectId;
use event_schema::{Position, Timestamp};
use uuid::Uuid;

/// An effect that nobody can have called yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstCall {
    /// The effect.
    pub effect_id: EffectId,
    /// When its intent was recorded.
    pub intended_at: Timestamp,
    /// We have recorded it ourselves, or have tried and were told that nothing was done; otherwise it was only seen to
    /// be recorded, which for an effect that is tried again means nothing.
    pub certain: bool,
}

/// What a saga is woken for. Several wakes before it is worked become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Job {
    /// The newest event that must be seen.
    pub at_least: Position,
    /// An intent that was recorded under our own eyes, and that nobody can have called yet.
    pub first_call: Option<FirstCall>,
    /// A callback asks for a look at the provider.
    pub look_up: bool,
    /// An operator has ordered something: a saga that was set aside is worked again.
    pub commanded: bool,
    /// It was set aside for this, and is only looked at again.
    pub set_aside: Option<SetAside>,
}

/// What a saga was set aside for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetAside {
    /// Its handling fails.
    Handling,
    /// This build cannot read or carry its history.
    Reading,
}

impl Job {
    fn add(&mut self, other: Self) {
        self.at_least = self.at_least.max(other.at_least);
        self.first_call = other.first_call.or(self.first_call);
        self.look_up |= other.look_up;
        self.commanded |= other.commanded;
    }
}

/// How working a saga ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing to do before this moment; `None`: nothing at all until somebody says something.
    Waits(Option<Timestamp>),
    /// The saga has ended.
    Over,
    /// It could not be worked now; again at this moment.
    Again(Timestamp),
    /// It cannot be worked by this process as it is; looked at again when it moves, and at this moment.
    Quarantined(SetAside, Timestamp),
}

#[derive(Debug, Default)]
struct Slot {
    /// What came while it was being worked, or waits to be.
    waiting: Option<Job>,
    running: bool,
    /// Every event up to here was seen by its worker.
    worked: Position,
    /// Events that were handed in and not worked yet.
    open: Vec<Position>,
    /// An effect whose call was certainly never sent.
    unsent: Option<FirstCall>,
    due: Option<Timestamp>,
    queued: bool,
    failures: u32,
    set_aside: Option<SetAside>,
    /// How often it was looked at since it was set aside.
    rechecks: u32,
    /// While it was set aside a callback came.
    called_back: bool,
}

impl Slot {
    /// Whatever came while it was set aside is in the log; only that a callback was among it is not.
    fn take_up_again(&mut self) -> Job {
        self.set_aside = None;
        self.rechecks = 0;
        Job {
            look_up: std::mem::take(&mut self.called_back),
            ..Job::default()
        }
    }
}

/// All of a share's sagas that are open or have something to do.
#[derive(Debug, Default)]
pub struct Slots {
    slots: HashMap<Uuid, Slot>,
    ready: VecDeque<Uuid>,
    due: BTreeSet<(Timestamp, Uuid)>,
    /// Every event that was handed in and not worked yet, of all sagas.
    open: BTreeSet<(Position, Uuid)>,
    running: usize,
}

impl Slots {
    /// Somebody has something for a saga. An event that its worker has already seen wakes nobody.
    pub fn wake(&mut self, order: Uuid, job: Job) {
        let slot = self.slots.entry(order).or_default();
        let mut job = job;
        if job.commanded && slot.set_aside.is_some() {
            job.add(slot.take_up_again());
        }
        if slot.set_aside.is_some() {
            slot.called_back |= job.look_up;
            // It has moved: perhaps to its end. It holds nobody up meanwhile.
            if job.at_least > slot.worked && !job.look_up {
                slot.waiting.get_or_insert_default().add(job);
                self.enqueue(order);
            }
            return;
        }
        if job.at_least <= slot.worked && !job.look_up {
            return;
        }
        slot.waiting.get_or_insert_default().add(job);
        if job.at_least > Position(0) && self.open.insert((job.at_least, order)) {
            slot.open.push(job.at_least);
        }
        self.enqueue(order);
    }

    /// Something has begun, and what makes it work is the next to come: one that nobody works is woken by that, or at
    /// this moment if it does not come.
    pub fn expect(&mut self, order: Uuid, job: Job, at: Timestamp) {
        if self.slots.contains_key(&order) {
            return self.wake(order, job);
        }
        let slot = self.slots.entry(order).or_default();
        slot.waiting = Some(job);
        slot.due = Some(at);
        self.due.insert((at, order));
        if self.open.insert((job.at_least, order)) {
            slot.open.push(job.at_least);
        }
    }

    /// The position before the first event that is not worked yet; `read_to` when there is none.
    pub fn complete_to(&self, read_to: Position) -> Position {
        self.open
            .first()
            .map_or(read_to, |(first, _)| Position(first.0.saturating_sub(1)))
    }

    /// Wakes everyone whose moment has come; tells how many.
    pub fn wake_due(&mut self, now: Timestamp) -> usize {
        let mut woken = 0;
        while let Some((at, order)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, order));
            if let Some(slot) = self.slots.get_mut(&order) {
                slot.due = None;
                slot.waiting.get_or_insert_default();
                self.enqueue(order);
                woken += 1;
            }
        }
        woken
    }

    /// The next saga to work, if any.
    pub fn start(&mut self) -> Option<(Uuid, Job)> {
        while let Some(order) = self.ready.pop_front() {
            let Some(slot) = self.slots.get_mut(&order) else {
                continue;
            };
            slot.queued = false;
            let Some(mut job) = slot.waiting.take().filter(|_| !slot.running) else {
                continue;
            };
            job.first_call = job.first_call.or(slot.unsent.take());
            job.set_aside = slot.set_aside;
            if job.set_aside.is_some() {
                job.first_call = None;
                job.look_up |= slot.called_back;
                slot.rechecks = slot.rechecks.saturating_add(1);
            }
            slot.running = true;
            if let Some(at) = slot.due.take() {
                self.due.remove(&(at, order));
            }
            self.running += 1;
            return Some((order, job));
        }
        None
    }

    /// A worker is through; `worked` is the newest event that it has seen. A job that failed is put back, without the
    /// certainty that its effect was never called.
    pub fn finish(
        &mut self,
        order: Uuid,
        job: Job,
        worked: Position,
        unsent: Option<FirstCall>,
        ended: Ended,
    ) {
        let Some(slot) = self.slots.get_mut(&order) else {
            return;
        };
        slot.running = false;
        self.running = self.running.saturating_sub(1);
        slot.worked = slot.worked.max(worked);
        slot.unsent = unsent;
        // A failed job is still to be worked, whatever it has seen; one that is set aside holds nobody up.
        let worked = match ended {
            Ended::Again(_) => Position(0),
            Ended::Quarantined(..) => Position(u64::MAX),
            Ended::Waits(_) | Ended::Over => slot.worked,
        };
        let still_open = |position: &Position| *position > worked;
        for position in slot.open.iter().filter(|position| !still_open(position)) {
            self.open.remove(&(*position, order));
        }
        slot.open.retain(still_open);
        slot.failures = match ended {
            Ended::Again(_) => slot.failures + 1,
            Ended::Waits(_) | Ended::Over | Ended::Quarantined(..) => 0,
        };
        if slot.waiting.is_some_and(|waiting| {
            waiting.at_least <= slot.worked && !waiting.look_up && waiting.at_least > Position(0)
        }) {
            slot.waiting = None;
        }
        if let (Ended::Waits(_) | Ended::Over, Some(_)) = (ended, slot.set_aside) {
            let missed = slot.take_up_again();
            if missed.look_up && !job.look_up {
                slot.waiting.get_or_insert_default().add(missed);
            }
        }
        match ended {
            Ended::Waits(due) => {
                slot.due = due;
                self.due.extend(due.map(|at| (at, order)));
            }
            Ended::Again(at) => {
                slot.due = Some(at);
                self.due.insert((at, order));
                slot.waiting.get_or_insert_default().add(Job {
                    first_call: None,
                    ..job
                });
                return;
            }
            Ended::Quarantined(set_aside, recheck_at) => {
                let waiting = slot.waiting.take();
                slot.called_back |= job.look_up || waiting.is_some_and(|waiting| waiting.look_up);
                // An operator who was faster than our last try has his own.
                match waiting.filter(|waiting| waiting.commanded) {
                    Some(mut commanded) => {
                        commanded.add(slot.take_up_again());
                        slot.waiting = Some(commanded);
                    }
                    None => {
                        slot.set_aside = Some(set_aside);
                        slot.due = Some(recheck_at);
                        self.due.insert((recheck_at, order));
                        return;
                    }
                }
            }
            Ended::Over => {}
        }
        if slot.waiting.is_some() {
            self.enqueue(order);
        } else if ended == Ended::Over {
            self.slots.remove(&order);
        }
    }

    /// How often in a row a saga could not be worked.
    pub fn failures(&self, order: Uuid) -> u32 {
        self.slots.get(&order).map_or(0, |slot| slot.failures)
    }

    /// How often it was looked at since it was set aside.
    pub fn rechecks(&self, order: Uuid) -> u32 {
        self.slots.get(&order).map_or(0, |slot| slot.rechecks)
    }

    /// How many are being worked.
    pub fn running(&self) -> usize {
        self.running
    }

    /// How many wait for a worker.
    pub fn queued(&self) -> usize {
        self.ready.len()
    }

    fn enqueue(&mut self, order: Uuid) {
        if let Some(slot) = self.slots.get_mut(&order)
            && !slot.running
            && !slot.queued
        {
            slot.queued = true;
            self.ready.push_back(order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Uuid = Uuid::from_u128(1);

    fn seen(position: u64) -> Job {
        Job {
            at_least: Position(position),
            ..Job::default()
        }
    }

    fn first() -> FirstCall {
        FirstCall {
            effect_id: EffectId(ORDER),
            intended_at: at(1),
            certain: false,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_saga_is_worked_by_one_worker_at_a_time_and_again_for_what_came_meanwhile() {
        let mut slots = Slots::default();
        slots.wake(ORDER, seen(5));
        let (order, job) = slots.start().unwrap();
        slots.wake(ORDER, seen(9));
        assert_eq!(slots.start(), None);
        slots.finish(order, job, Position(7), None, Ended::Waits(None));
        assert_eq!(slots.start(), Some((ORDER, seen(9))));
    }

    #[test]
    fn a_saga_that_begins_is_worked_with_its_first_intent_or_after_a_while_without() {
        let mut slots = Slots::default();
        slots.expect(ORDER, seen(5), at(100));
        assert_eq!(slots.start(), None);
        assert_eq!(slots.complete_to(Position(5)), Position(4));
        let intended = Job {
            first_call: Some(first()),
            ..seen(6)
        };
        slots.wake(ORDER, intended);
        let (order, job) = slots.start().unwrap();
        assert_eq!(job, intended);
        slots.finish(order, job, Position(8), None, Ended::Waits(None));
        assert_eq!(slots.complete_to(Position(8)), Position(8));
        assert_eq!((slots.wake_due(at(999)), slots.start()), (0, None));

        let other = Uuid::from_u128(2);
        slots.expect(other, seen(9), at(100));
        assert_eq!(slots.wake_due(at(100)), 1);
        assert_eq!(slots.start(), Some((other, seen(9))));
    }

    #[test]
    fn an_event_that_the_worker_has_seen_already_wakes_nobody() {
        let mut slots = Slots::default();
        slots.wake(ORDER, seen(5));
        let (order, job) = slots.start().unwrap();
        let own = Job {
            first_call: Some(first()),
            ..seen(8)
        };
        slots.wake(ORDER, own);
        slots.finish(order, job, Position(8), None, Ended::Waits(Some(at(100))));
        slots.wake(ORDER, own);
        assert_eq!(slots.start(), None);
    }

    #[test]
    fn a_callback_is_looked_into_even_when_its_event_was_seen() {
        let mut slots = Slots::default();
        slots.wake(ORDER, seen(5));
        let (order, job) = slots.start().unwrap();
        slots.wake(
            ORDER,
            Job {
                look_up: true,
                ..seen(6)
            },
        );
        slots.finish(order, job, Position(8), None, Ended::Waits(None));
        assert!(slots.start().unwrap().1.look_up);
    }

    #[test]
    fn a_deadline_wakes_its_saga_once_and_a_newer_one_replaces_it() {
        let mut slots = Slots::default();
        slots.wake(ORDER, seen(5));
        let (order, job) = slots.start().unwrap();
        slots.finish(order, job, Position(5), None, Ended::Waits(Some(at(100))));
        assert_eq!(slots.wake_due(at(99)), 0);
        slots.wake(ORDER, seen(6));
        let (order, job) = slots.start().unwrap();
        slots.finish(order, job, Position(6), None, Ended::Waits(Some(at(200))));
        assert_eq!(slots.wake_due(at(150)), 0);
        assert_eq!(slots.wake_due(at(200)), 1);
        assert!(slots.start().is_some());
        assert_eq!(slots.wake_due(at(999)), 0);
    }

    #[test]
    fn a_job_that_failed_comes_again_later_without_the_certainty_of_a_first_call() {
        let mut slots = Slots::default();
        slots.wake(
            ORDER,
            Job {
                first_call: Some(first()),
                look_up: true,
                ..seen(5)
            },
        );
        let (order, job) = slots.start().unwrap();
        slots.finish(order, job, Position(0), None, Ended::Again(at(10)));
        assert_eq!((slots.start(), slots.failures(ORDER)), (None, 1));
        slots.wake_due(at(10));
        assert_eq!(
            slots.start(),
            Some((
                ORDER,
                Job {
                    look_up: true,
                    ..seen(5)
                }
            ))
        );
    }

    #[test]
    fn a_call_that_was_certainly_not_sent_is_still_a_first_call_the_next_time() {
        let mut slots = Slots::default();
        slots.wake(
            ORDER,
            Job {
                first_call: Some(first()),
                ..seen(5)
            },
        );
        let (order, job) = slots.start().unwrap();
        slots.finish(
            order,
            job,
            Position(6),
            Some(first()),
            Ended::Waits(Some(at(10))),
        );
        slots.wake_due(at(10));
        let (_, job) = slots.start().unwrap();
        assert_eq!(job.first_call, Some(first()));
    }

    #[test]
    fn what_is_complete_ends_before_the_first_event_that_is_not_worked() {
        let other = Uuid::from_u128(2);
        let mut slots = Slots::default();
        assert_eq!(slots.complete_to(Position(4)), Position(4));
        slots.wake(ORDER, seen(5));
        slots.wake(other, seen(6));
        let (order, job) = slots.start().unwrap();
        slots.wake(ORDER, seen(7));
        assert_eq!(slots.complete_to(Position(7)), Position(4));
        slots.finish(order, job, Position(7), None, Ended::Waits(None));
        assert_eq!(slots.complete_to(Position(7)), Position(5));
        let (order, job) = slots.start().unwrap();
        slots.finish(
            order,
            job,
            Position(0),
            None,
            Ended::Quarantined(SetAside::Handling, at(900)),
        );
        assert_eq!(slots.complete_to(Position(7)), Position(7));
    }

    fn set_aside(slots: &mut Slots, job: Job) {
        slots.wake(ORDER, job);
        let (order, job) = slots.start().unwrap();
        let ended = Ended::Quarantined(SetAside::Handling, at(900));
        slots.finish(order, job, Position(0), None, ended);
    }

    #[test]
    fn a_saga_that_is_set_aside_is_only_looked_at_when_it_moves_and_the_others_go_on() {
        let other = Uuid::from_u128(2);
        let mut slots = Slots::default();
        set_aside(&mut slots, seen(5));
        assert_eq!(slots.start(), None);
        slots.wake(other, seen(8));
        assert_eq!(slots.start().map(|(order, _)| order), Some(other));
        slots.wake(ORDER, seen(9));
        let (order, job) = slots.start().unwrap();
        assert_eq!(job.set_aside, Some(SetAside::Handling));
        assert_eq!(
            slots.complete_to(Position(9)),
            Position(7),
            "it holds nobody up but the other one does"
        );
        let ended = Ended::Quarantined(SetAside::Handling, at(950));
        slots.finish(order, job, Position(0), None, ended);
        assert_eq!((slots.start(), slots.rechecks(ORDER)), (None, 1));
    }

    #[test]
    fn a_saga_that_is_set_aside_is_looked_at_again_when_its_moment_comes() {
        let mut slots = Slots::default();
        set_aside(&mut slots, seen(5));
        assert_eq!(slots.wake_due(at(899)), 0);
        slots.wake_due(at(900));
        let (order, job) = slots.start().unwrap();
        assert_eq!(job.set_aside, Some(SetAside::Handling));
        slots.finish(order, job, Position(9), None, Ended::Waits(None));
        slots.wake(ORDER, seen(10));
        assert_eq!(
            slots.start().unwrap().1.set_aside,
            None,
            "it is worked like any other"
        );
    }

    #[test]
    fn one_that_has_ended_while_it_was_set_aside_is_forgotten() {
        let mut slots = Slots::default();
        set_aside(&mut slots, seen(5));
        slots.wake(ORDER, seen(9));
        let (order, job) = slots.start().unwrap();
        slots.finish(order, job, Position(9), None, Ended::Over);
        assert!(slots.slots.is_empty() && slots.due.is_empty());
    }

    #[test]
    fn an_operators_command_brings_a_saga_back_that_was_set_aside() {
        let mut slots = Slots::default();
        set_aside(&mut slots, seen(5));
        let commanded = Job {
            commanded: true,
            ..seen(9)
        };
        slots.wake(ORDER, commanded);
        let (order, job) = slots.start().unwrap();
        assert_eq!((job.set_aside, job.look_up), (None, false));
        let ended = Ended::Quarantined(SetAside::Handling, at(900));
        slots.finish(order, job, Position(0), None, ended);
        assert_eq!(slots.start(), None);
    }

    #[test]
    fn a_command_that_comes_during_the_last_try_is_not_lost() {
        let mut slots = Slots::default();
        slots.wake(ORDER, seen(5));
        let (order, job) = slots.start().unwrap();
        let commanded = Job {
            commanded: true,
            ..seen(9)
        };
        slots.wake(ORDER, commanded);
        let ended = Ended::Quarantined(SetAside::Handling, at(900));
        slots.finish(order, job, Position(0), None, ended);
        let (_, job) = slots.start().unwrap();
        assert_eq!((job.commanded, job.set_aside), (true, None));
    }

    #[test]
    fn a_callback_that_came_while_it_was_set_aside_is_looked_into_when_it_is_back() {
        let mut slots = Slots::default();
        set_aside(&mut slots, seen(5));
        let callback = Job {
            look_up: true,
            ..seen(8)
        };
        slots.wake(ORDER, callback);
        assert_eq!(slots.start(), None);
        let commanded = Job {
            commanded: true,
            ..seen(9)
        };
        slots.wake(ORDER, commanded);
        assert!(slots.start().unwrap().1.look_up);
    }

    #[test]
    fn an_ended_saga_is_forgotten() {
        let mut slots = Slots::default();
        slots.wake(ORDER, seen(5));
        let (order, job) = slots.start().unwrap();
        slots.finish(order, job, Position(7), None, Ended::Over);
        assert!(slots.slots.is_empty());
    }
}

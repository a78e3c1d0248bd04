//! How many shares a process should have. Pure arithmetic: every process comes to the same result by itself.

use std::time::Duration;

use super::{BEATS_SETTLED, SHARES};

/// A share that has been free for so long may be taken by somebody who has enough already.
const FREE_MAX: Duration = Duration::from_secs(3);
/// A share that others may need more is left to them for so long.
const COURTESY: Duration = Duration::from_millis(1_500);

/// Another living process that takes shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Other {
    /// How often it has said that it lives.
    pub beats: u32,
    /// How many shares it has.
    pub shares: usize,
}

/// Who shares the work, as one process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Census {
    /// Processes among which the work is shared, ourselves among them.
    living: usize,
    /// How many shares the one among the others has that has fewest; `None`: there are no others.
    poorest: Option<usize>,
    /// Whether others have lived longer than we, who may not live long: what is free is theirs first.
    on_trial: bool,
}

impl Census {
    /// Newcomers are not counted on as long as somebody is there who is no newcomer: a process that dies again and again
    /// would get its part of the sagas each time, and let them wait for its silence each time.
    pub(super) fn of(beats: u32, others: &[Other]) -> Self {
        let settled = |beats: u32| beats >= BEATS_SETTLED;
        let any_settled = settled(beats) || others.iter().any(|other| settled(other.beats));
        let counted = others
            .iter()
            .filter(|other| !any_settled || settled(other.beats));
        Self {
            living: counted.clone().count() + 1,
            poorest: counted.map(|other| other.shares).min(),
            on_trial: any_settled && !settled(beats),
        }
    }

    fn most(self) -> usize {
        usize::from(SHARES).div_ceil(self.living.max(1))
    }

    fn least(self) -> usize {
        usize::from(SHARES) / self.living.max(1)
    }

    /// Whether somebody with so many shares takes one more that has been free for so long.
    pub(super) fn takes(self, have: usize, free_for: Duration) -> bool {
        let lacks = have < self.least() || (have < self.most() && free_for >= COURTESY);
        (lacks && !self.on_trial) || free_for >= FREE_MAX
    }

    /// How many of so many shares are to be given back.
    pub(super) fn surplus(self, have: usize) -> usize {
        let above = have.saturating_sub(self.most());
        let other_lacks = self.poorest.is_some_and(|poorest| poorest < self.least());
        if above == 0 && have > self.least() && other_lacks {
            1
        } else {
            above
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(2);

    /// A living process: how often it has said so, and how many shares it has.
    type Process = (u32, usize);

    /// What one of them sees.
    fn census(all: &[Process], me: usize) -> Census {
        let others = all.iter().enumerate().filter(|(n, _)| *n != me);
        let others = others.map(|(_, (beats, shares))| Other {
            beats: *beats,
            shares: *shares,
        });
        Census::of(all[me].0, &others.collect::<Vec<_>>())
    }

    /// Everybody acts on what he sees, in turn, until nothing changes any more.
    fn settle_all(mut all: Vec<Process>) -> Vec<usize> {
        let mut free = usize::from(SHARES) - all.iter().map(|(_, have)| have).sum::<usize>();
        for _ in 0..50 {
            let before = all.clone();
            // All give at once, on the same picture; then all take.
            for (me, (_, have)) in all.iter_mut().enumerate() {
                let surplus = census(&before, me).surplus(*have);
                *have -= surplus;
                free += surplus;
            }
            for waited in [Duration::ZERO, LONG] {
                for (me, (_, have)) in all.iter_mut().enumerate() {
                    let census = census(&before, me);
                    while free > 0 && census.takes(*have, waited) {
                        *have += 1;
                        free -= 1;
                    }
                }
            }
            if all == before {
                return all.into_iter().map(|(_, have)| have).collect();
            }
        }
        panic!("it does not settle: {all:?}");
    }

    /// The same of processes that have lived for long.
    fn settle(have: Vec<usize>) -> Vec<usize> {
        settle_all(have.into_iter().map(|have| (BEATS_SETTLED, have)).collect())
    }

    #[test]
    fn a_process_alone_has_everything() {
        assert_eq!(settle(vec![0]), [16]);
    }

    #[test]
    fn newcomers_get_an_even_share_and_nobody_is_left_without() {
        for processes in 2..=16 {
            let mut have = vec![0; processes];
            have[0] = 16;
            let settled = settle(have);
            assert_eq!(settled.iter().sum::<usize>(), 16, "{settled:?}");
            let (least, most) = (16 / processes, 16_usize.div_ceil(processes));
            assert!(
                settled.iter().all(|have| (least..=most).contains(have)),
                "{settled:?}"
            );
        }
    }

    #[test]
    fn those_who_stay_take_over_from_those_who_go() {
        assert_eq!(settle(vec![6, 5]), [8, 8]);
        assert_eq!(settle(vec![4]), [16]);
    }

    #[test]
    fn more_processes_than_shares_leave_some_in_reserve() {
        let mut have = vec![0; 20];
        have[0] = 16;
        let settled = settle(have);
        assert!(settled.iter().all(|have| *have <= 1), "{settled:?}");
        assert_eq!(settled.iter().sum::<usize>(), 16);
    }

    #[test]
    fn a_share_that_nobody_takes_is_taken_by_somebody_who_has_enough() {
        let census = census(&[(BEATS_SETTLED, 8), (BEATS_SETTLED, 0)], 0);
        assert!(!census.takes(8, LONG));
        assert!(census.takes(8, FREE_MAX));
    }

    #[test]
    fn a_newcomer_gets_nothing_before_he_has_lived_for_a_while() {
        let newcomer = BEATS_SETTLED - 1;
        assert_eq!(
            settle_all(vec![(newcomer, 0), (BEATS_SETTLED, 16)]),
            [0, 16]
        );
        assert_eq!(
            settle_all(vec![(newcomer, 0), (BEATS_SETTLED, 8)]),
            [0, 16],
            "what one left that died is taken by one who stays"
        );
        let nobody_else_takes_it = census(&[(newcomer, 0), (BEATS_SETTLED, 16)], 0);
        assert!(nobody_else_takes_it.takes(0, FREE_MAX));
    }

    #[test]
    fn where_all_are_newcomers_they_share_the_work_at_once() {
        assert_eq!(settle_all(vec![(1, 0)]), [16]);
        assert_eq!(settle_all(vec![(2, 0), (1, 0)]), [8, 8]);
        // The one who is settled a moment before the other takes nothing from him.
        assert_eq!(
            settle_all(vec![(BEATS_SETTLED, 8), (BEATS_SETTLED - 1, 8)]),
            [8, 8]
        );
    }
}

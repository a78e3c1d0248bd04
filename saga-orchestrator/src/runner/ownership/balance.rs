//! How many shares a process should have. Pure arithmetic: every process comes to the same result by itself.

use std::time::Duration;

use super::SHARES;

/// A share that has been free for so long may be taken by somebody who has enough already.
const FREE_MAX: Duration = Duration::from_secs(3);
/// A share that others may need more is left to them for so long.
const COURTESY: Duration = Duration::from_millis(1_500);

/// Who shares the work, as one process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Census {
    /// Living processes that take shares, ourselves among them.
    pub living: usize,
    /// How many shares the one among the others has that has fewest; `None`: there are no others.
    pub poorest: Option<usize>,
}

impl Census {
    fn most(self) -> usize {
        usize::from(SHARES).div_ceil(self.living.max(1))
    }

    fn least(self) -> usize {
        usize::from(SHARES) / self.living.max(1)
    }

    /// Whether somebody with so many shares takes one more that has been free for so long.
    pub(super) fn takes(self, have: usize, free_for: Duration) -> bool {
        have < self.least() || (have < self.most() && free_for >= COURTESY) || free_for >= FREE_MAX
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

    /// Everybody acts on what he sees, in turn, until nothing changes any more.
    fn settle(mut have: Vec<usize>) -> Vec<usize> {
        let living = have.len();
        let mut free = usize::from(SHARES) - have.iter().sum::<usize>();
        for _ in 0..50 {
            let before = have.clone();
            // All give at once, on the same picture; then all take.
            for me in 0..living {
                let others = (0..living).filter(|other| *other != me);
                let poorest = others.map(|other| before[other]).min();
                let surplus = Census { living, poorest }.surplus(before[me]);
                have[me] -= surplus;
                free += surplus;
            }
            for waited in [Duration::ZERO, LONG] {
                for mine in &mut have {
                    let census = Census {
                        living,
                        poorest: None,
                    };
                    while free > 0 && census.takes(*mine, waited) {
                        *mine += 1;
                        free -= 1;
                    }
                }
            }
            if have == before {
                return have;
            }
        }
        panic!("it does not settle: {have:?}");
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
        let census = Census {
            living: 2,
            poorest: Some(0),
        };
        assert!(!census.takes(8, LONG));
        assert!(census.takes(8, FREE_MAX));
    }
}

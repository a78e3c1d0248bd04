//! Which way is quicker for a few one-event groups: one atomic batch, or as many plain publishes side by side.
//!
//! It depends on broker and disk. One server stages a batch in files of its own, which costs several fsyncs whatever its
//! size; a cluster stages it in memory. So both ways are tried and measured, by size, and the quicker one is taken;
//! now and then the other one again, as disks and brokers change.

use std::time::Duration;

/// From this size on a batch is always one: its own costs are shared by many.
const APART_BELOW: usize = 64;
/// Sizes that differ by less than two are as one.
const SIZES: usize = APART_BELOW.ilog2() as usize;
/// How much a new measurement counts.
const NEWEST_SHARE: f64 = 0.125;
/// One round in so many goes the way that was slower …
const SLOWER_EVERY: u32 = 100;
/// … and if it was much slower, one in so many.
const MUCH_SLOWER_EVERY: u32 = 2_000;
const MUCH: f64 = 2.0;

/// How one-event groups travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As one atomic batch; a lone message as a plain publish.
    Together,
    /// As plain publishes side by side.
    Apart,
}

/// What both ways took, by size.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    sizes: [Costs; SIZES],
}

/// Seconds a message, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
struct Costs {
    together: Option<f64>,
    apart: Option<f64>,
}

impl Ways {
    /// The way for so many messages.
    pub(crate) fn choose(&self, messages: usize) -> Way {
        let Some(costs) = size(messages).and_then(|size| self.sizes.get(size)) else {
            return Way::Together;
        };
        let (Some(together), Some(apart)) = (costs.together, costs.apart) else {
            return match costs.apart {
                None => Way::Apart,
                Some(_) => Way::Together,
            };
        };
        let (quicker, slower) = match apart < together {
            true => (Way::Apart, Way::Together),
            false => (Way::Together, Way::Apart),
        };
        let much = apart.max(together) > MUCH * apart.min(together);
        let every = if much {
            MUCH_SLOWER_EVERY
        } else {
            SLOWER_EVERY
        };
        match fastrand::u32(..every) {
            0 => slower,
            _ => quicker,
        }
    }

    /// So many messages took so long, and nothing had to be sent again.
    pub(crate) fn learn(&mut self, way: Way, messages: usize, took: Duration) {
        let Some(costs) = size(messages).and_then(|size| self.sizes.get_mut(size)) else {
            return;
        };
        let cost = match way {
            Way::Together => &mut costs.together,
            Way::Apart => &mut costs.apart,
        };
        let new = took.as_secs_f64() / messages.max(1) as f64;
        let known = cost.unwrap_or(new);
        *cost = Some(known + (new - known) * NEWEST_SHARE);
    }
}

/// None where there is nothing to choose.
fn size(messages: usize) -> Option<usize> {
    (2..APART_BELOW)
        .contains(&messages)
        .then(|| messages.ilog2() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each way is gone, on a machine where it takes so many microseconds.
    fn gone(messages: usize, together: u64, apart: u64) -> (u32, u32) {
        let (mut ways, mut gone) = (Ways::default(), (0, 0));
        for _ in 0..1_000 {
            let way = ways.choose(messages);
            let took = match way {
                Way::Together => {
                    gone.0 += 1;
                    together
                }
                Way::Apart => {
                    gone.1 += 1;
                    apart
                }
            };
            ways.learn(way, messages, Duration::from_micros(took));
        }
        gone
    }

    #[test]
    fn the_quicker_way_is_found_and_the_other_one_looked_at_now_and_then() {
        let (together, apart) = gone(4, 3_000, 500);
        assert!(apart > 950 && together >= 1, "{together} {apart}");
        let (together, apart) = gone(32, 700, 1_000);
        assert!(together > 900 && apart >= 1, "{together} {apart}");
    }

    #[test]
    fn each_size_learns_for_itself() {
        let mut ways = Ways::default();
        for _ in 0..3 {
            ways.learn(Way::Together, 40, Duration::from_micros(100));
            ways.learn(Way::Apart, 40, Duration::from_micros(9_000));
        }
        assert_eq!(ways.choose(2), Way::Apart, "not tried yet");
        let together = (0..200).filter(|_| ways.choose(63) == Way::Together);
        assert!(together.count() > 150);
    }

    #[test]
    fn a_change_is_noticed() {
        let mut ways = Ways::default();
        ways.learn(Way::Together, 8, Duration::from_micros(1_000));
        ways.learn(Way::Apart, 8, Duration::from_micros(900));
        // The disk has become slow.
        for _ in 0..20 {
            ways.learn(Way::Apart, 8, Duration::from_micros(5_000));
        }
        let together = (0..500).filter(|_| ways.choose(8) == Way::Together);
        assert!(together.count() > 450);
    }

    #[test]
    fn a_lone_message_and_many_have_one_way() {
        let mut ways = Ways::default();
        for messages in [0, 1, APART_BELOW, 256] {
            ways.learn(Way::Together, messages, Duration::from_secs(1));
            assert_eq!(ways.choose(messages), Way::Together, "{messages}");
        }
    }
}

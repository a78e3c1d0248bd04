//! What a load tells: as a table for people, as JSON for programs; charts are drawn of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::board::{Board, Second};
use super::lag::Seen;
use super::profile::Profile;
use super::target::{Target, Whose};
use super::verify::Found;
use crate::bench::{Percentiles, Times, shown};

/// Orders are slow again when their p99 is so many times the usual one, and by more than the margin.
const SLOW_FACTOR: f64 = 1.5;
const SLOW_MARGIN_US: f64 = 10_000.0;
/// So many seconds in a row have to be usual again.
const USUAL_SECONDS: usize = 3;
/// Lost orders that are named.
const LOST_TOLD_MAX: usize = 20;

/// One phase.
#[derive(Debug, Serialize)]
pub struct PhaseTold {
    /// Its name.
    pub name: &'static str,
    /// Seconds.
    pub seconds: f64,
    /// Orders a second that were to arrive.
    pub rate: u32,
    /// Orders that were sent.
    pub sent: u64,
    /// Orders that were taken.
    pub placed: u64,
    /// From arrival to answer, of those that were taken.
    pub latency: Option<Percentiles>,
}

/// One second of the charts.
#[derive(Debug, Serialize)]
pub struct SecondTold {
    /// Orders that were sent.
    pub sent: u64,
    /// Of those, taken.
    pub placed: u64,
    /// Not sent.
    pub held_back: u64,
    /// Half of those taken took at most so long.
    pub p50_us: Option<f64>,
    /// 99 of 100.
    pub p99_us: Option<f64>,
    /// Events that the slowest read model was behind, if somebody could be asked.
    pub lag: Option<u64>,
}

/// All that a load tells.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which profile.
    pub profile: &'static str,
    /// Where.
    pub url: String,
    /// Whose shop it was.
    pub shop: Whose,
    /// Whether this program was optimised.
    pub build: &'static str,
    /// How many customers bought.
    pub customers: usize,
    /// The phases.
    pub phases: Vec<PhaseTold>,
    /// How often each command was answered with each status.
    pub answers: BTreeMap<String, u64>,
    /// Orders that the shop has taken.
    pub acknowledged: u64,
    /// Acknowledged orders that the shop knows, by status.
    pub found: BTreeMap<String, u64>,
    /// Acknowledged orders that it does not know.
    pub lost: u64,
    /// Orders without an answer: it is not known what became of them.
    pub unanswered: u64,
    /// Orders that were not sent, because too many waited for their answers.
    pub held_back: u64,
    /// The usual p99: before the spike.
    pub usual_p99_us: Option<f64>,
    /// Seconds after the end of the spike until p99 is usual again; nothing when it never is, or there was no spike.
    pub usual_again_after_s: Option<u64>,
    /// The largest lag that was seen.
    pub lag_max: Option<u64>,
    /// Promises that were broken; empty when all is well.
    pub broken: Vec<String>,
    /// Each second.
    pub seconds: Vec<SecondTold>,
}

impl Report {
    /// Puts it together.
    pub fn of(
        target: &Target,
        profile: &Profile,
        board: &Board,
        found: Found,
        lag: Vec<Seen>,
    ) -> anyhow::Result<Self> {
        let seconds = seconds(board, &lag);
        let phases = phases(profile, board)?;
        let usual = phases
            .first()
            .and_then(|phase| phase.latency)
            .map(|latency| latency.p99_us);
        let again = usual
            .zip(profile.spike_ends())
            .and_then(|(usual, end)| usual_again(&seconds, usual, end));
        let mut broken = board.broken.clone();
        if board.broken_more > 0 {
            broken.push(format!(
                "and {} answers more of the kind",
                board.broken_more
            ));
        }
        let named = found.lost.iter().take(LOST_TOLD_MAX);
        broken.extend(named.map(|order| format!("the order {order} was acknowledged and is lost")));
        Ok(Self {
            profile: profile.name,
            url: target.url.clone(),
            shop: target.whose,
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            customers: target.customers.len(),
            phases,
            answers: board.answers.clone(),
            acknowledged: board.acknowledged().len() as u64,
            found: found.by_status,
            lost: found.lost.len() as u64,
            unanswered: board.unanswered,
            held_back: board.seconds.iter().map(|second| second.held_back).sum(),
            usual_p99_us: usual,
            usual_again_after_s: again,
            lag_max: lag.iter().map(|seen| seen.lag).max(),
            broken,
            seconds,
        })
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "load {}, {} customers, {} shop at {} ({} build)\n\n",
            self.profile,
            self.customers,
            match self.shop {
                Whose::Own => "own",
                Whose::Running => "running",
            },
            self.url,
            self.build
        );
        let mut line = |cells: [&str; 7]| {
            let [name, seconds, rate, sent, placed, p50, p99] = cells;
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "  {name:<8}{seconds:>8}{rate:>10}{sent:>10}{placed:>10}{p50:>12}{p99:>12}"
            );
        };
        line([
            "phase", "seconds", "orders/s", "sent", "taken", "p50", "p99",
        ]);
        for phase in &self.phases {
            let time = |of: fn(Percentiles) -> f64| {
                phase
                    .latency
                    .map_or("-".to_owned(), |latency| shown(of(latency)))
            };
            line([
                phase.name,
                &format!("{:.0}", phase.seconds),
                &phase.rate.to_string(),
                &phase.sent.to_string(),
                &phase.placed.to_string(),
                &time(|latency| latency.p50_us),
                &time(|latency| latency.p99_us),
            ]);
        }
        text.push_str(&self.summary());
        text
    }

    fn summary(&self) -> String {
        let mut text = String::from("\nanswers\n");
        let counted = |counts: &BTreeMap<String, u64>| {
            let counts = counts.iter().map(|(name, count)| format!("{count} {name}"));
            counts.collect::<Vec<_>>().join(", ")
        };
        for (name, count) in &self.answers {
            let _ = writeln!(text, "  {name:<28}{count:>8}");
        }
        let _ = writeln!(
            text,
            "\nacknowledged {}; found: {}; lost: {}; without an answer: {}; not sent: {}",
            self.acknowledged,
            counted(&self.found),
            self.lost,
            self.unanswered,
            self.held_back
        );
        if let Some(usual) = self.usual_p99_us.filter(|_| self.profile == "spike") {
            let again = self.usual_again_after_s.map_or_else(
                || "not usual again before the end".to_owned(),
                |seconds| format!("usual again {seconds} s after the spike"),
            );
            let _ = writeln!(text, "p99 before the spike {}, {again}", shown(usual));
        }
        if let Some(lag) = self.lag_max {
            let _ = writeln!(text, "largest lag of a read model: {lag} events");
        }
        match self.broken.as_slice() {
            [] => text.push_str("every promise was kept"),
            broken => {
                text.push_str("broken promises");
                for why in broken {
                    let _ = write!(text, "\n  {why}");
                }
            }
        }
        text
    }
}

fn phases(profile: &Profile, board: &Board) -> anyhow::Result<Vec<PhaseTold>> {
    let mut told = Vec::new();
    for (begin, phase) in profile.begins() {
        let (from, to) = (second_of(begin), second_of(begin + phase.length));
        let within = board.seconds.get(from..to.min(board.seconds.len()));
        let mut times = Times::new()?;
        let (mut sent, mut placed) = (0, 0);
        for second in within.unwrap_or_default() {
            times.add(&second.times)?;
            sent += second.sent;
            placed += second.placed;
        }
        told.push(PhaseTold {
            name: phase.name,
            seconds: phase.length.as_secs_f64(),
            rate: phase.rate,
            sent,
            placed,
            latency: times.percentiles(),
        });
    }
    Ok(told)
}

fn second_of(at: Duration) -> usize {
    at.as_secs_f64().round() as usize
}

fn seconds(board: &Board, lag: &[Seen]) -> Vec<SecondTold> {
    let told = |(number, second): (usize, &Second)| {
        let times = second.times.percentiles();
        SecondTold {
            sent: second.sent,
            placed: second.placed,
            held_back: second.held_back,
            p50_us: times.map(|times| times.p50_us),
            p99_us: times.map(|times| times.p99_us),
            lag: lag
                .iter()
                .find(|seen| seen.second == number as u64)
                .map(|seen| seen.lag),
        }
    };
    board.seconds.iter().enumerate().map(told).collect()
}

/// Seconds from the end of the spike to the first of some in a row whose p99 is usual.
fn usual_again(seconds: &[SecondTold], usual: f64, end: Duration) -> Option<u64> {
    let slow = (usual * SLOW_FACTOR).max(usual + SLOW_MARGIN_US);
    let after = seconds.get(second_of(end)..)?;
    let is_usual = |second: &SecondTold| second.p99_us.is_some_and(|p99| p99 <= slow);
    let first = after
        .windows(USUAL_SECONDS)
        .position(|row| row.iter().all(is_usual))?;
    Some(first as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(p99_ms: &[f64]) -> Vec<SecondTold> {
        let second = |ms: &f64| SecondTold {
            sent: 1,
            placed: 1,
            held_back: 0,
            p50_us: Some(1.0),
            p99_us: Some(ms * 1_000.0),
            lag: None,
        };
        p99_ms.iter().map(second).collect()
    }

    #[test]
    fn p99_is_usual_again_when_it_stays_so_for_a_while() {
        let end = Duration::from_secs(3);
        let again = |p99: &[f64]| usual_again(&row(p99), 20_000.0, end);
        // The spike is over after three seconds.
        assert_eq!(
            again(&[20.0, 900.0, 900.0, 20.0, 20.0, 20.0, 20.0]),
            Some(0)
        );
        assert_eq!(
            again(&[20.0, 900.0, 900.0, 300.0, 25.0, 90.0, 25.0, 29.0, 20.0]),
            Some(3)
        );
        assert_eq!(again(&[20.0, 900.0, 900.0, 300.0, 300.0, 20.0, 20.0]), None);
    }
}

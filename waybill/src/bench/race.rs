//! Who is measured, in which order. Ours and the raw limits run one after the other in short rounds, again and again,
//! so that what the machine does beside the bench hits all of them alike; the first round warms up and is not counted.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::cores::{self, Spent, Watched};
use super::report::{Ratio, Row, Side, Wanted};
use super::tally::{self, Counted};
use super::times::Times;
use crate::out;

/// The uncounted round is shorter.
const WARM_UP_SHARE: f64 = 0.4;
/// Contestants finish what they have begun when their time is over: so much of the time is planned with.
const PLANNED_SHARE: f64 = 0.9;
/// Shorter and the start of the tasks would be what is measured.
const SLOT_MIN: Duration = Duration::from_millis(40);

/// What one contestant did in one slot.
#[derive(Debug)]
pub struct Sample {
    /// How long it took.
    pub took: Duration,
    /// What was done, by unit; the first is the figure.
    pub amounts: Vec<(&'static str, u64)>,
    /// How long each single one took, where there are single ones.
    pub times: Option<Times>,
}

impl Sample {
    fn rate(&self, unit: &str) -> Option<f64> {
        let (_, amount) = self.amounts.iter().find(|(known, _)| *known == unit)?;
        Some(*amount as f64 / self.took.as_secs_f64().max(1e-9))
    }
}

/// Something that is measured.
#[async_trait]
pub trait Contestant: Send {
    /// Works for about so long. One with a fixed amount of work does all of it instead.
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample>;
}

struct Entry {
    id: String,
    title: String,
    side: Side,
    callers: Option<usize>,
    contestant: Box<dyn Contestant>,
    samples: Vec<Sample>,
    counted: Counted,
    /// Processor time by process, and the time it was spent in.
    spent: Spent,
    over: Duration,
}

/// All that are measured side by side.
pub struct Race {
    entries: Vec<Entry>,
    watched: Watched,
}

/// Which of a contestant's figures a ratio is made of.
#[derive(Debug, Clone, Copy)]
pub enum Figure {
    /// So many of a unit per second.
    Rate(&'static str),
    /// The middle of how long one took.
    Median,
    /// What 99 of 100 took at most.
    P99,
}

/// How those who are measured get warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarmUp {
    /// By a round that is not counted.
    Round,
    /// They are already, and each run is long.
    Done,
}

impl Race {
    /// Nobody yet; it is told how many cores these processes keep busy.
    pub fn new(watched: Watched) -> Self {
        Self {
            entries: Vec::new(),
            watched,
        }
    }

    /// Takes one in; they run in the order in which they were taken in.
    pub fn enter(
        &mut self,
        side: Side,
        id: impl Into<String>,
        title: impl Into<String>,
        callers: Option<usize>,
        contestant: impl Contestant + 'static,
    ) {
        self.entries.push(Entry {
            id: id.into(),
            title: title.into(),
            side,
            callers,
            contestant: Box::new(contestant),
            samples: Vec::new(),
            counted: Counted::default(),
            spent: Spent::new(),
            over: Duration::ZERO,
        });
    }

    /// Runs all of them in rounds: at least one that counts, at most `rounds`, and none that would end after `until`.
    pub async fn run(
        &mut self,
        rounds: u32,
        until: Instant,
        warm_up: WarmUp,
    ) -> anyhow::Result<()> {
        let per_round = self.entries.len().max(1) as f64;
        let left = || until.saturating_duration_since(Instant::now());
        if warm_up == WarmUp::Round {
            let slot = slot(left(), per_round * (f64::from(rounds) + WARM_UP_SHARE));
            self.round(slot.mul_f64(WARM_UP_SHARE), false).await?;
        }
        let mut longest = Duration::ZERO;
        for round in 0..rounds {
            if round > 0 && left() < longest.mul_f64(PLANNED_SHARE) {
                out::note(format!("  {round} of {rounds} rounds: the time is over"));
                break;
            }
            let begun = Instant::now();
            self.round(slot(left(), per_round * f64::from(rounds - round)), true)
                .await?;
            longest = longest.max(begun.elapsed());
        }
        Ok(())
    }

    async fn round(&mut self, slot: Duration, counts: bool) -> anyhow::Result<()> {
        for entry in &mut self.entries {
            drop(tally::take());
            let (begun, before) = (Instant::now(), self.watched.spent());
            let sample = entry.contestant.run(slot).await?;
            let (over, after) = (begun.elapsed(), self.watched.spent());
            let counted = tally::take();
            if counts {
                entry.over += over;
                for (name, seconds) in cores::between(&before, &after) {
                    *entry.spent.entry(name).or_default() += seconds;
                }
                entry.samples.push(sample);
                entry.counted.add(&counted);
            }
        }
        Ok(())
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// What was counted while one of them ran.
    pub fn counted(&self, id: &str) -> Option<&Counted> {
        self.entry(id).map(|entry| &entry.counted)
    }

    /// What was counted while all of ours ran.
    pub fn counted_by_ours(&self) -> Counted {
        let mut all = Counted::default();
        let ours = self.entries.iter().filter(|entry| entry.side == Side::Ours);
        ours.for_each(|entry| all.add(&entry.counted));
        all
    }

    /// A row for each of them.
    pub fn rows(&self) -> anyhow::Result<Vec<Row>> {
        self.entries.iter().map(row).collect()
    }

    /// How the figure of one stands to that of another, round by round; nothing when one of them has none.
    pub fn ratio(
        &self,
        one: (&str, Figure),
        other: (&str, Figure),
        wanted: Wanted,
    ) -> Option<Ratio> {
        let (left, right) = (self.entry(one.0)?, self.entry(other.0)?);
        let pairs = left.samples.iter().zip(&right.samples);
        let mut ratios: Vec<f64> = pairs
            .filter_map(|(a, b)| Some(figure(a, one.1)? / figure(b, other.1)?))
            .filter(|ratio| ratio.is_finite())
            .collect();
        ratios.sort_by(f64::total_cmp);
        Some(Ratio {
            id: format!("{}/{}", one.0, other.0),
            title: format!(
                "{} : {} ({})",
                left.title,
                right.title,
                match (one.1, other.1) {
                    (Figure::Median, _) => "p50".to_owned(),
                    (Figure::P99, _) => "p99".to_owned(),
                    (Figure::Rate(unit), Figure::Rate(same)) if unit == same => unit.to_owned(),
                    (Figure::Rate(unit), Figure::Rate(other)) => format!("{unit} : {other}"),
                    (Figure::Rate(unit), Figure::Median | Figure::P99) => unit.to_owned(),
                }
            ),
            ratio: median(&ratios)?,
            lowest: *ratios.first()?,
            highest: *ratios.last()?,
            wanted,
        })
    }
}

fn slot(left: Duration, slots: f64) -> Duration {
    left.mul_f64(PLANNED_SHARE)
        .div_f64(slots.max(1.0))
        .max(SLOT_MIN)
}

fn figure(sample: &Sample, figure: Figure) -> Option<f64> {
    match figure {
        Figure::Rate(unit) => sample.rate(unit),
        Figure::Median => Some(sample.times.as_ref()?.percentiles()?.p50_us),
        Figure::P99 => Some(sample.times.as_ref()?.percentiles()?.p99_us),
    }
}

fn row(entry: &Entry) -> anyhow::Result<Row> {
    let unit = entry
        .samples
        .first()
        .and_then(|sample| sample.amounts.first())
        .map_or("", |(unit, _)| unit);
    let rates = |unit: &str| -> Vec<f64> {
        entry
            .samples
            .iter()
            .filter_map(|sample| sample.rate(unit))
            .collect()
    };
    let mut row = Row::new(entry.side, &entry.id, &entry.title);
    row.unit = format!("{unit}/s");
    row.callers = entry.callers;
    row.rounds = rates(unit);
    row.rate = median(&sorted(&row.rounds)).unwrap_or(0.0);
    let amounts = entry.samples.iter().flat_map(|sample| &sample.amounts);
    row.count = amounts
        .clone()
        .filter(|(known, _)| *known == unit)
        .map(|(_, amount)| amount)
        .sum();
    let mut others: Vec<&str> = amounts
        .map(|(known, _)| *known)
        .filter(|known| *known != unit)
        .collect();
    others.sort_unstable();
    others.dedup();
    for other in others {
        let rate = median(&sorted(&rates(other))).unwrap_or(0.0);
        row.also(&format!("{other}_per_second"), rate.round());
    }
    let over = entry.over.as_secs_f64().max(1e-9);
    let cores: Spent = entry
        .spent
        .iter()
        .map(|(name, seconds)| (*name, (seconds / over * 100.0).round() / 100.0))
        .collect();
    if !cores.is_empty() {
        row.also("cores_busy", cores);
    }
    let mut times = Times::new()?;
    for known in entry
        .samples
        .iter()
        .filter_map(|sample| sample.times.as_ref())
    {
        times.add(known)?;
    }
    row.latency = times.percentiles();
    Ok(row)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some((sorted.get(middle.checked_sub(1)?)? + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does as much a slot as it is told to, in no time.
    struct Steady {
        amounts: Vec<u64>,
    }

    #[async_trait]
    impl Contestant for Steady {
        async fn run(&mut self, _: Duration) -> anyhow::Result<Sample> {
            Ok(Sample {
                took: Duration::from_secs(2),
                amounts: vec![("things", self.amounts.remove(0)), ("parts", 50)],
                times: None,
            })
        }
    }

    async fn raced() -> Race {
        let mut race = Race::new(Watched::this());
        let steady = |amounts: &[u64]| Steady {
            amounts: amounts.to_vec(),
        };
        race.enter(Side::Ours, "ours", "ours", None, steady(&[1, 10, 30, 20]));
        race.enter(Side::Raw, "raw", "raw", None, steady(&[1, 20, 20, 20]));
        race.run(3, Instant::now() + Duration::from_secs(60), WarmUp::Round)
            .await
            .unwrap();
        race
    }

    #[tokio::test]
    async fn the_warm_up_does_not_count_and_the_middle_round_is_the_figure() {
        let rows = raced().await.rows().unwrap();
        assert_eq!(rows[0].rounds, [5.0, 15.0, 10.0]);
        assert_eq!((rows[0].rate, rows[0].count), (10.0, 60));
        assert_eq!(rows[0].unit, "things/s");
    }

    #[tokio::test]
    async fn a_ratio_is_made_round_by_round() {
        let race = raced().await;
        let things = Figure::Rate("things");
        let ratio = race
            .ratio(("ours", things), ("raw", things), Wanted::None)
            .unwrap();
        assert_eq!((ratio.lowest, ratio.ratio, ratio.highest), (0.5, 1.0, 1.5));
        assert!(
            race.ratio(("ours", things), ("nobody", things), Wanted::None)
                .is_none()
        );
        assert!(
            race.ratio(("ours", Figure::Median), ("raw", things), Wanted::None)
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_round_that_would_end_too_late_is_not_begun() {
        struct Slow;
        #[async_trait]
        impl Contestant for Slow {
            async fn run(&mut self, _: Duration) -> anyhow::Result<Sample> {
                tokio::time::sleep(Duration::from_millis(30)).await;
                let (took, amounts) = (Duration::from_millis(30), vec![("things", 1)]);
                Ok(Sample {
                    took,
                    amounts,
                    times: None,
                })
            }
        }
        let mut race = Race::new(Watched::this());
        race.enter(Side::Ours, "slow", "slow", None, Slow);
        race.run(
            50,
            Instant::now() + Duration::from_millis(100),
            WarmUp::Done,
        )
        .await
        .unwrap();
        let rounds = race.rows().unwrap()[0].rounds.len();
        assert!((1..5).contains(&rounds), "{rounds}");
    }
}

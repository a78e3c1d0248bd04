//! How long things took, kept closely enough for percentiles whatever their number.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Every value is kept to about 1 %, which is far below the noise of any machine.
const SIGNIFICANT_DIGITS: u8 = 2;

/// Many durations.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

/// What is told of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many there were.
    pub samples: u64,
    /// Half of them took at most so long.
    pub p50_us: f64,
    /// Nine of ten.
    pub p90_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// All of them.
    pub max_us: f64,
}

impl Times {
    /// None yet.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new(SIGNIFICANT_DIGITS)?))
    }

    /// One more.
    pub fn record(&mut self, took: Duration) {
        // It grows as it needs; a value that fits nowhere would be centuries.
        let _kept = self
            .0
            .record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// All of another's.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.0
            .add(&other.0)
            .map_err(|error| anyhow::anyhow!("times cannot be added up: {error:?}"))
    }

    /// What is told of them; nothing when there are none.
    pub fn percentiles(&self) -> Option<Percentiles> {
        if self.0.is_empty() {
            return None;
        }
        let micros = |nanos: u64| nanos as f64 / 1_000.0;
        Some(Percentiles {
            samples: self.0.len(),
            p50_us: micros(self.0.value_at_quantile(0.50)),
            p90_us: micros(self.0.value_at_quantile(0.90)),
            p99_us: micros(self.0.value_at_quantile(0.99)),
            max_us: micros(self.0.max()),
        })
    }
}

/// A duration as people read it: `85 µs`, `3.2 ms`, `1.4 s`.
pub fn shown(micros: f64) -> String {
    match micros {
        micros if micros < 9.95 => format!("{micros:.1} µs"),
        micros if micros < 1_000.0 => format!("{micros:.0} µs"),
        micros if micros < 9_950.0 => format!("{:.1} ms", micros / 1e3),
        micros if micros < 1_000_000.0 => format!("{:.0} ms", micros / 1e3),
        micros => format!("{:.1} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_that_was_recorded_in_two_places() {
        let (mut one, mut other) = (Times::new().unwrap(), Times::new().unwrap());
        (1..=50).for_each(|n| one.record(Duration::from_millis(n)));
        (51..=100).for_each(|n| other.record(Duration::from_millis(n)));
        one.add(&other).unwrap();
        let told = one.percentiles().unwrap();
        assert_eq!(told.samples, 100);
        for (is, wanted) in [
            (told.p50_us, 50_000.0),
            (told.p90_us, 90_000.0),
            (told.p99_us, 99_000.0),
            (told.max_us, 100_000.0),
        ] {
            assert!((is / wanted - 1.0).abs() < 0.02, "{is} is not {wanted}");
        }
        assert_eq!(Times::new().unwrap().percentiles(), None);
    }

    #[test]
    fn durations_are_shown_in_the_unit_that_fits() {
        assert_eq!(
            [4.26, 85.2, 3_210.0, 45_000.0, 1_430_000.0].map(shown),
            ["4.3 µs", "85 µs", "3.2 ms", "45 ms", "1.4 s"]
        );
    }
}

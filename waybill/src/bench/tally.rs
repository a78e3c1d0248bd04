//! The metrics of this process, read by the bench itself: what was counted while one contestant ran.
//!
//! The services count into whatever recorder a process has. A bench installs this one instead of the exporter, so that
//! batch sizes, loads, conflicts and the like can be told for each figure.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;
use metrics::{Counter, Gauge, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde::Serialize;

/// Histograms whose name ends so are kept in microseconds.
const SECONDS_SUFFIX: &str = "_seconds";
const SIGNIFICANT_DIGITS: u8 = 2;

static TALLY: LazyLock<Tally> = LazyLock::new(Tally::default);

/// Counters and distributions since they were last taken.
#[derive(Default)]
pub struct Tally {
    counters: Mutex<HashMap<Key, Arc<AtomicU64>>>,
    spreads: Mutex<HashMap<Key, Arc<Spread>>>,
}

/// What was counted in a while.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Counters that moved, by name and labels.
    pub counters: BTreeMap<String, u64>,
    /// Distributions that got values; those of `_seconds` in microseconds.
    pub spreads: BTreeMap<String, Histogram<u64>>,
}

/// A distribution in figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SpreadFigures {
    /// How many values.
    pub samples: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them are at most so much.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// All of them.
    pub max: u64,
}

/// Makes this process count into the tally. Answers whether it does: another recorder may have come first.
pub fn install() -> bool {
    static INSTALLED: LazyLock<bool> =
        LazyLock::new(|| metrics::set_global_recorder(&*TALLY).is_ok());
    *INSTALLED
}

/// Takes what was counted since the last time.
pub fn take() -> Counted {
    let mut counted = Counted::default();
    for (key, counter) in held(&TALLY.counters).iter() {
        let value = counter.swap(0, Ordering::AcqRel);
        if value > 0 {
            counted.counters.insert(named(key), value);
        }
    }
    for (key, spread) in held(&TALLY.spreads).iter() {
        if let Some(histogram) = held(&spread.values).take() {
            counted.spreads.insert(named(key), histogram);
        }
    }
    counted
}

impl Counted {
    /// Adds what was counted in another while.
    pub fn add(&mut self, other: &Self) {
        for (name, value) in &other.counters {
            *self.counters.entry(name.clone()).or_default() += value;
        }
        for (name, histogram) in &other.spreads {
            match self.spreads.get_mut(name) {
                // Both grow as they need, so adding cannot fail; if it did a few samples would be missing.
                Some(known) => drop(known.add(histogram)),
                None => drop(self.spreads.insert(name.clone(), histogram.clone())),
            }
        }
    }

    /// A counter's value over all of its labels.
    pub fn total(&self, name: &str) -> u64 {
        let of = |known: &str| known == name || known.starts_with(&format!("{name}{{"));
        self.counters
            .iter()
            .filter(|(known, _)| of(known))
            .map(|(_, value)| value)
            .sum()
    }

    /// A distribution in figures.
    pub fn spread(&self, name: &str) -> Option<SpreadFigures> {
        let histogram = self.spreads.get(name)?;
        Some(SpreadFigures {
            samples: histogram.len(),
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            max: histogram.max(),
        })
    }
}

#[derive(Default)]
struct Spread {
    micros: bool,
    values: Mutex<Option<Histogram<u64>>>,
}

impl HistogramFn for Spread {
    fn record(&self, value: f64) {
        let value = if self.micros { value * 1e6 } else { value };
        let mut values = held(&self.values);
        if values.is_none() {
            *values = Histogram::new(SIGNIFICANT_DIGITS).ok();
        }
        if let Some(values) = values.as_mut() {
            // It grows as it needs.
            let _kept = values.record(value.round().max(0.0) as u64);
        }
    }
}

impl Recorder for Tally {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = held(&self.counters);
        if let Some(counter) = counters.get(key) {
            return Arc::clone(counter).into();
        }
        let counter = Arc::<AtomicU64>::default();
        counters.insert(key.clone(), Arc::clone(&counter));
        counter.into()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        let mut spreads = held(&self.spreads);
        if let Some(spread) = spreads.get(key) {
            return Arc::clone(spread).into();
        }
        let spread = Arc::new(Spread {
            micros: key.name().ends_with(SECONDS_SUFFIX),
            ..Spread::default()
        });
        spreads.insert(key.clone(), Arc::clone(&spread));
        spread.into()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change below is one call, so nothing is left half changed by a panic elsewhere.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `name{label=value,…}`.
fn named(key: &Key) -> String {
    let labels: Vec<String> = key
        .labels()
        .map(|label| format!("{}={}", label.key(), label.value()))
        .collect();
    if labels.is_empty() {
        key.name().to_owned()
    } else {
        format!("{}{{{}}}", key.name(), labels.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_taken_once_and_totals_run_over_labels() {
        let tally = Tally::default();
        metrics::with_local_recorder(&tally, || {
            metrics::counter!("things_total", "kind" => "a").increment(2);
            metrics::counter!("things_total", "kind" => "b").increment(3);
            metrics::histogram!("sizes").record(64.0);
        });
        let mut counted = Counted::default();
        for (key, counter) in held(&tally.counters).iter() {
            counted
                .counters
                .insert(named(key), counter.load(Ordering::Acquire));
        }
        assert_eq!(counted.total("things_total"), 5);
        assert_eq!(counted.counters["things_total{kind=b}"], 3);
        assert_eq!(counted.total("things"), 0);
        let spreads = held(&tally.spreads);
        let sizes = spreads.values().next().unwrap();
        assert_eq!(held(&sizes.values).as_ref().unwrap().max(), 64);
    }

    #[test]
    fn what_two_whiles_counted_adds_up() {
        let mut histogram = Histogram::new(SIGNIFICANT_DIGITS).unwrap();
        histogram.record(10).unwrap();
        let one = Counted {
            counters: BTreeMap::from([("a".to_owned(), 1)]),
            spreads: BTreeMap::from([("s".to_owned(), histogram)]),
        };
        let mut both = one.clone();
        both.add(&one);
        assert_eq!(both.total("a"), 2);
        assert_eq!(both.spread("s").unwrap().samples, 2);
        assert_eq!(both.spread("none"), None);
    }
}

//! When orders arrive.

use std::time::Duration;

use anyhow::ensure;

use super::options::{LoadOptions, ProfileName};

/// More would fill the memory of whoever counts them.
const ORDERS_MAX: u64 = 500_000;
const LENGTH_MAX: Duration = Duration::from_secs(60 * 60);

/// A while in which orders arrive evenly.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// For people.
    pub name: &'static str,
    /// Orders a second.
    pub rate: u32,
    /// How long it lasts.
    pub length: Duration,
}

impl Phase {
    fn orders(&self) -> u64 {
        (f64::from(self.rate) * self.length.as_secs_f64()) as u64
    }
}

/// Phases, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Never empty.
    pub phases: Vec<Phase>,
}

impl Profile {
    /// The one that was asked for.
    pub fn of(options: &LoadOptions) -> anyhow::Result<Self> {
        let phase = |name, factor: u32, length| Phase {
            name,
            rate: options.rate.saturating_mul(factor),
            length,
        };
        let (name, phases) = match options.profile {
            ProfileName::Steady => ("steady", vec![phase("steady", 1, options.before)]),
            ProfileName::Spike => (
                "spike",
                vec![
                    phase("before", 1, options.before),
                    phase("spike", options.factor, options.spike),
                    phase("after", 1, options.after),
                ],
            ),
        };
        let profile = Self { name, phases };
        let (length, orders) = (profile.length(), profile.planned());
        ensure!(
            length <= LENGTH_MAX,
            "it would take {} s; at most {} are possible",
            length.as_secs(),
            LENGTH_MAX.as_secs()
        );
        ensure!(
            (1..=ORDERS_MAX).contains(&orders),
            "it would be {orders} orders; from 1 to {ORDERS_MAX} are possible"
        );
        Ok(profile)
    }

    /// How long it takes.
    pub fn length(&self) -> Duration {
        self.phases.iter().map(|phase| phase.length).sum()
    }

    /// How many orders arrive.
    pub fn planned(&self) -> u64 {
        self.phases.iter().map(Phase::orders).sum()
    }

    /// The moment of each arrival, from the beginning.
    pub fn arrivals(&self) -> impl Iterator<Item = Duration> + '_ {
        self.begins().flat_map(|(begin, phase)| {
            let pause = 1.0 / f64::from(phase.rate.max(1));
            (0..phase.orders()).map(move |n| begin + Duration::from_secs_f64(n as f64 * pause))
        })
    }

    /// Each phase with the moment at which it begins.
    pub fn begins(&self) -> impl Iterator<Item = (Duration, &Phase)> {
        self.phases.iter().scan(Duration::ZERO, |begin, phase| {
            let this = *begin;
            *begin += phase.length;
            Some((this, phase))
        })
    }

    /// The end of the spike, from the beginning.
    pub fn spike_ends(&self) -> Option<Duration> {
        self.begins()
            .find(|(_, phase)| phase.name == "spike")
            .map(|(begin, phase)| begin + phase.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spike() -> Profile {
        let phase = |name, rate, seconds| Phase {
            name,
            rate,
            length: Duration::from_secs(seconds),
        };
        Profile {
            name: "spike",
            phases: vec![
                phase("before", 2, 3),
                phase("spike", 20, 2),
                phase("after", 2, 5),
            ],
        }
    }

    #[test]
    fn orders_arrive_evenly_in_each_phase_and_never_out_of_turn() {
        let arrivals: Vec<_> = spike().arrivals().collect();
        assert_eq!(arrivals.len() as u64, spike().planned());
        assert_eq!(arrivals.len(), 6 + 40 + 10);
        assert!(arrivals.is_sorted());
        assert_eq!(arrivals[0], Duration::ZERO);
        assert_eq!(arrivals[1], Duration::from_millis(500));
        assert_eq!(arrivals[6], Duration::from_secs(3));
        assert_eq!(arrivals[7], Duration::from_millis(3_050));
        assert_eq!(arrivals[46], Duration::from_secs(5));
        assert_eq!(spike().spike_ends(), Some(Duration::from_secs(5)));
    }
}

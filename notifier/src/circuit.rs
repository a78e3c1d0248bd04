//! Circuits: a provider that fails again and again is left alone for a while, then tried once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use event_schema::notification::Channel;

/// How often in a row a provider may fail.
const FAILURES_MAX: u32 = 5;
/// How long it is left alone then.
const OPEN_FOR: Duration = Duration::from_secs(30);
/// How long others wait while one message is the trial.
const DURING_TRIAL: Duration = Duration::from_secs(1);

type Key = (Channel, &'static str);

/// The circuits of all providers; as many as there are providers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Circuits(Arc<Mutex<HashMap<Key, Circuit>>>);

#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    open_until: Option<Instant>,
    in_trial: bool,
}

/// May ask the provider, once. Dropped without a word it has asked nobody.
#[derive(Debug)]
pub(crate) struct Pass {
    circuits: Circuits,
    key: Key,
    is_trial: bool,
}

impl Circuits {
    /// A pass to the provider, or how long it is left alone still. A partner's system is nobody's provider: its failures
    /// are its own, and have their own delays.
    pub(crate) fn admit(&self, channel: Channel, provider: &'static str) -> Result<Pass, Duration> {
        let key = (channel, provider);
        let mut circuits = self.lock();
        let circuit = circuits.entry(key).or_default();
        let mut is_trial = false;
        if let Some(until) = circuit.open_until
            && channel != Channel::Webhook
        {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Err(left);
            }
            if circuit.in_trial {
                return Err(DURING_TRIAL);
            }
            circuit.in_trial = true;
            is_trial = true;
        }
        Ok(Pass {
            circuits: self.clone(),
            key,
            is_trial,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Circuit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// How it went.
    pub(crate) fn report(mut self, well: bool) {
        self.is_trial = false;
        let (channel, provider) = self.key;
        let mut circuits = self.circuits.lock();
        let circuit = circuits.entry(self.key).or_default();
        let was_open = circuit.open_until.is_some();
        circuit.in_trial = false;
        if well {
            *circuit = Circuit::default();
        } else {
            circuit.failures = circuit.failures.saturating_add(1);
            if circuit.failures >= FAILURES_MAX && channel != Channel::Webhook {
                circuit.open_until = Some(Instant::now() + OPEN_FOR);
            }
        }
        let is_open = circuit.open_until.is_some();
        drop(circuits);
        if is_open && !was_open {
            tracing::warn!(
                notification.provider = provider,
                notification.channel = channel.as_str(),
                "the provider failed {FAILURES_MAX} times in a row and is left alone for {} s",
                OPEN_FOR.as_secs()
            );
        }
        metrics::gauge!(
            "waybill_notification_circuit_open",
            "provider" => provider, "channel" => channel.as_str()
        )
        .set(if is_open { 1.0 } else { 0.0 });
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.is_trial
            && let Some(circuit) = self.circuits.lock().get_mut(&self.key)
        {
            circuit.in_trial = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Outcome;

    fn reopen(circuits: &Circuits) {
        for circuit in circuits.lock().values_mut() {
            circuit.open_until = Some(Instant::now());
        }
    }

    #[test]
    fn a_provider_that_fails_five_times_in_a_row_is_left_alone_and_then_tried_once() {
        let circuits = Circuits::default();
        let admit = || circuits.admit(Channel::Email, "smtp");
        for _ in 0..4 {
            admit().unwrap().report(false);
        }
        admit().unwrap().report(true);
        for _ in 0..5 {
            admit().unwrap().report(false);
        }
        assert!(admit().unwrap_err() > Duration::from_secs(29));
        assert!(circuits.admit(Channel::Sms, "smtp").is_ok());

        reopen(&circuits);
        let trial = admit().unwrap();
        assert_eq!(admit().unwrap_err(), DURING_TRIAL);
        drop(trial);
        admit().unwrap().report(false);
        assert!(admit().unwrap_err() > Duration::from_secs(29));
        reopen(&circuits);
        admit().unwrap().report(true);
        let both = (admit().unwrap(), admit().unwrap());
        drop(both);
    }

    #[test]
    fn a_provider_that_knows_a_key_already_is_not_left_alone_for_it() {
        let circuits = Circuits::default();
        let cause = "invalid_idempotent_request".to_owned();
        let (known, lost) = (
            Outcome::KeyInUse { cause },
            Outcome::Unknown {
                cause: "no_answer".to_owned(),
            },
        );
        for (outcome, left_alone) in [(known, false), (lost, true)] {
            for _ in 0..FAILURES_MAX {
                let pass = circuits.admit(Channel::Email, "resend").unwrap();
                pass.report(outcome.speaks_for_the_provider());
            }
            let admitted = circuits.admit(Channel::Email, "resend");
            assert_eq!(admitted.is_err(), left_alone, "{outcome:?}");
        }
    }

    #[test]
    fn one_partners_dead_system_closes_the_way_to_no_other() {
        let circuits = Circuits::default();
        for _ in 0..9 {
            let pass = circuits.admit(Channel::Webhook, "webhook");
            pass.unwrap().report(false);
        }
        assert!(circuits.admit(Channel::Webhook, "webhook").is_ok());
    }
}

//! What came of the orders, second by second of their arrival.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::attempt::{Attempt, Ended};
use super::profile::Profile;
use crate::bench::Times;

/// Broken promises that are told in words; the rest is only counted.
const BROKEN_TOLD_MAX: usize = 20;

/// An order that the shop has taken.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Its id.
    pub order: Uuid,
    /// Whose it is, as a number in the target's list.
    pub customer: usize,
    /// Where in the log it became true.
    pub position: Option<u64>,
}

/// Orders that arrived within one second.
#[derive(Debug)]
pub struct Second {
    /// Sent.
    pub sent: u64,
    /// Not sent, because too many were waiting for their answer.
    pub held_back: u64,
    /// Taken by the shop.
    pub placed: u64,
    /// From the arrival to the last answer, of those that were taken.
    pub times: Times,
}

/// All of it.
pub struct Board {
    /// One for each second of the profile.
    pub seconds: Vec<Second>,
    /// How often each command was answered with each status.
    pub answers: BTreeMap<String, u64>,
    /// Orders without an answer; what became of them is not known.
    pub unanswered: u64,
    /// Promises that an answer broke.
    pub broken: Vec<String>,
    /// How many more there were than are told.
    pub broken_more: u64,
    acknowledged: Vec<Acknowledged>,
}

impl Board {
    /// Nothing has happened yet.
    pub fn new(profile: &Profile) -> anyhow::Result<Self> {
        let seconds = profile.length().as_secs_f64().ceil() as usize;
        let second = || {
            anyhow::Ok(Second {
                sent: 0,
                held_back: 0,
                placed: 0,
                times: Times::new()?,
            })
        };
        Ok(Self {
            seconds: (0..seconds.max(1))
                .map(|_| second())
                .collect::<anyhow::Result<_>>()?,
            answers: BTreeMap::new(),
            unanswered: 0,
            broken: Vec::new(),
            broken_more: 0,
            acknowledged: Vec::new(),
        })
    }

    /// One that arrived when too many were waiting.
    pub fn held_back(&mut self, at: Duration) {
        if let Some(second) = self.second(at) {
            second.held_back += 1;
        }
    }

    /// One that was sent when it arrived, and ended so long afterwards.
    pub fn ended(&mut self, at: Duration, took: Duration, attempt: Attempt) {
        for answer in &attempt.answers {
            let name = format!("{} {}", answer.command, answer.status);
            *self.answers.entry(name).or_default() += 1;
            if let Some(why) = answer.breaks() {
                self.broke(why);
            }
        }
        let placed = match attempt.ended {
            Ended::Placed(acknowledged) => {
                self.acknowledged.push(acknowledged);
                true
            }
            Ended::Refused => false,
            Ended::NoAnswer => {
                self.unanswered += 1;
                false
            }
        };
        let Some(second) = self.second(at) else {
            return;
        };
        second.sent += 1;
        if placed {
            second.placed += 1;
            second.times.record(took);
        }
    }

    /// Orders that the shop has taken.
    pub fn acknowledged(&self) -> &[Acknowledged] {
        &self.acknowledged
    }

    fn broke(&mut self, why: String) {
        if self.broken.len() < BROKEN_TOLD_MAX {
            self.broken.push(why);
        } else {
            self.broken_more += 1;
        }
    }

    fn second(&mut self, at: Duration) -> Option<&mut Second> {
        let last = self.seconds.len().saturating_sub(1);
        let number = usize::try_from(at.as_secs()).unwrap_or(last).min(last);
        self.seconds.get_mut(number)
    }
}

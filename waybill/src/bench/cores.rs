//! How many cores each process keeps busy while somebody is measured: who is at his limit, and who waits.

use std::collections::BTreeMap;
use std::path::Path;

/// Times in `/proc` are counted in these, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processes by what they are called in the report.
#[derive(Debug, Clone, Default)]
pub struct Watched(Vec<(&'static str, Process)>);

#[derive(Debug, Clone, Copy)]
struct Process {
    pid: u32,
    /// Whether what its children do counts as well: a database serves each connection by a child.
    with_children: bool,
}

/// Processor time so far, in seconds, by name.
pub type Spent = BTreeMap<&'static str, f64>;

impl Watched {
    /// This process alone.
    pub fn this() -> Self {
        Self::default().and("this_process", Some(std::process::id()), false)
    }

    /// One more; several of one name are added up.
    #[must_use]
    pub fn and(mut self, name: &'static str, pid: Option<u32>, with_children: bool) -> Self {
        self.0
            .extend(pid.map(|pid| (name, Process { pid, with_children })));
        self
    }

    /// What they have spent so far; nothing where the system does not tell.
    pub fn spent(&self) -> Spent {
        let mut spent = Spent::new();
        for (name, process) in &self.0 {
            if let Some(seconds) = process.seconds() {
                *spent.entry(name).or_default() += seconds;
            }
        }
        spent
    }
}

/// What was spent between two moments.
pub fn between(before: &Spent, after: &Spent) -> Spent {
    let since = |name: &str| before.get(name).copied().unwrap_or(0.0);
    after
        .iter()
        .map(|(name, seconds)| (*name, (seconds - since(name)).max(0.0)))
        .collect()
}

impl Process {
    fn seconds(self) -> Option<f64> {
        let own = Ticks::of(Path::new(&format!("/proc/{}/stat", self.pid)))?;
        if !self.with_children {
            return Some(own.own / TICKS_PER_SECOND);
        }
        let others = std::fs::read_dir("/proc").ok()?.flatten();
        let children = others
            .filter_map(|entry| Ticks::of(&entry.path().join("stat")))
            .filter(|ticks| ticks.parent == self.pid)
            .map(|ticks| ticks.own);
        Some((own.own + own.ended_children + children.sum::<f64>()) / TICKS_PER_SECOND)
    }
}

struct Ticks {
    parent: u32,
    own: f64,
    ended_children: f64,
}

impl Ticks {
    fn of(stat: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(stat).ok()?;
        // The name is in brackets and may hold anything; what is counted comes after it.
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let number = |place: usize| fields.get(place)?.parse::<f64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            ended_children: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_this_process_is_seen_and_its_childrens_when_asked_for() {
        if !Path::new("/proc/self/stat").exists() {
            return;
        }
        let watched = Watched::this().and("family", Some(std::process::id()), true);
        let before = watched.spent();
        let mut burner = std::process::Command::new("/bin/sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let spent = between(&before, &watched.spent());
            if spent["family"] - spent["this_process"] > 0.05 {
                break;
            }
            assert!(std::time::Instant::now() < until, "{spent:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        burner.kill().unwrap();
        burner.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_left_out() {
        let watched = Watched::default().and("gone", Some(u32::MAX), false);
        assert!(watched.spent().is_empty());
    }
}

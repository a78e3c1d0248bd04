//! How many notifications a second leave the house: through the whole notifier, a process of its own, to a mail API that
//! answers after a while and fails now and then in every way. Beside it the API's own limit: the same number of calls at
//! once by nothing but an HTTP client.
//!
//! The customers who are told something are added before it is measured, by the real commands, while no notifier runs: so
//! the figure is what a backlog drains with. How much memory the process takes at its peak, and whether anybody was told
//! twice, belongs to the figure.

mod crowd;
mod follower;
mod program;
mod raw;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use message_sandbox::fault::{Failure, Rule};
use message_sandbox::{Channel, Config, Sandbox};
use service_kit::Shutdown;
use tokio::net::TcpListener;

use super::ground::Ground;
use super::options::NotifyOptions;
use super::report::{Ratio, Report, Row, Side, Wanted};
use crate::out;
use follower::Follower;
use program::Program;

/// In turn, for each call that fails.
const FAILURES: [Failure; 4] = [
    Failure::TooMany,
    Failure::DropAfter,
    Failure::Unavailable,
    Failure::DropBefore,
];
/// As many as the notifier has at once of what is neither urgent nor idle.
const AT_ONCE: usize = 168;
/// However much time was given: what fails again and again is tried again after 30 s, 2 min and 10 min.
const SETTLED_WITHIN_LEAST: Duration = Duration::from_secs(15 * 60);
/// Calls of the client alone.
const RAW_CALLS_MAX: u32 = 5_000;

/// The mail API, and where it is.
struct Provider {
    sandbox: Sandbox,
    url: String,
    shutdown: Shutdown,
}

impl Provider {
    async fn start(options: &NotifyOptions) -> anyhow::Result<Self> {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (http, smtp) = (bind().await?, bind().await?);
        let url = format!("http://{}", http.local_addr()?);
        // Nothing that arrived may be forgotten before it is counted.
        let kept = usize::try_from(options.notifications)?.saturating_mul(4);
        let config = Config {
            kept,
            ..Config::new(&url)
        };
        let sandbox = tokio::task::spawn_blocking(move || Sandbox::open(&config)).await??;
        let shutdown = Shutdown::new();
        let (serving, until) = (sandbox.clone(), shutdown.clone());
        tokio::spawn(async move {
            message_sandbox::serve(&serving, http, smtp, &until).await;
        });
        Ok(Self {
            sandbox,
            url,
            shutdown,
        })
    }

    fn fail(&self, options: &NotifyOptions) {
        let rule = Rule {
            latency_ms: u64::try_from(options.latency.as_millis()).unwrap_or(u64::MAX),
            fail_every: u64::from(options.fail_every),
            fail_as: FAILURES.to_vec(),
            ..Rule::default()
        };
        self.sandbox.faults().set(Channel::Email, rule);
    }

    /// How many people got a mail, and how many mails somebody got beyond his first.
    fn counted(&self) -> (u64, u64) {
        let mut mails: HashMap<String, u64> = HashMap::new();
        for message in self.sandbox.store().newest() {
            *mails.entry(message.to.clone()).or_default() += 1;
        }
        let twice = mails.values().map(|count| count - 1).sum();
        (mails.len() as u64, twice)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

/// Measures.
pub async fn run(
    options: &NotifyOptions,
    ground: &Ground,
    until: Instant,
) -> anyhow::Result<Report> {
    let provider = Provider::start(options).await?;
    // A first start begins at the log's end: what is added afterwards is news to the second one.
    Program::start(&ground.settings, &provider.url)
        .await?
        .end()
        .await;
    let store = ground.store().await?;
    let end = store.end().await?.position;
    out::note(format!("  adding {} customers", options.notifications));
    crowd::add(ground, options.notifications).await?;
    let mut follower = Follower::after(store, end).await?;
    provider.fail(options);
    out::note("  sending");
    let program = Program::start(&ground.settings, &provider.url).await?;
    let left = until
        .saturating_duration_since(Instant::now())
        .max(SETTLED_WITHIN_LEAST);
    let drained = follower.settled(options.notifications, left).await?;
    let peak = program.peak_memory_bytes();
    program.end().await;
    let (reached, duplicates) = provider.counted();
    if drained.sent() != reached {
        bail!(
            "{} are recorded as sent, and {reached} people got something",
            drained.sent()
        );
    }

    provider.sandbox.store().clear()?;
    provider.fail(options);
    out::note("  calling the API alone");
    let calls = options.notifications.min(RAW_CALLS_MAX);
    let raw = raw::calls(&provider.url, calls, AT_ONCE).await?;

    let mut ours = Row::new(
        Side::Ours,
        "ours.notifications",
        "ours, until 99 in 100 were settled",
    );
    "notifications/s".clone_into(&mut ours.unit);
    ours.rate = drained.rate();
    ours.rounds = vec![ours.rate];
    ours.count = drained.settled();
    ours.callers = Some(AT_ONCE);
    ours.latency = drained.times.percentiles();
    ours.also("duplicates", duplicates);
    ours.also("all_settled_seconds", drained.took().as_secs_f64());
    ours.also("statuses", &drained.statuses);
    ours.also("attempts", drained.attempts);
    if let Some(bytes) = peak {
        ours.also("peak_memory_mib", bytes / (1024 * 1024));
    }
    let ratio = ours.rate / raw.rate;
    let mut report = Report::new("notify");
    report.set("notifications", options.notifications);
    report.set("at_once", AT_ONCE);
    report.set("latency_ms", options.latency.as_millis());
    report.set("fails_one_in", options.fail_every);
    report.set(
        "provider",
        "the message sandbox's mail API, in this process",
    );
    report.set("notifier", "a process of its own");
    report.rows = vec![ours, raw];
    report.ratios.push(Ratio {
        id: "ours.notifications/raw.calls".into(),
        title: "notifications : calls of the API alone".into(),
        ratio,
        lowest: ratio,
        highest: ratio,
        wanted: Wanted::None,
    });
    report.remarks.push(
        "A notification's time is from its first attempt to its end, with the waits between attempts.".into(),
    );
    if duplicates > 0 {
        report.remarks.push(format!(
            "{duplicates} people were told twice, which must never happen."
        ));
    }
    Ok(report)
}

//! How far the read models are behind, second by second.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::target::Target;

const PERIOD: Duration = Duration::from_secs(1);

/// The largest lag of all read models at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Seconds from the beginning.
    pub second: u64,
    /// Events.
    pub lag: u64,
}

/// Being watched; what was seen is told at the end. Nothing without somebody who may ask.
pub struct Watching(Option<JoinHandle<Vec<Seen>>>);

impl Watching {
    async fn told(mut self) -> Vec<Seen> {
        match self.0.take() {
            Some(watching) => watching.await.unwrap_or_default(),
            None => Vec::new(),
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(watching) = &self.0 {
            watching.abort();
        }
    }
}

impl IntoFuture for Watching {
    type Output = Vec<Seen>;
    type IntoFuture = futures::future::BoxFuture<'static, Vec<Seen>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.told())
    }
}

/// Watches for so long.
pub fn watch(target: Arc<Target>, length: Duration) -> Watching {
    let Some(admin) = target.admin.clone() else {
        return Watching(None);
    };
    Watching(Some(tokio::spawn(async move {
        let begun = Instant::now();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut seen = Vec::new();
        while begun.elapsed() < length {
            ticks.tick().await;
            let second = begun.elapsed().as_secs();
            // A moment that nobody tells of is left out of the chart.
            if let Some(lag) = largest(&target, &admin).await {
                seen.push(Seen { second, lag });
            }
        }
        seen
    })))
}

async fn largest(target: &Target, admin: &str) -> Option<u64> {
    let answer = target
        .http
        .get(format!("{}/v1/projections", target.url))
        .bearer_auth(admin)
        .send()
        .await
        .ok()?;
    let body: Value = answer.error_for_status().ok()?.json().await.ok()?;
    let lags = body["data"].as_array()?.iter();
    lags.filter_map(|one| one["lag"].as_u64()).max()
}

//! Every order that the shop has taken is asked for afterwards, until each has come to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::{StreamExt, stream};
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::board::Acknowledged;
use super::target::Target;

/// Orders that are asked for at once.
const AT_ONCE: usize = 16;
/// What has not come to its end by then is told as open.
const SETTLE_LIMIT: Duration = Duration::from_secs(5 * 60);
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// Whoever is turned away comes back so often.
const TRIES_MAX: u32 = 60;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// What became of the acknowledged orders.
#[derive(Debug, Default)]
pub struct Found {
    /// How many are in each status.
    pub by_status: BTreeMap<String, u64>,
    /// Those that the shop does not know.
    pub lost: Vec<Uuid>,
}

/// Looks for all of them.
pub async fn all(target: &Arc<Target>, acknowledged: &[Acknowledged]) -> anyhow::Result<Found> {
    let until = Instant::now() + SETTLE_LIMIT;
    let mut found = Found::default();
    let mut left: Vec<Acknowledged> = acknowledged.to_vec();
    loop {
        let mut looks = stream::iter(left)
            .map(|order| {
                let target = Arc::clone(target);
                async move { look(&target, &order).await.map(|status| (order, status)) }
            })
            .buffer_unordered(AT_ONCE);
        let is_last = Instant::now() >= until;
        let mut open = Vec::new();
        while let Some(looked) = looks.next().await {
            match looked? {
                (order, None) => found.lost.push(order.order),
                (order, Some(status)) if !is_last && !has_ended(&status) => open.push(order),
                (_, Some(status)) => *found.by_status.entry(status).or_default() += 1,
            }
        }
        if open.is_empty() {
            return Ok(found);
        }
        left = open;
        sleep(LOOK_PERIOD).await;
    }
}

/// Nothing more happens by itself.
fn has_ended(status: &str) -> bool {
    matches!(status, "confirmed" | "cancelled")
}

/// The order's status; nothing when there is no such order.
async fn look(target: &Target, order: &Acknowledged) -> anyhow::Result<Option<String>> {
    let token = target
        .customers
        .get(order.customer)
        .context("an order of nobody")?;
    let ask = || {
        let path = format!("{}/v1/orders/{}", target.url, order.order);
        let request = target.http.get(path).bearer_auth(token);
        match order.position {
            Some(position) => request.header("Waybill-Min-Position", position),
            None => request,
        }
    };
    let answer = patiently(ask).await?;
    match answer.status() {
        StatusCode::OK => {
            let order: Value = answer.json().await?;
            Ok(order["status"].as_str().map(str::to_owned))
        }
        StatusCode::NOT_FOUND => Ok(None),
        status => bail!(
            "the order {} was answered {status}: {}",
            order.order,
            answer.text().await?
        ),
    }
}

/// Asks, and asks again while the shop has too much to do, when it says.
pub async fn patiently(request: impl Fn() -> RequestBuilder) -> anyhow::Result<Response> {
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = request().send().await;
        let pause = match &answer {
            Ok(answer) => match answer.status() {
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    let after = answer.headers().get(RETRY_AFTER);
                    let seconds = after.and_then(|after| after.to_str().ok()?.parse().ok());
                    Duration::from_secs(seconds.unwrap_or(1)).min(RETRY_AFTER_MAX)
                }
                _ => Duration::ZERO,
            },
            Err(_) => LOOK_PERIOD,
        };
        if pause.is_zero() || tries >= TRIES_MAX {
            return Ok(answer?);
        }
        sleep(pause).await;
    }
}

//! The API's limit: the same calls, made by nothing but an HTTP client that tries again.

use std::time::{Duration, Instant};

use anyhow::bail;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Client;
use serde_json::json;
use uuid::Uuid;

use crate::bench::report::{Row, Side};
use crate::bench::times::Times;

const REQUEST_LIMIT: Duration = Duration::from_secs(30);
const TRIES_MAX: usize = 20;

/// So many mails, so many at once.
pub async fn calls(url: &str, count: u32, at_once: usize) -> anyhow::Result<Row> {
    let http = Client::builder()
        .no_proxy()
        .timeout(REQUEST_LIMIT)
        .build()?;
    let url = format!("{url}/emails");
    let begun = Instant::now();
    let times = stream::iter(0..count)
        .map(|_| mail(&http, &url))
        .buffer_unordered(at_once)
        .try_fold(Times::new()?, async |mut times, took| {
            times.record(took);
            Ok(times)
        })
        .await?;
    let mut row = Row::new(Side::Raw, "raw.calls", "raw calls of the mail API");
    "calls/s".clone_into(&mut row.unit);
    row.rate = f64::from(count) / begun.elapsed().as_secs_f64().max(1e-3);
    row.rounds = vec![row.rate];
    row.count = u64::from(count);
    row.callers = Some(at_once);
    row.latency = times.percentiles();
    Ok(row)
}

/// One mail, until it is taken.
async fn mail(http: &Client, url: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let key = Uuid::now_v7().to_string();
    let body = json!({"from": "Shop <shop@example.com>", "to": [format!("{key}@example.com")],
        "subject": "Hello", "text": "Hello"});
    for _ in 0..TRIES_MAX {
        let request = http
            .post(url)
            .bearer_auth("re_bench")
            .header("Idempotency-Key", &key)
            .json(&body);
        if let Ok(answer) = request.send().await
            && answer.status().is_success()
        {
            return Ok(begun.elapsed());
        }
    }
    bail!("the mail API failed {TRIES_MAX} times in a row")
}

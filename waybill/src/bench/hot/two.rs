//! Two command-apis on one product: their conflicts are theirs to solve, no caller may see one, and whoever has to do
//! with other products should hardly notice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bench::ground::Ground;
use crate::bench::http::admin_token;
use crate::bench::http::client::Connection;
use crate::bench::process::{Ready, RoleProcess};
use crate::bench::report::{Ratio, Report, Row, Side, Wanted};
use crate::bench::times::Times;
use crate::bench::trickle::{Trickled, trickle};

/// Products beside the hot one.
const OTHERS: usize = 20;
/// Commands on them, a second.
const OTHERS_RATE: u32 = 50;
/// Of the time, for what is usual without the crowd.
const IDLE_SHARE: f64 = 0.4;
/// What p99 of the others may become.
const WANTED_OF_OTHERS: f64 = 2.0;

/// Commands that were answered 503 or 429, by the problem's code.
type TurnedAway = BTreeMap<String, u64>;

/// Two rows for those beside the crowd, one for the crowd.
pub async fn measure(
    report: &mut Report,
    ground: &Ground,
    callers: usize,
    time: Duration,
) -> anyhow::Result<()> {
    let (one, two) = tokio::try_join!(door(ground), door(ground))?;
    let outcome = with([&one, &two], ground, callers, time).await;
    one.close().await;
    two.close().await;
    let Outcome {
        crowd,
        idle,
        meanwhile,
    } = outcome?;
    let p99 = |row: &Row| row.latency.map_or(0.0, |times| times.p99_us);
    let ratio = p99(&meanwhile) / p99(&idle).max(1e-9);
    report.ratios.push(Ratio {
        id: "ours.others.meanwhile/ours.others.idle".to_owned(),
        title: "p99 of other products, beside the crowd : without it".to_owned(),
        ratio,
        lowest: ratio,
        highest: ratio,
        wanted: Wanted::AtMost(WANTED_OF_OTHERS),
    });
    report.rows.extend([crowd, idle, meanwhile]);
    report.set(
        "two_processes",
        "two command-apis, half of the callers at each, over HTTP; a command is a receipt and the record of its key",
    );
    Ok(())
}

async fn door(ground: &Ground) -> anyhow::Result<RoleProcess> {
    RoleProcess::start(&ground.settings, "command-api", Ready::Says, |_| {}).await
}

struct Outcome {
    crowd: Row,
    idle: Row,
    meanwhile: Row,
}

/// Everybody works until this is set.
type Over = Arc<AtomicBool>;

async fn with(
    doors: [&RoleProcess; 2],
    ground: &Ground,
    callers: usize,
    time: Duration,
) -> anyhow::Result<Outcome> {
    let token: Arc<str> = admin_token(ground)?.into();
    let hot = product(doors[0], &token).await?;
    let mut others = Vec::with_capacity(OTHERS);
    for _ in 0..OTHERS {
        others.push(product(doors[0], &token).await?);
    }
    let others: Arc<[String]> = others.into();
    let addresses = doors.map(|door| Arc::<str>::from(door.address()));

    let idle = beside(&addresses, &others, &token, time.mul_f64(IDLE_SHARE)).await?;

    let over = Over::default();
    let mut crowd = JoinSet::new();
    let begun = Instant::now();
    for caller in 0..callers {
        let token = admin_token(ground)?.into();
        let address = Arc::clone(&addresses[caller % addresses.len()]);
        crowd.spawn(press(address, hot.clone(), token, Arc::clone(&over)));
    }
    let meanwhile = beside(&addresses, &others, &token, time.mul_f64(1.0 - IDLE_SHARE)).await;
    over.store(true, Ordering::Relaxed);
    let (mut commands, mut times, mut turned_away) = (0, Times::new()?, TurnedAway::new());
    while let Some(ended) = crowd.join_next().await {
        let (sent, took, away) = ended??;
        commands += sent;
        times.add(&took)?;
        for (code, count) in away {
            *turned_away.entry(code).or_default() += count;
        }
    }
    let took = begun.elapsed();
    let mut row = told(
        "ours.hot.two",
        "ours, two processes on one product, over HTTP",
        commands,
        took,
        &times,
    );
    row.callers = Some(callers);
    row.also("turned_away", turned_away.values().sum::<u64>());
    if !turned_away.is_empty() {
        row.also("turned_away_by_code", turned_away);
    }
    Ok(Outcome {
        crowd: row,
        idle: told_of("ours.others.idle", "ours, other products, no crowd", &idle),
        meanwhile: told_of(
            "ours.others.meanwhile",
            "ours, other products, beside the crowd",
            &meanwhile?,
        ),
    })
}

fn told_of(id: &str, title: &str, trickled: &Trickled) -> Row {
    let Trickled {
        commands,
        took,
        times,
    } = trickled;
    told(id, title, *commands, *took, times)
}

fn told(id: &str, title: &str, count: u64, took: Duration, times: &Times) -> Row {
    let mut row = Row::new(Side::Ours, id, title);
    row.unit = "commands/s".to_owned();
    row.rate = count as f64 / took.as_secs_f64().max(1e-9);
    row.rounds = vec![row.rate];
    row.count = count;
    row.latency = times.percentiles();
    row
}

/// A new product; answers where its units are received.
async fn product(door: &RoleProcess, token: &str) -> anyhow::Result<String> {
    let mut connection = Connection::open(door.address()).await?;
    let body = json!({
        "sku": format!("HOT-{}", uuid::Uuid::now_v7().simple()), "name": "Bench lamp", "brand": "Bench",
        "category": "lights", "unit_cost": {"amount": 900, "currency": "EUR"},
    });
    let (status, answer) = connection
        .send(
            Method::POST,
            "/v1/products",
            token,
            serde_json::to_vec(&body)?.into(),
        )
        .await?;
    let answer: Value = serde_json::from_slice(&answer).context("a product's answer")?;
    let id = answer["id"].as_str();
    let id = id.with_context(|| format!("a product was answered {status}: {answer}"))?;
    Ok(format!("/v1/inventory/{id}/receive"))
}

fn receipt() -> Bytes {
    Bytes::from_static(br#"{"quantity":1,"reason":"delivery 4711"}"#)
}

/// One of the crowd. Being told to come back later is counted, and he comes back.
async fn press(
    address: Arc<str>,
    path: String,
    token: Arc<str>,
    over: Over,
) -> anyhow::Result<(u64, Times, TurnedAway)> {
    let mut connection = Connection::open(&address).await?;
    let (mut sent, mut times, mut turned_away) = (0, Times::new()?, TurnedAway::new());
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let (status, body) = connection
            .send(Method::POST, &path, &token, receipt())
            .await?;
        match status {
            StatusCode::OK => {
                times.record(begun.elapsed());
                sent += 1;
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let problem: Value = serde_json::from_slice(&body)?;
                let code = problem["code"].as_str().unwrap_or("none").to_owned();
                *turned_away.entry(code).or_default() += 1;
            }
            _ => bail!("{path}: {status}: {}", String::from_utf8_lossy(&body)),
        }
    }
    Ok((sent, times, turned_away))
}

/// A steady trickle of commands on other products, at both doors in turn.
async fn beside(
    addresses: &[Arc<str>; 2],
    paths: &Arc<[String]>,
    token: &Arc<str>,
    time: Duration,
) -> anyhow::Result<Trickled> {
    let send = |number: usize, _| {
        let address = Arc::clone(&addresses[number % addresses.len()]);
        let (path, token) = (paths[number % paths.len()].clone(), Arc::clone(token));
        async move {
            let mut connection = Connection::open(&address).await?;
            let (status, body) = connection
                .send(Method::POST, &path, &token, receipt())
                .await?;
            if status != StatusCode::OK {
                bail!("{path}: {status}: {}", String::from_utf8_lossy(&body));
            }
            Ok(())
        }
    };
    trickle(OTHERS_RATE, time, send).await
}

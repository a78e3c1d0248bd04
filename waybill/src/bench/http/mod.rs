//! How many durable commands a second over HTTP: POSTs of a command with one event into a command-api of its own, beside
//! the same number of callers at the write path itself, and beside a bare echo of the same JSON.

pub mod client;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::routing::post;
use axum::{Json, Router};
use event_store::Executor;
use hyper::StatusCode;
use serde_json::{Value, json};
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Clock, Role};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::append::Commands;
use super::ground::Ground;
use super::options::HttpOptions;
use super::process::{Ready, RoleProcess};
use super::race::{Figure, Race, WarmUp};
use super::report::{Report, Side, Wanted};
use crate::out;
use client::{Posted, Posts};

const TOKEN_TTL: Duration = Duration::from_secs(12 * 60 * 60);
/// A create of one event, on a history of its own.
const PATH: &str = "/v1/resources";
/// Of the write path, at the same number of callers.
const WANTED_OF_APPENDS: f64 = 0.6;

/// Measures.
pub async fn run(options: &HttpOptions, ground: &Ground, until: Instant) -> anyhow::Result<Report> {
    out::note("  opening the front door");
    let door = RoleProcess::start(&ground.settings, "command-api", Ready::Says, |_| {}).await?;
    let echo = Echo::open().await?;
    let outcome = with(&door, &echo, options, ground, until).await;
    door.close().await;
    outcome
}

/// A token of an admin for the processes of the bench.
pub fn admin_token(ground: &Ground) -> anyhow::Result<String> {
    let key = SigningKey::load_or_create(&ground.settings.signing_key_file)?;
    Ok(Tokens::new(&key, Clock::system()).issue(Role::Admin, Uuid::now_v7(), TOKEN_TTL)?)
}

async fn with(
    door: &RoleProcess,
    echo: &Echo,
    options: &HttpOptions,
    ground: &Ground,
    until: Instant,
) -> anyhow::Result<Report> {
    let executor = Executor::new(ground.store().await?);
    let most = options.callers.iter().copied().max().unwrap_or(1);
    let products: Arc<[Uuid]> = (0..most).map(|_| Uuid::now_v7()).collect();
    let body = json!({"name": "Small machine", "type": "vm", "region": "eu-central-1"});
    let ours = Posted {
        address: door.address().to_owned(),
        paths: [PATH.to_owned()].into(),
        tokens: (0..most)
            .map(|_| admin_token(ground))
            .collect::<anyhow::Result<Vec<_>>>()?
            .into(),
        body: serde_json::to_vec(&body)?.into(),
        status: StatusCode::CREATED,
    };
    let bare = Posted {
        address: echo.address.clone(),
        status: StatusCode::OK,
        ..ours.clone()
    };
    out::note("  posting");
    let mut race = Race::new(ground.watched().and("command_api", door.pid(), false));
    for callers in options.callers.iter().copied().map(usize::from) {
        let at = Some(callers);
        race.enter(
            Side::Ours,
            format!("ours.http.{callers}"),
            format!("ours, POST, {callers} connections"),
            at,
            Posts::new(&ours, callers),
        );
        race.enter(
            Side::Ours,
            format!("ours.append.{callers}"),
            format!("ours, the write path, {callers} callers"),
            at,
            Commands::new(executor.clone(), Arc::clone(&products), callers, 1),
        );
        race.enter(
            Side::Raw,
            format!("raw.echo.{callers}"),
            format!("raw JSON echo, {callers} connections"),
            at,
            Posts::new(&bare, callers),
        );
    }
    race.run(options.common.rounds, until, WarmUp::Round)
        .await?;

    let mut report = Report::new("http");
    report.set("path", format!("POST {PATH}"));
    report.set("body_bytes", ours.body.len());
    report.set("events_per_command", 1);
    report.set(
        "processes",
        "command-api in one of its own; callers, the write path and the echo in this one",
    );
    report.rows = race.rows()?;
    let rate = Figure::Rate("commands");
    for callers in &options.callers {
        let ours = format!("ours.http.{callers}");
        let ratios = [
            (
                format!("ours.append.{callers}"),
                Wanted::AtLeast(WANTED_OF_APPENDS),
            ),
            (format!("raw.echo.{callers}"), Wanted::None),
        ];
        for (other, wanted) in ratios {
            report
                .ratios
                .extend(race.ratio((&ours, rate), (&other, rate), wanted));
        }
    }
    Ok(report)
}

/// What a bare server of the same library does: reads JSON and writes it back.
struct Echo {
    address: String,
    serving: AbortHandle,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Echo {
    async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let routes = Router::new().route(PATH, post(async |Json(body): Json<Value>| Json(body)));
        let serving =
            tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Ok(Self { address, serving })
    }
}

//! `waybill up`: a whole shop on this machine. Servers, migrations, sandbox, all services on one port, demo data, and
//! a story to try. Ctrl-C ends all of it; kill -9 leaves nothing that stops the next start.

pub mod demo;
mod messages;
mod sandbox;
pub mod servers;
mod story;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use event_store::topology;
use secrecy::ExposeSecret;
use service_kit::http::Readiness;
use service_kit::mail::Mailer;
use service_kit::passwords::Passwords;
use service_kit::payment::ProviderAccount;
use service_kit::process::{self, Served};
use service_kit::telemetry::traces;
use service_kit::{Lifetimes, Role, Settings, Shutdown, nats};
use tokio::net::TcpListener;

use crate::handles::{self, Handles};
use crate::running::Running;
use crate::seed::Sender;
use crate::{migrate, out};
use messages::Messages;
use servers::{FolderLock, Servers};
use story::Story;

/// How long the story's tokens are good.
const STORY_TOKEN_TTL: Duration = Duration::from_secs(12 * 60 * 60);

/// Runs until the first signal.
pub async fn run(settings: Arc<Settings>) -> anyhow::Result<()> {
    let shutdown = process::prepare(&settings, "waybill")?;
    let ended = run_prepared(settings, shutdown).await;
    traces::flush().await;
    ended
}

async fn run_prepared(settings: Arc<Settings>, shutdown: Shutdown) -> anyhow::Result<()> {
    let lifetimes = Lifetimes::new(shutdown.clone());
    let _lock = FolderLock::take(&settings)?;
    let listener = process::listen(&settings).await?;
    out::note(format!(
        "waybill: starting, data in {}",
        settings.data_dir.display()
    ));
    let (servers, settings) = tokio::select! {
        started = Servers::start(&settings) => started?,
        () = shutdown.begun() => return Ok(()),
    };
    servers
        .describe()
        .iter()
        .for_each(|line| out::note(format!("  {line}")));
    let settings = Arc::new(settings);
    let servers = Arc::new(servers);
    let watched = Arc::clone(&servers);
    let watch = lifetimes.shutdown().clone();
    lifetimes.spawn_supervised("the servers", async move {
        tokio::select! {
            ended = watched.ended() => Err(ended),
            () = watch.begun() => Ok(()),
        }
    });
    let ended = shop(&settings, listener, &lifetimes).await;
    // Whatever the services ended with, nothing is left running.
    shutdown.begin();
    Running::remove(&settings.data_dir);
    servers.stop().await;
    ended?;
    out::note("waybill: stopped");
    Ok(())
}

/// Everything on top of running servers.
async fn shop(
    settings: &Arc<Settings>,
    listener: TcpListener,
    lifetimes: &Lifetimes,
) -> anyhow::Result<()> {
    let shutdown = lifetimes.shutdown();
    let opened = tokio::select! {
        opened = open(settings, &listener, lifetimes) => opened?,
        () = shutdown.begun() => return Ok(lifetimes.ended(Duration::ZERO).await?),
    };
    let Opened {
        handles,
        messages,
        served,
        running,
    } = opened;
    let greeting = {
        let (shutdown, settings) = (shutdown.clone(), Arc::clone(settings));
        async move {
            tokio::select! {
                told = tell(&handles, &running, &messages, &settings) => told,
                () = shutdown.begun() => Ok(()),
            }
        }
    };
    lifetimes.spawn_supervised("the demo shop", greeting);
    process::serve_until_ended(settings, listener, served, Router::new(), lifetimes).await
}

/// A shop that is about to be served.
struct Opened {
    handles: Handles,
    messages: Messages,
    served: Served,
    running: Running,
}

/// Migrates, connects and starts all services.
async fn open(
    settings: &Settings,
    listener: &TcpListener,
    lifetimes: &Lifetimes,
) -> anyhow::Result<Opened> {
    let (messages, settings) = messages::start(settings, lifetimes).await?;
    let settings = &Arc::new(settings);
    let http_url = format!("http://{}", listener.local_addr()?);
    topology::migrate(
        &nats::connect(settings, "migrate").await?,
        settings.stream_replicas,
    )
    .await?;
    migrate::database(&handles::pool(settings, "migrate").await?).await?;
    let handles = Handles::connect(Arc::clone(settings), "up").await?;
    let provider = match &settings.payment {
        Some(_) => ProviderAccount::of(settings, &handles.installation_key),
        None => {
            let pool = handles::pool(settings, "payment-sandbox").await?;
            sandbox::start(
                pool,
                &handles.installation_key,
                settings,
                &http_url,
                lifetimes,
            )
            .await?
        }
    };
    let running = Running {
        pid: std::process::id(),
        nats_url: settings.nats_url.clone().unwrap_or_default().join(","),
        database_url: settings.database_url()?.expose_secret().to_owned(),
        http_url,
        sandbox_url: provider.url.clone(),
        messages_url: messages.url.clone(),
    };
    let served = services(&handles, provider, lifetimes).await?;
    running.write(&settings.data_dir)?;
    Ok(Opened {
        handles,
        messages,
        served,
        running,
    })
}

/// The services on shared handles, as seven processes would run them.
async fn services(
    handles: &Handles,
    provider: ProviderAccount,
    lifetimes: &Lifetimes,
) -> anyhow::Result<Served> {
    let settings = &handles.settings;
    let shutdown = lifetimes.shutdown();
    let readiness = Readiness::new();
    let commands = command_api::Service::new(command_api::Deps {
        executor: handles.executor.clone(),
        nats: handles.nats.clone(),
        database: handles.pool.clone(),
        vault: handles.vault.clone(),
        installation: handles.installation_key.clone(),
        tokens: Arc::clone(&handles.tokens),
        clock: handles.clock.clone(),
        provider: provider.clone(),
        policy: command_api::policy(settings),
        quote_ttl: settings.quote_ttl,
        passwords: Passwords::new()?,
        mailer: Mailer::of(settings)?,
        pictures: handles.pictures.clone(),
    })
    .await?;
    commands
        .ensure_first_admin(&demo::first_admin(handles))
        .await?;
    let queries = projector::Service::new(projector::Deps {
        instance: settings.instance.clone(),
        store: Arc::clone(handles.executor.store()),
        pool: handles.pool.clone(),
        vault: handles.vault.clone(),
        nats: Some(handles.nats.clone()),
        tokens: Arc::clone(&handles.tokens),
        provider: provider.id.clone(),
        clock: handles.clock.clone(),
        pictures: handles.pictures.clone(),
    })
    .await?;
    let sagas = saga_orchestrator::Service::new(saga_orchestrator::Deps {
        settings: Arc::clone(settings),
        executor: handles.executor.clone(),
        nats: handles.nats.clone(),
        provider,
        clock: handles.clock.clone(),
    })
    .await?;
    let messages = match settings.notifier {
        true => {
            let deps = notifier::Deps {
                settings: Arc::clone(settings),
                executor: handles.executor.clone(),
                nats: handles.nats.clone(),
                keys: Arc::new(handles.vault.clone()),
                clock: handles.clock.clone(),
            };
            Some(notifier::Service::new(deps).await?)
        }
        false => None,
    };
    commands.readiness(&readiness);
    queries.readiness(&readiness);
    let api = commands.api().merge(queries.api());
    lifetimes.spawn_supervised("commands over the broker", commands.run(shutdown.clone()));
    lifetimes.spawn_supervised("the projector", queries.run(shutdown.clone()));
    lifetimes.spawn_supervised("the saga orchestrator", sagas.run(shutdown.clone()));
    if let Some(messages) = messages {
        messages.add_readiness(&readiness);
        lifetimes.spawn_supervised("the notifier", messages.run(shutdown.clone()));
    }
    Ok(Served {
        api: Some(api),
        tokens: Some(Arc::clone(&handles.tokens)),
        readiness,
        ..Served::default()
    })
}

/// Seeds the demo shop and prints the story.
async fn tell(
    handles: &Handles,
    running: &Running,
    messages: &Messages,
    settings: &Settings,
) -> anyhow::Result<()> {
    let token = |role, subject| handles.tokens.issue(role, subject, STORY_TOKEN_TTL);
    let admin_token = token(Role::Admin, demo::admin_id())?;
    let demo = demo::seed(
        &Sender::http(&running.http_url)?,
        &admin_token,
        &handles.executor,
        Some(&demo::Neighbours {
            messages,
            customer_token: &|customer| Ok(token(Role::Customer, customer)?),
        }),
    )
    .await?;
    let customer_token = token(Role::Customer, demo.customer)?;
    let waybill = std::env::current_exe().context("the program's own path is not known")?;
    let data_dir = std::path::absolute(&settings.data_dir).context("the data folder's path")?;
    let story = Story {
        http_url: &running.http_url,
        nats_url: &running.nats_url,
        waybill: &waybill.display().to_string(),
        data_dir: &data_dir.display().to_string(),
        admin_token: &admin_token,
        customer_token: &customer_token,
        admin: &demo::admin_login(handles),
        messages_page: &messages.page(),
        demo: &demo,
    };
    story.lines().iter().for_each(out::line);
    Ok(())
}

/// Where partners' systems may be when nothing else is said: on this machine.
fn loopback() -> ipnet::IpNet {
    ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8).into()
}

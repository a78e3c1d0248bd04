//! `waybill`: the one binary people meet. It reads settings and a command, and composes the service libraries.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests fail by panicking"
    )
)]

mod audit;
mod bench;
mod cli;
mod decode;
mod document;
mod events;
mod handles;
mod load;
mod migrate;
mod notifications;
mod out;
mod progress_bar;
mod projections;
mod running;
mod seed;
mod token;
mod up;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use service_kit::{Settings, crypto};

use cli::{Cli, Command, EventsCommand, NotificationsCommand, ProjectionsCommand, TopologyCommand};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            out::note(format!("waybill: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    crypto::install()?;
    let settings = Arc::new(cli.settings.resolve()?);
    let command = cli.command.unwrap_or(Command::Up);
    if let Command::Decode = command {
        decode::run()?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime cannot be started")?;
    runtime.block_on(dispatch(command, settings))
}

async fn dispatch(command: Command, settings: Arc<Settings>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up => up::run(settings).await?,
        Command::Migrate => migrate::run(&settings).await?,
        Command::Seed(args) => {
            let what = args.scale.map_or(seed::What::Demo, seed::What::Scale);
            seed::run(&settings, what).await?;
        }
        Command::Topology(TopologyCommand::Apply) => migrate::apply_topology(&settings).await?,
        Command::Topology(TopologyCommand::Verify) => migrate::verify_topology(&settings).await?,
        Command::CommandApi => command_api::run(settings).await?,
        Command::Projector => projector::run(settings, Some(command_api::openapi())).await?,
        Command::SagaOrchestrator => saga_orchestrator::run(settings).await?,
        Command::Notifier => notifier::run(settings).await?,
        Command::PaymentSandbox(args) => payment_sandbox::run(&args, &settings).await?,
        Command::MessageSandbox(args) => {
            service_kit::telemetry::init(&settings, "message-sandbox")?;
            message_sandbox::run(&args, &settings).await?;
        }
        Command::Token { role, subject, ttl } => {
            token::print(&settings, role.into(), subject, ttl)?
        }
        Command::Projections(command) => return projections(command, &settings).await,
        Command::Events(command) => events(command, &settings).await?,
        Command::Audit {
            every_position,
            json,
            to,
        } => {
            let options = audit::Audit {
                every_position,
                json,
                to,
            };
            return Ok(audit::run(&settings, options).await);
        }
        Command::Bench(command) => bench::run(command, &settings).await?,
        Command::Load(options) => load::run(&options, &settings).await?,
        Command::Openapi => out::line(document::openapi().to_pretty_json()?),
        Command::Notifications(NotificationsCommand::Preview(args)) => {
            notifications::preview(&settings, &args)?;
        }
        Command::Notifications(NotificationsCommand::PushKey { new }) => {
            notifications::push_key(&settings, new.as_deref())?;
        }
        Command::Notifications(replay @ NotificationsCommand::Replay { .. }) => {
            notifications::replay(&settings, replay).await?;
        }
        Command::Decode => decode::run()?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn projections(command: ProjectionsCommand, settings: &Settings) -> anyhow::Result<ExitCode> {
    let settings = running::or_settings(settings)?;
    match command {
        ProjectionsCommand::Ls => projections::ls(&settings).await,
        ProjectionsCommand::Rebuild { name } => projections::rebuild(&settings, name).await,
        ProjectionsCommand::Verify { name } => projections::verify(&settings, name).await,
        ProjectionsCommand::Pause { name } => projections::pause(&settings, &name).await,
        ProjectionsCommand::Resume { name } => projections::resume(&settings, &name).await,
    }
}

async fn events(command: EventsCommand, settings: &Settings) -> anyhow::Result<()> {
    let store = async || {
        let settings = running::or_settings(settings)?;
        handles::store(&settings, "operator").await
    };
    match command {
        EventsCommand::Tail {
            subject,
            last,
            no_follow,
            json,
        } => {
            let options = events::Tail {
                subject,
                last,
                follow: !no_follow,
                json,
            };
            events::tail(store().await?.as_ref(), &options).await
        }
        EventsCommand::Show {
            aggregate,
            id,
            at,
            json,
        } => events::show(store().await?.as_ref(), &aggregate, id, at.as_deref(), json).await,
        EventsCommand::Export { out, subject } => events::export(settings, out, subject).await,
        EventsCommand::Import { from } => events::import(settings, &from).await,
    }
}

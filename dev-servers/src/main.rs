//! Runs both servers in the foreground for experiments: `cargo run -p dev-servers -- [data folder]`. Ends on Ctrl-C.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use tokio::signal::unix::{SignalKind, signal};

use dev_servers::{Finder, NatsOptions, NatsServer, Postgres, PostgresOptions, Progress};

/// One thread, so that both servers are started and dropped on it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut line = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                line.push_str(&format!(": {error}"));
                cause = error.source();
            }
            // Without a terminal the exit code says it.
            let _ = writeln!(io::stderr(), "{line}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let data = env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(".waybill"), PathBuf::from);
    let finder = Finder::new().with_progress(Progress::new(|notice| {
        // Nobody reads the terminal any more: the servers run nevertheless.
        let _ = writeln!(io::stderr(), "{notice}");
    }));
    let nats = NatsServer::start(&finder, NatsOptions::new(data.join("nats")))?;
    let postgres = Postgres::start(&finder, PostgresOptions::new(data.join("postgres")))?;
    // Only from here on: a signal while the servers start ends this process at once, and the watchdogs stop the servers.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut out = io::stdout();
    writeln!(out, "export WAYBILL_NATS_URL={}", nats.url())?;
    writeln!(out, "export WAYBILL_DATABASE_URL={}", postgres.url())?;
    out.flush()?;
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    drop(postgres);
    drop(nats);
    Ok(())
}

//! What can be asked of a load on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use service_kit::settings::parse_duration;
use uuid::Uuid;

use crate::bench::Common;

/// How orders arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// Steady, then many times as much for a while, then steady again.
    Spike,
    /// The same all the time.
    Steady,
}

/// A load.
#[derive(Debug, Args)]
pub struct LoadOptions {
    /// How orders arrive.
    #[arg(long, value_enum, default_value = "spike")]
    pub profile: ProfileName,
    /// Orders a second, each of which is two commands: check and place. They arrive whether or not those before were
    /// answered.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub rate: u32,
    /// How many times as many arrive during the spike.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub factor: u32,
    /// How long it is steady before the spike; with `steady`, the whole of it.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub before: Duration,
    /// How long the spike lasts.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub spike: Duration,
    /// How long it is steady afterwards.
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    pub after: Duration,
    /// How many customers buy, in turn.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub customers: u16,
    /// A shop that runs, such as http://127.0.0.1:8080; its signing key (the settings say where) makes admin and customers
    /// [default: a shop of its own that is gone afterwards].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A customer's token, where the signing key is not at hand; he buys this product of this partner.
    #[arg(long, requires_all = ["url", "partner", "product"])]
    pub token: Option<String>,
    /// Whose product is bought with `--token`.
    #[arg(long, requires = "token")]
    pub partner: Option<Uuid>,
    /// What is bought with `--token`.
    #[arg(long, requires = "token")]
    pub product: Option<Uuid>,
    /// Write a page with charts of rate, latency and lag to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Let the broker of the own shop acknowledge before the disk has it.
    #[arg(long, conflicts_with = "url")]
    pub no_fsync: bool,
}

impl LoadOptions {
    /// Servers for a shop of its own.
    pub fn ground(&self) -> Common {
        Common {
            seconds: 0,
            rounds: 1,
            json: self.json,
            no_fsync: self.no_fsync,
            nodes: "1".to_owned(),
            folder: None,
            use_settings: false,
        }
    }
}

//! What can be asked of a bench on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// Which bench.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Durable conditional appends of commands, beside plain publishes and atomic batches of the same messages.
    Append(AppendOptions),
    /// The same over HTTP, beside the write path itself and a bare JSON echo.
    Http(HttpOptions),
    /// Everybody on one product: in one process, and in two at once.
    Hot(HotOptions),
    /// Events into committed rows, beside `unnest` upserts and COPY into the same tables; and how soon a row is seen.
    Project(ProjectOptions),
    /// Rebuilding a projection and reading the whole log, beside bare consumption of the stream.
    Replay(ReplayOptions),
    /// Rebuilding a projection while queries are answered, beside catching up alone.
    Rebuild(ReplayOptions),
    /// Loading one aggregate: cold, from a snapshot, warm, beside bare reads of its messages.
    Load(LoadOptions),
    /// Orders from placed to confirmed over HTTP, with the payment sandbox.
    Saga(SagaOptions),
    /// Notifications from intended to settled through a notifier of its own, with a mail API that is slow and fails.
    Notify(NotifyOptions),
    /// What each role and the broker take of the memory while many orders wait.
    Memory(MemoryOptions),
}

/// What all of them have.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// How long it may take, in seconds, once the servers run.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Most rounds that are counted; the figure is the middle one.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub rounds: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Let the broker acknowledge before the disk has it (its default, safe against kill -9 but not against power loss).
    #[arg(long)]
    pub no_fsync: bool,
    /// Servers of the broker, on this machine; streams get as many replicas.
    #[arg(long, default_value = "1", value_parser = ["1", "3"])]
    pub nodes: String,
    /// Where the servers keep their data while it runs [default: the folder for temporary files].
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Measure the servers of the settings instead of own ones. Both must be given, and neither may hold a shop: only
    /// an empty log, or one that a bench began, is used.
    #[arg(long, conflicts_with_all = ["no_fsync", "nodes", "folder"])]
    pub use_settings: bool,
}

impl Common {
    /// How long it may take.
    pub fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Appends.
#[derive(Debug, Args)]
pub struct AppendOptions {
    #[command(flatten)]
    pub common: Common,
    /// How many callers at once; one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub callers: Vec<u16>,
    /// Events of one command.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub events: u16,
    /// All callers on one product, instead of one each.
    #[arg(long)]
    pub hot: bool,
}

/// Commands over HTTP.
#[derive(Debug, Args)]
pub struct HttpOptions {
    #[command(flatten)]
    pub common: Common,
    /// How many connections at once, each with one request under way; one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub callers: Vec<u16>,
}

/// One product.
#[derive(Debug, Args)]
pub struct HotOptions {
    #[command(flatten)]
    pub common: Common,
    /// How many callers at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=1024))]
    pub callers: u16,
}

/// Projections.
#[derive(Debug, Args)]
pub struct ProjectOptions {
    #[command(flatten)]
    pub common: Common,
    /// Which projection is measured alone.
    #[arg(long, default_value = "orders")]
    pub projection: String,
    /// Most orders in the log; fewer when the time would not do for all rounds.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub orders: u32,
    /// Commands a second while it is measured how soon a row is seen.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub trickle: u32,
}

/// Replays and rebuilds.
#[derive(Debug, Args)]
pub struct ReplayOptions {
    #[command(flatten)]
    pub common: Common,
    /// Which projection is rebuilt.
    #[arg(long, default_value = "orders")]
    pub projection: String,
    /// Most orders in the log; fewer when the time would not do for all rounds.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub orders: u32,
}

/// Memory.
#[derive(Debug, Args)]
pub struct MemoryOptions {
    #[command(flatten)]
    pub common: Common,
    /// Orders that wait for their money, each of three live aggregates; fewer when the time would not do.
    #[arg(long, default_value_t = 34_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub orders: u32,
}

/// Loads.
#[derive(Debug, Args)]
pub struct LoadOptions {
    #[command(flatten)]
    pub common: Common,
    /// How many events the aggregates have; one measurement each.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sizes: Vec<u32>,
    /// How many events of others lie between two of them, about.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub filler: u32,
    /// Commands a second, to other aggregates, whose times are taken with and without cold loads beside them.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub appends: u32,
}

/// Sagas.
#[derive(Debug, Args)]
pub struct SagaOptions {
    #[command(flatten)]
    pub common: Common,
    /// Customers at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub callers: u16,
    /// Afterwards: run on with a second orchestrator that is killed so often, and count what is lost.
    #[arg(long, value_parser = service_kit::settings::parse_duration)]
    pub kill_every: Option<Duration>,
}

/// Notifications.
#[derive(Debug, Args)]
pub struct NotifyOptions {
    #[command(flatten)]
    pub common: Common,
    /// How many.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub notifications: u32,
    /// How long the mail API takes to answer, at most a minute.
    #[arg(long, default_value = "200ms", value_parser = service_kit::settings::parse_duration)]
    pub latency: Duration,
    /// Each n-th call of it fails; 0 is none.
    #[arg(long, default_value_t = 10)]
    pub fail_every: u32,
}

impl BenchCommand {
    /// What all of them have.
    pub fn common(&self) -> &Common {
        match self {
            Self::Append(options) => &options.common,
            Self::Project(options) => &options.common,
            Self::Replay(options) => &options.common,
            Self::Load(options) => &options.common,
            Self::Saga(options) => &options.common,
            Self::Notify(options) => &options.common,
            Self::Http(options) => &options.common,
            Self::Hot(options) => &options.common,
            Self::Rebuild(options) => &options.common,
            Self::Memory(options) => &options.common,
        }
    }
}

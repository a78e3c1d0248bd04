//! What can be asked of `waybill` on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use service_kit::{Role, SettingsArgs};
use uuid::Uuid;

use crate::bench::BenchCommand;

/// Waybill: the backend of a shop that delivers, event-sourced on NATS JetStream.
///
/// Without a command it starts everything on this machine with a demo shop (`up`).
#[derive(Parser)]
#[command(name = "waybill", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

#[derive(Subcommand)]
#[expect(clippy::enum_variant_names, reason = "CommandApi is a role's name")]
pub enum Command {
    /// Start everything on this machine: servers, migrations, demo shop, all services on one port.
    Up,
    /// Prepare Postgres and the broker: schemas, stream, buckets, consumers. Safe to repeat.
    Migrate,
    /// Fill the shop with the demo's goods, or with many of everything. Safe to repeat: what is there is not added again.
    Seed(SeedArgs),
    /// The broker's stream, buckets and consumers.
    #[command(subcommand)]
    Topology(TopologyCommand),
    /// Serve the commands (every method but GET).
    CommandApi,
    /// Keep the read models and serve the queries (GET).
    Projector,
    /// Run the sagas.
    SagaOrchestrator,
    /// Tell customers, partners and staff what happened, by e-mail, SMS, push and webhooks.
    Notifier,
    /// Stand in for a payment provider.
    PaymentSandbox(payment_sandbox::SandboxArgs),
    /// Stand in for the services that bring mails, text messages and pushes to people, and show what they would have got.
    MessageSandbox(message_sandbox::MessageSandboxArgs),
    /// Print a bearer token.
    Token {
        /// What the bearer may do.
        #[arg(long)]
        role: RoleName,
        /// Who the bearer is; for a partner the partner's id [default: an id made from the role].
        #[arg(long)]
        subject: Option<Uuid>,
        /// How long it is good, such as 15m or 12h.
        #[arg(long, default_value = "12h", value_parser = service_kit::settings::parse_duration)]
        ttl: Duration,
    },
    /// The read models: how far they are, build anew, compare with the log.
    #[command(subcommand)]
    Projections(ProjectionsCommand),
    /// The log itself.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Check that money and stock balance, for every saga and every hold: exits with 1 and names what does not, with 2
    /// if it could not be checked.
    Audit {
        /// Not only as they stand: at every position of the log.
        #[arg(long)]
        every_position: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
        /// As the log stood at this position [default: its end].
        #[arg(long, value_name = "POSITION")]
        to: Option<u64>,
    },
    /// Messages that leave the house: what they say, what signs them, and sending them once more.
    #[command(subcommand)]
    Notifications(NotificationsCommand),
    /// Turn an event's payload on standard input into JSON.
    Decode,
    /// Measure, beside the limits of the same broker and database, on servers of its own that are gone afterwards.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print the OpenAPI document.
    Openapi,
}

/// More would keep a shop on one machine busy for days.
const SEED_COUNT_MAX: i64 = 1_000_000;

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct SeedArgs {
    /// The demo shop that `up` begins with: a partner, a few products with stock, customers, cloud resources.
    #[arg(long)]
    pub demo: bool,
    /// So many customers, products and orders, with the partners, stock and cloud resources that belong to them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SEED_COUNT_MAX))]
    pub scale: Option<u32>,
}

#[derive(Subcommand)]
pub enum TopologyCommand {
    /// Create what is missing and bring replicas to the setting.
    Apply,
    /// Compare with what is wanted and change nothing.
    Verify,
}

#[derive(Subcommand)]
pub enum ProjectionsCommand {
    /// List them with position, lag and what is parked.
    Ls,
    /// Replay the log into fresh tables while the old ones serve, then swap.
    Rebuild {
        /// Which one; all without a name.
        name: Option<String>,
    },
    /// Fold the log anew and compare with the rows; names the first difference and exits with 1.
    Verify {
        /// Which one; all without a name.
        name: Option<String>,
    },
    /// Stop writing one; its rows stay as they are and go on answering, with the position they stand at.
    Pause {
        /// Which one.
        name: String,
    },
    /// Go on with one that is paused, and try again what is parked.
    Resume {
        /// Which one.
        name: String,
    },
}

#[derive(Subcommand)]
pub enum NotificationsCommand {
    /// Show messages as they are written, with made-up facts and the settings' names.
    Preview(PreviewArgs),
    /// Print the public half of WAYBILL_WEBPUSH_KEY_FILE, which pages subscribe with (`applicationServerKey`).
    PushKey {
        /// Make the key first, in a file that does not exist yet.
        #[arg(long, value_name = "FILE")]
        new: Option<PathBuf>,
    },
    /// Send a partner's webhooks once more, under the ids that they had: one, or all of a period.
    Replay {
        /// One message; with the order that it is about.
        #[arg(long, requires = "order", conflicts_with_all = ["partner", "from", "to"])]
        delivery: Option<Uuid>,
        /// The order, or whatever else the message is about.
        #[arg(long, requires = "delivery")]
        order: Option<Uuid>,
        /// Everything that this partner was sent between two moments.
        #[arg(long, requires_all = ["from", "to"], required_unless_present = "delivery")]
        partner: Option<Uuid>,
        /// From this moment (2026-11-21T08:30:00Z).
        #[arg(long, requires = "partner")]
        from: Option<String>,
        /// To this moment.
        #[arg(long, requires = "partner")]
        to: Option<String>,
        /// Only say how many it would be.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Args)]
pub struct PreviewArgs {
    /// Which one, such as order_confirmed; all without it.
    pub kind: Option<String>,
    #[command(flatten)]
    pub form: PreviewForm,
    /// Write them into this folder, a file each.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// In which form; without one all of them into a folder, else as text.
#[derive(Args)]
#[group(multiple = false)]
pub struct PreviewForm {
    /// As HTML, for mails.
    #[arg(long)]
    pub html: bool,
    /// As text, for mails.
    #[arg(long)]
    pub text: bool,
    /// As a text message.
    #[arg(long)]
    pub short: bool,
}

#[derive(Subcommand)]
pub enum EventsCommand {
    /// Print the last events, and go on with new ones.
    Tail {
        /// Only these subjects, such as `evt.order.>`.
        #[arg(long, default_value = "evt.>")]
        subject: String,
        /// How many of the past to begin with.
        #[arg(long, default_value_t = 20)]
        last: u64,
        /// End after those of the past.
        #[arg(long)]
        no_follow: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Print one aggregate's history and its state, now or in the past.
    Show {
        /// Which kind: customer, resource, assignment, partner, product, offer, inventory, order, payment,
        /// payment_provider, fulfilment, notification, notification_agent.
        aggregate: String,
        /// Which one.
        id: Uuid,
        /// A version (3) or a moment (2026-11-21T08:30:00Z).
        #[arg(long)]
        at: Option<String>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Write the whole log to a file, while the shop goes on.
    Export {
        /// A file that does not exist yet; `-` is standard output.
        #[arg(long)]
        out: PathBuf,
        /// Only these subjects, such as `evt.order.>`; such a file is for reading, not for import.
        #[arg(long)]
        subject: Option<String>,
    },
    /// Fill an empty log from a file. Everything else of Waybill must be stopped; a broken-off import goes on.
    Import {
        /// A file that `events export` has written.
        #[arg(long = "in")]
        from: PathBuf,
    },
}

/// Roles as people type them.
#[derive(Clone, Copy, ValueEnum)]
pub enum RoleName {
    Customer,
    Deliverer,
    Partner,
    Admin,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Customer => Self::Customer,
            RoleName::Deliverer => Self::Deliverer,
            RoleName::Partner => Self::Partner,
            RoleName::Admin => Self::Admin,
        }
    }
}

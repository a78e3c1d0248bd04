//! `waybill audit`: whether money and stock balance, for every saga and every hold, as the log stands or at every
//! position of it. Reads the log once, in order, as a user who may only read; what is kept in memory is said in [`book`].
//!
//! Exit codes: 0 nothing is wrong, 1 something is and is named, 2 it could not be checked.

mod book;
mod histories;
mod offender;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_nats::jetstream;
use event_schema::{Position, Subject};
use event_store::topology::EVENTS;
use event_store::{EventStore, JetStreamStore, LoadError, SubscribeError};
use service_kit::{Clock, Settings, nats};

use self::book::Book;
use self::report::Report;
use crate::{out, progress_bar, running};

/// Nothing was wrong with the log, but it could not be looked at.
const COULD_NOT_CHECK: u8 = 2;
/// The log is asked whether there is more when it has said nothing for so long.
const QUIET: Duration = Duration::from_millis(250);
/// A log that holds more and does not hand it over for so long cannot be checked.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long the broker is asked about a single message.
const ONE_MESSAGE_MAX: Duration = Duration::from_secs(5);
/// Every how many events the bar is moved.
const BAR_EVENTS: u64 = 256;

/// What is looked at, and how the result is told.
#[derive(Debug, Clone, Copy)]
pub struct Audit {
    /// Also how it stood after every single command.
    pub every_position: bool,
    /// One JSON object.
    pub json: bool,
    /// As the log stood there; where it ends now without one.
    pub to: Option<u64>,
}

/// Checks the log and says what is wrong with it.
pub async fn run(settings: &Settings, options: Audit) -> ExitCode {
    match check(settings, options).await {
        Ok(report) => {
            out::line(if options.json {
                report.as_json().to_string()
            } else {
                report.as_text()
            });
            ExitCode::from(u8::from(!report.is_clean()))
        }
        Err(error) => {
            out::note(format!("waybill: the log could not be checked: {error:#}"));
            ExitCode::from(COULD_NOT_CHECK)
        }
    }
}

async fn check(settings: &Settings, options: Audit) -> anyhow::Result<Report> {
    let settings = match &settings.nats_url {
        // The log is all that is needed.
        Some(_) => settings.clone(),
        None => running::or_settings(settings)?,
    };
    let client = nats::connect(&settings, "operator").await?;
    let store = Arc::new(JetStreamStore::connect(client.clone()).await?);
    let log = Log { store, client };
    let begun = Instant::now();
    let end = log.store.end().await?.position;
    let target = match options.to.map(Position) {
        Some(to) if to > end => bail!("the log ends at position {end}, before {to}"),
        Some(to) => to,
        None => end,
    };
    let mut book = Book::new(options.every_position);
    log.fold(target, target < end, &mut book).await?;
    book.close();
    // What was judged in the past has the age that it had then.
    let as_of = match options.to {
        Some(_) => book.last_happened(),
        None => Clock::system().now(),
    };
    Ok(Report::of(book, target, as_of, begun.elapsed()))
}

struct Log {
    store: Arc<JetStreamStore>,
    client: async_nats::Client,
}

impl Log {
    /// Folds everything up to the target into the book, and the rest of a command that the target may have cut in two;
    /// the end of the log cuts none, because a command is stored whole.
    async fn fold(&self, target: Position, may_cut: bool, book: &mut Book) -> anyhow::Result<()> {
        let bar = progress_bar::new("audit");
        bar.set_length(target.0);
        let mut subscription = self.store.subscribe(Position(0), &["evt.>"]).await?;
        let mut reached = Position(0);
        let mut heard = Instant::now();
        let mut told = 0_u64;
        while reached < target || (may_cut && book.is_within_a_command()) {
            let Ok(next) = tokio::time::timeout(QUIET, subscription.next()).await else {
                if !self.holds_more_after(reached).await? {
                    break;
                }
                if heard.elapsed() > SILENCE_MAX {
                    bail!(
                        "the log holds more than position {reached} and has not handed it over for {SILENCE_MAX:?}"
                    );
                }
                continue;
            };
            heard = Instant::now();
            match next {
                Ok(event) if event.position > target && !book.goes_on_with(&event) => break,
                Ok(event) => {
                    reached = event.position;
                    book.read(&event, self.store.as_ref()).await?;
                }
                Err(SubscribeError::Unreadable { position, .. }) if position > target => break,
                Err(SubscribeError::Unreadable { position, reason }) => {
                    reached = position;
                    let subject = self.subject_at(position).await?;
                    book.unreadable(position, subject.as_ref(), &reason);
                }
                Err(error) => return Err(error).context("the log cannot be read on"),
            }
            told += 1;
            if told.is_multiple_of(BAR_EVENTS) {
                bar.set_position(reached.0);
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// The last positions may be no events of aggregates: then nothing comes any more.
    async fn holds_more_after(&self, reached: Position) -> anyhow::Result<bool> {
        match self.store.read(reached, 1, Some("evt.>")).await {
            Ok(events) => Ok(!events.is_empty()),
            // What comes next cannot be read, but it comes.
            Err(LoadError::Corrupt { .. } | LoadError::Newer { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Whose history a message lies in that says nothing else.
    async fn subject_at(&self, position: Position) -> anyhow::Result<Option<Subject>> {
        let asking = async {
            let stream = jetstream::new(self.client.clone())
                .get_stream_no_info(EVENTS)
                .await?;
            anyhow::Ok(stream.get_raw_message(position.0).await?)
        };
        let message = tokio::time::timeout(ONE_MESSAGE_MAX, asking)
            .await
            .context("the broker does not answer")?
            .with_context(|| format!("the message at position {position} cannot be fetched"))?;
        Ok(message.subject.as_str().parse().ok())
    }
}

//! Reading the whole log as it is stored, message by message with all its headers, to take it elsewhere.

use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use event_schema::{Position, Timestamp};

use crate::jetstream::api::{Api, AskError, Stored};
use crate::store::{LoadError, LogIdentity};
use crate::topology::EVENTS;

/// When the broker stored an event that was imported since: its own time would be that of the import.
pub const RECORDED_AT: &str = "Recorded-At";
/// What the broker adds, or was told with a message: it means nothing anywhere else.
const BROKERS_PREFIX: &str = "nats-";
/// Most messages of one page.
const PAGE_MESSAGES_MAX: usize = 256;
/// How long a server that lags behind the leader is asked again.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
const CATCH_UP_PAUSE: Duration = Duration::from_millis(50);

/// A message of the log as it is stored: what travels when a log moves house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence in the stream.
    pub position: Position,
    /// When a broker first stored it.
    pub recorded_at: Timestamp,
    /// Its subject; of the families `evt.`, `uniq.` and `done.`.
    pub subject: String,
    /// Its headers, without those that the broker adds or was told.
    pub headers: Vec<(String, String)>,
    /// Its payload.
    pub payload: Bytes,
}

impl StoredMessage {
    fn of(stored: Stored) -> Self {
        let recorded_at = stored.recorded_at();
        let mut headers = Vec::new();
        for (name, value) in stored.headers.iter() {
            if !name.eq_ignore_ascii_case(RECORDED_AT) && !is_the_brokers(name) {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        // The broker does not keep their order; a file that is made twice should be the same file.
        headers.sort();
        Self {
            position: stored.position,
            recorded_at,
            subject: stored.subject,
            headers,
            payload: stored.payload,
        }
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, v)| v.as_str())
    }
}

/// Whether a header speaks to or from the broker only.
pub(crate) fn is_the_brokers(name: &str) -> bool {
    name.get(..BROKERS_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(BROKERS_PREFIX))
}

/// The log being read from its first message to the one that was its last when the reading began.
#[derive(Debug)]
pub struct Export {
    api: Api,
    log: LogIdentity,
    filter: Option<String>,
    /// The last message that belongs to it.
    end: Position,
    reached: Position,
}

impl Export {
    /// Looks where the log ends; `filter` is a subject pattern, none takes everything.
    pub async fn begin(client: Client, filter: Option<&str>) -> Result<Self, LoadError> {
        let api = Api::new(client);
        let info = api.stream_info(EVENTS).await?;
        let end = match filter {
            None => Position(info.state.last_seq),
            Some(filter) => api
                .leader_last(EVENTS, filter)
                .await?
                .map_or(Position(0), |last| last.position),
        };
        Ok(Self {
            api,
            log: LogIdentity {
                stream: EVENTS.into(),
                created: info.created,
            },
            filter: filter.map(str::to_owned),
            end,
            reached: Position(0),
        })
    }

    /// Which log it is.
    pub fn log(&self) -> &LogIdentity {
        &self.log
    }

    /// The position of its last message; 0 when there is none.
    pub fn end(&self) -> Position {
        self.end
    }

    /// The next messages in order; none at the end. Holds one page in memory, however long the log is.
    pub async fn next_page(&mut self) -> Result<Vec<StoredMessage>, LoadError> {
        let begun = Instant::now();
        while self.reached < self.end {
            let from = Position(self.reached.0.saturating_add(1));
            let pattern = self.filter.as_deref().unwrap_or(">");
            let page = self
                .api
                .direct_batch(EVENTS, pattern, from, PAGE_MESSAGES_MAX)
                .await;
            let page = match page {
                Ok((page, _)) => page,
                Err(error @ AskError::Unreadable(_)) => return Err(error.into()),
                Err(error) if begun.elapsed() > CATCH_UP_MAX => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, %from, "the log could not be read on, trying again");
                    sleep(CATCH_UP_PAUSE).await;
                    continue;
                }
            };
            let page: Vec<StoredMessage> = page
                .into_iter()
                .filter(|stored| stored.position >= from && stored.position <= self.end)
                .map(StoredMessage::of)
                .collect();
            if let Some(last) = page.last() {
                self.whole(&page)?;
                self.reached = last.position;
                return Ok(page);
            }
            // The nearest server may lag behind the one that told where the end is.
            if begun.elapsed() > CATCH_UP_MAX {
                return Err(LoadError::NotReached(self.end));
            }
            sleep(CATCH_UP_PAUSE).await;
        }
        Ok(Vec::new())
    }

    /// A log is never without a position that it has given out, unless somebody removed it by force.
    fn whole(&self, page: &[StoredMessage]) -> Result<(), LoadError> {
        if self.filter.is_some() {
            return Ok(());
        }
        for (message, due) in page.iter().zip(self.reached.0.saturating_add(1)..) {
            if message.position != Position(due) {
                return Err(LoadError::Corrupt {
                    place: format!("position {due}"),
                    reason: format!(
                        "nothing is stored there; the next message is at {}",
                        message.position
                    ),
                });
            }
        }
        Ok(())
    }
}

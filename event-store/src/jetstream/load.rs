//! Reading histories: the head first, then exactly the events that are missing, by one batched read or, where they
//! lie far apart in a cold log, by walking back from append to append.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};

use event_schema::{Position, Recorded, Subject, Version};
use uuid::Uuid;

use super::api::{Api, AskError, Stored};
use super::plan::{EXPECTED_POSITION, EXPECTED_SUBJECT, Head, Last};
use super::wire::BATCH_SEQUENCE;
use crate::in_memory::matches;
use crate::store::{Freshness, History, LoadError};
use crate::topology::EVENTS;

/// Most questions to the leader that are open at once for one caller.
pub(crate) const LEADER_ASKS_AT_ONCE: usize = 32;
/// Most events fetched by one read.
const READ_EVENTS_MAX: usize = 256;
/// How long a server that lags behind the leader is asked again.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);
const CATCH_UP_PAUSE_FIRST: Duration = Duration::from_millis(2);
const CATCH_UP_PAUSE_MAX: Duration = Duration::from_millis(100);
/// How long a load waits for the log to reach a position that it was told of.
const REACH_MAX: Duration = Duration::from_secs(2);
/// A span of the log up to this is read through; blocks are some thousands of positions.
const SPAN_READ_MAX: u64 = 20_000;
/// A whole history over a longer span is read through only if there is at least one event among so many positions …
const SPAN_PER_EVENT_MAX: u64 = 2_000;
/// … and not over a span beyond this: as long as one read lasts, the broker lets nobody write.
const WHOLE_SPAN_MAX: u64 = 200_000;
/// Every message of the log.
const EVERYTHING: &str = ">";
/// What a forward reading with a filter expects before it has seen anything: one wanted message among so many.
const RARITY_FIRST: u64 = 4;
/// A wanted message that is rarer than this is looked for by the broker.
const RARITY_MAX: u64 = 32;
/// Up to so many events are walked rather than that it is asked where the first of them lies.
const WALKED_AT_ONCE_MAX: u64 = 16;

impl From<AskError> for LoadError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Unreadable(reason) => Self::Corrupt {
                place: "an answer of the broker".into(),
                reason,
            },
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Reads a message as an event of ours.
pub(crate) fn recorded(stored: &Stored) -> Result<Recorded, LoadError> {
    stored.recorded().map_err(|reason| LoadError::Corrupt {
        place: format!("position {} ({})", stored.position, stored.subject),
        reason,
    })
}

/// The last event of each history, from the leader.
pub(crate) async fn heads(
    api: &Api,
    subjects: &[Subject],
    at_once: usize,
) -> Result<Vec<Head>, AskError> {
    let ask = |subject: Subject| async move {
        let last = api.leader_last(EVENTS, subject.as_str()).await?;
        last.map(|stored| last_of(&stored)).transpose()
    };
    stream::iter(subjects.to_vec())
        .map(ask)
        .buffered(at_once)
        .try_collect()
        .await
}

fn last_of(stored: &Stored) -> Result<Last, AskError> {
    let (version, position) = head_of(stored)?;
    let event = stored.event_id().and_then(|id| Uuid::parse_str(id).ok());
    Ok(Last {
        version,
        position,
        event,
    })
}

fn head_of(stored: &Stored) -> Result<(Version, Position), AskError> {
    let foreign = || {
        AskError::Unreadable(format!(
            "the message at position {} has no version",
            stored.position
        ))
    };
    Ok((stored.version().ok_or_else(foreign)?, stored.position))
}

/// How the events of a history are fetched.
///
/// A batched read first counts what it may have to show. From the log's start the broker knows that by heart; from
/// anywhere else it opens block after block, between there and the subject's last or, in the log's first half, its
/// first, and meanwhile lets nobody write. In a long log that is never worth it: a walk opens only what it needs, and
/// holds up writers for one message at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The last event is all of it.
    Head,
    /// By batched reads after a position, of so many events each.
    Through { from: Position, page: usize },
    /// From append to append, backwards.
    Walk,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Through { .. } => "batch",
            Self::Walk => "walk",
        }
    }
}

/// How a whole history is read: in one batch, so that what is left is never counted from the middle.
async fn whole(
    api: &Api,
    subject: &Subject,
    wanted: u64,
    position: Position,
) -> Result<Way, LoadError> {
    let short = |span: u64| {
        span <= SPAN_READ_MAX || (span <= WHOLE_SPAN_MAX && span / wanted <= SPAN_PER_EVENT_MAX)
    };
    let page = usize::try_from(wanted).unwrap_or(usize::MAX);
    let from = Position(0);
    if short(position.0) {
        return Ok(Way::Through { from, page });
    }
    if wanted <= WALKED_AT_ONCE_MAX {
        return Ok(Way::Walk);
    }
    // A young history in an old log.
    let first = api.direct_next(EVENTS, subject.as_str(), from).await?;
    let span = first.map(|first| position.0.saturating_sub(first.position.0));
    Ok(match span.is_some_and(short) {
        true => Way::Through { from, page },
        false => Way::Walk,
    })
}

/// How the events after one that was seen are read.
fn tail(seen: Position, position: Position, newest: Position) -> Way {
    let in_the_later_half = position.0 >= newest.0 / 2;
    if in_the_later_half && position.0.saturating_sub(seen.0) <= SPAN_READ_MAX {
        Way::Through {
            from: seen,
            page: READ_EVENTS_MAX,
        }
    } else {
        Way::Walk
    }
}

/// The events of a history after a version; nothing when there are more than `events_max`. `newest` is the newest
/// position of the log that is known here.
pub(crate) async fn load(
    api: &Api,
    subject: &Subject,
    after: Version,
    seen: Option<Position>,
    freshness: Freshness,
    events_max: u64,
    newest: Position,
) -> Result<Option<History>, LoadError> {
    let leader = freshness != Freshness::Any;
    let last = match freshness {
        Freshness::Any => api.direct_last(EVENTS, subject.as_str()).await?,
        Freshness::Leader => api.leader_last(EVENTS, subject.as_str()).await?,
        Freshness::AtLeast(position) => {
            let last = api.leader_last(EVENTS, subject.as_str()).await?;
            let reached = last.as_ref().is_some_and(|last| last.position >= position);
            // That no more than one server ever had what is known here says that the one that answered has it.
            if reached || (api.is_one_server() && position <= newest) {
                last
            } else {
                reach(api, position).await?;
                api.leader_last(EVENTS, subject.as_str()).await?
            }
        }
    };
    let Some(last) = last else {
        return Ok(Some(History {
            events: Vec::new(),
            leader: leader.then_some(None),
        }));
    };
    let (version, position) = head_of(&last)?;
    let mut history = History {
        events: Vec::new(),
        leader: leader.then_some(Some((version, position))),
    };
    let wanted = version.0.saturating_sub(after.0);
    if wanted == 0 {
        return Ok(Some(history));
    }
    if wanted > events_max {
        return Ok(None);
    }
    let way = if wanted == 1 {
        Way::Head
    } else if after == Version::NONE {
        whole(api, subject, wanted, position).await?
    } else {
        tail(seen.unwrap_or_default(), position, newest)
    };
    metrics::counter!("waybill_history_reads_total", "way" => way.name()).increment(1);
    let events = match way {
        Way::Head => vec![last],
        Way::Through { from, page } => through(api, subject, from, last, page).await?,
        Way::Walk => walk_back(api, subject, after, last).await?,
    };
    if let (Some(first), Some(seen)) = (events.first(), seen)
        && after != Version::NONE
        && !follows(first, seen)
    {
        // What was seen is not what lies before: another log's event. There is nothing that goes on from there.
        return Ok(Some(history));
    }
    for stored in &events {
        history.events.push(recorded(stored)?);
    }
    Ok(Some(history))
}

/// Whether the event before this one, of the same history, lies at a position.
fn follows(stored: &Stored, position: Position) -> bool {
    match own_expectation(stored) {
        Some(expected) => expected == position,
        // Not the first of its append: the one before is in the same batch.
        None => stored.headers.number(BATCH_SEQUENCE).is_some_and(|number| {
            position < stored.position && position.0 > stored.position.0.saturating_sub(number)
        }),
    }
}

/// What the first message of an append expected of its own subject: the position of the event before.
fn own_expectation(stored: &Stored) -> Option<Position> {
    let own = stored.headers.get(EXPECTED_SUBJECT).is_none();
    stored
        .headers
        .number(EXPECTED_POSITION)
        .filter(|_| own)
        .map(Position)
}

/// Waits until the leader's log has reached a position.
async fn reach(api: &Api, position: Position) -> Result<(), LoadError> {
    let begun = Instant::now();
    let mut pause = CATCH_UP_PAUSE_FIRST;
    while api.leader_at(EVENTS, position).await?.is_none() {
        if begun.elapsed() > REACH_MAX {
            return Err(LoadError::NotReached(position));
        }
        sleep(pause).await;
        pause = (pause * 2).min(CATCH_UP_PAUSE_MAX);
    }
    Ok(())
}

/// Reads the log through for one subject, up to the event that is known to be its last. The nearest server may lag
/// behind the one that told us: then it is asked again, from where it stopped.
async fn through(
    api: &Api,
    subject: &Subject,
    after: Position,
    last: Stored,
    page: usize,
) -> Result<Vec<Stored>, LoadError> {
    let mut events: Vec<Stored> = Vec::new();
    let mut reached = after;
    let begun = Instant::now();
    let mut pause = CATCH_UP_PAUSE_FIRST;
    while reached < last.position {
        let from = Position(reached.0.saturating_add(1));
        let (page, _) = api
            .direct_batch(EVENTS, subject.as_str(), from, page)
            .await?;
        let before = reached;
        for stored in page {
            if stored.position > reached && stored.position < last.position {
                reached = stored.position;
                events.push(stored);
            } else if stored.position >= last.position {
                reached = last.position;
            }
        }
        if reached != before {
            continue;
        }
        if begun.elapsed() > CATCH_UP_MAX {
            return Err(LoadError::Unavailable(format!(
                "no server showed {subject} up to position {} within {} s",
                last.position,
                CATCH_UP_MAX.as_secs()
            )));
        }
        sleep(pause).await;
        pause = (pause * 2).min(CATCH_UP_PAUSE_MAX);
    }
    events.push(last);
    Ok(events)
}

/// Walks back from append to append. The first message of an append keeps what it expected, and that is where the
/// subject's event before it is; a scan over a cold log would hold up the writers, a few reads of single messages do not.
async fn walk_back(
    api: &Api,
    subject: &Subject,
    after: Version,
    last: Stored,
) -> Result<Vec<Stored>, LoadError> {
    let damaged = |place: Position, reason: &str| LoadError::Corrupt {
        place: format!("{subject}, position {place}"),
        reason: reason.to_owned(),
    };
    let mut back = vec![last];
    while let Some(earliest) = back.last() {
        let at = earliest.position;
        let version = earliest
            .version()
            .ok_or_else(|| damaged(at, "it has no version"))?;
        if version <= after.after(1) {
            break;
        }
        let before = match own_expectation(earliest) {
            Some(position) => vec![one(api, position).await?],
            None => within_batch(api, subject, earliest).await?,
        };
        for stored in before {
            let expected = version.0.checked_sub(1 + (at_index(&back, at)));
            if stored.subject != subject.as_str() || stored.version().map(|v| v.0) != expected {
                return Err(damaged(stored.position, "the chain of appends is broken"));
            }
            back.push(stored);
        }
    }
    back.retain(|stored| stored.version().is_some_and(|version| version > after));
    back.reverse();
    Ok(back)
}

/// How many messages were added to the walk after the one at a position.
fn at_index(back: &[Stored], at: Position) -> u64 {
    back.iter()
        .rev()
        .take_while(|stored| stored.position != at)
        .count() as u64
}

/// A message by its position, from the nearest server, or from the leader when that one lacks it.
pub(crate) async fn nearest(api: &Api, position: Position) -> Result<Option<Stored>, AskError> {
    match api.direct_at(EVENTS, position).await? {
        Some(stored) => Ok(Some(stored)),
        None => api.leader_at(EVENTS, position).await,
    }
}

async fn one(api: &Api, position: Position) -> Result<Stored, LoadError> {
    let missing = || LoadError::Corrupt {
        place: format!("position {position}"),
        reason: "a history leads here, and nothing is stored".into(),
    };
    nearest(api, position).await?.ok_or_else(missing)
}

/// The subject's earlier messages in the same batch, latest first; one by one, because there are few of them.
async fn within_batch(
    api: &Api,
    subject: &Subject,
    message: &Stored,
) -> Result<Vec<Stored>, LoadError> {
    let broken = || LoadError::Corrupt {
        place: format!("{subject}, position {}", message.position),
        reason: "it neither expects a position nor belongs to a batch".into(),
    };
    let number = message.headers.number(BATCH_SEQUENCE).ok_or_else(broken)?;
    let mut after = Position(message.position.0.saturating_sub(number));
    let mut events = Vec::new();
    while after < message.position {
        let next = match api.direct_next(EVENTS, subject.as_str(), after).await? {
            Some(stored) => Some(stored),
            None => api.leader_next(EVENTS, subject.as_str(), after).await?,
        };
        let next = next.ok_or_else(broken)?;
        after = next.position;
        events.push(next);
    }
    events.pop();
    events.reverse();
    if events.is_empty() {
        Err(broken())
    } else {
        Ok(events)
    }
}

/// How far the next step of a forward reading goes. Behind a filter the broker counts what is left, and looks through
/// the subjects of a block for each message (ADR 23), so what is not rare is picked out here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    /// The log has one wanted message among so many, as far as was seen lately.
    rarity: u64,
}

impl Pace {
    fn first(filter: Option<&str>) -> Self {
        Self {
            rarity: if filter.is_some() { RARITY_FIRST } else { 1 },
        }
    }

    /// How many messages to read, wanted or not; nothing when the broker had better look for the next one.
    fn span(self, wanted: usize) -> Option<usize> {
        let rarity = usize::try_from(self.rarity).unwrap_or(usize::MAX);
        (self.rarity <= RARITY_MAX).then(|| wanted.saturating_mul(rarity).min(READ_EVENTS_MAX))
    }

    fn saw(&mut self, span: u64, wanted: usize) {
        self.rarity = span.div_ceil(wanted.max(1) as u64).max(1);
    }
}

/// The log in order after a position. Whoever answers may lag behind the leader, so where a page seems to be the last
/// one the leader is asked for the event after it.
pub(crate) async fn read(
    api: &Api,
    after: Position,
    limit: usize,
    filter: Option<&str>,
) -> Result<Vec<Recorded>, LoadError> {
    let pattern = filter.unwrap_or(EVERYTHING);
    let one_history = !pattern.contains(['*', '>']);
    let mut pace = Pace::first(filter);
    let mut events = Vec::new();
    let mut reached = after;
    while events.len() < limit {
        let from = Position(reached.0.saturating_add(1));
        let left = limit - events.len();
        let (page, goes_on) = if one_history && reached == Position(0) {
            // Of one subject and from the log's start it knows the count by heart.
            let most = left.min(READ_EVENTS_MAX);
            let (page, pending) = api.direct_batch(EVENTS, pattern, from, most).await?;
            (page, pending > 0)
        } else if let Some(span) = pace.span(left) {
            let (page, pending) = api.direct_batch(EVENTS, EVERYTHING, from, span).await?;
            (page, pending > 0)
        } else {
            let next = api.direct_next(EVENTS, pattern, reached).await?;
            (next.into_iter().collect(), true)
        };
        let (before, had) = (reached, events.len());
        for stored in &page {
            reached = stored.position;
            if filter.is_none_or(|filter| matches(filter, &stored.subject)) && events.len() < limit
            {
                events.push(recorded(stored)?);
            }
        }
        pace.saw(reached.0.saturating_sub(before.0), events.len() - had);
        if (goes_on && reached > before) || events.len() >= limit {
            continue;
        }
        match api.leader_next(EVENTS, pattern, reached).await? {
            Some(stored) => {
                reached = stored.position;
                events.push(recorded(&stored)?);
                // The next page is more likely to have caught up.
                sleep(CATCH_UP_PAUSE_FIRST).await;
            }
            None => break,
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_read_through_only_where_the_broker_counts_little() {
        let way =
            |seen, position, newest| tail(Position(seen), Position(position), Position(newest));
        let through = |from| Way::Through {
            from: Position(from),
            page: READ_EVENTS_MAX,
        };
        assert_eq!(way(9_900_000, 9_910_000, 10_000_000), through(9_900_000));
        assert_eq!(way(5, 10, 0), through(5), "nothing is known of the log");
        assert_eq!(way(9_000_000, 9_910_000, 10_000_000), Way::Walk, "long");
        // There it counts from the history's first block on.
        assert_eq!(way(1_000_000, 1_010_000, 10_000_000), Way::Walk);
    }

    #[test]
    fn what_is_rare_is_looked_for_by_the_broker_and_everything_else_is_picked_out_here() {
        let mut pace = Pace::first(Some("evt.>"));
        assert_eq!(pace.span(1), Some(4));
        assert_eq!(pace.span(1_000), Some(READ_EVENTS_MAX));
        pace.saw(256, 128);
        assert_eq!(pace.span(10), Some(20));
        pace.saw(256, 0);
        assert_eq!(pace.span(10), None);
        // The one that it found was near.
        pace.saw(3, 1);
        assert_eq!(pace.span(10), Some(30));
        assert_eq!(Pace::first(None).span(10), Some(10));
    }
}

//! The operators' desk: the NATS service `notifications`.
//!
//! | Subject | Body | Answer |
//! |---|---|---|
//! | `notifications.replay` | `{"delivery_id", "history_id"}`: one message; or `{"partner_id", "from", "to"}`: all of a period | how many are sent once more |
//!
//! Only what goes to partners' systems is sent again: they tell a repeat by its id, which stays the same; a person
//! cannot. Headers: `Command-Id` (a repeat of the command sends nothing more), `Dry-Run: 1`. Text for people, JSON for
//! `Accept: application/json`. Errors are in the service error headers, their code is the HTTP status.

use std::sync::Arc;

use async_nats::service::{
    NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request, Service, ServiceExt as _,
};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use domain::notification::{Intend, Notification, Rejection};
use event_schema::ids::{CommandId, DeliveryId};
use event_schema::notification::{self, Channel, Intended, Recipient, replay_id};
use event_schema::{Actor, Metadata, Position, Timestamp};
use event_store::{ExecuteError, Freshness, LoadError, Stop};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::context::Context;
use crate::roster::read;

/// The service's name, and the first token of its subjects.
const SERVICE: &str = "notifications";
/// Requests that are answered at once.
const ANSWERS_AT_ONCE: usize = 4;
/// Messages that one command sends again at most; a longer period is asked for in parts.
const REPLAYED_MAX: usize = 10_000;
/// Events that are read in one go.
const READ_AT_ONCE: usize = 1_000;

/// What is to be sent once more.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Wanted {
    One {
        delivery_id: Uuid,
        /// The order's id, else the id of what it is about.
        #[serde(alias = "order_id")]
        history_id: Uuid,
    },
    Period {
        partner_id: Uuid,
        from: Timestamp,
        to: Timestamp,
    },
}

/// What was done, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Replayed {
    replayed: usize,
    /// Whether there were more than one command sends.
    more: bool,
    dry_run: bool,
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the request cannot be read: {0}")]
    BadRequest(String),
    #[error("there is no such message to a partner's system, or it is not remembered any more")]
    NotFound,
    #[error("{0}")]
    Away(String),
}

impl Refusal {
    const fn status(&self) -> (usize, &'static str) {
        match self {
            Self::BadRequest(_) => (400, "bad_request"),
            Self::NotFound => (404, "not_found"),
            Self::Away(_) => (503, "broker_unavailable"),
        }
    }
}

impl From<LoadError> for Refusal {
    fn from(error: LoadError) -> Self {
        Self::Away(error.to_string())
    }
}

/// The running service.
pub(crate) struct Desk {
    service: Service,
    replays: BoxStream<'static, Request>,
}

/// Starts the service.
pub(crate) async fn start(client: Client) -> Result<Desk, async_nats::Error> {
    let service = client
        .service_builder()
        .description("messages that leave the house")
        .start(SERVICE, env!("CARGO_PKG_VERSION"))
        .await?;
    let replays = service.group(SERVICE).endpoint("replay").await?.boxed();
    Ok(Desk { service, replays })
}

impl Desk {
    /// Answers until the end.
    pub(crate) async fn run(self, context: Arc<Context>, shutdown: CancellationToken) {
        let answering = self
            .replays
            .for_each_concurrent(ANSWERS_AT_ONCE, |request| respond(&context, request));
        tokio::select! {
            () = answering => {}
            () = shutdown.cancelled() => {}
        }
        if let Err(error) = self.service.stop().await {
            tracing::debug!(%error, "the desk could not say goodbye");
        }
    }
}

async fn respond(context: &Context, request: Request) {
    let headers = request.message.headers.as_ref();
    let header = |name: &str| headers.and_then(|headers| headers.get(name));
    let wants_json = header("Accept").is_some_and(|accept| accept.as_str() == "application/json");
    let dry_run = header("Dry-Run").is_some_and(|value| value.as_str() == "1");
    let command = header("Command-Id").map(|id| Uuid::parse_str(id.as_str()));
    let answered = match (serde_json::from_slice(&request.message.payload), command) {
        (Err(error), _) => Err(Refusal::BadRequest(error.to_string())),
        (_, Some(Err(error))) => Err(Refusal::BadRequest(format!("Command-Id: {error}"))),
        (Ok(wanted), command) => {
            let command = command.and_then(Result::ok);
            let command = CommandId(command.unwrap_or_else(|| context.clock.new_id()));
            replay(context, &wanted, command, dry_run).await
        }
    };
    let (body, headers) = match answered {
        Ok(replayed) => (said(&replayed, wants_json), HeaderMap::new()),
        Err(refusal) => refused(&refusal, wants_json),
    };
    if let Err(error) = request.respond_with_headers(Ok(body), headers).await {
        tracing::debug!(%error, "an answer of the desk could not be sent");
    }
}

fn said(replayed: &Replayed, wants_json: bool) -> Bytes {
    if wants_json {
        return serde_json::to_vec(replayed).unwrap_or_default().into();
    }
    let Replayed {
        replayed,
        more,
        dry_run,
    } = replayed;
    let verb = if *dry_run { "would be" } else { "are" };
    let more = if *more {
        "; there are more, ask again for a later period"
    } else {
        ""
    };
    format!("{replayed} messages {verb} sent once more{more}\n").into()
}

fn refused(refusal: &Refusal, wants_json: bool) -> (Bytes, HeaderMap) {
    let (status, code) = refusal.status();
    let line = format!("{code}: {refusal}").replace(['\r', '\n'], " ");
    let mut headers = HeaderMap::new();
    headers.insert(NATS_SERVICE_ERROR_CODE, status.to_string());
    headers.insert(NATS_SERVICE_ERROR, line.as_str());
    headers.insert("Waybill-Error-Code", code);
    let body = if wants_json {
        let problem =
            serde_json::json!({"status": status, "code": code, "detail": refusal.to_string()});
        problem.to_string()
    } else {
        format!("{line}\n")
    };
    (body.into(), headers)
}

async fn replay(
    context: &Context,
    wanted: &Wanted,
    command: CommandId,
    dry_run: bool,
) -> Result<Replayed, Refusal> {
    match wanted {
        Wanted::One {
            delivery_id,
            history_id,
        } => {
            let loaded = context
                .executor
                .load::<Notification>(*history_id, Freshness::Leader)
                .await?;
            let delivery = loaded.state.delivery(DeliveryId(*delivery_id));
            let intended = delivery.map(|delivery| delivery.intent.clone());
            let intended = intended.filter(|intended| intended.channel == Channel::Webhook);
            let intended = intended.ok_or(Refusal::NotFound)?;
            if !dry_run {
                send_again(context, *history_id, &intended, command).await?;
            }
            Ok(Replayed {
                replayed: 1,
                more: false,
                dry_run,
            })
        }
        Wanted::Period {
            partner_id,
            from,
            to,
        } => {
            if from > to {
                return Err(Refusal::BadRequest("`from` is after `to`".to_owned()));
            }
            let period = Period {
                partner: *partner_id,
                from: *from,
                to: *to,
            };
            let mut replayed = Replayed {
                dry_run,
                ..Replayed::default()
            };
            let mut after = before(context, *from).await?;
            loop {
                let (last, found) = period.read(context, after).await?;
                for (history, intended) in found {
                    if replayed.replayed == REPLAYED_MAX {
                        replayed.more = true;
                        return Ok(replayed);
                    }
                    replayed.replayed += 1;
                    if !dry_run {
                        send_again(context, history, &intended, command).await?;
                    }
                }
                match last {
                    Some(last) => after = last,
                    None => return Ok(replayed),
                }
            }
        }
    }
}

/// What went to one partner's system in some time.
struct Period {
    partner: Uuid,
    from: Timestamp,
    to: Timestamp,
}

impl Period {
    /// The next messages after the position, and where to read on.
    async fn read(
        &self,
        context: &Context,
        after: Position,
    ) -> Result<(Option<Position>, Vec<(Uuid, Intended)>), Refusal> {
        let store = context.executor.store();
        let events = store
            .read(after, READ_AT_ONCE, Some("evt.notification.>"))
            .await?;
        let mut last = None;
        let mut found = Vec::new();
        for recorded in &events {
            if recorded.metadata.occurred_at > self.to {
                return Ok((None, found));
            }
            last = Some(recorded.position);
            if recorded.event_type != "notification.intended" {
                continue;
            }
            let Some((_, history)) = recorded.subject.aggregate() else {
                continue;
            };
            if let Some(notification::Event::Intended(intended)) = read(recorded)
                && self.holds(&intended)
            {
                found.push((history, intended));
            }
        }
        Ok((last, found))
    }

    fn holds(&self, intended: &Intended) -> bool {
        intended.channel == Channel::Webhook
            && intended.replay_of.is_none()
            && matches!(intended.recipient, Recipient::Partner(partner) if partner.uuid() == self.partner)
            && (self.from..=self.to).contains(&intended.intended_at)
    }
}

/// A position before everything that happened from the moment on, by halving: events are stored in the order they
/// happened in, but for the differences between clocks, for which some room is left.
async fn before(context: &Context, moment: Timestamp) -> Result<Position, Refusal> {
    let moment = moment
        .checked_sub(std::time::Duration::from_secs(300))
        .unwrap_or(Timestamp::MIN);
    let store = context.executor.store();
    let (mut low, mut high) = (0, store.end().await?.position.0);
    while low < high {
        let middle = low + (high - low) / 2 + 1;
        let earlier = match store.at(Position(middle)).await? {
            Some(recorded) => recorded.metadata.occurred_at < moment,
            None => false,
        };
        if earlier {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Position(low))
}

async fn send_again(
    context: &Context,
    history: Uuid,
    intended: &Intended,
    command: CommandId,
) -> Result<(), Refusal> {
    let original = intended.replay_of.unwrap_or(intended.delivery_id);
    let now = context.clock.now();
    let again = Intended {
        delivery_id: replay_id(original, command),
        replay_of: Some(original),
        intended_at: now,
        not_before: None,
        ..intended.clone()
    };
    let metadata = Metadata::new(command, Actor::notifier(), now);
    let executed = context.executor.execute(metadata, None, |work| {
        work.decide::<Notification>(history, Intend(again.clone()).into())
            .map_err(Stop::<Rejection>::from)
    });
    let executed: Result<_, ExecuteError<Rejection>> = executed.await;
    executed
        .map(drop)
        .map_err(|error| Refusal::Away(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_or_a_period_can_be_asked_for_and_nothing_in_between() {
        let id = Uuid::from_u128(7);
        let read = |text: String| serde_json::from_str::<Wanted>(&text);
        let one = read(format!(r#"{{"delivery_id": "{id}", "order_id": "{id}"}}"#));
        assert!(matches!(one, Ok(Wanted::One { .. })));
        let period = read(format!(
            r#"{{"partner_id": "{id}", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}}"#
        ));
        assert!(matches!(period, Ok(Wanted::Period { .. })));
        for bad in ["{}", "", "[]", r#"{"partner_id": 1}"#] {
            assert!(read(bad.to_owned()).is_err(), "{bad}");
        }
        let mixed =
            format!(r#"{{"delivery_id": "{id}", "history_id": "{id}", "partner_id": "{id}"}}"#);
        assert!(read(mixed).is_err());
    }
}

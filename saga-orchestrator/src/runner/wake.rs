//! What an event asks of a saga's owner, read from subject and headers alone.

use async_nats::jetstream::Message;
use event_schema::envelope::header;
use event_schema::ids::EffectId;
use event_schema::{Position, Subject, Timestamp};
use uuid::Uuid;

use super::slots::FirstCall;

/// What a message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// The saga moved.
    Saga {
        order: Uuid,
        /// Set when the event is an intent.
        intent: Option<FirstCall>,
        /// Whether it is an operator's command.
        commanded: bool,
        /// Whether it is the saga's first event, whose batch goes on with its first intent.
        begins: bool,
    },
    /// A callback was recorded.
    Callback { order: Uuid },
    /// Nothing: the saga's own doing, in a batch with its event.
    Nothing,
}

/// Reads from subject and headers alone what an event asks for.
pub(super) fn asks(
    subject: &Subject,
    event_type: &str,
    effect: Option<EffectId>,
    occurred_at: Option<Timestamp>,
) -> Asks {
    match subject.aggregate() {
        Some(("fulfilment", order)) => {
            let intent = effect
                .zip(occurred_at)
                .filter(|_| event_type == "fulfilment.intended");
            let intent = intent.map(|(effect_id, intended_at)| FirstCall {
                effect_id,
                intended_at,
                certain: false,
            });
            Asks::Saga {
                order,
                intent,
                commanded: event_type == "fulfilment.operator_commanded",
                begins: event_type == "fulfilment.started",
            }
        }
        Some(("payment", order)) if event_type == "payment.callback_recorded" => {
            Asks::Callback { order }
        }
        _ => Asks::Nothing,
    }
}

/// Position, what it asks for, and whether it was delivered for the first time.
pub(super) fn read(message: &Message) -> Option<(Position, Asks, bool)> {
    let info = message.info().ok()?;
    let (position, first) = (Position(info.stream_sequence), info.delivered <= 1);
    let subject: Subject = message.subject.as_str().parse().ok()?;
    let headers = message.headers.as_ref();
    let get = |name: &str| {
        headers
            .and_then(|headers| headers.get(name))
            .map(|value| value.as_str())
    };
    let effect = get(header::EFFECT_ID)
        .and_then(|id| Uuid::parse_str(id).ok())
        .map(EffectId);
    let occurred_at = get(header::OCCURRED_AT).and_then(|at| at.parse().ok());
    let event_type = get(header::EVENT_TYPE).unwrap_or_default();
    Some((
        position,
        asks(&subject, event_type, effect, occurred_at),
        first,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_is_asked_for_by_its_own_events_and_by_callbacks_only() {
        let order = Uuid::from_u128(7);
        let effect = EffectId(Uuid::from_u128(8));
        let saga = Subject::history("fulfilment", order);
        let payment = Subject::history("payment", order);
        let at = Timestamp::UNIX_EPOCH;
        let asked = |subject, event_type| asks(subject, event_type, Some(effect), Some(at));
        let first = FirstCall {
            effect_id: effect,
            intended_at: at,
            certain: false,
        };
        assert_eq!(
            asked(&saga, "fulfilment.intended"),
            Asks::Saga {
                order,
                intent: Some(first),
                commanded: false,
                begins: false
            }
        );
        assert_eq!(
            asked(&saga, "fulfilment.attempt_ended"),
            Asks::Saga {
                order,
                intent: None,
                commanded: false,
                begins: false
            }
        );
        assert_eq!(
            asked(&saga, "fulfilment.operator_commanded"),
            Asks::Saga {
                order,
                intent: None,
                commanded: true,
                begins: false
            }
        );
        assert_eq!(
            asked(&payment, "payment.callback_recorded"),
            Asks::Callback { order }
        );
        assert_eq!(asked(&payment, "payment.captured"), Asks::Nothing);
    }
}

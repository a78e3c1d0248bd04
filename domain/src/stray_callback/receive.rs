//! A stray callback is kept once, however often the provider repeats it.

use event_schema::stray_callback::{self as event, Event};

use super::{Rejection, State};

/// Longest reference kept, in characters: it is foreign text.
const LONGEST_REFERENCE_CHARS: usize = 200;

/// Keep the callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    /// Who called.
    pub provider: String,
    /// The provider's id of the event.
    pub provider_event_id: String,
    /// The provider's type of the event.
    pub kind: String,
    /// The order it named, if any, as it named it.
    pub order_reference: Option<String>,
    /// The payment it named, if any.
    pub provider_payment_id: Option<String>,
}

impl Receive {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::Kept => Ok(vec![]),
            State::Unseen => Ok(vec![
                event::Received {
                    provider: self.provider,
                    provider_event_id: self.provider_event_id,
                    kind: self.kind,
                    order_reference: self
                        .order_reference
                        .map(|reference| reference.chars().take(LONGEST_REFERENCE_CHARS).collect()),
                    provider_payment_id: self.provider_payment_id,
                }
                .into(),
            ]),
        }
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::stray_callback::StrayCallback;

    fn received(reference: &str) -> event::Received {
        event::Received {
            provider: "sandbox".into(),
            provider_event_id: "evt_1".into(),
            kind: "payment_intent.succeeded".into(),
            order_reference: Some(reference.into()),
            provider_payment_id: Some("pi_1".into()),
        }
    }

    fn receive(reference: &str) -> Receive {
        let event::Received {
            provider,
            provider_event_id,
            kind,
            order_reference,
            provider_payment_id,
        } = received(reference);
        Receive {
            provider,
            provider_event_id,
            kind,
            order_reference,
            provider_payment_id,
        }
    }

    #[test]
    fn a_callback_about_no_order_is_kept() {
        given::<StrayCallback>([])
            .when(receive("nobody"))
            .then([received("nobody").into()]);
    }

    #[test]
    fn a_repeated_callback_is_kept_once() {
        given::<StrayCallback>([received("nobody").into()])
            .when(receive("nobody"))
            .then_nothing();
    }

    #[test]
    fn foreign_text_is_cut() {
        let kept = received(&"ä".repeat(LONGEST_REFERENCE_CHARS)).into();
        given::<StrayCallback>([])
            .when(receive(&"ä".repeat(5_000)))
            .then([kept]);
    }
}

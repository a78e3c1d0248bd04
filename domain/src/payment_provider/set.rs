//! An admin decides how a provider is shown and whether new orders may use it. Running payments go on.

use event_schema::payment_provider::{self as event, Event};

use super::{Provider, Rejection, State};

/// It is shown and used like this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name in the API.
    pub provider: String,
    /// Its name for people.
    pub title: String,
    /// Whether new orders may be paid with it.
    pub active: bool,
    /// Whether customers may pay on its hosted page.
    pub checkout: bool,
}

impl Set {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self {
            provider,
            title,
            active,
            checkout,
        } = self;
        if title.trim().is_empty() {
            return Err(Rejection::TitleMissing);
        }
        let wanted = State::Set(Provider {
            title: title.clone(),
            active,
            checkout,
        });
        if *state == wanted {
            return Ok(vec![]);
        }
        Ok(vec![
            event::Set {
                provider,
                title,
                active,
                checkout,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::payment_provider::PaymentProvider;

    fn set(active: bool, checkout: bool) -> Set {
        Set {
            provider: "stripe".into(),
            title: "Card".into(),
            active,
            checkout,
        }
    }

    fn was_set(active: bool, checkout: bool) -> Event {
        event::Set {
            provider: "stripe".into(),
            title: "Card".into(),
            active,
            checkout,
        }
        .into()
    }

    #[test]
    fn a_provider_nobody_spoke_of_takes_orders_and_one_switched_off_takes_none() {
        let state = given::<PaymentProvider>([]).then_state();
        assert!(state.takes(true) && state.takes(false));
        let state = given::<PaymentProvider>([])
            .when(set(false, true))
            .then([was_set(false, true)]);
        assert!(!state.takes(true) && !state.takes(false));
    }

    #[test]
    fn without_its_hosted_page_a_provider_still_takes_cards() {
        let state = given::<PaymentProvider>([was_set(true, true)])
            .when(set(true, false))
            .then([was_set(true, false)]);
        assert!(!state.takes(true) && state.takes(false));
    }

    #[test]
    fn the_same_again_changes_nothing() {
        given::<PaymentProvider>([was_set(true, true)])
            .when(set(true, true))
            .then_nothing();
    }

    #[test]
    fn a_provider_without_a_title_is_refused() {
        let nameless = Set {
            title: String::new(),
            ..set(true, true)
        };
        given::<PaymentProvider>([])
            .when(nameless)
            .then_rejected(Rejection::TitleMissing);
    }
}

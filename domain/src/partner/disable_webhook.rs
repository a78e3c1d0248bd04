//! A partner's system said that its address is gone; nothing is sent there until somebody sets it again.

use event_schema::partner::{self as event, Event};

use super::{Rejection, State};

/// Nothing is sent to its system any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisableWebhook {
    /// The address that was used; nothing happens if there is another one meanwhile.
    pub webhook_url: String,
    /// Why, as a short code.
    pub cause: String,
}

impl DisableWebhook {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if state.profile().is_none() {
            return Err(Rejection::NotAdded);
        }
        if state.webhook() != Some(self.webhook_url.as_str()) {
            return Ok(vec![]);
        }
        Ok(vec![event::WebhookDisabled { cause: self.cause }.into()])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::partner::fixtures::{added, profile};
    use crate::partner::{Change, Enable, Partner, Profile};

    const URL: &str = "https://bakery.example/hook";

    fn with_webhook(url: &str) -> Profile {
        Profile {
            webhook_url: Some(url.into()),
            ..profile()
        }
    }

    fn changed(profile: Profile) -> Event {
        let Profile {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        } = profile;
        event::Changed {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        }
        .into()
    }

    fn disable() -> DisableWebhook {
        DisableWebhook {
            webhook_url: URL.into(),
            cause: "gone".into(),
        }
    }

    fn disabled() -> Event {
        event::WebhookDisabled {
            cause: "gone".into(),
        }
        .into()
    }

    fn past() -> Vec<Event> {
        vec![
            added(),
            event::Enabled {}.into(),
            changed(with_webhook(URL)),
        ]
    }

    #[test]
    fn nothing_goes_to_an_address_that_is_gone() {
        let state = given::<Partner>(past()).when(disable()).then([disabled()]);
        assert_eq!(state.webhook(), None);
        assert_eq!(state.profile().unwrap().webhook_url.as_deref(), Some(URL));
    }

    #[test]
    fn disabling_it_again_or_after_another_address_came_changes_nothing() {
        let mut twice = past();
        twice.push(disabled());
        given::<Partner>(twice).when(disable()).then_nothing();
        let mut moved = past();
        moved.push(changed(with_webhook("https://bakery.example/new")));
        given::<Partner>(moved).when(disable()).then_nothing();
    }

    #[test]
    fn setting_the_address_again_opens_it_even_when_it_is_the_same() {
        let mut past = past();
        past.push(disabled());
        let state = given::<Partner>(past)
            .when(Change {
                profile: with_webhook(URL),
            })
            .then([changed(with_webhook(URL))]);
        assert_eq!(state.webhook(), Some(URL));
    }

    #[test]
    fn enabling_the_partner_again_opens_it_too() {
        let mut past = past();
        past.push(disabled());
        let state = given::<Partner>(past)
            .when(Enable)
            .then([event::Enabled {}.into()]);
        assert_eq!(state.webhook(), Some(URL));
    }

    #[test]
    fn an_unknown_partner_has_no_webhook() {
        given::<Partner>([])
            .when(disable())
            .then_rejected(Rejection::NotAdded);
    }
}

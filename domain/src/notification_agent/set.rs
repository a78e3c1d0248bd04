//! An admin decides how an agent works. What is intended already goes out as it was intended.

use event_schema::notification_agent::{self as event, Event};

use super::{Agent, Rejection, State, quiet};

/// It works like this from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set(pub Agent);

impl Set {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let agent = self.0;
        if agent.name.trim().is_empty() {
            return Err(Rejection::NameMissing);
        }
        if agent.active && agent.channels.is_empty() {
            return Err(Rejection::ChannelMissing);
        }
        if twice(agent.channels.iter().map(|route| route.channel)) {
            return Err(Rejection::ChannelTwice);
        }
        if agent
            .channels
            .iter()
            .any(|route| twice(route.providers.iter()))
        {
            return Err(Rejection::ProviderTwice);
        }
        agent.quiet_hours.as_ref().map_or(Ok(()), quiet::check)?;
        if state.agent() == Some(&agent) {
            return Ok(vec![]);
        }
        Ok(vec![event::Set::from(agent).into()])
    }
}

fn twice<T: Ord>(values: impl Iterator<Item = T>) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    let mut values = values;
    values.any(|value| !seen.insert(value))
}

#[cfg(test)]
mod tests {
    use event_schema::notification::{Channel, Kind, Priority, QuietHours};
    use event_schema::notification_agent::Route;
    use event_schema::testing::given;

    use super::*;
    use crate::notification_agent::NotificationAgent;

    fn route(channel: Channel, providers: &[&str]) -> Route {
        Route {
            channel,
            providers: providers.iter().map(ToString::to_string).collect(),
        }
    }

    fn agent() -> Agent {
        Agent {
            name: "orders".into(),
            kinds: vec![Kind::OrderConfirmed],
            priority: Priority::High,
            channels: vec![route(Channel::Email, &["smtp", "mail_api"])],
            active: true,
            allow_duplicates: false,
            quiet_hours: None,
        }
    }

    fn was_set(agent: Agent) -> Event {
        event::Set::from(agent).into()
    }

    #[test]
    fn an_agent_works_as_it_was_set() {
        let state = given::<NotificationAgent>([])
            .when(Set(agent()))
            .then([was_set(agent())]);
        assert_eq!(state.agent(), Some(&agent()));
    }

    #[test]
    fn the_same_again_changes_nothing() {
        given::<NotificationAgent>([was_set(agent())])
            .when(Set(agent()))
            .then_nothing();
    }

    #[test]
    fn an_agent_that_is_switched_off_tells_nothing_and_needs_no_channel() {
        let off = Agent {
            active: false,
            channels: vec![],
            ..agent()
        };
        let state = given::<NotificationAgent>([was_set(agent())])
            .when(Set(off.clone()))
            .then([was_set(off)]);
        assert!(!state.agent().unwrap().tells(Kind::OrderConfirmed));
    }

    #[test]
    fn an_agent_that_contradicts_itself_is_refused() {
        let mute = Agent {
            channels: vec![],
            ..agent()
        };
        let nameless = Agent {
            name: " ".into(),
            ..agent()
        };
        let twofold = Agent {
            channels: vec![route(Channel::Email, &[]), route(Channel::Email, &["smtp"])],
            ..agent()
        };
        let stuttering = Agent {
            channels: vec![route(Channel::Email, &["smtp", "smtp"])],
            ..agent()
        };
        let sleepless = Agent {
            quiet_hours: Some(QuietHours {
                from: "22:00".into(),
                until: "late".into(),
                time_zone: "UTC".into(),
            }),
            ..agent()
        };
        for (refused, rejection) in [
            (mute, Rejection::ChannelMissing),
            (nameless, Rejection::NameMissing),
            (twofold, Rejection::ChannelTwice),
            (stuttering, Rejection::ProviderTwice),
            (sleepless, Rejection::QuietHours(quiet::Invalid::Time)),
        ] {
            given::<NotificationAgent>([])
                .when(Set(refused))
                .then_rejected(rejection);
        }
    }
}

//! By whose settings messages go out, and who runs the shop: what the leader knows of agents and admins.

use std::collections::{BTreeMap, BTreeSet};

use domain::notification_agent::{Agent, defaults};
use event_schema::customer::{self, Role};
use event_schema::notification::{AgentVersion, Kind, Priority};
use event_schema::{EventSet, Recorded, notification_agent};
use uuid::Uuid;

/// How many admins are told; a shop with more has other ways to tell them.
const ADMINS_MAX: usize = 200;

/// The agents as they are set, over the built-in ones.
#[derive(Debug, Clone)]
pub(crate) struct Agents(BTreeMap<String, (u64, Agent)>);

impl Default for Agents {
    fn default() -> Self {
        let built_in = defaults().map(|agent| (agent.name.clone(), (0, agent)));
        Self(BTreeMap::from(built_in))
    }
}

impl Agents {
    /// An agent was set.
    pub(crate) fn note(&mut self, version: u64, event: notification_agent::Event) {
        let notification_agent::Event::Set(set) = event;
        self.0.insert(set.name.clone(), (version, set.into()));
    }

    /// Who tells this: of several the one with the highest priority, then by name, so that nobody is told twice.
    pub(crate) fn telling(&self, kind: Kind) -> Option<(AgentVersion, &Agent)> {
        let telling = self.0.values().filter(|(_, agent)| agent.tells(kind));
        let (version, agent) = telling.min_by_key(|(_, agent)| rank(agent.priority))?;
        let named = AgentVersion {
            name: agent.name.clone(),
            version: *version,
        };
        Some((named, agent))
    }
}

/// High is 0.
pub(crate) const fn rank(priority: Priority) -> usize {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

/// Those who run the shop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Admins(pub(crate) BTreeSet<Uuid>);

impl Admins {
    /// What a customer's event means for who runs the shop; whether anything.
    pub(crate) fn note(&mut self, id: Uuid, event: &customer::Event) -> bool {
        use customer::Event;
        match event {
            Event::Added(customer::Added { role, .. })
            | Event::RoleChanged(customer::RoleChanged { role, .. }) => {
                if *role != Role::Admin {
                    self.0.remove(&id)
                } else if self.0.len() < ADMINS_MAX {
                    self.0.insert(id)
                } else {
                    false
                }
            }
            Event::Deactivated(_) | Event::Erased(_) => self.0.remove(&id),
            Event::ProfileChanged(_)
            | Event::EmailChanged(_)
            | Event::EmailVerified(_)
            | Event::AvatarChanged(_)
            | Event::ChannelsChosen(_)
            | Event::PushTokenDropped(_) => false,
        }
    }
}

/// The event's payload; none when this build cannot read it, which is said and counted.
pub(crate) fn read<E: EventSet>(recorded: &Recorded) -> Option<E> {
    let decoded = E::decode(
        &recorded.event_type,
        recorded.schema_version,
        &recorded.payload,
    );
    decoded
        .inspect_err(|error| {
            metrics::counter!("waybill_notifier_unreadable_events_total").increment(1);
            tracing::error!(
                %error, position = recorded.position.0, event_type = %recorded.event_type,
                "an event cannot be read; nobody is told of it"
            );
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use event_schema::notification::Channel;
    use event_schema::notification_agent::Route;

    use super::*;

    fn set(name: &str, priority: Priority, active: bool) -> notification_agent::Event {
        notification_agent::Set {
            name: name.into(),
            kinds: vec![Kind::OrderConfirmed],
            priority,
            channels: vec![Route {
                channel: Channel::Email,
                providers: vec![],
            }],
            active,
            allow_duplicates: false,
            quiet_hours: None,
        }
        .into()
    }

    #[test]
    fn an_agent_that_is_set_takes_the_place_of_the_built_in_one_and_can_be_switched_off() {
        let mut agents = Agents::default();
        let name = |agents: &Agents| agents.telling(Kind::OrderConfirmed).map(|(named, _)| named);
        assert_eq!(name(&agents).unwrap().version, 0);
        agents.note(1, set("orders", Priority::Low, true));
        assert_eq!(name(&agents).unwrap().version, 1);
        assert!(agents.telling(Kind::OrderReady).is_none());
        agents.note(1, set("loud", Priority::High, true));
        assert_eq!(name(&agents).unwrap().name, "loud");
        agents.note(2, set("loud", Priority::High, false));
        agents.note(2, set("orders", Priority::High, false));
        assert_eq!(name(&agents), None);
    }
}

//! The agents that hold while nobody has set any.

use event_schema::notification::{Channel, Kind, Priority};
use event_schema::notification_agent::Route;

use super::Agent;

/// The built-in agents. An agent that names no providers uses every one that is configured for the channel.
pub fn defaults() -> [Agent; 4] {
    use Channel::{Email, Push, Sms, Webhook};
    [
        agent(
            "orders",
            &[
                Kind::OrderPlaced,
                Kind::OrderConfirmed,
                Kind::OrderCancelled,
                Kind::RefundPending,
                Kind::Refunded,
                Kind::OrderReady,
                Kind::OrderOnItsWay,
                Kind::OrderDelivered,
            ],
            Priority::High,
            &[Email, Push, Sms],
        ),
        agent(
            "account",
            &[
                Kind::CustomerAdded,
                Kind::ResourceAdded,
                Kind::ResourceRemoved,
            ],
            Priority::Normal,
            &[Email],
        ),
        agent(
            "staff",
            &[
                Kind::LowStock,
                Kind::SagaNeedsOperator,
                Kind::WebhookDisabled,
            ],
            Priority::Normal,
            &[Email],
        ),
        agent(
            "partners",
            &[Kind::OrderPrepare],
            Priority::High,
            &[Webhook],
        ),
    ]
}

fn agent(name: &str, kinds: &[Kind], priority: Priority, channels: &[Channel]) -> Agent {
    Agent {
        name: name.to_owned(),
        kinds: kinds.to_vec(),
        priority,
        channels: channels
            .iter()
            .map(|channel| Route {
                channel: *channel,
                providers: Vec::new(),
            })
            .collect(),
        active: true,
        allow_duplicates: false,
        quiet_hours: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_told_by_exactly_one_built_in_agent() {
        for kind in Kind::ALL {
            let telling = defaults().iter().filter(|agent| agent.tells(kind)).count();
            assert_eq!(telling, 1, "{}", kind.as_str());
        }
    }
}

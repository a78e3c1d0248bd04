//! The agents that hold while nobody has set any.

use event_schema::notification_agent::built_in;

use super::Agent;

/// The built-in agents, as they are shown too.
pub fn defaults() -> [Agent; 4] {
    built_in().map(Agent::from)
}

#[cfg(test)]
mod tests {
    use event_schema::notification::Kind;

    use super::*;

    #[test]
    fn every_kind_is_told_by_exactly_one_built_in_agent() {
        for kind in Kind::ALL {
            let telling = defaults().iter().filter(|agent| agent.tells(kind)).count();
            assert_eq!(telling, 1, "{}", kind.as_str());
        }
    }
}

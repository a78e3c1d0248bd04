//! The push service says that nobody is reached by a token any more.

use event_schema::Sealed;
use event_schema::customer::{self as event, Event};

use super::{Rejection, State};

/// The token is dead; nothing happens if the person has given another one meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct DropPushToken {
    /// The token that was used, sealed as the state holds it.
    pub token: Sealed<String>,
}

impl DropPushToken {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        // Also of an account that is closed: what reaches nobody is kept for nobody.
        let held = state
            .details()
            .ok_or(Rejection::NotAdded)?
            .push_token
            .as_ref();
        if held != Some(&self.token) {
            return Ok(vec![]);
        }
        Ok(vec![event::PushTokenDropped {}.into()])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::customer::Customer;
    use crate::customer::fixtures::{added, erased};
    use crate::fixtures::{sealed, sealed_as};

    fn with_token(token: Sealed<String>) -> Event {
        event::ProfileChanged {
            name: sealed("name"),
            phone: None,
            birth_date: None,
            push_token: Some(token),
        }
        .into()
    }

    fn drop_token() -> DropPushToken {
        DropPushToken {
            token: sealed("push_token"),
        }
    }

    #[test]
    fn a_dead_token_is_forgotten() {
        let state = given::<Customer>([added(), with_token(sealed("push_token"))])
            .when(drop_token())
            .then([event::PushTokenDropped {}.into()]);
        assert_eq!(state.details().unwrap().push_token, None);
    }

    #[test]
    fn a_token_given_meanwhile_stays() {
        given::<Customer>([added(), with_token(sealed_as("push_token", "bmV3"))])
            .when(drop_token())
            .then_nothing();
        given::<Customer>([added()])
            .when(drop_token())
            .then_nothing();
    }

    #[test]
    fn nobody_has_a_token_without_an_account() {
        for past in [vec![], vec![added(), erased()]] {
            given::<Customer>(past)
                .when(drop_token())
                .then_rejected(Rejection::NotAdded);
        }
    }
}

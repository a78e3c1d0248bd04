//! What is known of the person changes, a field at a time or several at once.

use event_schema::Sealed;
use event_schema::customer::{self as event, Event};

use super::{Rejection, State, open};

/// What is different; what is not given stays. An inner `None` takes the value away.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeProfile {
    /// Full name.
    pub name: Option<Sealed<String>>,
    /// Telephone number.
    pub phone: Option<Option<Sealed<String>>>,
    /// Day of birth.
    pub birth_date: Option<Option<Sealed<String>>>,
    /// Where pushed messages reach the person's device.
    pub push_token: Option<Option<Sealed<String>>>,
}

impl ChangeProfile {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let known = open(state)?;
        if self == Self::default() {
            return Ok(vec![]);
        }
        Ok(vec![
            event::ProfileChanged {
                name: self.name.unwrap_or_else(|| known.name.clone()),
                phone: self.phone.unwrap_or_else(|| known.phone.clone()),
                birth_date: self.birth_date.unwrap_or_else(|| known.birth_date.clone()),
                push_token: self.push_token.unwrap_or_else(|| known.push_token.clone()),
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::customer::Customer;
    use crate::customer::fixtures::{added, deactivated};
    use crate::fixtures::{sealed, sealed_as};

    fn with_phone() -> Event {
        event::ProfileChanged {
            name: sealed("name"),
            phone: Some(sealed("phone")),
            birth_date: None,
            push_token: None,
        }
        .into()
    }

    #[test]
    fn what_is_given_changes_and_the_rest_stays() {
        let change = ChangeProfile {
            name: Some(sealed_as("name", "bmV3")),
            ..ChangeProfile::default()
        };
        let state = given::<Customer>([added(), with_phone()])
            .when(change)
            .then([event::ProfileChanged {
                name: sealed_as("name", "bmV3"),
                phone: Some(sealed("phone")),
                birth_date: None,
                push_token: None,
            }
            .into()]);
        assert_eq!(state.details().unwrap().name, sealed_as("name", "bmV3"));
    }

    #[test]
    fn a_value_can_be_taken_away() {
        let change = ChangeProfile {
            phone: Some(None),
            ..ChangeProfile::default()
        };
        let state = given::<Customer>([added(), with_phone()])
            .when(change)
            .then([event::ProfileChanged {
                name: sealed("name"),
                phone: None,
                birth_date: None,
                push_token: None,
            }
            .into()]);
        assert_eq!(state.details().unwrap().phone, None);
    }

    #[test]
    fn nothing_given_changes_nothing() {
        given::<Customer>([added()])
            .when(ChangeProfile::default())
            .then_nothing();
    }

    #[test]
    fn a_closed_account_does_not_change() {
        given::<Customer>([added(), deactivated()])
            .when(ChangeProfile::default())
            .then_rejected(Rejection::Deactivated);
        given::<Customer>([])
            .when(ChangeProfile::default())
            .then_rejected(Rejection::NotAdded);
    }
}

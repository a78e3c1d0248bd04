//! A customer is added once; adding the same one again changes nothing.

use event_schema::Sealed;
use event_schema::customer::{self as event, Event, Role};

use super::{Rejection, State};

/// A customer exists from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Add {
    /// Full name.
    pub name: Sealed<String>,
    /// E-mail address as given.
    pub email: Sealed<String>,
    /// Keyed hash of the normalised address: the key of the uniqueness record.
    pub email_key: String,
    /// What the person may do.
    pub role: Role,
}

impl Add {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if let State::Added(known) = state {
            // Sealing is randomised, so a repeat is told by what is comparable.
            return if (&known.email_key, known.role) == (&self.email_key, self.role) {
                Ok(vec![])
            } else {
                Err(Rejection::AlreadyAdded)
            };
        }
        let Self {
            name,
            email,
            email_key,
            role,
        } = self;
        Ok(vec![
            event::Added {
                name,
                email,
                email_key,
                role,
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
    use crate::fixtures::{sealed, sealed_as};

    fn added() -> event::Added {
        event::Added {
            name: sealed("name"),
            email: sealed("email"),
            email_key: "c0ffee".into(),
            role: Role::Customer,
        }
    }

    fn add(added: event::Added) -> Add {
        let event::Added {
            name,
            email,
            email_key,
            role,
        } = added;
        Add {
            name,
            email,
            email_key,
            role,
        }
    }

    #[test]
    fn a_customer_is_added_with_personal_data_still_sealed() {
        let added = added();
        let state = given::<Customer>([])
            .when(add(added.clone()))
            .then([added.clone().into()]);
        assert_eq!(state.details().unwrap().email, added.email);
    }

    #[test]
    fn adding_the_same_customer_again_changes_nothing_even_when_sealed_anew() {
        let anew = Add {
            email: sealed_as("email", "YW5ldw"),
            ..add(added())
        };
        given::<Customer>([added().into()])
            .when(anew)
            .then_nothing();
    }

    #[test]
    fn another_customer_cannot_take_the_id() {
        let other = Add {
            email_key: "decaf".into(),
            ..add(added())
        };
        given::<Customer>([added().into()])
            .when(other)
            .then_rejected(Rejection::AlreadyAdded);
    }
}

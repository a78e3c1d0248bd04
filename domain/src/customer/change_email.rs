//! The person has another address; it counts at once and waits to be verified.

use event_schema::Sealed;
use event_schema::customer::{self as event, Event};

use super::{Rejection, State, open};

/// The person has another address. Its uniqueness record is claimed, and the old one released, in the same group.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEmail {
    /// E-mail address as given.
    pub email: Sealed<String>,
    /// Keyed hash of the normalised address.
    pub email_key: String,
}

impl ChangeEmail {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if open(state)?.email_key == self.email_key {
            return Ok(vec![]);
        }
        Ok(vec![
            event::EmailChanged {
                email: self.email,
                email_key: self.email_key,
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
    use crate::customer::fixtures::{added, erased};
    use crate::fixtures::sealed_as;

    fn change(key: &str) -> ChangeEmail {
        ChangeEmail {
            email: sealed_as("email", "bmV3"),
            email_key: key.into(),
        }
    }

    #[test]
    fn a_new_address_has_to_be_verified_again() {
        let verified = event::EmailVerified {
            email_key: "c0ffee".into(),
        };
        let state = given::<Customer>([added(), verified.into()])
            .when(change("decaf"))
            .then([event::EmailChanged {
                email: sealed_as("email", "bmV3"),
                email_key: "decaf".into(),
            }
            .into()]);
        assert!(!state.details().unwrap().email_verified);
    }

    #[test]
    fn the_same_address_changes_nothing() {
        given::<Customer>([added()])
            .when(change("c0ffee"))
            .then_nothing();
    }

    #[test]
    fn somebody_erased_has_no_address() {
        given::<Customer>([added(), erased()])
            .when(change("decaf"))
            .then_rejected(Rejection::NotAdded);
    }
}

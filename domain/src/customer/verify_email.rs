//! The person can read what is sent to the address.

use event_schema::customer::{self as event, Event};

use super::{Rejection, State, open};

/// The code that was sent to the address came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyEmail {
    /// Keyed hash of the address the code was sent to.
    pub email_key: String,
}

impl VerifyEmail {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let known = open(state)?;
        if known.email_key != self.email_key {
            return Err(Rejection::OtherEmail);
        }
        if known.email_verified {
            return Ok(vec![]);
        }
        Ok(vec![
            event::EmailVerified {
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
    use crate::customer::fixtures::added;

    fn verified() -> Event {
        event::EmailVerified {
            email_key: "c0ffee".into(),
        }
        .into()
    }

    fn verify(key: &str) -> VerifyEmail {
        VerifyEmail {
            email_key: key.into(),
        }
    }

    #[test]
    fn an_address_is_verified_once() {
        let state = given::<Customer>([added()])
            .when(verify("c0ffee"))
            .then([verified()]);
        assert!(state.details().unwrap().email_verified);
        given::<Customer>([added(), verified()])
            .when(verify("c0ffee"))
            .then_nothing();
    }

    #[test]
    fn a_code_for_an_address_the_person_has_no_more_verifies_nothing() {
        given::<Customer>([added()])
            .when(verify("decaf"))
            .then_rejected(Rejection::OtherEmail);
    }
}

//! A customer is added once; adding the same one again changes nothing.

use event_schema::Sealed;
use event_schema::customer::{self as event, Event, Role};
use event_schema::ids::PartnerId;

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
    /// Whom a partner's person acts for.
    pub partner_id: Option<PartnerId>,
    /// Telephone number.
    pub phone: Option<Sealed<String>>,
    /// Day of birth.
    pub birth_date: Option<Sealed<String>>,
    /// Where pushed messages reach the person's device.
    pub push_token: Option<Sealed<String>>,
}

impl Add {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        match state {
            State::NotAdded => {}
            // Sealing is randomised, so a repeat is told by what is comparable.
            State::Added(known)
                if (&known.email_key, known.role) == (&self.email_key, self.role) =>
            {
                return Ok(vec![]);
            }
            State::Added(_) | State::Deactivated(_) | State::Erased => {
                return Err(Rejection::AlreadyAdded);
            }
        }
        if self.partner_id.is_some() && self.role != Role::Partner {
            return Err(Rejection::PartnerMismatch);
        }
        let Self {
            name,
            email,
            email_key,
            role,
            partner_id,
            phone,
            birth_date,
            push_token,
        } = self;
        let profile =
            (phone.is_some() || birth_date.is_some() || push_token.is_some()).then(|| {
                event::ProfileChanged {
                    name: name.clone(),
                    phone,
                    birth_date,
                    push_token,
                }
                .into()
            });
        let acts_for = partner_id.map(|partner_id| {
            event::RoleChanged {
                role,
                partner_id: Some(partner_id),
            }
            .into()
        });
        let added = event::Added {
            name,
            email,
            email_key,
            role,
        };
        Ok(std::iter::once(added.into())
            .chain(profile)
            .chain(acts_for)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::customer::Customer;
    use crate::fixtures::{partner_id, sealed, sealed_as};

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
            partner_id: None,
            phone: None,
            birth_date: None,
            push_token: None,
        }
    }

    #[test]
    fn what_else_is_known_of_a_person_is_recorded_with_him() {
        let known = Add {
            phone: Some(sealed("phone")),
            ..add(added())
        };
        let state = given::<Customer>([]).when(known).then([
            added().into(),
            event::ProfileChanged {
                name: sealed("name"),
                phone: Some(sealed("phone")),
                birth_date: None,
                push_token: None,
            }
            .into(),
        ]);
        assert_eq!(state.details().unwrap().phone, Some(sealed("phone")));
    }

    #[test]
    fn a_partners_person_acts_for_the_partner_and_nobody_else_does() {
        let seller = Add {
            role: Role::Partner,
            partner_id: Some(partner_id()),
            ..add(added())
        };
        let state = given::<Customer>([]).when(seller).then([
            event::Added {
                role: Role::Partner,
                ..added()
            }
            .into(),
            event::RoleChanged {
                role: Role::Partner,
                partner_id: Some(partner_id()),
            }
            .into(),
        ]);
        assert_eq!(state.details().unwrap().partner_id, Some(partner_id()));
        let buyer = Add {
            partner_id: Some(partner_id()),
            ..add(added())
        };
        given::<Customer>([])
            .when(buyer)
            .then_rejected(Rejection::PartnerMismatch);
    }

    #[test]
    fn the_id_of_somebody_erased_is_not_given_away() {
        given::<Customer>([added().into(), event::Erased {}.into()])
            .when(add(added()))
            .then_rejected(Rejection::AlreadyAdded);
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

//! An admin gives the person another role.

use event_schema::customer::{self as event, Event, Role};
use event_schema::ids::PartnerId;

use super::{Rejection, State, open};

/// The person may do something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRole {
    /// What the person may do.
    pub role: Role,
    /// Whom a partner's person acts for; none for every other role.
    pub partner_id: Option<PartnerId>,
}

impl ChangeRole {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let known = open(state)?;
        let Self { role, partner_id } = self;
        if (known.role, known.partner_id) == (role, partner_id) {
            return Ok(vec![]);
        }
        if (role == Role::Partner) != partner_id.is_some() {
            return Err(Rejection::PartnerMismatch);
        }
        Ok(vec![event::RoleChanged { role, partner_id }.into()])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::customer::Customer;
    use crate::customer::fixtures::{added, deactivated};
    use crate::fixtures::partner_id;

    fn to(role: Role, partner_id: Option<PartnerId>) -> ChangeRole {
        ChangeRole { role, partner_id }
    }

    #[test]
    fn a_customer_becomes_a_deliverer() {
        let state = given::<Customer>([added()])
            .when(to(Role::Deliverer, None))
            .then([event::RoleChanged {
                role: Role::Deliverer,
                partner_id: None,
            }
            .into()]);
        assert_eq!(state.details().unwrap().role, Role::Deliverer);
    }

    #[test]
    fn the_role_the_person_has_changes_nothing() {
        given::<Customer>([added()])
            .when(to(Role::Customer, None))
            .then_nothing();
    }

    #[test]
    fn a_partners_person_needs_a_partner_and_nobody_else_has_one() {
        given::<Customer>([added()])
            .when(to(Role::Partner, None))
            .then_rejected(Rejection::PartnerMismatch);
        given::<Customer>([added()])
            .when(to(Role::Admin, Some(partner_id())))
            .then_rejected(Rejection::PartnerMismatch);
    }

    #[test]
    fn a_closed_account_gets_no_role() {
        given::<Customer>([added(), deactivated()])
            .when(to(Role::Admin, None))
            .then_rejected(Rejection::Deactivated);
    }
}

//! A partner is added once, neither verified nor enabled.

use event_schema::partner::{self as event, Event};

use super::{Profile, Rejection, State};

/// A partner exists from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Add {
    /// Its business data.
    pub profile: Profile,
}

impl Add {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        if self.profile.title.trim().is_empty() {
            return Err(Rejection::TitleMissing);
        }
        if let State::Added { profile, .. } = state {
            return if *profile == self.profile {
                Ok(vec![])
            } else {
                Err(Rejection::AlreadyAdded)
            };
        }
        let Profile {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        } = self.profile;
        Ok(vec![
            event::Added {
                title,
                brand,
                phone,
                email,
                address,
                webhook_url,
            }
            .into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::partner::Partner;
    use crate::partner::fixtures::{added, profile};

    #[test]
    fn a_new_partner_sells_nothing_yet() {
        let state = given::<Partner>([])
            .when(Add { profile: profile() })
            .then([added()]);
        assert!(!state.buyable());
        assert_eq!(state.profile(), Some(&profile()));
    }

    #[test]
    fn adding_the_same_partner_again_changes_nothing() {
        given::<Partner>([added()])
            .when(Add { profile: profile() })
            .then_nothing();
    }

    #[test]
    fn another_partner_cannot_take_the_id() {
        let other = Profile {
            title: "Other Ltd".into(),
            ..profile()
        };
        given::<Partner>([added()])
            .when(Add { profile: other })
            .then_rejected(Rejection::AlreadyAdded);
    }

    #[test]
    fn a_partner_without_a_title_is_refused() {
        let nameless = Profile {
            title: "  ".into(),
            ..profile()
        };
        given::<Partner>([])
            .when(Add { profile: nameless })
            .then_rejected(Rejection::TitleMissing);
    }
}

//! A partner's business data changes as a whole. An address that was given up as gone is tried again from then on.

use event_schema::partner::{self as event, Event};

use super::{Profile, Rejection, State};

/// The business data is different from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What counts from now on.
    pub profile: Profile,
}

impl Change {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Some(known) = state.profile() else {
            return Err(Rejection::NotAdded);
        };
        if self.profile.title.trim().is_empty() {
            return Err(Rejection::TitleMissing);
        }
        if *known == self.profile && state.webhook_disabled().is_none() {
            return Ok(vec![]);
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
            event::Changed {
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
    fn a_changed_profile_counts_from_now_on() {
        let moved = Profile {
            address: "Main Square 2".into(),
            ..profile()
        };
        let Profile {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        } = moved.clone();
        let changed = event::Changed {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        };
        let state = given::<Partner>([added()])
            .when(Change {
                profile: moved.clone(),
            })
            .then([changed.into()]);
        assert_eq!(state.profile(), Some(&moved));
    }

    #[test]
    fn the_same_profile_again_changes_nothing() {
        given::<Partner>([added()])
            .when(Change { profile: profile() })
            .then_nothing();
    }

    #[test]
    fn an_unknown_partner_cannot_change() {
        given::<Partner>([])
            .when(Change { profile: profile() })
            .then_rejected(Rejection::NotAdded);
    }

    #[test]
    fn a_title_cannot_be_taken_away() {
        let nameless = Profile {
            title: String::new(),
            ..profile()
        };
        given::<Partner>([added()])
            .when(Change { profile: nameless })
            .then_rejected(Rejection::TitleMissing);
    }
}

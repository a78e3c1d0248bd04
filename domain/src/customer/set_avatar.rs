//! The person has another picture; the file is stored before it is named here.

use event_schema::customer::{self as event, Event};

use super::{Rejection, State, open};

/// The person has another picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAvatar {
    /// SHA-256 of the stored file in hex: its name.
    pub digest: String,
    /// What the file is, such as `image/webp`.
    pub media_type: String,
}

impl SetAvatar {
    pub(super) fn decide(self, state: &State) -> Result<Vec<Event>, Rejection> {
        let Self { digest, media_type } = self;
        if open(state)?.avatar.as_ref() == Some(&digest) {
            return Ok(vec![]);
        }
        Ok(vec![event::AvatarChanged { digest, media_type }.into()])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::customer::Customer;
    use crate::customer::fixtures::{added, deactivated};

    fn changed(digest: &str) -> Event {
        event::AvatarChanged {
            digest: digest.into(),
            media_type: "image/webp".into(),
        }
        .into()
    }

    fn set(digest: &str) -> SetAvatar {
        SetAvatar {
            digest: digest.into(),
            media_type: "image/webp".into(),
        }
    }

    #[test]
    fn a_picture_replaces_the_one_before() {
        let state = given::<Customer>([added(), changed("aa")])
            .when(set("bb"))
            .then([changed("bb")]);
        assert_eq!(state.details().unwrap().avatar.as_deref(), Some("bb"));
    }

    #[test]
    fn the_same_picture_changes_nothing() {
        given::<Customer>([added(), changed("aa")])
            .when(set("aa"))
            .then_nothing();
    }

    #[test]
    fn a_closed_account_gets_no_picture() {
        given::<Customer>([added(), deactivated()])
            .when(set("aa"))
            .then_rejected(Rejection::Deactivated);
    }
}

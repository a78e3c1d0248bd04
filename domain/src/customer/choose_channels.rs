//! A person says by which ways, and when, he wants to be told things.

use event_schema::customer::{self as event, Event};
use event_schema::notification::{Channel, QuietHours};

use super::{Rejection, State, open};
use crate::notification::quiet;

/// The person wants to be told things in this way from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChooseChannels {
    /// Ways by which he is told nothing.
    pub off: Vec<Channel>,
    /// When he is left alone.
    pub quiet_hours: Option<QuietHours>,
}

impl ChooseChannels {
    pub(super) fn decide(mut self, state: &State) -> Result<Vec<Event>, Rejection> {
        let known = open(state)?;
        self.quiet_hours.as_ref().map_or(Ok(()), quiet::check)?;
        self.off.sort_unstable();
        self.off.dedup();
        if (&self.off, &self.quiet_hours) == (&known.channels_off, &known.quiet_hours) {
            return Ok(vec![]);
        }
        let Self { off, quiet_hours } = self;
        Ok(vec![event::ChannelsChosen { off, quiet_hours }.into()])
    }
}

#[cfg(test)]
mod tests {
    use event_schema::testing::given;

    use super::*;
    use crate::customer::Customer;
    use crate::customer::fixtures::{added, deactivated, erased};

    fn night() -> QuietHours {
        QuietHours {
            from: "22:00".into(),
            until: "07:00".into(),
            time_zone: "Europe/Berlin".into(),
        }
    }

    fn choose(off: &[Channel]) -> ChooseChannels {
        ChooseChannels {
            off: off.to_vec(),
            quiet_hours: Some(night()),
        }
    }

    fn chosen() -> Event {
        event::ChannelsChosen {
            off: vec![Channel::Email, Channel::Sms],
            quiet_hours: Some(night()),
        }
        .into()
    }

    #[test]
    fn what_is_chosen_counts_from_now_on() {
        let state = given::<Customer>([added()])
            .when(choose(&[Channel::Sms, Channel::Email, Channel::Sms]))
            .then([chosen()]);
        let customer = state.active().unwrap();
        assert!(customer.channels_off.contains(&Channel::Sms));
        assert_eq!(customer.quiet_hours, Some(night()));
    }

    #[test]
    fn choosing_the_same_again_changes_nothing() {
        given::<Customer>([added(), chosen()])
            .when(choose(&[Channel::Sms, Channel::Email]))
            .then_nothing();
    }

    #[test]
    fn quiet_hours_in_a_zone_that_nobody_knows_are_refused() {
        let mut nowhere = choose(&[]);
        nowhere.quiet_hours = Some(QuietHours {
            time_zone: "Nowhere".into(),
            ..night()
        });
        given::<Customer>([added()])
            .when(nowhere)
            .then_rejected(Rejection::QuietHours(quiet::Invalid::TimeZone));
    }

    #[test]
    fn only_an_open_account_chooses() {
        for (past, rejection) in [
            (vec![], Rejection::NotAdded),
            (vec![added(), deactivated()], Rejection::Deactivated),
            (vec![added(), erased()], Rejection::NotAdded),
        ] {
            given::<Customer>(past)
                .when(choose(&[]))
                .then_rejected(rejection);
        }
    }
}

//! How a person wants to be told things.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use event_schema::customer::ChannelsChosen;
use event_schema::notification::{Channel, QuietHours as Stored};

use crate::read_models::notification_agents::QuietHours;

/// By which ways the person is told things; the inbox has everything anyhow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ChosenChannels)]
pub struct Channels {
    /// By e-mail.
    pub email: bool,
    /// By text message.
    pub sms: bool,
    /// Pushed to the device.
    pub push: bool,
}

/// What a row keeps of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Preferences {
    off: Vec<Channel>,
    quiet_hours: Option<Stored>,
}

impl From<&ChannelsChosen> for Preferences {
    fn from(chosen: &ChannelsChosen) -> Self {
        Self {
            off: chosen.off.clone(),
            quiet_hours: chosen.quiet_hours.clone(),
        }
    }
}

impl Preferences {
    pub(super) fn channels(&self) -> Channels {
        let on = |channel| !self.off.contains(&channel);
        Channels {
            email: on(Channel::Email),
            sms: on(Channel::Sms),
            push: on(Channel::Push),
        }
    }

    pub(super) fn quiet_hours(&self) -> Option<QuietHours> {
        self.quiet_hours.as_ref().map(QuietHours::from)
    }
}

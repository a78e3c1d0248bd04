//! Those who carry messages, as the settings have it.

mod log;

use std::sync::Arc;

use event_schema::notification::Channel;
use service_kit::Settings;

use crate::port::Provider;

/// Everyone who is configured, in the order in which they are asked while no agent says otherwise. A channel for which
/// nobody is configured has the log.
///
/// # Errors
/// When a provider's settings cannot be used.
pub fn all(_settings: &Settings) -> anyhow::Result<Vec<Arc<dyn Provider>>> {
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    for channel in Channel::ALL {
        if !providers.iter().any(|known| known.channel() == channel) {
            providers.push(Arc::new(log::Log(channel)));
        }
    }
    Ok(providers)
}

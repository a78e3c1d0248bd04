//! From what an event tells to messages that are intended: by the agents' settings, on the ways that the recipient has
//! and has not switched off. Recorded in one group, and only once however often it is worked out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::customer::Customer;
use domain::notification::{Intend, Notification, quiet};
use domain::notification_agent::Agent;
use domain::order::Order;
use domain::partner::Partner;
use domain::product::{self, Product};
use event_schema::ids::{CommandId, CustomerId, derived};
use event_schema::notification::{
    AgentVersion, Channel, Intended, QuietHours, Recipient, delivery_id,
};
use event_schema::{Actor, Decider, Metadata, Recorded, Timestamp};
use event_store::{ExecuteError, Freshness, LoadError, Stop};
use uuid::Uuid;

use crate::context::Context;
use crate::roster::{Admins, Agents};
use crate::trigger::{Trigger, Whom};

/// No event older than this makes an intent: who was away for so long does not tell old news.
pub(crate) const NEWS_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Why nothing could be intended now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntendError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Execute(#[from] ExecuteError<domain::notification::Rejection>),
}

impl IntendError {
    /// Whether waiting does not help: what is stored cannot be read by this build.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Load(LoadError::Newer { .. } | LoadError::Corrupt { .. })
                | Self::Execute(
                    ExecuteError::Newer { .. }
                        | ExecuteError::Rejected(_)
                        | ExecuteError::Load(LoadError::Newer { .. } | LoadError::Corrupt { .. })
                )
        )
    }
}

/// Whether the event is too old to be told.
pub(crate) fn is_old(recorded: &Recorded, now: Timestamp) -> bool {
    now.duration_since(recorded.metadata.occurred_at)
        .unsigned_abs()
        > NEWS_MAX_AGE
        && recorded.metadata.occurred_at < now
}

/// Intends all that the event tells.
pub(crate) async fn intend(
    context: &Context,
    recorded: &Recorded,
    triggers: &[Trigger],
    agents: &Agents,
    admins: &Admins,
) -> Result<(), IntendError> {
    let mut intents = Vec::new();
    for trigger in triggers {
        let Some((named, agent)) = agents.telling(trigger.kind) else {
            continue;
        };
        let look = Look { context, recorded };
        for recipient in look.recipients(trigger, admins).await? {
            let told = Told {
                trigger,
                named: &named,
                agent,
                recipient,
            };
            intents.extend(look.messages(&told).await?);
        }
    }
    // Every trigger of one event belongs to one history.
    let Some(history) = triggers.first().map(|trigger| trigger.history) else {
        return Ok(());
    };
    if intents.is_empty() {
        return Ok(());
    }
    let command = CommandId(derived(&["notify", &recorded.event_id.to_string()]));
    let metadata = Metadata::caused_by(recorded, command, Actor::notifier(), context.clock.now());
    for group in intents.chunks(GROUP_MAX) {
        context
            .executor
            .execute(metadata.clone(), None, |work| {
                for intended in group {
                    work.decide::<Notification>(history, Intend(intended.clone()).into())
                        .map_err(Stop::<domain::notification::Rejection>::from)?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// Messages that are intended at once: well under what one batch carries.
const GROUP_MAX: usize = 100;

/// One recipient of one trigger.
struct Told<'t> {
    trigger: &'t Trigger,
    named: &'t AgentVersion,
    agent: &'t Agent,
    recipient: Recipient,
}

/// Reads the histories as they are at the event or later.
struct Look<'c> {
    context: &'c Context,
    recorded: &'c Recorded,
}

/// How somebody is reached.
struct Ways {
    channels: BTreeSet<Channel>,
    quiet_hours: Option<QuietHours>,
}

impl Look<'_> {
    async fn load<D: Decider>(&self, id: Uuid) -> Result<Arc<D::State>, LoadError> {
        let at_least = Freshness::AtLeast(self.recorded.position);
        Ok(self.context.executor.load::<D>(id, at_least).await?.state)
    }

    async fn recipients(
        &self,
        trigger: &Trigger,
        admins: &Admins,
    ) -> Result<Vec<Recipient>, LoadError> {
        let everybody = || {
            let ids = admins.0.iter();
            ids.map(|id| Recipient::Customer(CustomerId(*id))).collect()
        };
        Ok(match trigger.whom {
            Whom::Customer(id) => vec![Recipient::Customer(id)],
            Whom::Buyer(order) => {
                let order = self.load::<Order>(order.uuid()).await?;
                let buyer = order.details().map(|details| details.customer_id);
                buyer.map(Recipient::Customer).into_iter().collect()
            }
            Whom::Seller(order) => {
                let order = self.load::<Order>(order.uuid()).await?;
                let seller = order.details().map(|details| details.partner_id);
                seller.map(Recipient::Partner).into_iter().collect()
            }
            Whom::OwnerOf(product) => {
                let product = self.load::<Product>(product).await?;
                let partner = match &*product {
                    product::State::Added { identity, .. }
                    | product::State::Removed { identity } => identity.partner_id,
                    product::State::NotAdded => None,
                };
                match partner {
                    Some(partner) => vec![Recipient::Partner(partner)],
                    None => everybody(),
                }
            }
            Whom::Admins => everybody(),
        })
    }

    async fn ways(&self, told: &Told<'_>) -> Result<Option<Ways>, LoadError> {
        Ok(match told.recipient {
            Recipient::Customer(id) => self.ways_of_customer(id, told.trigger).await?,
            Recipient::Partner(id) => {
                let partner = self.load::<Partner>(id.uuid()).await?;
                partner.profile().map(|profile| Ways {
                    channels: [
                        (Channel::Email, !profile.email.trim().is_empty()),
                        (Channel::Sms, !profile.phone.trim().is_empty()),
                        (Channel::Webhook, partner.webhook().is_some()),
                    ]
                    .into_iter()
                    .filter_map(|(channel, there)| there.then_some(channel))
                    .collect(),
                    quiet_hours: None,
                })
            }
        })
    }

    async fn ways_of_customer(
        &self,
        id: CustomerId,
        trigger: &Trigger,
    ) -> Result<Option<Ways>, LoadError> {
        let state = self.load::<Customer>(id.uuid()).await?;
        let Some(customer) = state.active() else {
            return Ok(None);
        };
        let mut channels = BTreeSet::from([Channel::Email]);
        // An order names whom to call; the account need not.
        let bought = matches!(trigger.whom, Whom::Buyer(_));
        if customer.phone.is_some() || bought {
            channels.insert(Channel::Sms);
        }
        if customer.push_token.is_some() {
            channels.insert(Channel::Push);
        }
        channels.retain(|channel| !customer.channels_off.contains(channel));
        Ok(Some(Ways {
            channels,
            quiet_hours: customer.quiet_hours.clone(),
        }))
    }

    async fn messages(&self, told: &Told<'_>) -> Result<Vec<Intended>, LoadError> {
        let Some(ways) = self.ways(told).await? else {
            return Ok(vec![]);
        };
        let now = self.context.clock.now();
        let quiet = [&told.agent.quiet_hours, &ways.quiet_hours];
        let quiet = quiet.into_iter().flatten();
        let not_before = quiet.filter_map(|hours| quiet::ends(hours, now)).max();
        let routes = told.agent.channels.iter();
        let routes = routes.filter(|route| ways.channels.contains(&route.channel));
        Ok(routes
            .filter_map(|route| {
                let providers = self
                    .context
                    .providers
                    .order(route.channel, &route.providers);
                if providers.is_empty() {
                    return None;
                }
                Some(Intended {
                    delivery_id: delivery_id(self.recorded.event_id, route.channel, told.recipient),
                    event_id: self.recorded.event_id,
                    kind: told.trigger.kind,
                    channel: route.channel,
                    recipient: told.recipient,
                    order_id: told.trigger.order,
                    about: told.trigger.about,
                    agent: told.named.clone(),
                    priority: told.agent.priority,
                    providers,
                    allow_duplicates: told.agent.allow_duplicates,
                    intended_at: now,
                    not_before,
                    replay_of: None,
                })
            })
            .collect())
    }
}

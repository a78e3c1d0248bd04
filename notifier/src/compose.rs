//! A message made ready at the moment of sending: the address looked up and opened, the text written from the histories
//! as they are now.

use std::sync::Arc;

use domain::customer::{self, Customer};
use domain::fulfilment::{self, Fulfilment};
use domain::inventory::Inventory;
use domain::notification::Delivery;
use domain::order::{self, Order};
use domain::partner::{self, Partner};
use domain::payment::Payment;
use domain::product::Product;
use domain::resource::{self, Resource};
use event_schema::notification::{Channel, Kind, Recipient};
use event_schema::{Decider, Position, Sealed};
use event_store::{Freshness, LoadError};
use uuid::Uuid;

use crate::carry::Used;
use crate::context::Context;
use crate::keys::Locked;
use crate::port::{Address, Content};
use crate::templates::{Facts, Line, render};

/// A message that can go out.
pub(crate) struct Composed {
    pub(crate) to: Address,
    pub(crate) content: Content,
    pub(crate) used: Used,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Uncomposed {
    /// There is nowhere to send it: a short code.
    Nowhere(&'static str),
    /// What it needs cannot be had now.
    NotNow(String),
}

impl From<LoadError> for Uncomposed {
    fn from(error: LoadError) -> Self {
        Self::NotNow(error.to_string())
    }
}

impl From<Locked> for Uncomposed {
    fn from(error: Locked) -> Self {
        Self::NotNow(error.to_string())
    }
}

/// Makes the message ready.
pub(crate) async fn compose(
    context: &Context,
    delivery: &Delivery,
    position: Position,
) -> Result<Composed, Uncomposed> {
    let desk = Desk {
        context,
        delivery,
        position,
    };
    desk.compose().await
}

struct Desk<'c> {
    context: &'c Context,
    delivery: &'c Delivery,
    /// Where in the log it was intended.
    position: Position,
}

/// The histories a message speaks of.
struct Histories {
    order: Option<Arc<order::State>>,
    partner: Option<Arc<partner::State>>,
}

impl Desk<'_> {
    async fn compose(&self) -> Result<Composed, Uncomposed> {
        let intent = &self.delivery.intent;
        let order = match intent.order_id {
            Some(order) => Some(self.load::<Order>(order.uuid()).await?),
            None => None,
        };
        let partner = self.partner(order.as_deref());
        let partner = match partner {
            Some(partner) => Some(self.newest::<Partner>(partner).await?),
            None => None,
        };
        let histories = Histories { order, partner };
        let (to, used) = self.address(&histories).await?;
        let facts = self.facts(&histories, &to).await?;
        Ok(Composed {
            to,
            content: render(intent.kind, &facts),
            used,
        })
    }

    /// The partner who is told, or whom it is about.
    fn partner(&self, order: Option<&order::State>) -> Option<Uuid> {
        let intent = &self.delivery.intent;
        match intent.recipient {
            Recipient::Partner(partner) => Some(partner.uuid()),
            Recipient::Customer(_) if intent.kind == Kind::WebhookDisabled => intent.about,
            Recipient::Customer(_) => order?.details().map(|details| details.partner_id.uuid()),
        }
    }

    async fn address(&self, histories: &Histories) -> Result<(Address, Used), Uncomposed> {
        let intent = &self.delivery.intent;
        match intent.recipient {
            Recipient::Customer(customer) => {
                let state = self.newest::<Customer>(customer.uuid()).await?;
                let customer = match &*state {
                    customer::State::Added(customer) => customer,
                    customer::State::Deactivated(_) => {
                        return Err(Uncomposed::Nowhere("account_closed"));
                    }
                    customer::State::NotAdded | customer::State::Erased => {
                        return Err(Uncomposed::Nowhere("account_gone"));
                    }
                };
                self.address_of_customer(customer, histories).await
            }
            Recipient::Partner(id) => {
                let partner = histories.partner.as_deref();
                let profile = partner.and_then(partner::State::profile);
                let profile = profile.ok_or(Uncomposed::Nowhere("account_gone"))?;
                match intent.channel {
                    Channel::Email => Ok((
                        Address::Email {
                            address: given(&profile.email)?,
                            name: Some(profile.title.clone()),
                        },
                        Used::Other,
                    )),
                    Channel::Sms => Ok((Address::Phone(given(&profile.phone)?), Used::Other)),
                    Channel::Push => Err(Uncomposed::Nowhere("no_address")),
                    Channel::Webhook => {
                        let url = partner.and_then(partner::State::webhook);
                        let url = url.ok_or(Uncomposed::Nowhere("no_address"))?.to_owned();
                        let secrets = self
                            .context
                            .keys
                            .of_webhook(id.uuid(), self.context.clock.now())
                            .await?;
                        if secrets.is_empty() {
                            return Err(Uncomposed::Nowhere("no_secret"));
                        }
                        let to = Address::Webhook {
                            partner_id: id.uuid(),
                            url: url.clone(),
                            secrets,
                        };
                        Ok((to, Used::Webhook(url)))
                    }
                }
            }
        }
    }

    async fn address_of_customer(
        &self,
        customer: &customer::Details,
        histories: &Histories,
    ) -> Result<(Address, Used), Uncomposed> {
        let intent = &self.delivery.intent;
        if customer.channels_off.contains(&intent.channel) {
            return Err(Uncomposed::Nowhere("switched_off"));
        }
        match intent.channel {
            Channel::Email => {
                let address = self.open(&customer.email).await?;
                let address = address.ok_or(Uncomposed::Nowhere("no_address"))?;
                let name = self.open(&customer.name).await?;
                Ok((Address::Email { address, name }, Used::Other))
            }
            Channel::Sms => {
                let of_order = histories
                    .order
                    .as_deref()
                    .and_then(order::State::details)
                    .filter(|order| intent.recipient.uuid() == order.customer_id.uuid())
                    .map(|order| &order.phone);
                let phone = customer.phone.as_ref().or(of_order);
                let phone = phone.ok_or(Uncomposed::Nowhere("no_address"))?;
                let phone = self.open(phone).await?;
                let phone = phone.ok_or(Uncomposed::Nowhere("no_address"))?;
                Ok((Address::Phone(given(&phone)?), Used::Other))
            }
            Channel::Push => {
                let sealed = customer.push_token.as_ref();
                let sealed = sealed.ok_or(Uncomposed::Nowhere("no_address"))?;
                let token = self.open(sealed).await?;
                let token = token.ok_or(Uncomposed::Nowhere("no_address"))?;
                Ok((Address::Device(token), Used::Token(sealed.clone())))
            }
            Channel::Webhook => Err(Uncomposed::Nowhere("no_address")),
        }
    }

    async fn facts(&self, histories: &Histories, to: &Address) -> Result<Facts, Uncomposed> {
        let intent = &self.delivery.intent;
        let mut facts = Facts {
            public_url: self.context.public_url.clone(),
            order_id: intent.order_id.map(|order| order.uuid()),
            partner_title: histories
                .partner
                .as_deref()
                .and_then(partner::State::profile)
                .map(|profile| profile.title.clone()),
            ..Facts::default()
        };
        if let Address::Email { name, .. } = to {
            facts.recipient_name.clone_from(name);
        }
        if let Some(order) = histories.order.as_deref() {
            self.facts_of_order(order, &mut facts).await?;
        }
        match intent.kind {
            Kind::RefundPending | Kind::Refunded => {
                if let Some(order) = intent.order_id {
                    let payment = self.load::<Payment>(order.uuid()).await?;
                    let ledger = payment.ledger();
                    facts.refund = ledger.map(|ledger| match intent.kind {
                        Kind::Refunded => ledger.refunded,
                        _ => ledger.captured,
                    });
                }
            }
            Kind::SagaNeedsOperator => {
                if let Some(order) = intent.order_id {
                    let saga = self.load::<Fulfilment>(order.uuid()).await?;
                    let payment = self.load::<Payment>(order.uuid()).await?;
                    if let Some(view) = fulfilment::view(&saga, &payment) {
                        facts.cause = view.cause.map(|cause| cause.as_str().to_owned());
                        facts.detail = view.cause_detail;
                    }
                }
            }
            Kind::LowStock => self.facts_of_stock(&mut facts).await?,
            Kind::ResourceAdded | Kind::ResourceRemoved => {
                if let Some(id) = intent.about {
                    let resource = self.load::<Resource>(id).await?;
                    facts.resource_name = match &*resource {
                        resource::State::NotAdded => None,
                        resource::State::Added(details) | resource::State::Removed(details) => {
                            Some(details.name.clone())
                        }
                    };
                }
            }
            Kind::CustomerAdded
            | Kind::OrderPlaced
            | Kind::OrderConfirmed
            | Kind::OrderCancelled
            | Kind::OrderReady
            | Kind::OrderOnItsWay
            | Kind::OrderDelivered
            | Kind::OrderPrepare
            | Kind::WebhookDisabled => {}
        }
        Ok(facts)
    }

    async fn facts_of_order(
        &self,
        order: &order::State,
        facts: &mut Facts,
    ) -> Result<(), Uncomposed> {
        let Some(details) = order.details() else {
            return Ok(());
        };
        facts.total = Some(details.total);
        facts.lines = details
            .lines
            .iter()
            .map(|line| Line {
                product_id: line.product_id.uuid(),
                sku: line.sku.clone(),
                name: line.name.clone(),
                quantity: line.quantity,
                unit_price: line.unit_price,
                total: line.total,
            })
            .collect();
        if let Some(call_off) = order.call_off() {
            facts.reason = Some(call_off.reason);
            facts.detail.clone_from(&call_off.detail);
        }
        facts.pickup_address = order.pickup().map(|pickup| pickup.address.clone());
        facts.delivery_address = self.open(&details.delivery_address).await?;
        facts.phone = self.open(&details.phone).await?;
        Ok(())
    }

    async fn facts_of_stock(&self, facts: &mut Facts) -> Result<(), Uncomposed> {
        let Some(id) = self.delivery.intent.about else {
            return Ok(());
        };
        let product = self.load::<Product>(id).await?;
        let stock = self.load::<Inventory>(id).await?;
        facts.product_id = Some(id);
        facts.product_name = product.current().map(|(_, details)| details.name.clone());
        facts.available = Some(stock.available);
        facts.threshold = Some(stock.low_stock_threshold);
        Ok(())
    }

    /// The value; none when the person's key was destroyed. One that does not open is as good as gone: nobody is told
    /// something by an address that was tampered with.
    async fn open(&self, sealed: &Sealed<String>) -> Result<Option<String>, Uncomposed> {
        let key = self.context.keys.of_person(sealed.person).await?;
        Ok(sealed.open(key.as_ref()).unwrap_or_else(|error| {
            tracing::error!(%error, person = %sealed.person, "personal data does not open");
            None
        }))
    }

    /// At least as it was when the message was intended.
    async fn load<D: Decider>(&self, id: Uuid) -> Result<Arc<D::State>, LoadError> {
        let at_least = Freshness::AtLeast(self.position);
        Ok(self.context.executor.load::<D>(id, at_least).await?.state)
    }

    /// As it is: nobody is told anything at an address that he has given up.
    async fn newest<D: Decider>(&self, id: Uuid) -> Result<Arc<D::State>, LoadError> {
        let executor = &self.context.executor;
        Ok(executor.load::<D>(id, Freshness::Leader).await?.state)
    }
}

fn given(address: &str) -> Result<String, Uncomposed> {
    let address = address.trim();
    if address.is_empty() {
        return Err(Uncomposed::Nowhere("no_address"));
    }
    Ok(address.to_owned())
}

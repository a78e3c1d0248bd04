//! What decisions about an order remember, by stage of its life.

use event_schema::Money;
use event_schema::Sealed;
use event_schema::ids::{CustomerId, DelivererId, PartnerId, QuoteId};
use event_schema::order::{CancelReason, Event, Line, PaymentMethod};
use serde::{Deserialize, Serialize};

/// An order's life so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// There is no such order.
    NotPlaced,
    /// Placed; the money is not taken yet.
    PendingPayment(Details),
    /// Paid and in stock: the partner may prepare it.
    Confirmed(Details),
    /// Prepared: it waits for somebody who brings it.
    Ready(Details, Pickup),
    /// Somebody is on the way with it.
    Delivering(Details, Pickup, DelivererId),
    /// The customer has it.
    Delivered(Details, Pickup, DelivererId),
    /// Called off; what was done is being put back.
    Cancelling(Details, CallOff),
    /// Called off and everything is put back.
    Cancelled(Details, CallOff),
}

/// What was ordered; facts of the moment of placing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// The quote whose prices it has.
    pub quote_id: QuoteId,
    /// Who buys.
    pub customer_id: CustomerId,
    /// Who sells.
    pub partner_id: PartnerId,
    /// What; each product once.
    pub lines: Vec<Line>,
    /// What all lines cost.
    pub total: Money,
    /// Where it goes.
    pub delivery_address: Sealed<String>,
    /// Whom to call.
    pub phone: Sealed<String>,
    /// How it is paid.
    pub payment_method: PaymentMethod,
}

/// Where a prepared order is picked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pickup {
    /// The address.
    pub address: String,
}

/// Why an order is called off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOff {
    /// Why.
    pub reason: CancelReason,
    /// More for people.
    pub detail: Option<String>,
}

impl State {
    /// What was ordered, if anything.
    pub fn details(&self) -> Option<&Details> {
        match self {
            Self::NotPlaced => None,
            Self::PendingPayment(details)
            | Self::Confirmed(details)
            | Self::Ready(details, _)
            | Self::Delivering(details, ..)
            | Self::Delivered(details, ..)
            | Self::Cancelling(details, _)
            | Self::Cancelled(details, _) => Some(details),
        }
    }

    /// Why it is called off, if it is.
    pub fn call_off(&self) -> Option<&CallOff> {
        match self {
            Self::NotPlaced
            | Self::PendingPayment(_)
            | Self::Confirmed(_)
            | Self::Ready(..)
            | Self::Delivering(..)
            | Self::Delivered(..) => None,
            Self::Cancelling(_, call_off) | Self::Cancelled(_, call_off) => Some(call_off),
        }
    }

    /// Who brings it or brought it, once somebody took it.
    pub fn deliverer(&self) -> Option<DelivererId> {
        match self {
            Self::Delivering(.., deliverer) | Self::Delivered(.., deliverer) => Some(*deliverer),
            Self::NotPlaced
            | Self::PendingPayment(_)
            | Self::Confirmed(_)
            | Self::Ready(..)
            | Self::Cancelling(..)
            | Self::Cancelled(..) => None,
        }
    }

    /// Where it is picked up or was, once it was prepared.
    pub fn pickup(&self) -> Option<&Pickup> {
        match self {
            Self::Ready(_, pickup)
            | Self::Delivering(_, pickup, _)
            | Self::Delivered(_, pickup, _) => Some(pickup),
            Self::NotPlaced
            | Self::PendingPayment(_)
            | Self::Confirmed(_)
            | Self::Cancelling(..)
            | Self::Cancelled(..) => None,
        }
    }

    fn into_details(self) -> Option<Details> {
        match self {
            Self::NotPlaced => None,
            Self::PendingPayment(details)
            | Self::Confirmed(details)
            | Self::Ready(details, _)
            | Self::Delivering(details, ..)
            | Self::Delivered(details, ..)
            | Self::Cancelling(details, _)
            | Self::Cancelled(details, _) => Some(details),
        }
    }

    pub(super) fn evolve(self, event: &Event) -> Self {
        match event {
            Event::Placed(e) => Self::PendingPayment(Details {
                quote_id: e.quote_id,
                customer_id: e.customer_id,
                partner_id: e.partner_id,
                lines: e.lines.clone(),
                total: e.total,
                delivery_address: e.delivery_address.clone(),
                phone: e.phone.clone(),
                payment_method: e.payment_method.clone(),
            }),
            Event::Confirmed(_) => self.into_details().map_or(Self::NotPlaced, Self::Confirmed),
            Event::Cancelling(e) => {
                let call_off = CallOff {
                    reason: e.reason,
                    detail: e.detail.clone(),
                };
                self.into_details().map_or(Self::NotPlaced, |details| {
                    Self::Cancelling(details, call_off)
                })
            }
            Event::Cancelled(e) => {
                let call_off = CallOff {
                    reason: e.reason,
                    detail: e.detail.clone(),
                };
                self.into_details().map_or(Self::NotPlaced, |details| {
                    Self::Cancelled(details, call_off)
                })
            }
            Event::Ready(e) => {
                let pickup = Pickup {
                    address: e.pickup_address.clone(),
                };
                self.into_details()
                    .map_or(Self::NotPlaced, |details| Self::Ready(details, pickup))
            }
            Event::Assigned(e) => {
                if let Self::Ready(details, pickup) = self {
                    Self::Delivering(details, pickup, e.deliverer_id)
                } else {
                    self
                }
            }
            Event::Delivered(_) => {
                if let Self::Delivering(details, pickup, deliverer) = self {
                    Self::Delivered(details, pickup, deliverer)
                } else {
                    self
                }
            }
        }
    }
}

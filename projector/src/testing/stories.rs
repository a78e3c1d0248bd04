//! Events as they come in a shop.

use std::time::Duration;

use uuid::Uuid;

use event_schema::fulfilment::{self, Outcome, Step};
use event_schema::ids::{
    CustomerId, DelivererId, EffectId, OrderId, PartnerId, ProductId, QuoteId,
};
use event_schema::order::{CancelReason, Line, PaymentMethod};
use event_schema::{
    Currency, Money, Position, SagaDef, Timestamp, customer, inbox, inventory, offer, order,
    partner, payment, product,
};

use super::{Happening, Shop, to};

pub fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

pub fn in_a_quarter_of_an_hour() -> Timestamp {
    Timestamp::now() + Duration::from_secs(900)
}

pub fn details(name: &str) -> product::Details {
    product::Details {
        name: name.into(),
        brand: "Corner".into(),
        category: "kitchen".into(),
        size: None,
        color: Some("blue".into()),
        description: Some(format!("A {name} for every day")),
        picture_url: None,
        unit_cost: eur(400),
    }
}

pub fn product(id: Uuid, partner: Option<Uuid>, name: &str) -> Happening {
    let added = product::Added {
        sku: name.to_uppercase(),
        sku_key: format!("key-{name}"),
        partner_id: partner.map(PartnerId),
        details: details(name),
    };
    to(id, [product::Event::from(added)])
}

/// A partner who sells.
pub fn partner(id: Uuid, title: &str) -> Happening {
    let added = partner::Added {
        title: title.into(),
        brand: format!("{title} brand"),
        phone: "+49 30 1".into(),
        email: "shop@example.org".into(),
        address: "1 Road".into(),
        webhook_url: None,
    };
    to(
        id,
        [
            added.into(),
            partner::Verified {}.into(),
            partner::Event::from(partner::Enabled {}),
        ],
    )
}

pub fn offer(partner: Uuid, product: Uuid, price: i64, active: bool) -> Happening {
    let (partner_id, product_id) = (PartnerId(partner), ProductId(product));
    let set = offer::Set {
        partner_id,
        product_id,
        price: eur(price),
        active,
    };
    to(offer::id(partner_id, product_id), [offer::Event::from(set)])
}

pub fn received(product: Uuid, quantity: u32) -> Happening {
    to(
        product,
        [inventory::Event::from(inventory::Received {
            quantity,
            reason: None,
        })],
    )
}

pub fn held(product: Uuid, order: Uuid, quantity: u32) -> Happening {
    let expires_at = in_a_quarter_of_an_hour();
    to(
        product,
        [inventory::Event::from(inventory::Held {
            order_id: OrderId(order),
            quantity,
            expires_at,
        })],
    )
}

pub fn committed(product: Uuid, order: Uuid, quantity: u32) -> Happening {
    to(
        product,
        [inventory::Event::from(inventory::Committed {
            order_id: OrderId(order),
            quantity,
        })],
    )
}

pub async fn customer(shop: &Shop, id: Uuid, name: &str) -> Happening {
    let added = customer::Added {
        name: shop.sealed(id, "name", name).await,
        email: shop
            .sealed(id, "email", &format!("{name}@example.org"))
            .await,
        email_key: format!("key-{name}"),
        role: customer::Role::Customer,
    };
    to(id, [customer::Event::from(added)])
}

/// Somebody has read a notification of what happened at a position.
pub fn read(person: Uuid, notification: Uuid, at: Position) -> Happening {
    let read = inbox::Read {
        notification_id: notification.into(),
        at,
    };
    to(person, [inbox::Event::from(read)])
}

/// Somebody has cleared a notification of what happened at a position.
pub fn cleared(person: Uuid, notification: Uuid, at: Position) -> Happening {
    let cleared = inbox::Cleared {
        notification_id: notification.into(),
        at,
    };
    to(person, [inbox::Event::from(cleared)])
}

/// Somebody has cleared everything up to a position.
pub fn all_cleared(person: Uuid, through: Position) -> Happening {
    to(person, [inbox::Event::from(inbox::AllCleared { through })])
}

/// An order of two of a product at 8.50 each.
#[derive(Debug, Clone, Copy)]
pub struct AnOrder {
    pub id: Uuid,
    pub customer: Uuid,
    pub partner: Uuid,
    pub product: Uuid,
}

impl AnOrder {
    pub fn new() -> Self {
        let id = Uuid::now_v7;
        Self {
            id: id(),
            customer: id(),
            partner: id(),
            product: id(),
        }
    }

    pub fn effect(&self, step: &str) -> EffectId {
        EffectId::of(OrderId(self.id), step, 1)
    }

    pub fn line(&self) -> Line {
        Line {
            product_id: ProductId(self.product),
            sku: "MUG".into(),
            name: "mug".into(),
            brand: "Corner".into(),
            category: "kitchen".into(),
            quantity: 2,
            unit_price: eur(850),
            unit_cost: eur(400),
            total: eur(1700),
        }
    }

    /// Placed, the money asked for, the saga begun: in the order in which a group may hold them.
    pub async fn placed(&self, shop: &Shop, method: PaymentMethod) -> Vec<Happening> {
        let placed = order::Placed {
            quote_id: QuoteId(Uuid::now_v7()),
            customer_id: CustomerId(self.customer),
            partner_id: PartnerId(self.partner),
            lines: vec![self.line()],
            total: eur(1700),
            delivery_address: shop
                .sealed(self.customer, "delivery_address", "7 Lane")
                .await,
            phone: shop.sealed(self.customer, "phone", "+49 30 7").await,
            payment_method: method.clone(),
        };
        let requested = payment::Requested {
            provider: "sandbox".into(),
            amount: eur(1700),
            method: method.clone(),
            effect_id: self.effect("authorise"),
        };
        let started = fulfilment::Started {
            def: SagaDef {
                version: 1,
                digest: "5f0c91aa".into(),
            },
            provider: "sandbox".into(),
            method,
            total: eur(1700),
            lines: vec![fulfilment::Line {
                product_id: ProductId(self.product),
                quantity: 2,
            }],
        };
        vec![
            to(self.id, [started.into(), self.intended(Step::Authorise)]),
            to(self.id, [payment::Event::from(requested)]),
            to(self.id, [order::Event::from(placed)]),
        ]
    }

    pub async fn by_card(&self, shop: &Shop) -> Vec<Happening> {
        self.placed(
            shop,
            PaymentMethod::Card {
                token: "pm_card_visa".into(),
            },
        )
        .await
    }

    pub fn intended(&self, step: Step) -> fulfilment::Event {
        fulfilment::Intended {
            step,
            effect_id: self.effect(step.as_str()),
            opening: 1,
            deadline: in_a_quarter_of_an_hour(),
        }
        .into()
    }

    pub fn ended(&self, step: Step, outcome: Outcome, detail: Option<&str>) -> fulfilment::Event {
        let outside = matches!(
            step,
            Step::Authorise | Step::Capture | Step::Void | Step::Refund
        );
        fulfilment::StepEnded {
            step,
            effect_id: outside.then(|| self.effect(step.as_str())),
            attempt: 1,
            outcome,
            detail: detail.map(str::to_owned),
        }
        .into()
    }

    pub fn authorised(&self) -> payment::Event {
        payment::Authorised {
            provider_payment_id: "pi_1".into(),
            amount: eur(1700),
        }
        .into()
    }

    /// The money is set aside, the units too, the money is about to be taken.
    pub fn held(&self) -> Vec<Happening> {
        let capture = payment::CaptureRequested {
            effect_id: self.effect("capture"),
        };
        vec![
            to(self.id, [self.authorised(), capture.into()]),
            held(self.product, self.id, 2),
            to(
                self.id,
                [
                    self.ended(Step::Authorise, Outcome::Ok, None),
                    self.ended(Step::Hold, Outcome::Ok, None),
                    self.intended(Step::Capture),
                ],
            ),
        ]
    }

    /// The money is taken, the units are sold, the order is confirmed.
    pub fn confirmed(&self) -> Vec<Happening> {
        vec![
            to(
                self.id,
                [payment::Event::from(payment::Captured {
                    amount: eur(1700),
                })],
            ),
            committed(self.product, self.id, 2),
            to(self.id, [order::Event::from(order::Confirmed {})]),
            to(
                self.id,
                [
                    self.ended(Step::Capture, Outcome::Ok, None),
                    self.ended(Step::Commit, Outcome::Ok, None),
                    fulfilment::Completed {}.into(),
                ],
            ),
        ]
    }

    /// The partner has prepared it.
    pub fn ready(&self) -> Happening {
        let pickup_address = "1 Road, back door".into();
        to(
            self.id,
            [order::Event::from(order::Ready { pickup_address })],
        )
    }

    /// Somebody brings it.
    pub fn assigned(&self, deliverer: Uuid) -> Happening {
        let deliverer_id = DelivererId(deliverer);
        to(
            self.id,
            [order::Event::from(order::Assigned { deliverer_id })],
        )
    }

    /// The customer has it.
    pub fn delivered(&self) -> Happening {
        to(self.id, [order::Event::from(order::Delivered {})])
    }

    /// Money is given back.
    pub fn refunded(&self, refund: &str, amount: i64) -> Happening {
        let refunded = payment::Refunded {
            refund_id: refund.into(),
            amount: eur(amount),
        };
        to(self.id, [payment::Event::from(refunded)])
    }

    /// The provider says no, there is nothing to put back.
    pub fn declined(&self) -> Vec<Happening> {
        let reason = CancelReason::PaymentDeclined;
        let declined = payment::Declined {
            code: "card_declined".into(),
            message: "Declined.".into(),
        };
        let began = fulfilment::UnwindingBegan {
            reason,
            detail: None,
            plan: vec![],
        };
        vec![
            to(self.id, [payment::Event::from(declined)]),
            to(
                self.id,
                [order::Event::from(order::Cancelled {
                    reason,
                    detail: None,
                })],
            ),
            to(
                self.id,
                [
                    self.ended(Step::Authorise, Outcome::Refused, Some("card_declined")),
                    began.into(),
                    fulfilment::Compensated { reason }.into(),
                ],
            ),
        ]
    }

    /// A line cannot be held; the money is being let go.
    pub fn out_of_stock(&self) -> Vec<Happening> {
        let reason = CancelReason::OutOfStock;
        let detail = Some("mug".to_owned());
        let began = fulfilment::UnwindingBegan {
            reason,
            detail: detail.clone(),
            plan: vec![Step::Void],
        };
        let void = payment::VoidRequested {
            effect_id: self.effect("void"),
        };
        vec![
            to(self.id, [self.authorised(), void.into()]),
            to(
                self.id,
                [order::Event::from(order::Cancelling { reason, detail })],
            ),
            to(
                self.id,
                [
                    self.ended(Step::Authorise, Outcome::Ok, None),
                    self.ended(Step::Hold, Outcome::Refused, Some("mug")),
                    began.into(),
                    self.intended(Step::Void),
                ],
            ),
        ]
    }

    /// The money is let go and everything is put back.
    pub fn voided(&self) -> Vec<Happening> {
        let reason = CancelReason::OutOfStock;
        vec![
            to(self.id, [payment::Event::from(payment::Voided {})]),
            to(
                self.id,
                [order::Event::from(order::Cancelled {
                    reason,
                    detail: Some("mug".into()),
                })],
            ),
            to(
                self.id,
                [
                    self.ended(Step::Void, Outcome::Ok, None),
                    fulfilment::Compensated { reason }.into(),
                ],
            ),
        ]
    }
}

//! Which event tells whom what.

use std::sync::Arc;

use domain::assignment::Assignment;
use domain::customer::Customer;
use domain::fulfilment::Fulfilment;
use domain::inventory::Inventory;
use domain::order::Order;
use domain::partner::Partner;
use domain::payment::Payment;
use domain::product::Product;
use event_schema::customer::Role;
use event_schema::ids::{DelivererId, EffectId, ProductId, ResourceId};
use event_schema::notification::{Channel, Kind, QuietHours, Status};
use event_schema::{
    Currency, Money, assignment, customer, fulfilment, inventory, order, partner, payment, product,
};
use notifier::port::{Provider, Recovery};
use uuid::Uuid;

use crate::support::notifier::Notifier;
use crate::support::scripted::{Call, KEY, Scripted};
use crate::support::shop::{Shop, within};

struct Ways {
    email: Arc<Scripted>,
    sms: Arc<Scripted>,
    push: Arc<Scripted>,
    webhook: Arc<Scripted>,
}

impl Ways {
    fn new() -> Self {
        Self {
            email: Scripted::new("mail", Channel::Email, KEY),
            sms: Scripted::new("sms", Channel::Sms, Recovery::LookUp),
            push: Scripted::new("push", Channel::Push, Recovery::Nothing),
            webhook: Scripted::new("webhook", Channel::Webhook, KEY),
        }
    }

    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        let all = [&self.email, &self.sms, &self.push, &self.webhook];
        all.map(|known| Arc::clone(known) as Arc<dyn Provider>)
            .to_vec()
    }
}

async fn told(what: &str, by: &Scripted, kind: Kind) -> Call {
    within(what, || async {
        by.calls().into_iter().find(|call| call.kind == kind)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orders_way_is_told_to_its_buyer_on_every_way_and_its_partner_is_told_what_to_prepare() {
    let shop = Shop::open().await;
    let ways = Ways::new();
    let notifier = Notifier::start(&shop, &ways.providers());
    shop.led().await;
    let customer = shop.customer().await;
    shop.reachable(customer).await;
    let partner = shop.partner(Some("https://bakery.example/hook")).await;
    let order = shop.place(customer, partner).await;
    told("the order is placed", &ways.email, Kind::OrderPlaced).await;
    told("the order is placed", &ways.sms, Kind::OrderPlaced).await;
    let pushed = told("the order is placed", &ways.push, Kind::OrderPlaced).await;
    assert_eq!(pushed.to, "device-1");

    // That it is confirmed is told once everything of its saga is done, and not before.
    shop.happens::<Order>(order.uuid(), vec![order::Confirmed {}.into()])
        .await;
    shop.completes(order).await;
    told("it is confirmed", &ways.email, Kind::OrderConfirmed).await;
    let prepare = told("what to prepare", &ways.webhook, Kind::OrderPrepare).await;
    assert_eq!(prepare.to, "https://bakery.example/hook");
    let pickup_address = "Corner Street 1".into();
    let steps: [(order::Event, Kind); 3] = [
        (order::Ready { pickup_address }.into(), Kind::OrderReady),
        (
            order::Assigned {
                deliverer_id: DelivererId(Uuid::now_v7()),
            }
            .into(),
            Kind::OrderOnItsWay,
        ),
        (order::Delivered {}.into(), Kind::OrderDelivered),
    ];
    for (event, kind) in steps {
        shop.happens::<Order>(order.uuid(), vec![event]).await;
        let call = told(kind.as_str(), &ways.email, kind).await;
        assert_eq!(call.order, Some(order.uuid()));
        assert_eq!(call.to, format!("{}@example.org", customer.uuid()));
    }
    // All of it is one history, and the buyer's account has one of its own.
    let confirmed = ways.email.calls();
    let confirmed = confirmed
        .iter()
        .filter(|call| call.kind == Kind::OrderConfirmed);
    assert_eq!(confirmed.count(), 1);
    let messages = shop.messages(order.uuid()).await;
    assert!(
        messages
            .iter()
            .all(|message| message.intent.order_id == Some(order))
    );
    notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_that_happens_is_told_to_whom_it_concerns() {
    let shop = Shop::open().await;
    let ways = Ways::new();
    let notifier = Notifier::start(&shop, &ways.providers());
    shop.led().await;
    let email = &ways.email;
    let admin = shop.person(Role::Admin).await;
    let address = |id: Uuid| format!("{id}@example.org");
    let customer = shop.customer().await;
    told("an account", email, Kind::CustomerAdded).await;

    let resource_id = ResourceId(Uuid::now_v7());
    let (customer_id, pair) = (customer, Uuid::now_v7());
    let assigned = assignment::Assigned {
        customer_id,
        resource_id,
    };
    let taken = assignment::Unassigned {
        customer_id,
        resource_id,
    };
    shop.happens::<Assignment>(pair, vec![assigned.into()])
        .await;
    let call = told("a resource", email, Kind::ResourceAdded).await;
    assert_eq!(call.to, address(customer.uuid()));
    shop.happens::<Assignment>(pair, vec![taken.into()]).await;
    told("no resource", email, Kind::ResourceRemoved).await;

    let eur = Money::new(200, Currency::EUR);
    let partner = shop.partner(None).await;
    let order = shop.place(customer, partner).await;
    let reason = order::CancelReason::OutOfStock;
    let events = vec![
        order::Cancelling {
            reason,
            detail: None,
        }
        .into(),
        order::Cancelled {
            reason,
            detail: None,
        }
        .into(),
    ];
    shop.happens::<Order>(order.uuid(), events).await;
    told("it is called off", email, Kind::OrderCancelled).await;
    let effect_id = EffectId(Uuid::now_v7());
    let back = payment::RefundRequested {
        effect_id,
        amount: eur,
    };
    shop.happens::<Payment>(order.uuid(), vec![back.into()])
        .await;
    told("money is on its way", email, Kind::RefundPending).await;
    let refund_id = "re_1".into();
    let back = payment::Refunded {
        refund_id,
        amount: eur,
    };
    shop.happens::<Payment>(order.uuid(), vec![back.into()])
        .await;
    told("money is back", email, Kind::Refunded).await;

    let needs = fulfilment::NeedsOperator {
        step: fulfilment::Step::Refund,
        cause: fulfilment::Cause::RefundRefused,
        detail: "account closed".into(),
    };
    shop.happens::<Fulfilment>(order.uuid(), vec![needs.into()])
        .await;
    let call = told("a saga needs a person", email, Kind::SagaNeedsOperator).await;
    assert_eq!(call.to, address(admin.uuid()));

    let low = || inventory::RanLow {
        available: 3,
        low_stock_threshold: 3,
    };
    let product = |partner_id| product::Added {
        sku: "BUN-1".into(),
        sku_key: "77".into(),
        partner_id,
        details: product::Details {
            name: "Bun".into(),
            brand: "Corner".into(),
            category: "bread".into(),
            size: None,
            color: None,
            description: None,
            picture_url: None,
            unit_cost: eur,
        },
    };
    for (seller, expected) in [
        (Some(partner), "bakery@example.org".to_owned()),
        (None, address(admin.uuid())),
    ] {
        let id = ProductId(Uuid::now_v7()).uuid();
        shop.happens::<Product>(id, vec![product(seller).into()])
            .await;
        shop.happens::<Inventory>(id, vec![low().into()]).await;
        assert_eq!(shop.settled(id, Channel::Email).await, Status::Sent);
        let calls = email.calls().into_iter();
        let mut low = calls.filter(|call| call.kind == Kind::LowStock);
        assert!(low.any(|call| call.to == expected), "{expected}");
    }

    let gone = partner::WebhookDisabled {
        cause: "gone".into(),
    };
    shop.happens::<Partner>(partner.uuid(), vec![gone.into()])
        .await;
    let call = told("a webhook is gone", email, Kind::WebhookDisabled).await;
    assert_eq!(call.to, address(admin.uuid()));
    notifier.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_is_switched_off_is_not_used_and_quiet_hours_hold_a_message_back() {
    let shop = Shop::open().await;
    let ways = Ways::new();
    let notifier = Notifier::start(&shop, &ways.providers());
    shop.led().await;
    let customer = shop.customer().await;
    shop.reachable(customer).await;
    let chosen = customer::ChannelsChosen {
        off: vec![Channel::Sms, Channel::Push],
        quiet_hours: None,
    };
    shop.happens::<Customer>(customer.uuid(), vec![chosen.into()])
        .await;
    let partner = shop.partner(None).await;
    let order = shop.place(customer, partner).await;
    assert_eq!(
        shop.settled(order.uuid(), Channel::Email).await,
        Status::Sent
    );
    assert!(ways.sms.calls().is_empty() && ways.push.calls().is_empty());

    // It is always quiet: of two such spans one is running at any moment.
    let now = event_schema::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let hour = |hours: i64| {
        let then = now.checked_add(jiff::Span::new().hours(hours)).unwrap();
        then.strftime("%H:%M").to_string()
    };
    let chosen = customer::ChannelsChosen {
        off: vec![],
        quiet_hours: Some(QuietHours {
            from: hour(-2),
            until: hour(2),
            time_zone: "UTC".into(),
        }),
    };
    shop.happens::<Customer>(customer.uuid(), vec![chosen.into()])
        .await;
    let quiet = shop.place(customer, partner).await;
    let held = within("the message is intended", || async {
        let messages = shop.messages(quiet.uuid()).await;
        let mut messages = messages.into_iter();
        messages.find(|message| message.intent.channel == Channel::Email)
    })
    .await;
    let not_before = held.intent.not_before.unwrap();
    assert!(not_before > event_schema::Timestamp::now());
    // Somebody who is not left alone is told meanwhile, and the other is not.
    let other = shop.customer().await;
    let loud = shop.place(other, partner).await;
    assert_eq!(
        shop.settled(loud.uuid(), Channel::Email).await,
        Status::Sent
    );
    let calls = ways.email.calls();
    assert!(calls.iter().all(|call| call.order != Some(quiet.uuid())));
    notifier.stop().await;
}

//! The golden corpus: the stored bytes of every event type and version, for ever.
//!
//! A file in `corpus/` is what some released build wrote; logs out there hold the same bytes. No file may ever
//! change. To add the file of a new event or version, add a sample below and run
//! `WAYBILL_WRITE_CORPUS=1 cargo test -p event-schema --test golden`: it writes what is missing and touches nothing else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use aws_lc_rs::digest;
use event_schema::event_set::EventSet;
use event_schema::ids::{
    CommandId, CustomerId, DelivererId, DeliveryId, EffectId, OrderId, PartnerId, ProductId,
    QuoteId, ResourceId,
};
use event_schema::registry;
use event_schema::sealed::Sealed;
use event_schema::{Currency, Money, Position, Timestamp};
use event_schema::{
    assignment, customer, fulfilment, inbox, inventory, notification, notification_agent, offer,
    order, partner, payment, payment_provider, product, record, resource, stray_callback,
};
use serde_json::json;
use uuid::Uuid;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x0192_aaaa_bbbb_7ccc_8ddd_0000_0000_0000 + n)
}

fn at() -> Timestamp {
    "2026-11-21T08:30:00.123456789Z".parse().unwrap()
}

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::EUR)
}

/// Sealing draws a random nonce, so the corpus holds one sealed value made once.
fn sealed(field: &str) -> Sealed<String> {
    let value = json!({
        "person": uuid(1), "origin": uuid(2), "field": field,
        "sealed": "q83vASNFZ4mrze8BF1F4xw0HqYkS6p3vZ3m2bQ9w2Jc4c0YQ",
    });
    serde_json::from_value(value).unwrap()
}

/// One sample of every event, each optional field filled.
fn samples() -> Vec<(&'static str, u16, Vec<u8>)> {
    fn push<E: EventSet>(
        all: &mut Vec<(&'static str, u16, Vec<u8>)>,
        events: impl IntoIterator<Item = E>,
    ) {
        all.extend(
            events
                .into_iter()
                .map(|e| (e.event_type(), e.schema_version(), e.encode().unwrap())),
        );
    }
    let details = product::Details {
        name: "Bicycle lamp".into(),
        brand: "Lumen".into(),
        category: "lights".into(),
        size: Some("M".into()),
        color: Some("black".into()),
        description: Some("Bright; übersee".into()),
        picture_url: Some("https://example.com/lamp.webp".into()),
        unit_cost: eur(900),
    };
    let line = order::Line {
        product_id: ProductId(uuid(3)),
        sku: "LAMP-1".into(),
        name: "Bicycle lamp".into(),
        brand: "Lumen".into(),
        category: "lights".into(),
        quantity: 2,
        unit_price: eur(1999),
        unit_cost: eur(900),
        total: eur(3998),
    };
    let effect_id = EffectId(uuid(4));
    let order_id = OrderId(uuid(5));
    let partner_id = PartnerId(uuid(6));
    let product_id = ProductId(uuid(3));
    let card = order::PaymentMethod::Card {
        token: "pm_card_visa".into(),
    };
    let (code, message) = (
        "card_declined".to_owned(),
        "Your card was declined.".to_owned(),
    );
    let pay = "pi_1".to_owned();

    let quiet_hours = notification::QuietHours {
        from: "22:00".into(),
        until: "07:00".into(),
        time_zone: "Europe/Berlin".into(),
    };

    let mut all = Vec::new();
    push(
        &mut all,
        [customer::Event::from(customer::Added {
            name: sealed("name"),
            email: sealed("email"),
            email_key: "5f0c91aa".into(),
            role: customer::Role::Customer,
        })],
    );
    push(
        &mut all,
        [
            customer::Event::from(customer::ProfileChanged {
                name: sealed("name"),
                phone: Some(sealed("phone")),
                birth_date: Some(sealed("birth_date")),
                push_token: Some(sealed("push_token")),
            }),
            customer::EmailChanged {
                email: sealed("email"),
                email_key: "60ffee".into(),
            }
            .into(),
            customer::EmailVerified {
                email_key: "60ffee".into(),
            }
            .into(),
            customer::RoleChanged {
                role: customer::Role::Partner,
                partner_id: Some(partner_id),
            }
            .into(),
            customer::AvatarChanged {
                digest: "9f86d081".into(),
                media_type: "image/webp".into(),
            }
            .into(),
            customer::Deactivated {}.into(),
            customer::Erased {}.into(),
            customer::ChannelsChosen {
                off: vec![notification::Channel::Sms],
                quiet_hours: Some(quiet_hours.clone()),
            }
            .into(),
            customer::PushTokenDropped {}.into(),
        ],
    );
    let machine = resource::Details {
        name: "Small machine".into(),
        kind: "vm".into(),
        region: "eu-central-1".into(),
    };
    push(
        &mut all,
        [
            resource::Event::from(resource::Added {
                details: machine.clone(),
            }),
            resource::Changed { details: machine }.into(),
            resource::Removed {}.into(),
        ],
    );
    let (customer_id, resource_id) = (CustomerId(uuid(1)), ResourceId(uuid(9)));
    push(
        &mut all,
        [
            assignment::Event::from(assignment::Assigned {
                customer_id,
                resource_id,
            }),
            assignment::Unassigned {
                customer_id,
                resource_id,
            }
            .into(),
        ],
    );
    push(
        &mut all,
        [
            inbox::Event::from(inbox::Read {
                notification_id: uuid(70).into(),
                at: Position(41),
            }),
            inbox::Cleared {
                notification_id: uuid(71).into(),
                at: Position(42),
            }
            .into(),
            inbox::AllCleared {
                through: Position(43),
            }
            .into(),
        ],
    );
    push(
        &mut all,
        [payment_provider::Event::from(payment_provider::Set {
            provider: "stripe".into(),
            title: "Card".into(),
            active: true,
            checkout: false,
        })],
    );
    push(
        &mut all,
        [
            partner::Event::from(partner::Added {
                title: "Lumen GmbH".into(),
                brand: "Lumen".into(),
                phone: "+49 30 1".into(),
                email: "orders@lumen.example".into(),
                address: "Hauptstr. 1, Berlin".into(),
                webhook_url: Some("https://lumen.example/hook".into()),
            }),
            partner::Changed {
                title: "Lumen AG".into(),
                brand: "Lumen".into(),
                phone: "+49 30 2".into(),
                email: "orders@lumen.example".into(),
                address: "Hauptstr. 2, Berlin".into(),
                webhook_url: None,
            }
            .into(),
            partner::Verified {}.into(),
            partner::Enabled {}.into(),
            partner::Disabled {}.into(),
            partner::WebhookDisabled {
                cause: "gone".into(),
            }
            .into(),
        ],
    );
    push(
        &mut all,
        [
            product::Event::from(product::Added {
                sku: "LAMP-1".into(),
                sku_key: "77aa".into(),
                partner_id: Some(partner_id),
                details: details.clone(),
            }),
            product::Changed { details }.into(),
            product::Removed {}.into(),
        ],
    );
    push(
        &mut all,
        [
            offer::Event::from(offer::Set {
                partner_id,
                product_id,
                price: eur(1999),
                active: true,
            }),
            offer::Removed {
                partner_id,
                product_id,
            }
            .into(),
        ],
    );
    push(
        &mut all,
        [
            inventory::Event::from(inventory::Received {
                quantity: 10,
                reason: Some("delivery 7".into()),
            }),
            inventory::Adjusted {
                quantity: -1,
                reason: Some("broken".into()),
            }
            .into(),
            inventory::ThresholdSet {
                low_stock_threshold: 3,
            }
            .into(),
            inventory::Held {
                order_id,
                quantity: 2,
                expires_at: at(),
            }
            .into(),
            inventory::Released {
                order_id,
                quantity: 2,
                cause: inventory::ReleaseCause::Compensated,
            }
            .into(),
            inventory::Committed {
                order_id,
                quantity: 2,
            }
            .into(),
            inventory::RanLow {
                available: 3,
                low_stock_threshold: 3,
            }
            .into(),
        ],
    );
    push(
        &mut all,
        [
            order::Event::from(order::Placed {
                quote_id: QuoteId(uuid(7)),
                customer_id: CustomerId(uuid(1)),
                partner_id,
                lines: vec![line],
                total: eur(3998),
                delivery_address: sealed("delivery_address"),
                phone: sealed("phone"),
                payment_method: card.clone(),
            }),
            order::Confirmed {}.into(),
            order::Cancelling {
                reason: order::CancelReason::OutOfStock,
                detail: Some("Bicycle lamp".into()),
            }
            .into(),
            order::Cancelled {
                reason: order::CancelReason::PaymentDeclined,
                detail: None,
            }
            .into(),
            order::Ready {
                pickup_address: "Hauptstr. 1, Berlin".into(),
            }
            .into(),
            order::Assigned {
                deliverer_id: DelivererId(uuid(10)),
            }
            .into(),
            order::Delivered {}.into(),
        ],
    );
    push(
        &mut all,
        [
            payment::Event::from(payment::Requested {
                provider: "sandbox".into(),
                amount: eur(3998),
                method: card.clone(),
                effect_id,
            }),
            payment::ActionRequired {
                checkout_url: "https://pay.example/cs_1".into(),
                session_id: Some("cs_1".into()),
                provider_payment_id: Some(pay.clone()),
                expires_at: at(),
            }
            .into(),
            payment::Authorised {
                provider_payment_id: pay.clone(),
                amount: eur(3998),
            }
            .into(),
            payment::Declined {
                code: code.clone(),
                message: message.clone(),
            }
            .into(),
            payment::CaptureRequested { effect_id }.into(),
            payment::Captured { amount: eur(3998) }.into(),
            payment::CaptureRefused {
                code: code.clone(),
                message: message.clone(),
            }
            .into(),
            payment::VoidRequested { effect_id }.into(),
            payment::Voided {}.into(),
            payment::VoidRefused {
                code: code.clone(),
                message: message.clone(),
            }
            .into(),
            payment::RefundRequested {
                effect_id,
                amount: eur(3998),
            }
            .into(),
            payment::Refunded {
                refund_id: "re_1".into(),
                amount: eur(3998),
            }
            .into(),
            payment::RefundRefused { code, message }.into(),
            payment::RefundFailed {
                refund_id: "re_1".into(),
                amount: eur(3998),
                code: "expired_or_canceled_card".into(),
                message: "the refund failed".into(),
            }
            .into(),
            payment::OutcomeUnknown {
                step: "authorise".into(),
                detail: "no answer in 5s".into(),
            }
            .into(),
            payment::SettledOutside {
                step: "refund".into(),
                amount: eur(3998),
                reason: "paid by bank transfer 8831".into(),
            }
            .into(),
            payment::CallbackRecorded {
                provider: "sandbox".into(),
                provider_event_id: "evt_1".into(),
                kind: "payment_intent.succeeded".into(),
                provider_payment_id: Some(pay.clone()),
                session_id: Some("cs_1".into()),
                amount: Some(eur(3998)),
                status: Some("succeeded".into()),
                created_at: at(),
            }
            .into(),
        ],
    );
    let step = fulfilment::Step::Authorise;
    push(
        &mut all,
        [
            fulfilment::Event::from(fulfilment::Started {
                def: event_schema::SagaDef {
                    version: 1,
                    digest: "5f0c91aa".into(),
                },
                provider: "sandbox".into(),
                method: card,
                total: eur(3998),
                lines: vec![fulfilment::Line {
                    product_id,
                    quantity: 2,
                }],
            }),
            fulfilment::Intended {
                step,
                effect_id,
                opening: 1,
                deadline: at(),
            }
            .into(),
            fulfilment::CustomerAwaited {
                step,
                effect_id,
                deadline: at(),
            }
            .into(),
            fulfilment::AttemptEnded {
                step,
                effect_id,
                attempt: 1,
                outcome: fulfilment::Outcome::Unknown,
                detail: "no answer in 5s".into(),
                budget_used_ms: 5000,
                deadline: at(),
            }
            .into(),
            fulfilment::StepEnded {
                step: fulfilment::Step::Hold,
                effect_id: Some(effect_id),
                attempt: 1,
                outcome: fulfilment::Outcome::Refused,
                detail: Some("Bicycle lamp".into()),
            }
            .into(),
            fulfilment::UnwindingBegan {
                reason: order::CancelReason::OutOfStock,
                detail: Some("Bicycle lamp".into()),
                plan: vec![fulfilment::Step::Release, fulfilment::Step::Void],
            }
            .into(),
            fulfilment::NeedsOperator {
                step: fulfilment::Step::Refund,
                cause: fulfilment::Cause::RefundRefused,
                detail: "account closed".into(),
            }
            .into(),
            fulfilment::Completed {}.into(),
            fulfilment::Compensated {
                reason: order::CancelReason::OutOfStock,
            }
            .into(),
            fulfilment::OperatorCommanded {
                command: fulfilment::OperatorVerb::Resolve,
                step: Some(fulfilment::Step::Refund),
                outcome: Some(fulfilment::Outcome::Ok),
                evidence: Some("re_7, seen in the dashboard".into()),
                reason: "the customer called".into(),
                command_id: CommandId(uuid(8)),
            }
            .into(),
            fulfilment::Closed {
                left_due: vec![fulfilment::Step::Refund],
                reason: "paid by bank transfer 8831".into(),
            }
            .into(),
            fulfilment::LateOutcomeRecorded {
                step: fulfilment::Step::Capture,
                effect_id,
                outcome: fulfilment::Outcome::Ok,
                detail: "39.98 EUR were taken (pi_1)".into(),
            }
            .into(),
        ],
    );
    push(
        &mut all,
        [stray_callback::Event::from(stray_callback::Received {
            provider: "sandbox".into(),
            provider_event_id: "evt_9".into(),
            kind: "payment_intent.succeeded".into(),
            order_reference: Some("nowhere".into()),
            provider_payment_id: Some(pay),
        })],
    );
    let delivery_id = DeliveryId(uuid(11));
    push(
        &mut all,
        [
            notification::Event::from(notification::Intended {
                delivery_id,
                event_id: uuid(12),
                kind: notification::Kind::OrderConfirmed,
                channel: notification::Channel::Email,
                recipient: notification::Recipient::Customer(customer_id),
                order_id: Some(order_id),
                about: Some(product_id.uuid()),
                agent: notification::AgentVersion {
                    name: "orders".into(),
                    version: 2,
                },
                priority: notification::Priority::High,
                providers: vec!["smtp".into(), "mail_api".into()],
                allow_duplicates: false,
                intended_at: at(),
                not_before: Some(at()),
                replay_of: Some(DeliveryId(uuid(13))),
            }),
            notification::Attempted {
                delivery_id,
                attempt: 1,
                provider: "smtp".into(),
                at: at(),
            }
            .into(),
            notification::AttemptEnded {
                delivery_id,
                attempt: 1,
                provider: "smtp".into(),
                outcome: notification::Outcome::Transient,
                provider_id: Some("<11@shop.example>".into()),
                cause: Some("421".into()),
                retry_at: Some(at()),
                next_provider: Some("mail_api".into()),
            }
            .into(),
            notification::Settled {
                delivery_id,
                status: notification::Status::Failed,
                cause: Some("421".into()),
            }
            .into(),
        ],
    );
    push(
        &mut all,
        [notification_agent::Event::from(notification_agent::Set {
            name: "orders".into(),
            kinds: vec![notification::Kind::OrderConfirmed],
            priority: notification::Priority::High,
            channels: vec![notification_agent::Route {
                channel: notification::Channel::Email,
                providers: vec!["smtp".into()],
            }],
            active: true,
            allow_duplicates: false,
            quiet_hours: Some(quiet_hours),
        })],
    );
    push(
        &mut all,
        [record::DoneEvent::from(record::Done { following: 2 })],
    );
    push(
        &mut all,
        [
            record::UniqEvent::from(record::Claimed { owner: uuid(1) }),
            record::Released { owner: uuid(1) }.into(),
        ],
    );
    all
}

fn name(event_type: &str, version: u16) -> String {
    format!("{event_type}.v{version}.msgpack")
}

fn manifest() -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder().join("SHA256SUMS")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, file)| (file.to_owned(), sum.to_owned()))
        .collect()
}

fn sum(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Adds the files and checksums that are missing; never touches one that is there.
fn write_missing() {
    let mut sums = manifest();
    for (event_type, version, bytes) in samples() {
        let file = name(event_type, version);
        let path = folder().join(&file);
        if !path.exists() {
            fs::write(&path, &bytes).unwrap();
            let decoded = decode(event_type, version, &bytes);
            fs::write(path.with_extension("txt"), decoded).unwrap();
        }
        sums.entry(file).or_insert_with(|| sum(&bytes));
    }
    let text: String = sums
        .iter()
        .map(|(file, sum)| format!("{sum}  {file}\n"))
        .collect();
    fs::write(folder().join("SHA256SUMS"), text).unwrap();
}

fn decode(event_type: &str, version: u16, bytes: &[u8]) -> String {
    let set = registry::ALL
        .iter()
        .find(|set| set.types.iter().any(|(name, _)| *name == event_type))
        .unwrap_or_else(|| panic!("{event_type} is stored somewhere, but no event set knows it"));
    match (set.check)(event_type, version, bytes) {
        Ok(text) => text + "\n",
        Err(error) => panic!("{event_type} v{version} cannot be read any more: {error}"),
    }
}

#[test]
fn every_event_type_and_version_has_a_stored_file_and_none_has_changed() {
    if std::env::var_os("WAYBILL_WRITE_CORPUS").is_some() {
        write_missing();
    }
    let sums = manifest();
    for (event_type, newest) in registry::ALL.iter().flat_map(|set| set.types) {
        for version in 1..=*newest {
            let file = name(event_type, version);
            assert!(
                sums.contains_key(&file),
                "{file} is not in the corpus: add a sample to this test"
            );
        }
    }
    for (file, expected) in &sums {
        let bytes = fs::read(folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(
            &sum(&bytes),
            expected,
            "{file} was changed; stored bytes never change"
        );
    }
    let stored = fs::read_dir(folder())
        .unwrap()
        .flatten()
        .map(|e| e.file_name().into_string().unwrap());
    for file in stored.filter(|f| f.ends_with(".msgpack")) {
        assert!(sums.contains_key(&file), "{file} has no checksum");
    }
}

#[test]
fn every_stored_file_still_reads_as_what_it_meant() {
    for file in manifest().keys() {
        let (event_type, version) = file.trim_end_matches(".msgpack").rsplit_once(".v").unwrap();
        let bytes = fs::read(folder().join(file)).unwrap();
        let meant = fs::read_to_string(folder().join(file).with_extension("txt")).unwrap();
        assert_eq!(
            decode(event_type, version.parse().unwrap(), &bytes),
            meant,
            "{file}"
        );
    }
}

#[test]
fn todays_build_writes_exactly_the_newest_stored_bytes() {
    for (event_type, version, bytes) in samples() {
        let stored = fs::read(folder().join(name(event_type, version))).unwrap();
        assert_eq!(
            bytes, stored,
            "{event_type}: a changed shape needs a new version and an upcaster"
        );
    }
}

//! How often the way of a command through memory asks for some: read an event as it is stored, fold it, decide, spell the
//! new one. A count, unlike a time, is the same on every machine, so a change that makes each event dearer is seen here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::collections::HashMap;
use std::hint::black_box;

use allocation_counter::measure;
use domain::inventory::{self, Inventory, Receive};
use domain::order::{self, Line, Order, PaymentMethod, Place};
use event_schema::envelope::{from_headers, to_headers};
use event_schema::ids::{CommandId, CustomerId, PartnerId, ProductId, QuoteId};
use event_schema::{
    Actor, Currency, Decider, EventSet, Metadata, Money, NewEvent, PersonalKey, Position, Sealed,
    Subject, Timestamp, Version,
};
use uuid::Uuid;

/// A count may differ by this part of what is recorded: beyond, somebody should know why, and record the new one.
const TOLERANCE: f64 = 0.15;

fn new_event<E: EventSet>(event: &E) -> NewEvent {
    NewEvent {
        event_id: Uuid::from_u128(7),
        event_type: event.event_type(),
        schema_version: event.schema_version(),
        payload: event.encode().unwrap().into(),
        saga: event.saga_headers(),
    }
}

fn metadata() -> Metadata {
    let actor = Actor::caller("admin", Uuid::from_u128(1));
    Metadata {
        command_hash: Some("0123456789abcdef0123456789abcdef".to_owned()),
        ..Metadata::new(CommandId(Uuid::from_u128(2)), actor, Timestamp::UNIX_EPOCH)
    }
}

/// Of each of the three: how often memory was asked for.
#[derive(Debug)]
struct Counted {
    decide: u64,
    encode: u64,
    decode: u64,
}

fn counted<D: Decider>(command: impl Fn() -> D::Command) -> Counted
where
    D::Rejection: std::fmt::Debug,
{
    let state = D::initial();
    let wanted = command();
    let mut events = Vec::new();
    let decide = measure(|| events = D::decide(&state, wanted).unwrap()).count_total;
    let (metadata, mut headers, mut stored) = (metadata(), Vec::new(), None);
    let encode = measure(|| {
        let event = new_event(&events[0]);
        headers = to_headers(&event, Version(1000), &metadata);
        stored = Some(event);
    })
    .count_total;
    let stored = stored.unwrap();
    let headers: HashMap<&str, String> = headers.into_iter().collect();
    let subject = Subject::history(D::Event::AGGREGATE, Uuid::from_u128(3));
    let decode = measure(|| {
        let recorded = from_headers(
            |name| headers.get(name).map(String::as_str),
            subject.clone(),
            Position(5),
            Timestamp::UNIX_EPOCH,
            stored.payload.clone(),
        )
        .unwrap();
        let event = D::Event::decode(
            &recorded.event_type,
            recorded.schema_version,
            &recorded.payload,
        )
        .unwrap();
        black_box(D::evolve(D::State::clone(&state), &event));
    })
    .count_total;
    Counted {
        decide,
        encode,
        decode,
    }
}

#[track_caller]
fn is_as_recorded(counted: &Counted, recorded: &Counted) {
    let near = |counted: u64, recorded: u64| {
        (counted as f64 - recorded as f64).abs() / recorded as f64 <= TOLERANCE
    };
    assert!(
        near(counted.decide, recorded.decide)
            && near(counted.encode, recorded.encode)
            && near(counted.decode, recorded.decode),
        "{counted:?}, but {recorded:?} is recorded; if that is meant, record the new figures"
    );
}

#[test]
fn a_receipt_asks_for_memory_as_often_as_recorded() {
    let counted = counted::<Inventory>(|| {
        inventory::Command::from(Receive {
            quantity: 1,
            reason: Some("delivery 4711".to_owned()),
        })
    });
    let recorded = Counted {
        decide: 1,
        encode: 12,
        decode: 6,
    };
    is_as_recorded(&counted, &recorded);
}

#[test]
fn an_order_of_three_lines_asks_for_memory_as_often_as_recorded() {
    let key = PersonalKey::generate().unwrap();
    let (customer, origin) = (Uuid::from_u128(4), Uuid::from_u128(5));
    let seal = |field: &str, text: &str| {
        Sealed::seal(&key, customer, origin, field, &text.to_owned()).unwrap()
    };
    let eur = |amount| Money::new(amount, Currency::EUR);
    let line = |number: u128| Line {
        product_id: ProductId(Uuid::from_u128(number)),
        sku: "LAMP-1".to_owned(),
        name: "Bicycle lamp".to_owned(),
        brand: "Lumen".to_owned(),
        category: "lights".to_owned(),
        quantity: 2,
        unit_price: eur(1999),
        unit_cost: eur(900),
        total: eur(3998),
    };
    let counted = counted::<Order>(|| {
        order::Command::from(Place {
            quote_id: QuoteId(origin),
            customer_id: CustomerId(customer),
            partner_id: PartnerId(Uuid::from_u128(6)),
            lines: vec![line(11), line(12), line(13)],
            total: eur(11_994),
            delivery_address: seal("delivery_address", "Unter den Linden 1, 10117 Berlin"),
            phone: seal("phone", "+49 30 7654321"),
            payment_method: PaymentMethod::Card {
                token: "pm_card_visa".to_owned(),
            },
        })
    });
    let recorded = Counted {
        decide: 2,
        encode: 17,
        decode: 53,
    };
    is_as_recorded(&counted, &recorded);
}

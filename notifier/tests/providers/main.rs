//! The providers against servers that speak their protocols, and that answer late, wrongly, too much or not at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod fcm;
mod limits;
mod resend;
mod server;
mod smtp;
mod twilio;
mod webpush;

use event_schema::Timestamp;
use event_schema::notification::Kind;
use notifier::port::{Address, Outcome, Outgoing};
use notifier::templates::{Facts, render};
use uuid::Uuid;

/// That an order is on its way.
fn message(to: Address) -> Outgoing {
    let facts = Facts::sample();
    Outgoing {
        delivery_id: Uuid::now_v7(),
        attempt: 1,
        kind: Kind::OrderOnItsWay,
        order_id: facts.order_id,
        intended_at: Timestamp::now(),
        to,
        content: render(Kind::OrderOnItsWay, &facts),
    }
}

fn ada() -> Address {
    Address::Email {
        address: "ada@example.org".into(),
        name: Some("Ada \"the\" Lovelace".into()),
    }
}

fn assert_sent(outcome: &Outcome, provider_id: Option<&str>) {
    let expected = Outcome::Sent {
        provider_id: provider_id.map(str::to_owned),
    };
    assert_eq!(*outcome, expected);
}

fn cause(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Sent { .. } => panic!("it was sent"),
        Outcome::Rejected { cause, .. }
        | Outcome::Transient { cause, .. }
        | Outcome::Unknown { cause }
        | Outcome::KeyInUse { cause } => cause,
    }
}

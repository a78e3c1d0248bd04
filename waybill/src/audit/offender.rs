//! Something that is wrong, since where, and what a person does about it.

use domain::fulfilment::audit::Finding;
use event_schema::ids::ProductId;
use event_schema::{Position, Subject};
use serde_json::{Value, json};
use uuid::Uuid;

/// What it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// An order: its saga, its payment, the units that it holds.
    Saga(Uuid),
    /// A product's stock.
    Stock(ProductId),
    /// Another history.
    History(Subject),
    /// A message that does not say.
    Nobody,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// Money, units and histories do not agree.
    Balance(Finding),
    /// An event cannot be read: it is damaged, or a newer build wrote it.
    Unreadable {
        /// Its stored type, if that much can be read.
        event_type: Option<String>,
        /// Why.
        reason: String,
        /// Whether a newer build would read it.
        newer: bool,
    },
    /// The versions of a history are not 1, 2, 3.
    VersionGap {
        /// Whose.
        subject: Subject,
        /// What comes next in a whole history.
        expected: u64,
        /// What there is.
        found: u64,
    },
}

/// One offence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offender {
    /// Whose.
    pub whose: Whose,
    /// Where it shows first; of what is wrong with an order as it stands, where it was heard of last.
    pub position: Position,
    /// What.
    pub wrong: Wrong,
}

impl Offender {
    /// The offence as a stable word.
    pub fn code(&self) -> &'static str {
        match &self.wrong {
            Wrong::Balance(finding) => finding.code(),
            Wrong::Unreadable { newer: true, .. } => "newer_event",
            Wrong::Unreadable { .. } => "unreadable_event",
            Wrong::VersionGap { .. } => "version_gap",
        }
    }

    /// What is wrong, in words.
    pub fn what(&self) -> String {
        match &self.wrong {
            Wrong::Balance(finding) => finding.to_string(),
            Wrong::Unreadable {
                event_type, reason, ..
            } => match event_type {
                Some(event_type) => format!("an event {event_type} cannot be read: {reason}"),
                None => format!("a message cannot be read: {reason}"),
            },
            Wrong::VersionGap {
                subject,
                expected,
                found,
            } => format!("{subject} goes on with version {found} where {expected} is due"),
        }
    }

    /// What a person does about it.
    pub fn next(&self) -> &'static str {
        match &self.wrong {
            Wrong::Unreadable { newer: true, .. } => {
                "run the audit with the build that wrote it; this one judges nothing by it"
            }
            Wrong::Unreadable { .. } => {
                "look at the message, and restore the log from a backup if it is damaged; what it belongs to is not judged"
            }
            Wrong::VersionGap { .. } => {
                "find out who wrote to the log past Waybill, or what it lost; compare with a backup"
            }
            Wrong::Balance(finding) => match finding {
                Finding::LedgerOutOfBounds { .. }
                | Finding::PaidTwice { .. }
                | Finding::GivenBackTwice { .. }
                | Finding::NotPaid { .. }
                | Finding::MoneyKept { .. }
                | Finding::MoneySetAside { .. }
                | Finding::PaidAndForgotten { .. } => {
                    "look the order up at the payment provider (metadata order_id) and put right there what is wrong"
                }
                Finding::HeldTwice { .. }
                | Finding::OtherQuantity { .. }
                | Finding::EndedWithoutHold { .. }
                | Finding::HoldOutlivesSaga { .. }
                | Finding::HoldMissing { .. }
                | Finding::NotSold { .. }
                | Finding::SoldToNobody { .. }
                | Finding::StockDoesNotBalance { .. }
                | Finding::StockBelowNothing { .. }
                | Finding::HoldsContradict { .. } => {
                    "count the product's units, and adjust its stock to what is there"
                }
                Finding::EndedWithDue { .. } => {
                    "see at the payment provider and in the stock whether what was due has happened, and do what has not"
                }
                Finding::AfterTheEnd { .. }
                | Finding::OrderDisagrees { .. }
                | Finding::SagaMissing
                | Finding::OrderMissing => {
                    "find out who wrote to the log past Waybill; tell the customer what holds"
                }
            },
        }
    }

    /// The line that shows more.
    pub fn show(&self) -> String {
        match (&self.wrong, &self.whose) {
            (Wrong::Unreadable { .. }, _) | (_, Whose::Nobody) => {
                format!("nats stream get EVENTS {}", self.position)
            }
            (_, Whose::Saga(order)) => format!("nats req saga.show {order} --raw"),
            (_, Whose::Stock(product)) => format!("waybill events show inventory {product}"),
            (_, Whose::History(subject)) => match subject.aggregate() {
                Some((aggregate, id)) => format!("waybill events show {aggregate} {id}"),
                None => format!("nats stream get EVENTS {}", self.position),
            },
        }
    }

    /// Whose it is, for people.
    pub fn who(&self) -> String {
        match &self.whose {
            Whose::Saga(order) => format!("saga {order}"),
            Whose::Stock(product) => format!("stock of product {product}"),
            Whose::History(subject) => subject.to_string(),
            Whose::Nobody => "a message of nobody's".into(),
        }
    }

    /// As one JSON object.
    pub fn as_json(&self) -> Value {
        let (saga, product, subject) = match &self.whose {
            Whose::Saga(order) => (Some(order), None, None),
            Whose::Stock(product) => (None, Some(product), None),
            Whose::History(subject) => (None, None, Some(subject)),
            Whose::Nobody => (None, None, None),
        };
        let subject = match &self.wrong {
            Wrong::VersionGap { subject, .. } => Some(subject),
            Wrong::Balance(_) | Wrong::Unreadable { .. } => subject,
        };
        json!({
            "saga": saga, "product": product, "subject": subject, "position": self.position,
            "code": self.code(), "what": self.what(), "next": self.next(), "show": self.show(),
        })
    }
}

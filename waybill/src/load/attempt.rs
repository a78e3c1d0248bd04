//! One order: a price is asked for, and bought at.

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use uuid::Uuid;

use super::board::Acknowledged;
use super::target::Target;

const CARD: &str = "pm_card_visa";

/// What the shop said to one command.
#[derive(Debug)]
pub struct Said {
    /// Which command.
    pub command: &'static str,
    /// The status.
    pub status: u16,
    /// Whether it says when to come back.
    has_retry_after: bool,
    body: Value,
    position: Option<u64>,
}

impl Said {
    /// The promise that it breaks, if it does: the only 5xx is 503, and who is turned away is told when to come back.
    pub fn breaks(&self) -> Option<String> {
        let Self {
            command,
            status,
            body,
            ..
        } = self;
        match status {
            503 | 429 if !self.has_retry_after => Some(format!(
                "{command} was answered {status} without Retry-After"
            )),
            503 => None,
            500.. => Some(format!("{command} was answered {status}: {body}")),
            _ => None,
        }
    }
}

/// How an order ended for whoever sent it.
#[derive(Debug)]
pub enum Ended {
    /// The shop has taken it.
    Placed(Acknowledged),
    /// The shop has said no, for now or for good.
    Refused,
    /// The shop has said nothing.
    NoAnswer,
}

/// An order that was sent.
#[derive(Debug)]
pub struct Attempt {
    /// What was said on the way.
    pub answers: Vec<Said>,
    /// How it ended.
    pub ended: Ended,
}

/// Sends one. Nobody tries again: whoever arrives next is somebody else.
pub async fn send(target: &Target, number: usize) -> Attempt {
    let customer = number % target.customers.len().max(1);
    let mut answers = Vec::with_capacity(2);
    let ended = converse(target, customer, &mut answers).await;
    Attempt { answers, ended }
}

async fn converse(target: &Target, customer: usize, answers: &mut Vec<Said>) -> Ended {
    let check = json!({
        "partner_id": target.partner, "lines": [{"product_id": target.product, "quantity": 1}],
        "delivery_address": "1 Main Street, Springfield", "phone": "+49 30 5550100",
    });
    let quote = match put(target, customer, "/v1/orders/check", &check).await {
        Some(said) => {
            let quote = said.body["quote_id"].clone();
            answers.push(said);
            quote
        }
        None => return Ended::NoAnswer,
    };
    if quote.is_null() {
        return Ended::Refused;
    }
    let order = json!({"quote_id": quote, "payment": {"method": "card", "token": CARD}});
    let Some(said) = put(target, customer, "/v1/orders", &order).await else {
        return Ended::NoAnswer;
    };
    let id = said.body["order_id"]
        .as_str()
        .and_then(|id| id.parse::<Uuid>().ok());
    let position = said.position;
    let accepted = said.status == StatusCode::ACCEPTED.as_u16();
    answers.push(said);
    match id.filter(|_| accepted) {
        Some(order) => Ended::Placed(Acknowledged {
            order,
            customer,
            position,
        }),
        None => Ended::Refused,
    }
}

async fn put(
    target: &Target,
    customer: usize,
    command: &'static str,
    body: &Value,
) -> Option<Said> {
    let token = target.customers.get(customer)?;
    let answer = target
        .http
        .post(format!("{}{command}", target.url))
        .bearer_auth(token)
        .header("Idempotency-Key", Uuid::now_v7().to_string())
        .json(body)
        .send()
        .await
        .ok()?;
    let (status, headers) = (answer.status().as_u16(), answer.headers());
    let has_retry_after = headers.contains_key(RETRY_AFTER);
    let position = headers
        .get("waybill-position")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    Some(Said {
        command,
        status,
        has_retry_after,
        position,
        // Without its body an answer is none.
        body: serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or(Value::Null),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, has_retry_after: bool) -> Said {
        Said {
            command: "/v1/orders",
            status,
            has_retry_after,
            body: Value::Null,
            position: None,
        }
    }

    #[test]
    fn the_only_5xx_is_503_and_who_is_turned_away_is_told_when_to_come_back() {
        for good in [
            said(202, false),
            said(409, false),
            said(429, true),
            said(503, true),
        ] {
            assert_eq!(good.breaks(), None, "{good:?}");
        }
        for bad in [
            said(429, false),
            said(503, false),
            said(500, true),
            said(502, true),
            said(504, true),
        ] {
            assert!(bad.breaks().is_some(), "{bad:?}");
        }
    }
}

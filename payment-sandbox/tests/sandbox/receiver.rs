//! Somebody who receives webhooks: notes each one and can be told to refuse.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::provider::until;

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    refuse: usize,
    refuse_kind: Option<String>,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Clone)]
pub struct Attempt {
    pub accepted: bool,
    pub signature: String,
    pub body: String,
    pub event: Value,
}

impl Attempt {
    pub fn kind(&self) -> &str {
        self.event["type"].as_str().unwrap()
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let notes = Arc::new(Mutex::new(Notes::default()));
        let router = Router::new()
            .route("/hook", post(receive))
            .with_state(Arc::clone(&notes));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, notes }
    }

    /// Refuses the next attempts.
    pub fn refuse(&self, times: usize) {
        self.notes.lock().unwrap().refuse = times;
    }

    /// Refuses every attempt with an event of this type.
    pub fn refuse_kind(&self, kind: &str) {
        self.notes.lock().unwrap().refuse_kind = Some(kind.to_owned());
    }

    pub fn attempts(&self) -> Vec<Attempt> {
        self.notes.lock().unwrap().attempts.clone()
    }

    /// The types of the accepted events of an order, in the order of their arrival.
    pub fn accepted(&self, order: &str) -> Vec<String> {
        self.attempts()
            .iter()
            .filter(|attempt| attempt.accepted)
            .filter(|attempt| {
                attempt.event["data"]["object"]["metadata"]["order_id"].as_str() == Some(order)
            })
            .map(|attempt| attempt.kind().to_owned())
            .collect()
    }

    /// Waits until an event of this type was accepted for the order.
    pub async fn accepts(&self, order: &str, kind: &str) -> Attempt {
        until(|| async {
            self.attempts().into_iter().find(|attempt| {
                attempt.accepted
                    && attempt.kind() == kind
                    && attempt.event["data"]["object"]["metadata"]["order_id"].as_str()
                        == Some(order)
            })
        })
        .await
    }
}

async fn receive(
    State(notes): State<Arc<Mutex<Notes>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let event: Value = serde_json::from_str(&body).unwrap();
    let mut notes = notes.lock().unwrap();
    let unwanted = notes.refuse_kind.as_deref() == event["type"].as_str();
    let accepted = notes.refuse == 0 && !unwanted;
    notes.refuse = notes.refuse.saturating_sub(1);
    notes.attempts.push(Attempt {
        accepted,
        signature: headers["stripe-signature"].to_str().unwrap().to_owned(),
        body,
        event,
    });
    if accepted {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

//! Where the provider's callbacks arrive in these tests: they are kept, and the test delivers them when it likes.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use testkit::within;
use tokio::net::TcpListener;

/// All callbacks that the provider has sent, in their order.
#[derive(Clone)]
pub struct Postbox {
    pub url: String,
    letters: Arc<Mutex<Vec<Value>>>,
}

impl Postbox {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let postbox = Self {
            url: format!("http://{}/", listener.local_addr().unwrap()),
            letters: Arc::default(),
        };
        let router = Router::new()
            .route("/", post(keep))
            .with_state(postbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        postbox
    }

    /// Waits for the provider's callback of a kind about an order.
    pub async fn letter(&self, kind: &str, order: &str) -> Value {
        within(&format!("the provider tells {kind} of {order}"), || async {
            let letters = self.letters.lock().unwrap();
            let about = |letter: &&Value| {
                letter["type"] == kind && letter["data"]["object"]["metadata"]["order_id"] == order
            };
            letters.iter().find(about).cloned()
        })
        .await
    }

    /// Everything that the provider has told of an order so far.
    pub fn letters(&self, order: &str) -> Vec<Value> {
        let letters = self.letters.lock().unwrap();
        let about = |letter: &&Value| letter["data"]["object"]["metadata"]["order_id"] == order;
        letters.iter().filter(about).cloned().collect()
    }
}

async fn keep(State(postbox): State<Postbox>, Json(letter): Json<Value>) {
    postbox.letters.lock().unwrap().push(letter);
}

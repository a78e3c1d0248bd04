//! The shop's ear for callbacks: records what the provider tells, as the front door does once the signature is good.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use domain::payment::RecordCallback;
use event_schema::{Money, Timestamp};
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::shop::Shop;

/// Listens for callbacks before there is a provider; they are recorded in this shop.
pub async fn listen(shop: Arc<Shop>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/callbacks", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/callbacks", post(receive))
        .with_state(shop);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn receive(State(shop): State<Arc<Shop>>, Json(event): Json<Value>) -> StatusCode {
    let object = &event["data"]["object"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let Some(order) = text(&object["metadata"]["order_id"]).and_then(|id| id.parse::<Uuid>().ok())
    else {
        return StatusCode::OK;
    };
    let is_session = object["object"] == "checkout.session";
    let amount = if is_session {
        &object["amount_total"]
    } else {
        &object["amount"]
    };
    let currency = text(&object["currency"]).and_then(|code| code.to_uppercase().parse().ok());
    shop.callback(
        order,
        RecordCallback {
            provider: shop.provider_id.into(),
            provider_event_id: text(&event["id"]).unwrap(),
            kind: text(&event["type"]).unwrap(),
            provider_payment_id: if object["object"] == "payment_intent" {
                text(&object["id"])
            } else {
                text(&object["payment_intent"])
            },
            session_id: is_session.then(|| text(&object["id"])).flatten(),
            amount: amount
                .as_i64()
                .zip(currency)
                .map(|(amount, currency)| Money::new(amount, currency)),
            status: text(&object["status"]),
            created_at: Timestamp::now(),
        },
    )
    .await;
    StatusCode::OK
}

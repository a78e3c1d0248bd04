//! The customers who are told something, added by the real commands.

use std::sync::Arc;

use axum::http::Method;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use service_kit::Role;
use service_kit::http::{HttpLimits, ServerBuilder};
use uuid::Uuid;

use crate::bench::ground::Ground;
use crate::seed::{Order, Sender};

const ROLE: &str = "command-api";
const AT_ONCE: usize = 64;
const TOKEN_TTL: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// Adds so many.
pub async fn add(ground: &Ground, count: u32) -> anyhow::Result<()> {
    let deps = command_api::Deps::connect(Arc::clone(&ground.settings), ROLE).await?;
    let tokens = Arc::clone(&deps.tokens);
    let service = command_api::Service::new(deps).await?;
    let limits = HttpLimits {
        rate_limit: None,
        admin_nets: None,
        ..HttpLimits::default()
    };
    let router = ServerBuilder::new(limits)
        .tokens(Arc::clone(&tokens))
        .api(service.api())
        .build();
    let sender = Sender::in_process(router);
    let token = tokens.issue(Role::Admin, Uuid::now_v7(), TOKEN_TTL)?;
    let run = Uuid::now_v7().simple().to_string();
    stream::iter(0..count)
        .map(|number| {
            let order = Order {
                method: Method::POST,
                path: "/v1/customers".to_owned(),
                token: &token,
                key: format!("{run}-{number}"),
                body: json!({"name": "Ada Byron", "email": format!("{run}-{number}@example.com")}),
            };
            let sender = &sender;
            async move { sender.send(&order).await.map(drop) }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

//! GET /.well-known/jwks.json: what others check our access tokens with.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CACHE_CONTROL;
use utoipa::openapi::OpenApi;
use utoipa::openapi::info::Info;
use utoipa::openapi::path::Paths;

use service_kit::extract::Json;
use service_kit::signing::{JwkSet, Tokens};
use service_kit::{Access, ApiRouter, routes};

/// A key is replaced by a restart with another file; whoever keeps the old one this long finds out in time.
const KEPT: &str = "public, max-age=300";

pub(crate) fn routes() -> ApiRouter<Arc<Tokens>> {
    let document = OpenApi::new(
        Info::new("Waybill", env!("CARGO_PKG_VERSION")),
        Paths::new(),
    );
    ApiRouter::new(document).routes(Access::Public, routes!(keys))
}

/// The public keys that access tokens are signed with, as a JSON Web Key Set.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth", operation_id = "list_keys",
    responses((status = 200, description = "The keys", body = JwkSet))
)]
async fn keys(State(tokens): State<Arc<Tokens>>) -> impl IntoResponse {
    ([(CACHE_CONTROL, KEPT)], Json(tokens.public_keys().clone()))
}

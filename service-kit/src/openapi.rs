//! The OpenAPI document and its page, both from inside the binary.

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Serves `/openapi.json` and `/docs`. The page loads nothing from the internet.
pub fn router(document: OpenApi) -> Router {
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .config(
            Config::from("/openapi.json")
                // The page would otherwise send the document's address to an outside validator.
                .validator_url("none")
                .persist_authorization(true)
                .try_it_out_enabled(true),
        )
        .into()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::{Request, StatusCode};
    use tower::ServiceExt;
    use utoipa::openapi::{Info, OpenApi, Paths};

    use super::*;

    async fn get(path: &str) -> (StatusCode, String) {
        let document = OpenApi::new(Info::new("Waybill", "1"), Paths::new());
        let response = router(document)
            .oneshot(Request::get(path).body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), 16 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    #[tokio::test]
    async fn the_document_and_its_page_are_served_without_the_internet() {
        let (status, json) = get("/openapi.json").await;
        assert_eq!(status, StatusCode::OK);
        assert!(json.contains(r#""title":"Waybill""#));

        let (status, _) = get("/docs").await;
        assert!(status.is_redirection());
        let (status, page) = get("/docs/").await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("swagger-ui") && !page.contains("https://"));
        let (status, script) = get("/docs/swagger-initializer.js").await;
        assert_eq!(status, StatusCode::OK);
        assert!(script.contains("/openapi.json") && script.contains(r#""validatorUrl": "none""#));
        let (status, bundle) = get("/docs/swagger-ui-bundle.js").await;
        assert_eq!(status, StatusCode::OK);
        assert!(bundle.len() > 100_000);
    }
}

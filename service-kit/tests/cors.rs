//! Pages of other origins over a real socket: who may read the answers, refusals included, and that a browser which asks
//! first is answered before anything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use reqwest::{Client, RequestBuilder, Response};
use service_kit::http::{HttpLimits, RateLimit, Readiness, ServerBuilder, serve};
use service_kit::settings::CorsOrigins;
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Access, ApiRouter, Clock, Role, Shutdown, routes};
use tokio::net::TcpListener;
use utoipa::openapi::{Info, OpenApi, Paths};

const SHOP: &str = "https://shop.example";
const STRANGER: &str = "https://stranger.example";

#[utoipa::path(get, path = "/things", responses((status = 200)))]
async fn list_things() -> &'static str {
    "things"
}

#[utoipa::path(delete, path = "/things", responses((status = 200)))]
async fn drop_things() -> &'static str {
    "dropped"
}

#[utoipa::path(get, path = "/slow", responses((status = 200)))]
async fn slow() -> &'static str {
    std::future::pending::<()>().await;
    "never"
}

#[utoipa::path(get, path = "/panic", responses((status = 200)))]
async fn panics() -> &'static str {
    panic!("somebody sees this in the log")
}

struct Server {
    url: String,
    client: Client,
    shutdown: Shutdown,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

impl Server {
    async fn with(limits: HttpLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&folder.path().join("signing.key")).unwrap();
        let api = ApiRouter::new(OpenApi::new(Info::new("Test", "1"), Paths::new()))
            .routes(Access::Public, routes!(list_things))
            .routes(Access::Roles(&[Role::Admin]), routes!(drop_things))
            .routes(Access::Public, routes!(slow))
            .routes(Access::Public, routes!(panics));
        let router = ServerBuilder::new(limits)
            .tokens(Arc::new(Tokens::new(&key, Clock::system())))
            .api(api)
            .build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        tokio::spawn(async move { serve(listener, router, Readiness::new(), &stop).await });
        Self {
            url,
            client: Client::new(),
            shutdown,
        }
    }

    async fn for_pages_of(origins: CorsOrigins) -> Self {
        Self::with(allowing(origins)).await
    }

    fn ask(&self, method: Method, path: &str, origin: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .header("origin", origin)
    }

    async fn get(&self, path: &str, origin: &str) -> Response {
        self.ask(Method::GET, path, origin).send().await.unwrap()
    }

    /// As a browser asks before it sends a DELETE with a token.
    async fn asks_first(&self, path: &str, origin: &str) -> Response {
        self.ask(Method::OPTIONS, path, origin)
            .header("access-control-request-method", "DELETE")
            .header("access-control-request-headers", "authorization")
            .send()
            .await
            .unwrap()
    }
}

fn allowing(origins: CorsOrigins) -> HttpLimits {
    HttpLimits {
        cors_origins: Some(origins),
        ..HttpLimits::default()
    }
}

fn listed() -> CorsOrigins {
    CorsOrigins::These(vec!["http://localhost:5173".to_owned(), SHOP.to_owned()])
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let mut values = response.headers().get_all(name).iter();
    let value = values.next()?;
    assert!(values.next().is_none(), "{name} is there twice");
    Some(value.to_str().unwrap())
}

fn origin(response: &Response) -> Option<&str> {
    header(response, "access-control-allow-origin")
}

fn words(response: &Response, name: &str) -> Vec<String> {
    header(response, name)
        .unwrap_or_else(|| panic!("{name} is missing"))
        .split(", ")
        .map(str::to_owned)
        .collect()
}

fn says_nothing_of_origins(headers: &HeaderMap) -> bool {
    !headers
        .keys()
        .any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn a_page_of_a_listed_origin_reads_the_answer_and_the_headers_that_mean_something() {
    let server = Server::for_pages_of(listed()).await;
    for page in [SHOP, "http://localhost:5173"] {
        let response = server.get("/things", page).await;
        assert_eq!(origin(&response), Some(page));
        assert_eq!(header(&response, "vary"), Some("origin"));
        assert_eq!(
            words(&response, "access-control-expose-headers"),
            [
                "etag",
                "location",
                "retry-after",
                "waybill-held",
                "waybill-position",
                "x-request-id"
            ]
        );
        assert!(
            !response
                .headers()
                .contains_key("access-control-allow-credentials")
        );
        assert_eq!(response.text().await.unwrap(), "things");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_nothing_and_no_cache_gives_it_the_answer_of_one_that_may()
{
    let server = Server::for_pages_of(listed()).await;
    for stranger in [
        STRANGER,
        "null",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.stranger.example",
        "https://sub.shop.example",
        "*",
    ] {
        for response in [
            server.get("/things", stranger).await,
            server.asks_first("/things", stranger).await,
        ] {
            assert!(says_nothing_of_origins(response.headers()), "{stranger}");
            assert_eq!(header(&response, "vary"), Some("origin"));
        }
    }
    // Programs that are no browsers name no origin, and are served as ever.
    let response = server
        .client
        .get(format!("{}/things", server.url))
        .send()
        .await
        .unwrap();
    assert!(says_nothing_of_origins(response.headers()));
    assert_eq!(header(&response, "vary"), Some("origin"));
    assert_eq!(response.status(), 200);
    // Two origins are none.
    let response = server
        .ask(Method::GET, "/things", SHOP)
        .header("origin", STRANGER)
        .send()
        .await
        .unwrap();
    assert!(says_nothing_of_origins(response.headers()));
}

#[tokio::test]
async fn with_a_star_every_page_reads_and_none_with_a_browsers_credentials() {
    let server = Server::for_pages_of(CorsOrigins::Any).await;
    for page in [SHOP, STRANGER] {
        for response in [
            server.get("/things", page).await,
            server.asks_first("/things", page).await,
        ] {
            assert_eq!(origin(&response), Some("*"));
            assert_eq!(header(&response, "vary"), Some("origin"));
            assert!(
                !response
                    .headers()
                    .contains_key("access-control-allow-credentials")
            );
        }
    }
}

#[tokio::test]
async fn without_the_setting_nothing_is_said_and_a_browser_that_asks_first_is_refused() {
    let server = Server::with(HttpLimits::default()).await;
    let response = server.get("/things", SHOP).await;
    assert!(says_nothing_of_origins(response.headers()));
    assert_eq!(header(&response, "vary"), None);
    let response = server.asks_first("/things", SHOP).await;
    assert!(says_nothing_of_origins(response.headers()));
    assert_eq!(response.status(), 405);
}

#[tokio::test]
async fn a_browser_that_asks_first_hears_what_it_may_send() {
    let server = Server::for_pages_of(listed()).await;
    // A browser sends no token when it asks, although the route wants one; nor does it matter which routes there are.
    for path in ["/things", "/nowhere"] {
        let response = server.asks_first(path, SHOP).await;
        assert_eq!(response.status(), 204);
        assert_eq!(origin(&response), Some(SHOP));
        assert_eq!(header(&response, "vary"), Some("origin"));
        assert_eq!(header(&response, "access-control-max-age"), Some("600"));
        assert_eq!(
            words(&response, "access-control-allow-methods"),
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        );
        assert_eq!(
            words(&response, "access-control-allow-headers"),
            [
                "authorization",
                "content-type",
                "idempotency-key",
                "if-match",
                "if-none-match",
                "last-event-id",
                "waybill-min-position",
                "waybill-wait-ms",
                "x-request-id"
            ]
        );
        assert!(response.headers().contains_key("x-request-id"));
        assert_eq!(response.text().await.unwrap(), "");
    }
}

#[tokio::test]
async fn an_options_that_asks_for_no_method_is_a_method_like_others() {
    let server = Server::for_pages_of(listed()).await;
    let response = server
        .ask(Method::OPTIONS, "/things", SHOP)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 405);
    assert!(header(&response, "allow").unwrap().contains("DELETE"));
    assert_eq!(origin(&response), Some(SHOP));
}

#[tokio::test]
async fn asking_first_uses_up_no_allowance_and_is_answered_to_who_has_none_left() {
    let server = Server::with(HttpLimits {
        rate_limit: Some(RateLimit {
            per_second: NonZeroU32::MIN,
            burst: NonZeroU32::MIN,
        }),
        ..allowing(listed())
    })
    .await;
    for _ in 0..5 {
        assert_eq!(server.asks_first("/things", SHOP).await.status(), 204);
    }
    assert_eq!(server.get("/things", SHOP).await.status(), 200);
    let refused = server.get("/things", SHOP).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(origin(&refused), Some(SHOP));
    assert_eq!(server.asks_first("/things", SHOP).await.status(), 204);
}

#[tokio::test]
async fn a_page_can_read_why_it_was_refused() {
    let server = Server::with(HttpLimits {
        time_limit: Duration::from_millis(100),
        ..allowing(listed())
    })
    .await;
    for (method, path, status) in [
        (Method::DELETE, "/things", 401),
        (Method::GET, "/nowhere", 404),
        (Method::PUT, "/things", 405),
        (Method::GET, "/panic", 500),
        (Method::GET, "/slow", 503),
    ] {
        let response = server.ask(method, path, SHOP).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(origin(&response), Some(SHOP), "{path}");
        assert_eq!(header(&response, "vary"), Some("origin"), "{path}");
        let shown = words(&response, "access-control-expose-headers");
        assert!(shown.contains(&"retry-after".to_owned()));
        assert_eq!(
            header(&response, "content-type"),
            Some("application/problem+json"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn health_and_figures_are_not_for_pages() {
    let server = Server::for_pages_of(CorsOrigins::Any).await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let response = server.get(path, SHOP).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(says_nothing_of_origins(response.headers()), "{path}");
        let response = server.asks_first(path, SHOP).await;
        assert!(says_nothing_of_origins(response.headers()), "{path}");
    }
}

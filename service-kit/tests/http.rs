//! A whole server over real sockets: every refusal is a problem, every limit holds, no route is without a rule.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use http::{Method, StatusCode};
use reqwest::{Client, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_kit::extract::{Json, Path, Query, RawBody};
use service_kit::http::{Behind, HttpLimits, RateLimit, Readiness, ServerBuilder, serve};
use service_kit::idempotency::IdempotencyKey;
use service_kit::signing::{SigningKey, Tokens};
use service_kit::{Access, ApiRouter, Caller, Clock, Problem, Role, Shutdown, routes};
use tokio::net::TcpListener;
use utoipa::ToSchema;
use utoipa::openapi::{Info, OpenApi, Paths};
use uuid::Uuid;

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Thing {
    name: String,
    quantity: u32,
}

#[utoipa::path(post, path = "/things", request_body = Thing, responses((status = 200, body = Thing)))]
async fn make_thing(caller: Caller, Json(thing): Json<Thing>) -> Json<Value> {
    Json(json!({"by": caller.subject, "name": thing.name, "quantity": thing.quantity}))
}

#[utoipa::path(get, path = "/things", responses((status = 200)))]
async fn list_things() -> &'static str {
    "things"
}

#[utoipa::path(get, path = "/things/{id}", params(("id" = Uuid, Path)), responses((status = 200)))]
async fn show_thing(Path(id): Path<Uuid>, caller: Option<Caller>) -> Json<Value> {
    Json(json!({"id": id, "caller": caller.map(|caller| caller.subject)}))
}

#[derive(Deserialize)]
struct Filter {
    limit: Option<u32>,
}

#[utoipa::path(get, path = "/search", responses((status = 200)))]
async fn search(Query(filter): Query<Filter>) -> Json<Value> {
    Json(json!({"limit": filter.limit}))
}

#[utoipa::path(post, path = "/pay", responses((status = 200)))]
async fn pay(key: IdempotencyKey) -> String {
    key.as_str().to_owned()
}

#[utoipa::path(post, path = "/hook", responses((status = 200)))]
async fn hook(RawBody(body): RawBody) -> String {
    body.len().to_string()
}

#[utoipa::path(get, path = "/me", responses((status = 200)))]
async fn me(caller: Caller) -> String {
    caller.subject.to_string()
}

#[utoipa::path(get, path = "/admin", responses((status = 200)))]
async fn admin_only() -> &'static str {
    "secret"
}

#[utoipa::path(get, path = "/panic", responses((status = 200)))]
async fn panics() -> &'static str {
    panic!("the database password is hunter2")
}

#[utoipa::path(get, path = "/slow", responses((status = 200)))]
async fn slow() -> &'static str {
    std::future::pending::<()>().await;
    "never"
}

#[utoipa::path(post, path = "/slow-command", responses((status = 200)))]
async fn slow_command() -> &'static str {
    std::future::pending::<()>().await;
    "never"
}

#[utoipa::path(get, path = "/library", responses((status = 200)))]
async fn library_refusal() -> (StatusCode, &'static str) {
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "stack trace at secret.rs",
    )
}

#[utoipa::path(get, path = "/state", responses((status = 200)))]
async fn state(State(word): State<&'static str>) -> &'static str {
    word
}

fn document() -> OpenApi {
    OpenApi::new(Info::new("Test", "1"), Paths::new())
}

/// As two services in one process: the write side and the read side, one path with methods of both.
fn write_side() -> ApiRouter {
    ApiRouter::new(document())
        .routes(
            Access::Roles(&[Role::Customer, Role::Admin]),
            routes!(make_thing),
        )
        .routes(Access::Authenticated, routes!(pay))
        .routes(Access::Signed, routes!(hook))
        .routes(Access::Public, routes!(state))
        .routes(Access::Public, routes!(slow_command))
        .with_state("the state")
}

fn read_side() -> ApiRouter {
    ApiRouter::new(document())
        .routes(Access::Public, routes!(list_things))
        .routes(Access::Public, routes!(show_thing))
        .routes(Access::Public, routes!(search))
        .routes(Access::Public, routes!(panics))
        .routes(Access::Public, routes!(slow))
        .routes(Access::Public, routes!(library_refusal))
        .routes(Access::Authenticated, routes!(me))
        .routes(Access::Roles(&[Role::Admin]), routes!(admin_only))
}

struct Server {
    url: String,
    tokens: Arc<Tokens>,
    client: Client,
    readiness: Readiness,
    shutdown: Shutdown,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

impl Server {
    async fn start() -> Self {
        Self::with(HttpLimits::default()).await
    }

    async fn with(limits: HttpLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&folder.path().join("signing.key")).unwrap();
        let tokens = Arc::new(Tokens::new(&key, Clock::system()));
        let readiness = Readiness::new();
        let router = ServerBuilder::new(limits)
            .tokens(Arc::clone(&tokens))
            .readiness(readiness.clone())
            .api(write_side())
            .api(read_side())
            .build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let (ready, stop) = (readiness.clone(), shutdown.clone());
        tokio::spawn(async move { serve(listener, router, ready, &stop).await });
        Self {
            url,
            tokens,
            client: Client::new(),
            readiness,
            shutdown,
        }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    fn token(&self, role: Role, subject: Uuid) -> String {
        self.tokens.issue(role, subject, HOUR).unwrap()
    }

    fn customer(&self) -> String {
        self.token(Role::Customer, Uuid::from_u128(1))
    }
}

/// Checks that the answer is a problem with this status and code, and hands back its JSON.
async fn problem(response: Response, status: u16, code: &str) -> Value {
    let request_id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let content_type = response.headers().get("content-type").cloned();
    assert_eq!(response.status().as_u16(), status);
    let json: Value = response.json().await.unwrap();
    assert_eq!(content_type.unwrap(), "application/problem+json", "{json}");
    assert_eq!(json["code"], code, "{json}");
    assert_eq!(json["status"], status);
    assert_eq!(json["request_id"], request_id.as_str());
    json
}

#[tokio::test]
async fn an_unknown_route_and_an_unknown_method_are_problems() {
    let server = Server::start().await;
    let json = problem(
        server.get("/nowhere").send().await.unwrap(),
        404,
        "not_found",
    )
    .await;
    assert!(json["detail"].as_str().unwrap().contains("/nowhere"));

    let response = server
        .client
        .delete(format!("{}/things", server.url))
        .send()
        .await
        .unwrap();
    let allow = response.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    problem(response, 405, "method_not_allowed").await;
}

#[tokio::test]
async fn one_path_has_its_methods_from_two_services() {
    let server = Server::start().await;
    assert_eq!(
        server
            .get("/things")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "things"
    );
    let made = server
        .post("/things")
        .bearer_auth(server.customer())
        .json(&json!({"name": "a", "quantity": 2}))
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 200);
    let made: Value = made.json().await.unwrap();
    assert_eq!(made["quantity"], 2);
    assert_eq!(
        server
            .get("/state")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "the state"
    );
}

#[tokio::test]
async fn a_body_of_two_megabytes_is_413_however_it_is_sent() {
    let server = Server::start().await;
    let body = vec![b' '; 2 * 1024 * 1024];
    for path in ["/things", "/hook"] {
        let request = server
            .post(path)
            .bearer_auth(server.customer())
            .header("content-type", "application/json");
        let response = request
            .try_clone()
            .unwrap()
            .body(body.clone())
            .send()
            .await
            .unwrap();
        problem(response, 413, "body_too_large").await;

        // Without a length that announces it.
        let frames: Vec<_> = body
            .chunks(64 * 1024)
            .map(|chunk| {
                let data = bytes::Bytes::copy_from_slice(chunk);
                Ok::<_, std::io::Error>(hyper::body::Frame::data(data))
            })
            .collect();
        let stream = http_body_util::StreamBody::new(futures::stream::iter(frames));
        let chunked = reqwest::Body::wrap(stream);
        let response = request.body(chunked).send().await.unwrap();
        problem(response, 413, "body_too_large").await;
    }
    let whole = vec![b' '; 1024 * 1024];
    let response = server.post("/hook").body(whole).send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "1048576");
}

#[tokio::test]
async fn bodies_of_the_wrong_kind_are_told_apart() {
    let server = Server::start().await;
    let post = |kind: &'static str, body: &'static str| {
        server
            .post("/things")
            .bearer_auth(server.customer())
            .header("content-type", kind)
            .body(body)
            .send()
    };
    problem(
        post("text/plain", "{}").await.unwrap(),
        415,
        "unsupported_media_type",
    )
    .await;
    problem(
        post("application/json", "{").await.unwrap(),
        400,
        "unreadable_json",
    )
    .await;
    problem(
        post("application/json", "").await.unwrap(),
        400,
        "unreadable_json",
    )
    .await;
    let wrong = post("application/json", r#"{"name":1,"extra":true}"#)
        .await
        .unwrap();
    let json = problem(wrong, 422, "invalid").await;
    assert_eq!(json["errors"][0]["pointer"], "/name");
    let missing = post("application/json", r#"{"name":"a","extra":true}"#)
        .await
        .unwrap();
    let json = problem(missing, 422, "invalid").await;
    assert_eq!(json["errors"][0]["pointer"], "/quantity");
    assert_eq!(json["errors"][1]["pointer"], "/extra");
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_problems() {
    let server = Server::start().await;
    problem(
        server.get("/things/not-an-id").send().await.unwrap(),
        404,
        "not_found",
    )
    .await;
    let json = problem(
        server.get("/search?limit=x").send().await.unwrap(),
        422,
        "invalid",
    )
    .await;
    assert_eq!(json["errors"][0]["pointer"], "/limit");
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing_and_the_server_goes_on() {
    let server = Server::start().await;
    let json = problem(server.get("/panic").send().await.unwrap(), 500, "internal").await;
    assert!(!json.to_string().contains("hunter2"));
    let json = problem(
        server.get("/library").send().await.unwrap(),
        500,
        "internal",
    )
    .await;
    assert!(!json.to_string().contains("secret"));
    assert_eq!(server.get("/things").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_id_is_taken_over_when_it_is_sane_and_made_when_it_is_not() {
    let server = Server::start().await;
    let id_for = async |sent: &str| {
        let response = server
            .get("/things")
            .header("x-request-id", sent)
            .send()
            .await
            .unwrap();
        response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(id_for("my-id-1").await, "my-id-1");
    for bad in ["has space", "", &"x".repeat(500)] {
        let made = id_for(bad).await;
        assert!(made.parse::<Uuid>().is_ok(), "{made}");
    }
}

#[tokio::test]
async fn nobody_a_bad_token_and_the_wrong_role_are_told_apart() {
    let server = Server::start().await;
    let response = server.get("/me").send().await.unwrap();
    assert_eq!(
        response.headers()["www-authenticate"],
        r#"Bearer realm="waybill""#
    );
    problem(response, 401, "unauthenticated").await;

    for authorization in ["Bearer x.y.z", "Basic abc", "Bearer", ""] {
        let response = server
            .get("/me")
            .header("authorization", authorization)
            .send()
            .await
            .unwrap();
        let challenge = response.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            challenge.contains(r#"error="invalid_token""#),
            "{challenge}"
        );
        problem(response, 401, "invalid_token").await;
    }
    let expired = server
        .tokens
        .issue(Role::Admin, Uuid::from_u128(1), Duration::ZERO)
        .unwrap();
    let response = server
        .get("/admin")
        .bearer_auth(expired)
        .send()
        .await
        .unwrap();
    problem(response, 401, "token_expired").await;

    let response = server
        .get("/admin")
        .bearer_auth(server.customer())
        .send()
        .await
        .unwrap();
    problem(response, 403, "forbidden").await;
    let admin = server.token(Role::Admin, Uuid::from_u128(5));
    let response = server
        .get("/admin")
        .bearer_auth(admin)
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "secret");
}

#[tokio::test]
async fn a_route_for_all_knows_its_caller_when_there_is_one_and_refuses_a_bad_token() {
    let server = Server::start().await;
    let id = Uuid::from_u128(77);
    let path = format!("/things/{id}");
    let json: Value = server
        .get(&path)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(json["caller"], Value::Null);
    let known = server
        .get(&path)
        .bearer_auth(server.customer())
        .send()
        .await
        .unwrap();
    assert_eq!(
        known.json::<Value>().await.unwrap()["caller"],
        Uuid::from_u128(1).to_string()
    );
    let bad = server.get(&path).bearer_auth("x.y.z").send().await.unwrap();
    problem(bad, 401, "invalid_token").await;
}

#[tokio::test]
async fn a_command_that_needs_an_idempotency_key_says_so() {
    let server = Server::start().await;
    let pay = || server.post("/pay").bearer_auth(server.customer());
    problem(pay().send().await.unwrap(), 400, "idempotency_key_missing").await;
    let response = pay()
        .header("idempotency-key", "two words")
        .send()
        .await
        .unwrap();
    problem(response, 400, "idempotency_key_invalid").await;
    let response = pay().header("idempotency-key", "k-1").send().await.unwrap();
    assert_eq!(response.text().await.unwrap(), "k-1");
}

#[tokio::test]
async fn each_caller_has_his_own_allowance_and_hears_when_to_come_back() {
    let limits = HttpLimits {
        rate_limit: Some(RateLimit {
            per_second: NonZeroU32::MIN,
            burst: NonZeroU32::new(3).unwrap(),
        }),
        ..HttpLimits::default()
    };
    let server = Server::with(limits).await;
    let ada = server.token(Role::Customer, Uuid::from_u128(1));
    let bob = server.token(Role::Customer, Uuid::from_u128(2));
    for _ in 0..3 {
        assert_eq!(
            server
                .get("/me")
                .bearer_auth(&ada)
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
    }
    let response = server.get("/me").bearer_auth(&ada).send().await.unwrap();
    let wait: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=3).contains(&wait));
    problem(response, 429, "rate_limited").await;
    assert_eq!(
        server
            .get("/me")
            .bearer_auth(&bob)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );

    // Made-up tokens do not buy a new allowance: they count for the address.
    for number in 0..3 {
        let response = server
            .get("/things")
            .bearer_auth(format!("a.b.{number}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }
    let response = server
        .get("/things")
        .bearer_auth("a.b.c")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 429);
    // Probes and scrapes are answered also for somebody who has used up his share.
    assert_eq!(server.get("/livez").send().await.unwrap().status(), 200);
    assert_eq!(server.get("/metrics").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_a_rate_limit_nobody_is_limited() {
    let server = Server::with(HttpLimits {
        rate_limit: None,
        ..HttpLimits::default()
    })
    .await;
    for _ in 0..500 {
        assert_eq!(server.get("/things").send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_503_and_the_outcome_unknown() {
    let limits = HttpLimits {
        time_limit: Duration::from_millis(100),
        ..HttpLimits::default()
    };
    let server = Server::with(limits).await;
    let response = server.get("/slow").send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    let json = problem(response, 503, "timed_out").await;
    assert!(json["detail"].as_str().unwrap().contains("Idempotency-Key"));
}

#[tokio::test]
async fn whoever_waits_for_a_server_that_is_away_is_told_so_long_before_his_time_is_over() {
    let limits = HttpLimits {
        time_limit: Duration::from_secs(8),
        ..HttpLimits::default()
    };
    for (behind, told_command, told_query) in [
        (Behind::Broker, "broker_unavailable", "timed_out"),
        (
            Behind::Database,
            "database_unavailable",
            "database_unavailable",
        ),
    ] {
        let server = Server::with(limits.clone()).await;
        // It answers, until somebody waits.
        let away = Arc::new(AtomicBool::new(false));
        let is_away = Arc::clone(&away);
        server.readiness.check_server(behind, "behind", move || {
            let away = is_away.load(Ordering::SeqCst);
            async move {
                if away {
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        });
        let begun = Instant::now();
        let (command, query) = tokio::join!(
            async {
                let answer = server.post("/slow-command").send().await.unwrap();
                (answer, begun.elapsed())
            },
            async {
                away.store(true, Ordering::SeqCst);
                let answer = server.get("/slow").send().await.unwrap();
                (answer, begun.elapsed())
            }
        );
        assert!(command.1 < Duration::from_millis(7800), "{:?}", command.1);
        for ((answer, _), code) in [(command, told_command), (query, told_query)] {
            assert!(answer.headers().contains_key("retry-after"));
            problem(answer, 503, code).await;
        }
    }
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_while_the_servers_behind_it_answer() {
    let limits = HttpLimits {
        time_limit: Duration::from_millis(400),
        ..HttpLimits::default()
    };
    let server = Server::with(limits).await;
    server
        .readiness
        .check_server(Behind::Database, "behind", async || Ok(()));
    let begun = Instant::now();
    let answer = server.get("/slow").send().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(400));
    problem(answer, 503, "timed_out").await;
}

#[tokio::test]
async fn more_requests_than_the_server_answers_at_once_are_told_to_come_back() {
    let limits = HttpLimits {
        max_in_flight: 1,
        time_limit: Duration::from_secs(5),
        ..HttpLimits::default()
    };
    let server = Server::with(limits).await;
    let holding = tokio::spawn(server.get("/slow").send());
    let mut refused = None;
    for _ in 0..200 {
        let response = server.get("/things").send().await.unwrap();
        if response.status() == 503 {
            refused = Some(response);
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    problem(
        refused.expect("the second request at once must be refused"),
        503,
        "busy",
    )
    .await;
    assert_eq!(server.get("/livez").send().await.unwrap().status(), 200);
    holding.abort();
}

#[tokio::test]
async fn admins_act_only_from_their_networks_and_others_are_not_touched_by_that() {
    let limits = |nets: &str| HttpLimits {
        admin_nets: Some(vec![nets.parse().unwrap()]),
        trusted_hops: 1,
        ..HttpLimits::default()
    };
    let server = Server::with(limits("192.0.2.0/24")).await;
    let admin = server.token(Role::Admin, Uuid::from_u128(5));
    let from = |address: &'static str, token: &str| {
        server
            .get("/me")
            .header("x-forwarded-for", address)
            .bearer_auth(token)
            .send()
    };
    problem(
        from("203.0.113.1", &admin).await.unwrap(),
        403,
        "network_not_allowed",
    )
    .await;
    // What the caller writes himself, left of the trusted proxy's entry, does not help.
    let forged = from("192.0.2.1, 203.0.113.1", &admin).await.unwrap();
    problem(forged, 403, "network_not_allowed").await;
    assert_eq!(from("192.0.2.1", &admin).await.unwrap().status(), 200);
    assert_eq!(
        from("203.0.113.1", &server.customer())
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn health_tells_alive_from_ready_and_verbose_says_why() {
    let server = Server::start().await;
    let read = async |path: &str| {
        let response = server.get(path).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(read("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(read("/readyz").await, (200, "ok\n".to_owned()));
    server.readiness.check("nats", || async { Ok(()) });
    server.readiness.check("postgres", || async {
        Err("connection refused".to_owned())
    });
    assert_eq!(read("/livez").await.0, 200);
    let (status, text) = read("/readyz").await;
    assert_eq!(
        (status, text.contains("connection refused")),
        (503, false),
        "{text}"
    );
    let (status, text) = read("/readyz?verbose").await;
    assert_eq!(status, 503);
    assert_eq!(
        text,
        "[+] nats ok\n[-] postgres failed: connection refused\nnot ready\n"
    );
}

#[tokio::test]
async fn requests_are_measured_by_route_and_never_by_address() {
    let server = Server::start().await;
    for _ in 0..2 {
        server
            .get(&format!("/things/{}", Uuid::now_v7()))
            .send()
            .await
            .unwrap();
        server
            .get(&format!("/{}", Uuid::now_v7()))
            .send()
            .await
            .unwrap();
    }
    // The recorder is installed by the first scrape or by `telemetry::init`; either way what comes after is measured.
    server.get("/metrics").send().await.unwrap();
    let id = Uuid::now_v7();
    server.get(&format!("/things/{id}")).send().await.unwrap();
    server.get(&format!("/{id}")).send().await.unwrap();
    let text = server
        .get("/metrics")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(text.contains(r#"route="/things/{id}""#), "{text}");
    assert!(
        text.contains(r#"route="(none)""#) && text.contains("waybill_http_request_seconds_bucket")
    );
    assert!(!text.contains(&id.to_string()));
}

#[tokio::test]
async fn the_access_table_lists_every_route_with_its_rule_and_the_document_says_the_same() {
    let (_, document, table) = ServerBuilder::new(HttpLimits::default())
        .api(write_side())
        .api(read_side())
        .build_with_table();
    let document = serde_json::to_value(document.unwrap()).unwrap();
    assert_eq!(table.len(), 13);
    let rule = |method: Method, path: &str| {
        let found: Vec<_> = table
            .iter()
            .filter(|rule| rule.method == method && rule.path == path)
            .collect();
        assert_eq!(found.len(), 1, "{method} {path}");
        found[0].access
    };
    assert_eq!(rule(Method::GET, "/things"), Access::Public);
    assert_eq!(
        rule(Method::POST, "/things"),
        Access::Roles(&[Role::Customer, Role::Admin])
    );
    assert_eq!(rule(Method::POST, "/hook"), Access::Signed);
    assert_eq!(rule(Method::GET, "/me"), Access::Authenticated);

    for rule in &table {
        let operation = &document["paths"][&rule.path][rule.method.as_str().to_lowercase()];
        assert!(
            operation.is_object(),
            "{} {} is not documented",
            rule.method,
            rule.path
        );
        let guarded = matches!(rule.access, Access::Roles(_) | Access::Authenticated);
        assert_eq!(
            operation["security"].is_array(),
            guarded,
            "{} {}",
            rule.method,
            rule.path
        );
        assert_eq!(operation["responses"]["401"].is_object(), guarded);
        let refers = operation["responses"]["500"]["content"]["application/problem+json"]["schema"]
            ["$ref"]
            .clone();
        assert_eq!(refers, "#/components/schemas/Problem");
    }
    for needed in ["Problem", "FieldError", "Thing"] {
        assert!(
            document["components"]["schemas"][needed].is_object(),
            "{needed}"
        );
    }
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
}

#[tokio::test]
async fn the_document_and_its_page_are_served_to_everybody() {
    let server = Server::start().await;
    let json: Value = server
        .get("/openapi.json")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(
        json["paths"]["/things"]["post"].is_object() && json["paths"]["/things"]["get"].is_object()
    );
    let page = server.get("/docs/").send().await.unwrap();
    assert_eq!(page.status(), 200);
}

#[tokio::test]
async fn a_server_without_tokens_recognises_nobody() {
    let router = ServerBuilder::new(HttpLimits::default())
        .api(read_side())
        .build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/admin", listener.local_addr().unwrap());
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    tokio::spawn(async move { serve(listener, router, Readiness::new(), &stop).await });
    problem(reqwest::get(url).await.unwrap(), 401, "unauthenticated").await;
    shutdown.begin();
}

#[tokio::test]
async fn a_router_taken_out_of_its_server_refuses_instead_of_waving_through() {
    use tower::ServiceExt;
    let (router, _, _) = read_side().into_parts();
    let request = http::Request::get("/admin")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port() {
    let server = Server::start().await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let response = client
        .get(format!("{}/things", server.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(response.text().await.unwrap(), "things");
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let server = Server::start().await;
    let mut many = server.get("/things");
    for number in 0..150 {
        many = many.header(format!("x-{number}"), "1");
    }
    assert_eq!(many.send().await.unwrap().status(), 431);
    let large = server
        .get("/things")
        .header("x-large", "x".repeat(200 * 1024));
    assert!(
        large
            .send()
            .await
            .map_or(true, |response| response.status() == 431)
    );
}

#[tokio::test]
async fn problems_of_our_own_reach_the_caller_unchanged() {
    use axum::response::IntoResponse;
    let router = axum::Router::new().route(
        "/sold-out",
        axum::routing::get(|| async {
            Problem::conflict("out_of_stock", "the last one is gone").into_response()
        }),
    );
    let router = ServerBuilder::new(HttpLimits::default())
        .other_routes(router)
        .build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sold-out", listener.local_addr().unwrap());
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    tokio::spawn(async move { serve(listener, router, Readiness::new(), &stop).await });
    let json = problem(reqwest::get(url).await.unwrap(), 409, "out_of_stock").await;
    assert_eq!(json["detail"], "the last one is gone");
    shutdown.begin();
}

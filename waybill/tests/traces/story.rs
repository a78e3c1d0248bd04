//! Real processes, a real broker and database, and a collector that takes what they send.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use dev_servers::{NatsServer, Postgres};
use grpc_door::v1::order_service_client::OrderServiceClient;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Deployment, Layout, Market, Person, Role, Servers, Shop, answer, within};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::WAYBILL;
use crate::collector::{Collector, Span};
use crate::provider::Proxy;

/// The span of whoever called us.
const CALLER: &str = "00f067aa0ba902b7";

/// What must be in no span.
const PERSONAL: [&str; 4] = ["Unter den Linden", "7654321", "Ada", "example.com"];

fn new_trace() -> String {
    Uuid::now_v7().simple().to_string()
}

fn sampled(trace: &str) -> String {
    format!("00-{trace}-{CALLER}-01")
}

async fn quote(buyer: &Person, partner: &str, product: &str) -> Value {
    let lines = json!([{"product_id": product, "quantity": 1}]);
    let quote = buyer.check(partner, &lines).await.ok();
    json!({"quote_id": quote["quote_id"], "payment": {"method": "card", "token": "pm_card_visa"}})
}

/// An order that was placed as part of a trace.
async fn order(buyer: &Person, partner: &str, product: &str, traceparent: &str) -> String {
    let body = quote(buyer, partner, product).await;
    let key = Uuid::now_v7().to_string();
    let request = buyer
        .request(Method::POST, "/v1/orders")
        .header("Idempotency-Key", key)
        .header("traceparent", traceparent)
        .json(&body);
    let order = answer(request).await.ok();
    order["order_id"].as_str().unwrap().to_owned()
}

/// The `traceparent` of every event of an order.
async fn stored(nats: &async_nats::Client, order: &str) -> Vec<Option<String>> {
    let stream = async_nats::jetstream::new(nats.clone())
        .get_stream("EVENTS")
        .await
        .unwrap();
    let mut found = Vec::new();
    let last = stream.get_info().await.unwrap().state.last_sequence;
    for position in 1..=last {
        let message = stream.get_raw_message(position).await.unwrap();
        if message.subject.ends_with(order) {
            let header = message.headers.get("traceparent");
            found.push(header.map(|value| value.as_str().to_owned()));
        }
    }
    assert!(
        found.len() > 5,
        "an order leaves more events than {found:?}"
    );
    found
}

fn of<'a>(spans: &'a [Span], service: &str, name: &str) -> Vec<&'a Span> {
    let wanted = |span: &&Span| span.service == service && span.name == name;
    spans.iter().filter(wanted).collect()
}

/// Whether a span is within another, at any depth.
fn within_span(spans: &[Span], inner: &Span, outer: &Span) -> bool {
    let mut at = inner.parent.clone();
    for _ in 0..spans.len() {
        if at == outer.id {
            return true;
        }
        let Some(parent) = spans.iter().find(|span| span.id == at) else {
            return false;
        };
        at.clone_from(&parent.parent);
    }
    false
}

/// All of an order's trace, if it has arrived.
fn whole(spans: &[Span]) -> Option<()> {
    let known = |id: &str| id == CALLER || spans.iter().any(|span| span.id == id);
    let done = !of(spans, "command-api", "POST /v1/orders").is_empty()
        && of(spans, "saga-orchestrator", "append").len() >= 2
        && ["orders", "sales", "inventory", "inbox"]
            .iter()
            .all(|projection| !of(spans, "projector", &format!("project {projection}")).is_empty())
        && spans.iter().all(|span| known(&span.parent));
    done.then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_one_trace_from_the_request_through_the_log_and_the_provider_to_the_rows() {
    let (collector, proxy) = (Collector::start().await, Proxy::start().await);
    let nats = spawn_blocking(|| NatsServer::temporary().unwrap());
    let postgres = spawn_blocking(|| Postgres::temporary().unwrap());
    let (nats, postgres) = (nats.await.unwrap(), postgres.await.unwrap());
    let servers = Servers {
        nats: nats.url(),
        database: postgres.url(),
        sandbox_database: postgres.fresh_database().await.unwrap(),
    };
    // A callback is a request of its own, with a trace of its own: the provider's do not arrive.
    let layout = Layout::single()
        .with("WAYBILL_OTLP_ENDPOINT", collector.url())
        .with("WAYBILL_PAYMENT_URL", &proxy.url)
        .with("WAYBILL_SANDBOX_WEBHOOK_URL", "http://127.0.0.1:9/away");
    let deployment = Deployment::prepare(WAYBILL, servers, layout);
    proxy.stands_before(deployment.sandbox_url());
    let mut deployment = deployment;
    deployment.operator(&["migrate"]).await;
    deployment.launch_all();
    deployment.ready().await;
    let market = Market::open(&deployment).await;
    let product = market.product(1000, 50).await.id;
    let buyer = market.customer(&deployment).await;

    let trace = new_trace();
    let bought = order(&buyer, &market.partner, &product, &sampled(&trace)).await;
    buyer.order_becomes(&bought, "confirmed").await;
    within("all of the order's trace has arrived", || async {
        whole(&collector.trace(&trace))
    })
    .await;
    let spans = collector.trace(&trace);

    // The request is a child of the caller, and the append and what it read are within it.
    let request = of(&spans, "command-api", "POST /v1/orders")[0];
    assert_eq!(request.parent, CALLER);
    assert_eq!(request.attributes["http.response.status_code"], "202");
    let appended = of(&spans, "command-api", "append")[0];
    assert!(within_span(&spans, appended, request));
    assert_eq!(appended.attributes["messaging.destination.name"], "EVENTS");
    // The saga goes on behind it, each turn behind the one before, and calls the provider within its turns.
    let turns = of(&spans, "saga-orchestrator", "saga turn");
    assert!(turns.iter().all(|turn| within_span(&spans, turn, request)));
    assert!(
        turns
            .iter()
            .any(|turn| turn.attributes["order.id"] == bought)
    );
    let calls = of(&spans, "saga-orchestrator", "POST payment provider");
    assert!(calls.len() >= 2, "authorised and captured: {calls:?}");
    // The provider was called within the trace, by those very spans.
    within("each call of the provider is a span", || async {
        let spans = collector.trace(&trace);
        let is_call = |span: &&Span| span.name.ends_with("payment provider");
        let named: Vec<String> = spans
            .iter()
            .filter(is_call)
            .map(|call| format!("00-{trace}-{}-01", call.id))
            .collect();
        let mut heard = proxy.traceparents();
        heard.retain(|traceparent| traceparent.contains(&trace));
        let all = heard.len() >= 2 && heard.iter().all(|one| named.contains(one));
        all.then_some(())
    })
    .await;
    // Rows are written within it, by statements that hold no values.
    let projected = of(&spans, "projector", "project orders");
    let statements: Vec<&Span> = spans
        .iter()
        .filter(|span| span.attributes.contains_key("db.query.text"))
        .filter(|span| {
            projected
                .iter()
                .any(|outer| within_span(&spans, span, outer))
        })
        .collect();
    let writes = |span: &&Span| span.attributes["db.query.text"].contains("insert into");
    assert!(statements.iter().any(writes), "{statements:?}");
    // Every event of the order carries it on.
    let client = async_nats::connect(nats.url()).await.unwrap();
    for traceparent in stored(&client, &bought).await {
        let traceparent = traceparent.expect("every event is in the trace");
        assert!(traceparent.contains(&trace), "{traceparent}");
    }

    // A question is one too, down to its statements.
    let asked = new_trace();
    let path = format!("/v1/orders/{bought}");
    let request = buyer.request(Method::GET, &path);
    answer(request.header("traceparent", sampled(&asked)))
        .await
        .ok();
    // The other doors take it as well.
    let (over_nats, over_grpc) = (new_trace(), new_trace());
    let token = deployment.token("admin", None).await;
    let mut headers = HeaderMap::new();
    headers.insert("Authorization", format!("Bearer {token}"));
    headers.insert("traceparent", sampled(&over_nats));
    let body = json!({"partner_id": market.partner}).to_string();
    client
        .request_with_headers("cmd.partners.enable", headers, body.into())
        .await
        .unwrap();
    let mut rpc = tonic::Request::new(grpc_door::v1::GetOrderRequest {
        order_id: bought.clone(),
    });
    let metadata = rpc.metadata_mut();
    metadata.insert("authorization", format!("Bearer {token}").parse().unwrap());
    metadata.insert("traceparent", sampled(&over_grpc).parse().unwrap());
    let address = tonic::transport::Endpoint::from_shared(deployment.url(Role::Projector, 0));
    let channel = address.unwrap().connect().await.unwrap();
    OrderServiceClient::new(channel)
        .get_order(rpc)
        .await
        .unwrap();
    within("the doors' traces have arrived", || async {
        let has = |trace: &str, service: &str, name: &str| {
            let spans = collector.trace(trace);
            let found = !of(&spans, service, name).is_empty();
            found.then_some(spans)
        };
        let spans = has(&asked, "projector", "GET /v1/orders/{id}")?;
        of(&spans, "projector", "select").first()?;
        has(&over_nats, "command-api", "POST /v1/partners/{id}/enable")?;
        has(&over_grpc, "projector", "GET /v1/orders/{id}").map(drop)
    })
    .await;

    // Who says that his trace is not recorded is heard, and so are the events.
    let unsampled = new_trace();
    let not_kept = format!("00-{unsampled}-{CALLER}-00");
    let second = order(&buyer, &market.partner, &product, &not_kept).await;
    buyer.order_becomes(&second, "confirmed").await;
    for traceparent in stored(&client, &second).await {
        assert_eq!(traceparent, None);
    }
    assert!(collector.trace(&unsampled).is_empty());
    let about = |span: &Span| span.text.contains(&second);
    assert!(
        !collector.all().iter().any(about),
        "nor in a trace of its own"
    );

    for span in collector.all() {
        for word in PERSONAL {
            assert!(!span.text.contains(word), "{word}: {span:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_share_of_traces_is_a_setting_and_the_last_spans_are_sent_at_the_end() {
    let collector = Collector::start().await;
    let settings = [
        ("WAYBILL_OTLP_ENDPOINT", collector.url()),
        ("WAYBILL_TRACE_SHARE", "0"),
    ];
    let mut shop = Shop::start(WAYBILL, &settings).await;
    let admin = shop.admin();
    admin.get("/v1/orders").await.ok();
    let trace = new_trace();
    let request = admin.request(Method::GET, "/v1/partners");
    answer(request.header("traceparent", sampled(&trace)))
        .await
        .ok();
    // Sooner than a batch leaves by itself.
    shop.stop().await;
    let spans = collector.trace(&trace);
    assert_eq!(
        of(&spans, "waybill", "GET /v1/partners").len(),
        1,
        "{spans:?}"
    );
    assert_eq!(collector.all().len(), spans.len(), "nothing else was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_holds_up_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut shop = Shop::start(WAYBILL, &[("WAYBILL_OTLP_ENDPOINT", &url)]).await;
    let (partner, product) = (shop.exported("PARTNER"), shop.exported("LAMP"));
    let buyer = shop.customer();
    let bought = order(&buyer, &partner, &product, &sampled(&new_trace())).await;
    buyer.order_becomes(&bought, "confirmed").await;
    let began = Instant::now();
    shop.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}

//! The same commands over the broker: service `commands`, subjects `cmd.<area>.<verb>`.
//!
//! A request is turned into the HTTP request that it stands for and passes the very same layers and handlers, so it has
//! the same rules, the same command ids and the same answers. The body is JSON as over HTTP; what is part of the address
//! there (`order_id`, `product_id`, `partner_id`) is a member of the body here. Headers: `Authorization`,
//! `Idempotency-Key`, `If-Match`. Errors are in the service error headers, with the problem as the body.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use async_nats::service::{
    NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request as BrokerRequest, ServiceExt,
};
use async_nats::{Client, HeaderMap};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::select_all;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, LOCATION, RETRY_AFTER,
};
use http::{HeaderValue, Method, Request};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use uuid::Uuid;

use service_kit::http::{HttpLimits, ServerBuilder};
use service_kit::problem::FieldError;
use service_kit::signing::Tokens;
use service_kit::{ApiRouter, Problem, Shutdown, extract, idempotency};

use crate::answer::POSITION;

/// The service's name, as `nats micro ls` shows it.
const SERVICE: &str = "commands";
/// Commands of this door that are worked on at one moment; more wait in the client.
const IN_FLIGHT_MAX: usize = 256;
/// After the shutdown began, commands that are being worked on have this long to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// No answer of a command is larger.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// That a person is to be erased when his account is closed.
const ERASE: &str = "erase";
/// Up to which position an inbox is emptied.
const THROUGH: &str = "through";
const PASSED_IN: [HeaderName; 3] = [
    AUTHORIZATION,
    HeaderName::from_static(idempotency::HEADER),
    IF_MATCH,
];
const PASSED_OUT: [HeaderName; 4] = [POSITION, ETAG, LOCATION, RETRY_AFTER];

/// One command of this door: the HTTP request that it stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// `<area>.<verb>`, the subject after `cmd.`.
    pub(crate) name: &'static str,
    /// The method over HTTP.
    pub(crate) method: Method,
    /// The route over HTTP.
    pub(crate) route: &'static str,
    /// Members of the body that fill the route's parameters, in their order.
    pub(crate) address: &'static [&'static str],
}

const fn command(
    name: &'static str,
    method: Method,
    route: &'static str,
    address: &'static [&'static str],
) -> Command {
    Command {
        name,
        method,
        route,
        address,
    }
}

/// Every command.
pub(crate) static COMMANDS: [Command; 35] = [
    command("customers.add", Method::POST, "/v1/customers", &[]),
    command(
        "customers.change",
        Method::PATCH,
        "/v1/customers/{id}",
        &["customer_id"],
    ),
    command(
        "customers.remove",
        Method::DELETE,
        "/v1/customers/{id}",
        &["customer_id"],
    ),
    command("me.change", Method::PATCH, "/v1/me", &[]),
    command("me.delete", Method::DELETE, "/v1/me", &[]),
    command("resources.add", Method::POST, "/v1/resources", &[]),
    command(
        "resources.change",
        Method::PATCH,
        "/v1/resources/{id}",
        &["resource_id"],
    ),
    command(
        "resources.remove",
        Method::DELETE,
        "/v1/resources/{id}",
        &["resource_id"],
    ),
    command(
        "assignments.assign",
        Method::POST,
        "/v1/customers/{id}/resources",
        &["customer_id"],
    ),
    command(
        "assignments.unassign",
        Method::DELETE,
        "/v1/customers/{id}/resources/{resource_id}",
        &["customer_id", "resource_id"],
    ),
    command("partners.add", Method::POST, "/v1/partners", &[]),
    command(
        "partners.change",
        Method::PATCH,
        "/v1/partners/{id}",
        &["partner_id"],
    ),
    command(
        "partners.verify",
        Method::POST,
        "/v1/partners/{id}/verify",
        &["partner_id"],
    ),
    command(
        "partners.enable",
        Method::POST,
        "/v1/partners/{id}/enable",
        &["partner_id"],
    ),
    command(
        "partners.disable",
        Method::POST,
        "/v1/partners/{id}/disable",
        &["partner_id"],
    ),
    command(
        "partners.rotate_webhook_secret",
        Method::POST,
        "/v1/partners/{id}/webhook-secret",
        &["partner_id"],
    ),
    command("products.add", Method::POST, "/v1/products", &[]),
    command(
        "products.change",
        Method::PATCH,
        "/v1/products/{id}",
        &["product_id"],
    ),
    command(
        "products.remove",
        Method::DELETE,
        "/v1/products/{id}",
        &["product_id"],
    ),
    command(
        "offers.set",
        Method::PUT,
        "/v1/partners/{id}/offers/{product_id}",
        &["partner_id", "product_id"],
    ),
    command(
        "offers.remove",
        Method::DELETE,
        "/v1/partners/{id}/offers/{product_id}",
        &["partner_id", "product_id"],
    ),
    command(
        "inventory.receive",
        Method::POST,
        "/v1/inventory/{product_id}/receive",
        &["product_id"],
    ),
    command(
        "inventory.adjust",
        Method::POST,
        "/v1/inventory/{product_id}/adjust",
        &["product_id"],
    ),
    command(
        "inventory.set_threshold",
        Method::PUT,
        "/v1/inventory/{product_id}/threshold",
        &["product_id"],
    ),
    command("orders.check", Method::POST, "/v1/orders/check", &[]),
    command("orders.place", Method::POST, "/v1/orders", &[]),
    command(
        "orders.cancel",
        Method::POST,
        "/v1/orders/{id}/cancel",
        &["order_id"],
    ),
    command(
        "orders.ready",
        Method::POST,
        "/v1/orders/{id}/ready",
        &["order_id"],
    ),
    command(
        "orders.assign",
        Method::POST,
        "/v1/orders/{id}/assign",
        &["order_id"],
    ),
    command(
        "orders.deliver",
        Method::POST,
        "/v1/orders/{id}/deliver",
        &["order_id"],
    ),
    command(
        "payment_providers.set",
        Method::PUT,
        "/v1/payment-providers",
        &[],
    ),
    command(
        "notification_agents.set",
        Method::PUT,
        "/v1/notification-agents",
        &[],
    ),
    command(
        "notifications.read",
        Method::POST,
        "/v1/notifications/{id}/read",
        &["notification_id"],
    ),
    command(
        "notifications.clear",
        Method::DELETE,
        "/v1/notifications/{id}",
        &["notification_id"],
    ),
    command(
        "notifications.clear_all",
        Method::DELETE,
        "/v1/notifications",
        &[],
    ),
];

/// Serves until the shutdown begins, then lets open commands end.
pub(crate) async fn run(
    client: Client,
    api: ApiRouter,
    tokens: Arc<Tokens>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    // How much a caller may ask is limited by the append lane here; addresses do not exist.
    let limits = HttpLimits {
        rate_limit: None,
        admin_nets: None,
        ..HttpLimits::default()
    };
    let router = ServerBuilder::new(limits).tokens(tokens).api(api).build();
    let service = client
        .service_builder()
        .description("Commands of Waybill: subjects cmd.<area>.<verb>, JSON as over HTTP")
        .start(SERVICE, env!("CARGO_PKG_VERSION"))
        .await
        .map_err(|error| anyhow!("the service `{SERVICE}` cannot be started: {error}"))?;
    let mut endpoints = Vec::with_capacity(COMMANDS.len());
    for command in &COMMANDS {
        let endpoint = service
            .endpoint_builder()
            .name(command.name.replace('.', "_"))
            .add(format!("cmd.{}", command.name))
            .await
            .map_err(|error| {
                anyhow!("commands cmd.{} cannot be taken in: {error}", command.name)
            })?;
        endpoints.push(endpoint.map(move |request| (command, request)).boxed());
    }
    let mut requests = select_all(endpoints);
    let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, requests.next().await)
        };
        let (slot, next) = tokio::select! {
            biased;
            () = shutdown.begun() => break,
            next = next => next,
        };
        let slot = slot.context("the slots of commands were closed")?;
        let (command, request) =
            next.ok_or_else(|| anyhow!("the broker ended the service `{SERVICE}`"))?;
        let router = router.clone();
        tokio::spawn(async move {
            answer(router, command, request).await;
            drop(slot);
        });
    }
    if let Err(error) = service.stop().await {
        tracing::warn!(%error, "the service `{SERVICE}` could not be stopped in order");
    }
    let all = u32::try_from(IN_FLIGHT_MAX).unwrap_or(u32::MAX);
    if tokio::time::timeout(DRAIN_LIMIT, slots.acquire_many(all))
        .await
        .is_err()
    {
        tracing::warn!(
            "some commands over the broker had not ended {} s after the shutdown began",
            DRAIN_LIMIT.as_secs()
        );
    }
    Ok(())
}

async fn answer(router: Router, command: &'static Command, request: BrokerRequest) {
    let response = match translate(
        command,
        request.message.headers.as_ref(),
        &request.message.payload,
    ) {
        // A router never fails; what goes wrong in a handler is an answer.
        Ok(translated) => router
            .oneshot(translated)
            .await
            .unwrap_or_else(|never| match never {}),
        Err(problem) => problem.into_response(),
    };
    let (headers, body) = back(response).await;
    if let Err(error) = request.respond_with_headers(Ok(body), headers).await {
        tracing::debug!(%error, command = command.name, "the answer to a command could not be sent");
    }
}

/// A member that is true or false.
fn switch(value: &Value) -> Result<bool, Problem> {
    value
        .as_bool()
        .ok_or_else(|| wrong_type(ERASE, "this is true or false"))
}

/// A member that is a position.
fn position(value: &Value) -> Result<u64, Problem> {
    value
        .as_u64()
        .ok_or_else(|| wrong_type(THROUGH, "this is a position, a whole number"))
}

fn wrong_type(name: &str, detail: &str) -> Problem {
    Problem::invalid(vec![FieldError {
        pointer: format!("/{name}"),
        code: "wrong_type".into(),
        detail: detail.to_owned(),
    }])
}

/// The HTTP request that a message stands for.
fn translate(
    command: &'static Command,
    headers: Option<&HeaderMap>,
    payload: &Bytes,
) -> Result<Request<Body>, Problem> {
    let body = if payload.iter().all(u8::is_ascii_whitespace) {
        Bytes::from_static(b"{}")
    } else {
        payload.clone()
    };
    let (path, body) = if command.address.is_empty() && command.method != Method::DELETE {
        (command.route.to_owned(), body)
    } else {
        let mut members: Map<String, Value> = extract::parse(&body)?;
        let mut path = address(command, &mut members)?;
        // What HTTP says in the query. Passing it by would close an account where a person was to be erased.
        // Emptying an inbox up to its end where a position was named would be as wrong.
        if command.method == Method::DELETE {
            if let Some(erase) = members.remove(ERASE) {
                path.push_str(&format!("?{ERASE}={}", switch(&erase)?));
            } else if let Some(through) = members.remove(THROUGH) {
                path.push_str(&format!("?{THROUGH}={}", position(&through)?));
            }
        }
        let rest = serde_json::to_vec(&members).map_err(|error| Problem::unexpected(&error))?;
        (path, Bytes::from(rest))
    };
    let mut translated = Request::new(Body::from(body));
    *translated.method_mut() = command.method.clone();
    *translated.uri_mut() = path
        .parse()
        .map_err(|_| Problem::not_found("there is nothing under this id"))?;
    let to = translated.headers_mut();
    to.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for name in PASSED_IN {
        for value in values(headers, &name) {
            let value = HeaderValue::from_str(value).map_err(|_| {
                Problem::bad_request(
                    "unreadable_header",
                    format!("the header {name} cannot be read"),
                )
            })?;
            to.append(&name, value);
        }
    }
    Ok(translated)
}

/// Names of headers are spelt as people like over the broker, which does not fold their case.
fn values<'a>(headers: Option<&'a HeaderMap>, name: &HeaderName) -> Vec<&'a str> {
    let same = |spelt: &async_nats::HeaderName| {
        AsRef::<str>::as_ref(spelt).eq_ignore_ascii_case(name.as_str())
    };
    headers
        .into_iter()
        .flat_map(HeaderMap::iter)
        .filter(|(spelt, _)| same(spelt))
        .flat_map(|(_, values)| values.iter().map(async_nats::HeaderValue::as_str))
        .collect()
}

/// Fills the route's parameters from the body's members, which are taken out.
fn address(command: &'static Command, members: &mut Map<String, Value>) -> Result<String, Problem> {
    let mut ids = command.address.iter();
    let mut path = String::with_capacity(command.route.len() + 64);
    for segment in command.route.split('/').skip(1) {
        path.push('/');
        if !segment.starts_with('{') {
            path.push_str(segment);
            continue;
        }
        let name = ids.next().copied().unwrap_or_default();
        let id = members
            .remove(name)
            .and_then(|value| Uuid::parse_str(value.as_str()?).ok());
        let id = id.ok_or_else(|| {
            let mut validation = service_kit::Validation::new();
            validation.add(
                format!("/{name}"),
                "required",
                format!("the id `{name}` is missing, or is not one"),
            );
            validation.finish().err().unwrap_or_else(Problem::internal)
        })?;
        path.push_str(&id.to_string());
    }
    Ok(path)
}

/// The message that an HTTP answer becomes.
async fn back(response: Response) -> (HeaderMap, Bytes) {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert("Status", parts.status.as_u16().to_string());
    for name in PASSED_OUT {
        if let Some(value) = parts
            .headers
            .get(&name)
            .and_then(|value| value.to_str().ok())
        {
            headers.insert(canonical(&name), value);
        }
    }
    if !parts.status.is_success() {
        let code = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|problem| {
                problem
                    .get("code")
                    .and_then(Value::as_str)
                    .map(str::to_owned)
            });
        headers.insert(
            NATS_SERVICE_ERROR,
            code.unwrap_or_else(|| "error".to_owned()),
        );
        headers.insert(NATS_SERVICE_ERROR_CODE, parts.status.as_u16().to_string());
    }
    (headers, body)
}

/// `waybill-position` as people write it: `Waybill-Position`.
fn canonical(name: &HeaderName) -> String {
    if *name == ETAG {
        return "ETag".to_owned();
    }
    let word = |word: &str| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase())
            .into_iter()
            .chain(letters)
            .collect::<String>()
    };
    name.as_str()
        .split('-')
        .map(word)
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use service_kit::Access;

    use super::*;

    fn named(name: &str) -> &'static Command {
        COMMANDS
            .iter()
            .find(|command| command.name == name)
            .unwrap()
    }

    #[test]
    fn every_command_over_http_is_a_command_over_the_broker() {
        let mut http: Vec<(String, String)> = crate::routes::api()
            .access_table()
            .iter()
            .filter(|rule| rule.access != Access::Signed)
            // The projector and the desk of sagas have services of their own on the broker, and those routes only pass on.
            .filter(|rule| !rule.path.starts_with("/v1/projections/"))
            .filter(|rule| !rule.path.starts_with("/v1/sagas/"))
            // So has the notifier.
            .filter(|rule| !rule.path.ends_with("/replay"))
            // Passwords are not for a broker, which has no addresses to count attempts by either.
            .filter(|rule| !rule.path.starts_with("/v1/auth/"))
            // A file is larger than a message may be.
            .filter(|rule| rule.path != "/v1/me/avatar")
            .map(|rule| (rule.method.to_string(), rule.path.clone()))
            .collect();
        let mut broker: Vec<(String, String)> = COMMANDS
            .iter()
            .map(|command| (command.method.to_string(), command.route.to_owned()))
            .collect();
        http.sort();
        broker.sort();
        assert_eq!(http, broker);
    }

    #[test]
    fn that_a_person_is_to_be_erased_is_not_lost_on_the_way() {
        let sent = |name: &str, body: &str| {
            let translated = translate(named(name), None, &Bytes::from(body.to_owned()));
            translated.map(|request| request.uri().to_string())
        };
        let uri = |name: &str, body: &str| sent(name, body).unwrap();
        assert_eq!(uri("me.delete", ""), "/v1/me");
        assert_eq!(uri("me.delete", r#"{"erase":true}"#), "/v1/me?erase=true");
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(
            uri(
                "customers.remove",
                &format!(r#"{{"customer_id":"{id}","erase":true}}"#)
            ),
            format!("/v1/customers/{id}?erase=true")
        );
        let odd = sent("me.delete", r#"{"erase":"yes"}"#).unwrap_err();
        assert_eq!(odd.status().as_u16(), 422);
    }

    #[test]
    fn up_to_where_an_inbox_is_emptied_is_not_lost_on_the_way() {
        let sent = |body: &str| {
            let body = Bytes::from(body.to_owned());
            let translated = translate(named("notifications.clear_all"), None, &body);
            translated.map(|request| request.uri().to_string())
        };
        assert_eq!(sent("").unwrap(), "/v1/notifications");
        assert_eq!(
            sent(r#"{"through":41}"#).unwrap(),
            "/v1/notifications?through=41"
        );
        for odd in [r#"{"through":"41"}"#, r#"{"through":-1}"#] {
            let problem = sent(odd).unwrap_err();
            assert_eq!(problem.body().errors[0].pointer, "/through");
        }
    }

    #[test]
    fn every_parameter_of_a_route_has_a_member_of_the_body() {
        for command in &COMMANDS {
            assert_eq!(
                command.route.matches('{').count(),
                command.address.len(),
                "{}",
                command.name
            );
        }
    }

    #[tokio::test]
    async fn ids_move_from_the_body_into_the_address_and_the_rest_stays() {
        let (partner, product) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let body =
            format!(r#"{{"partner_id":"{partner}","product_id":"{product}","active":true}}"#);
        let request = translate(named("offers.set"), None, &Bytes::from(body)).unwrap();
        assert_eq!(request.method(), Method::PUT);
        assert_eq!(
            request.uri().path(),
            format!("/v1/partners/{partner}/offers/{product}")
        );
        let body = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, Bytes::from_static(br#"{"active":true}"#));
    }

    #[test]
    fn an_address_without_its_id_is_refused_by_name() {
        let problem = translate(named("orders.cancel"), None, &Bytes::new()).unwrap_err();
        assert_eq!(problem.status(), http::StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem.body().errors[0].pointer, "/order_id");
    }

    #[test]
    fn headers_are_passed_on_however_they_are_spelt() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer x");
        headers.insert("Idempotency-Key", "k-1");
        headers.insert("Something-Else", "y");
        let request = translate(
            named("orders.place"),
            Some(&headers),
            &Bytes::from_static(b"{}"),
        )
        .unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer x");
        assert_eq!(request.headers()["idempotency-key"], "k-1");
        assert!(!request.headers().contains_key("something-else"));
    }

    #[test]
    fn header_names_are_told_as_people_write_them() {
        assert_eq!(canonical(&POSITION), "Waybill-Position");
        assert_eq!(canonical(&ETAG), "ETag");
        assert_eq!(canonical(&RETRY_AFTER), "Retry-After");
    }
}

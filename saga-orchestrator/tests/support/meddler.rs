//! Something between the shop and its provider that meddles: answers instead of it, loses what it said, changes it, or
//! makes it forget. What it does is ordered by the test, call by call.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use service_kit::payment::ProviderAccount;
use tokio::net::TcpListener;

use super::sandbox::Provider;

const BODY_BYTES_MAX: usize = 1 << 20;

/// A call of the shop's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Create,
    Capture,
    Cancel,
    Refund,
    /// Any read: of one thing, or a list.
    Read,
    /// The list of payments.
    List,
}

impl Op {
    fn of(method: &Method, path: &str) -> Option<Self> {
        if method == Method::GET {
            let lists = path.ends_with("/payment_intents");
            return Some(if lists { Self::List } else { Self::Read });
        }
        match path.rsplit('/').next()? {
            "payment_intents" => Some(Self::Create),
            "capture" => Some(Self::Capture),
            "cancel" => Some(Self::Cancel),
            "refunds" => Some(Self::Refund),
            _ => None,
        }
    }
}

impl Op {
    /// A list is a read too.
    fn covers(self, other: Option<Self>) -> bool {
        other == Some(self) || (self == Self::Read && other == Some(Self::List))
    }
}

/// What is done to a call.
#[derive(Debug, Clone)]
pub enum Do {
    /// It does not reach the provider; this is answered, with Retry-After if wanted.
    Answer(u16, Value, Option<u32>),
    /// It reaches the provider; this is answered all the same.
    AnswerAfterDoing(u16, Value),
    /// The provider takes the key for one that it has never seen.
    ForgetKey,
    /// The provider takes the key for one that it has never seen, and its answer is lost.
    ForgetKeyAndLoseAnswer,
    /// The payment's status in the answer is this.
    Status(&'static str),
    /// Nothing is ever answered.
    Hang,
}

struct Rule {
    op: Op,
    act: Do,
    times: usize,
}

/// A call as it came by.
#[derive(Debug, Clone)]
pub struct Seen {
    pub op: Option<Op>,
    pub at: Instant,
    pub key: Option<String>,
}

#[derive(Default)]
struct Script {
    rules: Vec<Rule>,
    seen: Vec<Seen>,
}

/// The provider with a meddler in front.
#[derive(Clone)]
pub struct Meddler {
    url: String,
    behind: String,
    http: reqwest::Client,
    script: Arc<Mutex<Script>>,
}

impl Meddler {
    pub async fn before(provider: &Provider) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let meddler = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            behind: provider.base_url.clone(),
            http: reqwest::Client::new(),
            script: Arc::default(),
        };
        let router = Router::new().fallback(pass).with_state(meddler.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        meddler
    }

    /// The provider's account, by this way.
    pub fn account(&self, provider: &Provider) -> ProviderAccount {
        ProviderAccount {
            url: self.url.clone(),
            ..provider.account()
        }
    }

    /// The next so many calls are meddled with.
    pub fn order(&self, op: Op, act: Do, times: usize) {
        let rule = Rule { op, act, times };
        self.script.lock().unwrap().rules.push(rule);
    }

    /// From now on everything passes.
    pub fn relent(&self) {
        self.script.lock().unwrap().rules.clear();
    }

    /// Calls of this kind so far.
    pub fn seen(&self, op: Op) -> Vec<Seen> {
        let script = self.script.lock().unwrap();
        let seen = script.seen.iter().filter(|seen| op.covers(seen.op));
        seen.cloned().collect()
    }

    fn act(&self, op: Option<Op>, headers: &HeaderMap) -> Option<Do> {
        let key = headers.get("idempotency-key");
        let key = key.map(|key| key.to_str().unwrap().to_owned());
        let mut script = self.script.lock().unwrap();
        script.seen.push(Seen {
            op,
            at: Instant::now(),
            key,
        });
        let rule = script
            .rules
            .iter_mut()
            .find(|rule| rule.op.covers(op) && rule.times > 0)?;
        rule.times -= 1;
        Some(rule.act.clone())
    }

    async fn forward(&self, request: Request, forget: bool) -> (StatusCode, HeaderMap, Vec<u8>) {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap();
        let path = parts.uri.path_and_query().unwrap();
        let mut headers = parts.headers;
        headers.remove("host");
        headers.remove("content-length");
        if forget && let Some(key) = headers.get_mut("idempotency-key") {
            *key = uuid::Uuid::now_v7().to_string().parse().unwrap();
        }
        let answer = self
            .http
            .request(parts.method, format!("{}{path}", self.behind))
            .headers(headers)
            .body(body)
            .send()
            .await
            .unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        (status, headers, answer.bytes().await.unwrap().to_vec())
    }
}

async fn pass(State(meddler): State<Meddler>, request: Request) -> Response {
    let op = Op::of(request.method(), request.uri().path());
    let answer = |status: u16, body: &Value| {
        let status = StatusCode::from_u16(status).unwrap();
        (status, body.to_string()).into_response()
    };
    let act = meddler.act(op, request.headers());
    match act {
        None => whole(meddler.forward(request, false).await),
        Some(Do::ForgetKey) => whole(meddler.forward(request, true).await),
        Some(Do::ForgetKeyAndLoseAnswer) => {
            meddler.forward(request, true).await;
            answer(502, &Value::Null)
        }
        Some(Do::Answer(status, body, after)) => {
            let mut response = answer(status, &body);
            if let Some(after) = after {
                let after = after.to_string().parse().unwrap();
                response.headers_mut().insert("retry-after", after);
            }
            response
        }
        Some(Do::AnswerAfterDoing(status, body)) => {
            meddler.forward(request, false).await;
            answer(status, &body)
        }
        Some(Do::Status(status)) => {
            let (code, headers, body) = meddler.forward(request, false).await;
            let mut body: Value = serde_json::from_slice(&body).unwrap();
            restate(&mut body, status);
            whole((code, headers, body.to_string().into_bytes()))
        }
        Some(Do::Hang) => std::future::pending().await,
    }
}

/// Changes the status of a payment, or of every one in a list.
fn restate(body: &mut Value, status: &str) {
    if let Some(listed) = body.get_mut("data").and_then(Value::as_array_mut) {
        for one in listed {
            restate(one, status);
        }
    } else if body["object"] == "payment_intent" {
        body["status"] = status.into();
    }
}

fn whole((status, headers, body): (StatusCode, HeaderMap, Vec<u8>)) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    for name in ["idempotent-replayed", "retry-after", "content-type"] {
        if let Some(value) = headers.get(name) {
            response
                .headers_mut()
                .insert(http::HeaderName::from_static(name), value.clone());
        }
    }
    response
}

//! A proxy in front of the payment provider, which writes down in which traces it was called.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use tokio::net::TcpListener;

#[derive(Clone)]
pub struct Proxy {
    pub url: String,
    behind: Arc<Mutex<String>>,
    traceparents: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            behind: Arc::default(),
            traceparents: Arc::default(),
        };
        let router = Router::new().fallback(pass).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy
    }

    /// Where what it takes goes on to.
    pub fn stands_before(&self, url: String) {
        *self.behind.lock().unwrap() = url;
    }

    pub fn traceparents(&self) -> Vec<String> {
        self.traceparents.lock().unwrap().clone()
    }
}

async fn pass(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(traceparent) = parts.headers.get("traceparent") {
        let traceparent = traceparent.to_str().unwrap().to_owned();
        proxy.traceparents.lock().unwrap().push(traceparent);
    }
    let url = format!("{}{}", proxy.behind.lock().unwrap(), parts.uri);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut headers = parts.headers;
    headers.remove("host");
    let answer = client
        .request(parts.method, url)
        .headers(headers)
        .body(body)
        .send()
        .await
        .unwrap();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    *response.body_mut() = Body::from(answer.bytes().await.unwrap());
    response
}

//! A sandbox that runs, and somebody who calls it.

use std::net::SocketAddr;

use message_sandbox::{Config, Sandbox, serve};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use service_kit::Shutdown;
use tokio::net::TcpListener;

pub struct House {
    pub url: String,
    pub smtp: SocketAddr,
    pub sandbox: Sandbox,
    pub http: Client,
    shutdown: Shutdown,
}

impl House {
    pub async fn open() -> Self {
        let _first = service_kit::crypto::install();
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (http, smtp) = (bind().await.unwrap(), bind().await.unwrap());
        let url = format!("http://{}", http.local_addr().unwrap());
        let smtp_addr = smtp.local_addr().unwrap();
        let sandbox = Sandbox::open(&Config::new(&url)).unwrap();
        let shutdown = Shutdown::new();
        let (serving, until) = (sandbox.clone(), shutdown.clone());
        tokio::spawn(async move { serve(&serving, http, smtp, &until).await });
        Self {
            url,
            smtp: smtp_addr,
            sandbox,
            http: Client::builder().no_proxy().build().unwrap(),
            shutdown,
        }
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Response {
        let url = format!("{}{path}", self.url);
        self.http.get(url).send().await.unwrap()
    }

    /// What has arrived, as programs read it.
    pub async fn messages(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/messages.json{query}")).await;
        assert_eq!(answer.status(), 200);
        let body: Value = answer.json().await.unwrap();
        body["data"].as_array().unwrap().clone()
    }

    pub async fn faults(&self, rule: &Value) {
        let url = format!("{}/sandbox/faults", self.url);
        let answer = self.http.put(url).json(rule).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{rule}");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

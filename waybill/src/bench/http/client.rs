//! Callers that send one request after the other over a connection of their own, with as little else as possible: what
//! they cost is taken from the same cores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use crate::bench::race::{Contestant, Sample};
use crate::bench::times::Times;

/// A request without an answer for so long is a failure of the bench.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A connection that is used by one caller.
pub struct Connection {
    address: Arc<str>,
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Opens one.
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // What goes wrong with it is told to whoever sends.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self {
            address: address.into(),
            sender,
            driver,
        })
    }

    /// Sends one request under a fresh idempotency key, and reads its whole answer.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        token: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &*self.address)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", Uuid::now_v7().to_string())
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let sent = async {
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        tokio::time::timeout(ANSWER_LIMIT, sent)
            .await
            .with_context(|| format!("{path}: no answer"))?
    }
}

/// What all callers of a contestant send.
#[derive(Debug, Clone)]
pub struct Posted {
    pub address: String,
    /// One for each caller in turn.
    pub paths: Arc<[String]>,
    /// One for each caller in turn: how many commands of one person may wait at once is limited.
    pub tokens: Arc<[String]>,
    pub body: Bytes,
    /// What the answer has to be.
    pub status: StatusCode,
}

/// So many callers, each on its own connection.
pub struct Posts {
    posted: Posted,
    callers: usize,
}

impl Posts {
    pub fn new(posted: &Posted, callers: usize) -> Self {
        Self {
            posted: posted.clone(),
            callers,
        }
    }
}

#[async_trait]
impl Contestant for Posts {
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample> {
        let mut connections = Vec::with_capacity(self.callers);
        for _ in 0..self.callers {
            connections.push(Connection::open(&self.posted.address).await?);
        }
        let begun = Instant::now();
        let mut callers = JoinSet::new();
        for (number, connection) in connections.into_iter().enumerate() {
            callers.spawn(send(connection, self.posted.clone(), number, begun + about));
        }
        let (mut requests, mut times) = (0, Times::new()?);
        while let Some(ended) = callers.join_next().await {
            let (sent, took) = ended??;
            requests += sent;
            times.add(&took)?;
        }
        Ok(Sample {
            took: begun.elapsed(),
            amounts: vec![("commands", requests)],
            times: Some(times),
        })
    }
}

async fn send(
    mut connection: Connection,
    posted: Posted,
    number: usize,
    until: Instant,
) -> anyhow::Result<(u64, Times)> {
    let path = posted
        .paths
        .get(number % posted.paths.len().max(1))
        .context("nowhere to send to")?;
    let token = posted
        .tokens
        .get(number % posted.tokens.len().max(1))
        .context("nobody to send in the name of")?;
    let (mut sent, mut times) = (0, Times::new()?);
    while Instant::now() < until {
        let begun = Instant::now();
        let (status, body) = connection
            .send(Method::POST, path, token, posted.body.clone())
            .await?;
        if status != posted.status {
            bail!(
                "{path} was answered {status}: {}",
                String::from_utf8_lossy(&body)
            );
        }
        times.record(begun.elapsed());
        sent += 1;
    }
    Ok((sent, times))
}

//! A server of a partner: it says what it is told to, and remembers who came.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use notifier::outbound::{Answer, Limits, Lookup, Nets, Outbound, OutboundError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does once it has read a request's head.
#[derive(Debug, Clone)]
pub enum Say {
    /// This, then the end.
    Once(String),
    /// This, then more of a body for ever.
    Endless,
    /// This, then a byte of a body every so often, for ever.
    Trickle,
    /// Nothing at all.
    Nothing,
    /// The end, without a word.
    HangUp,
}

pub fn ok(body: &str) -> Say {
    answer("200 OK", "", body)
}

/// `headers` are whole lines.
pub fn answer(status: &str, headers: &str, body: &str) -> Say {
    let length = body.len();
    Say::Once(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    ))
}

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub async fn start(say: Say) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), say).await
    }

    pub async fn start_at(address: SocketAddr, say: Say) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let visitors = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, say.clone(), Arc::clone(&visitors)));
            }
        });
        Self { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What arrived, one text a connection.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, say: Say, seen: Arc<Mutex<Vec<String>>>) {
    let mut buffer = vec![0; 64 * 1024];
    let got = socket.read(&mut buffer).await.unwrap_or(0);
    seen.lock()
        .unwrap()
        .push(String::from_utf8_lossy(&buffer[..got]).into_owned());
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
    match say {
        Say::Once(text) => {
            let _ = socket.write_all(text.as_bytes()).await;
        }
        Say::Endless => {
            let _ = socket.write_all(head).await;
            while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
        Say::Trickle => {
            let _ = socket.write_all(head).await;
            while socket.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Say::Nothing => {
            let _ = socket.read(&mut buffer).await;
        }
        Say::HangUp => {}
    }
}

/// Answers a name with the next of these addresses, and with the last one for ever.
pub struct Turning {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    pub asked: Mutex<Vec<String>>,
}

impl Turning {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parsed = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parsed).collect()),
            asked: Mutex::default(),
        })
    }
}

#[async_trait]
impl Lookup for Turning {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let next = match answers.len() {
            0 => return Err(io::ErrorKind::NotFound.into()),
            1 => answers[0].clone(),
            _ => answers.remove(0),
        };
        Ok(next)
    }
}

pub fn nets(texts: &[&str]) -> Nets {
    let nets: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
    Nets::new(&nets)
}

/// Short limits, so that what does not end ends soon.
pub const LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    whole: Duration::from_secs(2),
    answer_bytes: 64 * 1024,
};

pub fn client(allowed: &[&str], lookup: Arc<dyn Lookup>) -> Outbound {
    Outbound::with(nets(allowed), LIMITS, lookup).unwrap()
}

pub async fn post(client: &Outbound, url: &str) -> Result<Answer, OutboundError> {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", "msg_1".parse().unwrap());
    client.post(url, headers, Bytes::from_static(b"{}")).await
}

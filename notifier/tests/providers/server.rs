//! A server for HTTP that does as it is told, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does with a request, having read all of it.
#[derive(Debug, Clone)]
pub enum Act {
    /// A status with a body, and more headers.
    Answer(u16, String, &'static [(&'static str, &'static str)]),
    /// Closes the connection without a word.
    HangUp,
    /// Says nothing, and keeps the connection.
    Silence,
    /// Begins an answer and never ends it, a byte at a time.
    Trickle,
    /// An answer of this many bytes.
    Flood(usize),
}

/// What it was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `POST /path?query`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[derive(Default)]
struct State {
    plan: VecDeque<Act>,
    asked: Vec<Asked>,
}

/// It ends with the test's runtime.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    state: Arc<Mutex<State>>,
}

pub fn json(status: u16, body: &str) -> Act {
    Act::Answer(status, body.to_owned(), &[])
}

impl Server {
    /// Does these one after the other; what comes after them is hung up on.
    pub async fn doing(plan: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            state: Arc::default(),
        };
        server.state.lock().unwrap().plan.extend(plan);
        let inner = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = inner.clone();
                tokio::spawn(async move { inner.serve(stream).await });
            }
        });
        server
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// One request a connection.
    async fn serve(&self, mut stream: TcpStream) {
        let Some(asked) = read(&mut stream).await else {
            return;
        };
        let act = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(asked);
            state.plan.pop_front().unwrap_or(Act::HangUp)
        };
        match act {
            Act::Answer(status, body, headers) => {
                let headers: String = headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}\r\n"))
                    .collect();
                let answer = format!(
                    "HTTP/1.1 {status} Told\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _closed = stream.write_all(answer.as_bytes()).await;
            }
            Act::HangUp => {}
            Act::Silence => std::future::pending().await,
            Act::Trickle => {
                let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
                let _closed = stream.write_all(begun).await;
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
            Act::Flood(bytes) => {
                let begun = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
                let _closed = stream.write_all(begun.as_bytes()).await;
                let _closed = stream.write_all(&vec![b' '; bytes]).await;
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut chunk = [0; 4096];
        let got = stream.read(&mut chunk).await.ok().filter(|got| *got > 0)?;
        bytes.extend_from_slice(&chunk[..got]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        let mut chunk = [0; 4096];
        let got = stream.read(&mut chunk).await.ok().filter(|got| *got > 0)?;
        body.extend_from_slice(&chunk[..got]);
    }
    Some(Asked {
        line,
        headers,
        body,
    })
}

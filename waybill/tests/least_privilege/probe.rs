//! Asks a broker one thing: whether a user may publish on, or subscribe to, a subject. It speaks the broker's own
//! protocol, because a client library tells of a refusal only in passing, and too late to be waited for.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub enum Try {
    /// A message on this subject. Its body is nothing that any receiver takes for a request.
    Publish(&'static str),
    /// A subscription to this subject.
    Subscribe(&'static str),
    /// A subscription that shares the subject's messages with others of a group.
    Serve(&'static str, &'static str),
}

/// A connection of one user.
pub struct Probe {
    connection: BufReader<TcpStream>,
    subscriptions: u32,
}

impl Probe {
    /// Connects; the credentials have to be right.
    pub async fn connect(port: u16, user: &str, password: &str) -> Self {
        let connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut probe = Self {
            connection: BufReader::new(connection),
            subscriptions: 0,
        };
        assert!(probe.line().await.starts_with("INFO "));
        let hello = serde_json::json!({
            "verbose": false, "pedantic": false, "user": user, "pass": password,
            "lang": "rust", "version": "0", "protocol": 1, "name": format!("probe of {user}"),
        });
        let refused = probe.say(&format!("CONNECT {hello}\r\n")).await;
        assert_eq!(refused, None, "{user} does not get in");
        probe
    }

    /// Whether the broker lets it happen.
    pub async fn may(&mut self, what: Try) -> bool {
        self.subscriptions += 1;
        let id = self.subscriptions;
        let said = match what {
            Try::Publish(subject) => format!("PUB {subject} 1\r\nx\r\n"),
            Try::Subscribe(subject) => format!("SUB {subject} {id}\r\nUNSUB {id}\r\n"),
            Try::Serve(subject, group) => format!("SUB {subject} {group} {id}\r\nUNSUB {id}\r\n"),
        };
        match self.say(&said).await {
            None => true,
            Some(error) if error.contains("Permissions Violation") => false,
            Some(error) => panic!("{what:?}: {error}"),
        }
    }

    /// Says it, and gives the broker's objection, if there is one. The broker works a connection's lines in their
    /// order, so an objection comes before the answer to the PING behind.
    async fn say(&mut self, text: &str) -> Option<String> {
        let text = format!("{text}PING\r\n");
        self.connection.write_all(text.as_bytes()).await.unwrap();
        let mut objection = None;
        loop {
            let line = self.line().await;
            match line.split_whitespace().next() {
                Some("PONG") => return objection,
                Some("-ERR") => objection = Some(line),
                // Servers tell of each other, and ask whether we live.
                Some("INFO" | "PING") => {}
                _ => panic!("unexpected: {line}"),
            }
        }
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(ANSWER_MAX, self.connection.read_line(&mut line)).await;
        assert_ne!(read.expect("no answer").unwrap(), 0, "the broker hung up");
        line
    }
}

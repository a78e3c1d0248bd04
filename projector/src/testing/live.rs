//! An answer without end, as tests read it.

use ::http::{Request, StatusCode};
use axum::Router;
use axum::body::{Body, BodyDataStream};
use futures::StreamExt as _;
use serde_json::Value;
use service_kit::Role;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{Open, PATIENCE, Shop};

/// A live answer being read.
pub struct Live {
    body: BodyDataStream,
    read: String,
}

impl Live {
    pub async fn open(
        shop: &Shop,
        router: &Router,
        path: &str,
        (role, who): (Role, Uuid),
        last_id: Option<u64>,
    ) -> Self {
        let token = shop.token(role, who);
        let mut request = Request::get(path).header("authorization", format!("Bearer {token}"));
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id.to_string());
        }
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self {
            body: response.into_body().into_data_stream(),
            read: String::new(),
        }
    }

    pub async fn of(shop: &Open, who: (Role, Uuid), path: &str, last_id: Option<u64>) -> Self {
        Self::open(&shop.shop, &shop.router, path, who, last_id).await
    }

    /// Whether there was more to read.
    async fn read(&mut self) -> bool {
        match tokio::time::timeout(PATIENCE, self.body.next())
            .await
            .expect("something comes")
        {
            Some(bytes) => {
                self.read
                    .push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
                true
            }
            None => false,
        }
    }

    /// Reads until this many messages have come; the ids of all of them, with their data.
    pub async fn messages(&mut self, count: usize) -> Vec<(u64, Value)> {
        while self.told().len() < count {
            assert!(self.read().await, "it ended: {}", self.read);
        }
        self.told()
    }

    pub fn told(&self) -> Vec<(u64, Value)> {
        let whole = self.read.rfind("\n\n").map_or("", |end| &self.read[..end]);
        let field = |message: &str, name: &str| {
            let mut lines = message.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
        };
        whole
            .split("\n\n")
            .filter_map(|message| {
                let data = serde_json::from_str(&field(message, "data")?).unwrap();
                Some((field(message, "id")?.parse().unwrap(), data))
            })
            .collect()
    }

    /// Everything to its end.
    pub async fn rest(mut self) -> String {
        while self.read().await {}
        self.read
    }
}

//! Stocks followed live from the real program: what they tell, and that nobody who follows holds up its end.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;
use testkit::Person;

use crate::stage::Stage;

/// Whatever is waited for comes within this.
const LIMIT: Duration = Duration::from_secs(30);

/// A live answer being read.
struct Live {
    response: Response,
    read: String,
}

impl Live {
    async fn open(person: &Person, last_id: Option<u64>) -> Self {
        let mut request = person.request(Method::GET, "/v1/inventory/live");
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self {
            response,
            read: String::new(),
        }
    }

    /// The first whole message that this is true of: its position and the stock.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> (u64, Value) {
        loop {
            let whole = self.read.rfind("\n\n").map_or("", |end| &self.read[..end]);
            let found = whole.split("\n\n").find_map(|message| {
                let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
                let stock: Value = serde_json::from_str(field("data: ")?).unwrap();
                wanted(&stock).then(|| (field("id: ").unwrap().parse().unwrap(), stock))
            });
            if let Some(found) = found {
                return found;
            }
            assert!(self.more().await, "it ended: {}", self.read);
        }
    }

    async fn more(&mut self) -> bool {
        let chunk = tokio::time::timeout(LIMIT, self.response.chunk())
            .await
            .expect("something comes");
        match chunk.unwrap() {
            Some(bytes) => {
                self.read.push_str(std::str::from_utf8(&bytes).unwrap());
                true
            }
            None => false,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_follows_his_stock_while_it_sells_and_the_shop_can_still_be_stopped() {
    let mut stage = Stage::open().await;
    let mut live = Live::open(&stage.seller, None).await;
    let mug = stage.product("Corner", 5).await;
    let (first, stock) = live
        .until(|stock| stock["product_id"] == mug.as_str() && stock["available"] == 5)
        .await;
    assert_eq!(stock["low"], false);
    let ada = stage.customer().await;
    stage.confirmed(&ada, &mug, 2).await;
    let (second, stock) = live.until(|stock| stock["sold"] == 2).await;
    assert_eq!(
        (&stock["held"], &stock["available"]),
        (&0.into(), &3.into())
    );
    assert!(second > first);

    // Who comes back with an older id gets the stock as it is now.
    let mut again = Live::open(&stage.seller, Some(first)).await;
    let (position, now) = again.until(|stock| stock["sold"] == 2).await;
    assert_eq!((position, now), (second, stock));

    // Both are still open when the shop is stopped.
    stage.shop.stop().await;
    while live.more().await {}
    assert!(
        live.read.contains("the server is being stopped"),
        "{}",
        live.read
    );
}

//! The log over HTTP, page by page and live.

use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, StatusCode};
use axum::Router;
use axum::body::{Body, BodyDataStream};
use event_schema::{Position, codec};
use event_store::InMemoryStore;
use futures::StreamExt as _;
use serde_json::Value;
use service_kit::Role;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::feed::Limits;
use crate::http::ReadSide;
use crate::testing::stories::{customer, product, received};
use crate::testing::{ADMIN, Open, PATIENCE, Shop};
use crate::{Moves, Personal};

async fn shop() -> Open {
    Shop::new().await.open().await
}

fn positions(page: &Value) -> Vec<u64> {
    let data = page["data"].as_array().unwrap();
    data.iter()
        .map(|event| event["position"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn an_admin_reads_the_log_page_by_page() {
    let shop = shop().await;
    let mug = Uuid::now_v7();
    shop.happens([product(mug, None, "mug"), received(mug, 4)])
        .await;
    shop.happens([received(mug, 3)]).await;

    let first = shop.ask("/v1/events?limit=2").await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(positions(&first.body), [1, 2]);
    assert_eq!(first.header("waybill-position"), Some("3"));
    assert_eq!(first.body["has_more"], true);
    let after = first.body["next_cursor"].as_str().unwrap();
    let last = shop.ask(&format!("/v1/events?limit=2&after={after}")).await;
    assert_eq!(positions(&last.body), [3]);
    assert_eq!(
        (&last.body["has_more"], &last.body["next_cursor"]),
        (&Value::Bool(false), &Value::Null)
    );

    let event = &first.body["data"][1];
    assert_eq!(
        event["subject"],
        format!("evt.inventory.{}.{mug}", &mug.to_string()[34..])
    );
    assert_eq!(
        (
            &event["aggregate"],
            &event["aggregate_id"],
            &event["version"]
        ),
        (&"inventory".into(), &mug.to_string().into(), &1.into())
    );
    assert_eq!(event["event_type"], "inventory.received");
    assert_eq!(event["data"]["quantity"], 4);
    for member in [
        "event_id",
        "command_id",
        "correlation_id",
        "actor",
        "occurred_at",
        "recorded_at",
    ] {
        assert!(event[member].is_string(), "{member}: {event}");
    }
}

#[tokio::test]
async fn a_subject_chooses_and_what_is_no_subject_of_an_event_is_refused() {
    let shop = shop().await;
    let (mug, cup) = (Uuid::now_v7(), Uuid::now_v7());
    shop.happens([product(mug, None, "mug"), product(cup, None, "cup")])
        .await;
    shop.happens([received(mug, 4)]).await;
    let of = async |subject: &str| {
        let subject = subject.replace('>', "%3E");
        let got = shop.ask(&format!("/v1/events?subject={subject}")).await;
        positions(&got.body)
    };
    assert_eq!(of("evt.product.>").await, [1, 2]);
    assert_eq!(of("evt.inventory.>").await, [3]);
    let bucket = &cup.to_string()[34..];
    assert_eq!(of(&format!("evt.product.{bucket}.{cup}")).await, [2]);
    for bad in ["done.>", "evt.*.>", "orders", "evt.product.zz.>.x"] {
        let bad = bad.replace('>', "%3E");
        let got = shop.ask(&format!("/v1/events?subject={bad}")).await;
        assert_eq!((got.status.as_u16(), got.code()), (422, "invalid"), "{bad}");
    }
    let got = shop.ask("/v1/events?limit=101").await;
    assert_eq!((got.status.as_u16(), got.code()), (422, "invalid"));
    let beyond = [("waybill-min-position", "4")];
    let got = shop
        .get_with("/v1/events", Some((Role::Admin, ADMIN)), &beyond)
        .await;
    assert_eq!((got.status.as_u16(), got.code()), (400, "position_unknown"));
}

#[tokio::test]
async fn personal_data_is_opened_for_admins_and_null_once_its_key_is_gone() {
    let shop = shop().await;
    let ada = Uuid::now_v7();
    let added = customer(&shop.shop, ada, "Ada").await;
    shop.happens([added]).await;
    let got = shop.ask("/v1/events").await;
    let text = got.body.to_string();
    assert_eq!(got.body["data"][0]["data"]["name"], "Ada", "{text}");
    assert!(!text.contains("\"sealed\""), "no ciphertext leaves: {text}");

    shop.shop.vault.destroy(ada).await.unwrap();
    let got = shop.ask("/v1/events").await;
    let data = &got.body["data"][0]["data"];
    assert_eq!(
        (&data["name"], &data["email"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn an_event_of_a_newer_build_and_a_damaged_one_are_shown_for_what_they_are() {
    let shop = shop().await;
    let id = Uuid::now_v7();
    let strange = crate::testing::from_the_future("order", id, "order.teleported");
    shop.shop.happens([strange]).await;
    let got = shop.ask("/v1/events").await;
    assert_eq!(got.body["data"][0]["event_type"], "order.teleported");
    assert_eq!(got.body["data"][0]["data"], serde_json::json!({}));
    // What is no MessagePack has no JSON, and is told as unreadable instead of ending the listing.
    assert!(codec::to_json(&[0x92]).is_err());
}

/// A live answer being read.
struct Live {
    body: BodyDataStream,
    read: String,
}

impl Live {
    async fn open(shop: &Shop, router: &Router, path: &str, last_id: Option<u64>) -> Self {
        let token = shop.token(Role::Admin, ADMIN);
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

    /// The ids of the next so many messages, with their data.
    async fn messages(&mut self, count: usize) -> Vec<(u64, Value)> {
        while self.told().len() < count {
            assert!(self.read().await, "it ended: {}", self.read);
        }
        self.told()
    }

    fn told(&self) -> Vec<(u64, Value)> {
        let whole = self.read.rfind("\n\n").map_or("", |end| &self.read[..end]);
        let field = |message: &str, name: &str| {
            message.lines().find_map(|line| {
                line.strip_prefix(name)?
                    .strip_prefix(": ")
                    .map(str::to_owned)
            })
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
    async fn rest(mut self) -> String {
        while self.read().await {}
        self.read
    }
}

/// The routes alone over a log in memory, within other limits.
async fn within(limits: Limits) -> (Shop, Arc<InMemoryStore>, Router, ReadSide) {
    let log = Arc::new(InMemoryStore::new());
    let shop = Shop::with_log(log.clone()).await;
    let personal = Personal::new(shop.vault.clone());
    let read = ReadSide::new(
        shop.pool.clone(),
        log.clone(),
        personal,
        Moves::default(),
        "sandbox",
    )
    .with_live_limits(limits);
    let router = shop.router_of(crate::service::api().with_state(read.clone()));
    (shop, log, router, read)
}

#[tokio::test]
async fn a_live_reader_sees_what_happens_and_goes_on_after_the_last_id() {
    let shop = shop().await;
    let mug = Uuid::now_v7();
    shop.happens([product(mug, None, "mug")]).await;
    let mut live = Live::open(&shop.shop, &shop.router, "/v1/events/live", None).await;
    shop.happens([received(mug, 1)]).await;
    shop.happens([received(mug, 2)]).await;
    let seen = live.messages(2).await;
    assert_eq!(seen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(seen[1].1["data"]["quantity"], 2);
    assert_eq!(seen[1].1["event_type"], "inventory.received");
    drop(live);

    shop.happens([received(mug, 3)]).await;
    let mut again = Live::open(&shop.shop, &shop.router, "/v1/events/live", Some(2)).await;
    let seen = again.messages(2).await;
    assert_eq!(seen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 4]);

    let path = "/v1/events/live?after=0&subject=evt.product.%3E";
    let mut products = Live::open(&shop.shop, &shop.router, path, None).await;
    assert_eq!(products.messages(1).await[0].0, 1);
}

#[tokio::test]
async fn positions_that_the_log_never_gave_out_and_ids_that_are_none_are_refused() {
    let shop = shop().await;
    let refused = async |id: &str| {
        let headers = [("last-event-id", id)];
        let got = shop
            .get_with("/v1/events/live", Some((Role::Admin, ADMIN)), &headers)
            .await;
        (got.status.as_u16(), got.code().to_owned())
    };
    assert_eq!(refused("1").await, (400, "position_unknown".into()));
    assert_eq!(refused("soon").await, (400, "invalid_header".into()));
}

#[tokio::test]
async fn live_readers_leave_when_the_server_stops() {
    let shop = shop().await;
    let mug = Uuid::now_v7();
    let mut live = Live::open(&shop.shop, &shop.router, "/v1/events/live", None).await;
    shop.happens([product(mug, None, "mug")]).await;
    live.messages(1).await;
    let closing = tokio::spawn(shop.close());
    let read = live.rest().await;
    assert!(read.contains("the server is being stopped"), "{read}");
    closing.await.unwrap();
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_and_told_so() {
    let (shop, _, router, _) = within(Limits {
        waiting_events_max: 2,
        slow_max: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let slow = Live::open(&shop, &router, "/v1/events/live", None).await;
    let mug = Uuid::now_v7();
    for _ in 0..20 {
        shop.happens([received(mug, 1)]).await;
    }
    // Until then nobody reads: the place is given back only by reading to the end or going away.
    tokio::time::timeout(PATIENCE, slow.body_is_given_up())
        .await
        .unwrap();
}

impl Live {
    /// Begins to read only when it is too late, and finds the reason at the end.
    async fn body_is_given_up(self) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let read = self.rest().await;
        assert!(read.contains("you read too slowly"), "{read}");
        assert!(read.matches("data: ").count() < 20, "{read}");
    }
}

#[tokio::test]
async fn a_process_has_places_for_so_many_readers_and_gives_them_back() {
    let (shop, _, router, _) = within(Limits {
        readers_max: 1,
        ..Limits::default()
    })
    .await;
    let first = Live::open(&shop, &router, "/v1/events/live", None).await;
    let token = shop.token(Role::Admin, ADMIN);
    let ask = || {
        let request =
            Request::get("/v1/events/live").header("authorization", format!("Bearer {token}"));
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let refused = ask().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    drop(first);
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_reader_is_sent_away_after_its_time() {
    let (shop, _, router, read) = within(Limits {
        stay_max: Duration::from_millis(30),
        ..Limits::default()
    })
    .await;
    let live = Live::open(&shop, &router, "/v1/events/live", None).await;
    let told = live.rest().await;
    assert!(
        told.contains("come back with the last id and a fresh token"),
        "{told}"
    );
    assert_eq!(read.store().end().await.unwrap().position, Position(0));
}

//! An inbox as it changes, over one long answer.

use event_schema::Position;
use serde_json::{Value, json};
use service_kit::Role;
use uuid::Uuid;

use crate::testing::live::Live;
use crate::testing::stories::{AnOrder, all_cleared, cleared, customer, read};
use crate::testing::{Open, Shop};

const LIVE: &str = "/v1/notifications/live";

async fn newest(shop: &Open, who: Uuid) -> Uuid {
    let got = shop.get("/v1/notifications", Role::Customer, who).await;
    Uuid::parse_str(got.ids()[0]).unwrap()
}

/// Somebody who was told of his account and of an order; where the order was told of.
async fn two_told(shop: &Open) -> (Uuid, Position) {
    let order = AnOrder::new();
    shop.happens([customer(&shop.shop, order.customer, "ada").await])
        .await;
    let before = shop.shop.store.end().await.unwrap().position;
    shop.happens(order.by_card(&shop.shop).await).await;
    let mut live = Live::of(shop, (Role::Customer, order.customer), LIVE, Some(before.0)).await;
    let told = live.messages(1).await;
    (order.customer, Position(told[0].0))
}

#[tokio::test]
async fn a_person_hears_what_he_is_told_and_what_he_reads_and_clears_anywhere() {
    let shop = Shop::new().await.open().await;
    let (who, placed) = two_told(&shop).await;
    let me = (Role::Customer, who);
    let order = newest(&shop, who).await;
    let mut live = Live::of(&shop, me, LIVE, None).await;
    // Somebody else's are not heard.
    two_told(&shop).await;
    let at = shop.happens([read(who, order, placed)]).await;
    let told = live.messages(1).await;
    assert_eq!((told.len(), told[0].0), (1, at.0));
    let message = &told[0].1;
    assert_eq!(
        (&message["change"], &message["unread"]),
        (&json!("read"), &json!(1))
    );
    assert_eq!(message["notification"]["id"], json!(order));
    assert_eq!(message["notification"]["read"], true);
    assert_eq!(message["notification"]["kind"], "order_placed");

    let at = shop.happens([cleared(who, order, placed)]).await;
    let told = live.messages(2).await;
    assert_eq!(
        told[1],
        (
            at.0,
            json!({"change": "cleared", "notification_id": order, "unread": 1})
        )
    );
    let all = shop.happens([all_cleared(who, placed)]).await;
    let told = live.messages(3).await;
    assert_eq!(
        told[2],
        (
            all.0,
            json!({"change": "all_cleared", "through": placed.0, "unread": 0})
        )
    );
}

#[tokio::test]
async fn whoever_was_away_gets_each_notification_once_as_it_is_now() {
    let shop = Shop::new().await.open().await;
    let (who, placed) = two_told(&shop).await;
    let me = (Role::Customer, who);
    let order = newest(&shop, who).await;
    shop.happens([read(who, order, placed)]).await;
    let heard = async |from: &str, last| {
        let mut live = Live::of(&shop, me, from, last).await;
        let told = live.messages(1).await;
        // What is there at the first look comes at once.
        let seen: Vec<Value> = told
            .iter()
            .map(|(_, data)| data["change"].clone())
            .collect();
        (told[0].0, json!(seen))
    };
    let (first, seen) = heard("/v1/notifications/live?after=0", None).await;
    assert!(seen[0] == "added" && first < placed.0, "{seen}");
    let (_, seen) = heard(LIVE, Some(placed.0)).await;
    assert_eq!(seen, json!(["read"]));
    let (_, seen) = heard(LIVE, Some(first)).await;
    assert_eq!(seen, json!(["read"]), "not added and read");
}

#[tokio::test]
async fn positions_that_the_log_never_gave_out_are_refused_and_readers_leave_when_the_server_stops()
{
    let shop = Shop::new().await.open().await;
    let me = (Role::Deliverer, Uuid::now_v7());
    for (id, code) in [("7", "position_unknown"), ("soon", "invalid_header")] {
        let headers = [("last-event-id", id)];
        let got = shop.get_with(LIVE, Some(me), &headers).await;
        assert_eq!((got.status.as_u16(), got.code()), (400, code));
    }
    let live = Live::of(&shop, me, LIVE, None).await;
    let closing = tokio::spawn(shop.close());
    let read = live.rest().await;
    assert!(read.contains("the server is being stopped"), "{read}");
    closing.await.unwrap();
}

//! An inbox over gRPC: listed, counted, followed, read, cleared.

use std::time::Duration;

use grpc_door::v1;
use grpc_door::v1::notification_service_client::NotificationServiceClient;
use testkit::Shop;
use tonic::Code;
use tonic::transport::Channel;

use crate::{by, channel, reason};

const PATIENCE: Duration = Duration::from_secs(40);

/// The inbox once this position is in it.
async fn at(
    inbox: &mut NotificationServiceClient<Channel>,
    token: &str,
    position: &str,
) -> v1::ListResponse {
    let mut list = by(token, v1::ListRequest::default());
    let metadata = list.metadata_mut();
    metadata.insert("waybill-min-position", position.parse().unwrap());
    metadata.insert("waybill-wait-ms", "10000".parse().unwrap());
    inbox.list(list).await.unwrap().into_inner()
}

fn position<T>(response: &tonic::Response<T>) -> String {
    let position = response.metadata().get("waybill-position").unwrap();
    position.to_str().unwrap().to_owned()
}

pub async fn an_inbox_is_read_and_cleared_and_followed_meanwhile(shop: &mut Shop) {
    let token = shop.exported("CUSTOMER");
    let mut inbox = NotificationServiceClient::new(channel(&shop.url()).await);
    let list = v1::ListRequest::default();
    let listed = inbox.list(by(&token, list)).await.unwrap().into_inner();
    let newest = listed.data[0].clone();
    let unread = inbox.get_unread(by(&token, v1::GetUnreadRequest {})).await;
    assert_eq!(unread.unwrap().into_inner().unread, listed.unread);
    let watch = v1::WatchRequest { after: None };
    let mut followed = inbox.watch(by(&token, watch)).await.unwrap().into_inner();
    let mut told = async |change: &str| loop {
        let message = tokio::time::timeout(PATIENCE, followed.message()).await;
        let message = message.unwrap().unwrap().unwrap();
        assert!(message.position > 0);
        let heard = message.change.unwrap();
        if heard.change == change {
            return heard;
        }
    };

    let read = v1::MarkReadRequest {
        notification_id: newest.id.clone(),
    };
    let read = inbox.mark_read(by(&token, read)).await.unwrap();
    let now = at(&mut inbox, &token, &position(&read)).await;
    assert_eq!((now.unread, now.data[0].read), (listed.unread - 1, true));
    let heard = told("read").await;
    let shown = heard.notification.unwrap();
    assert_eq!((shown.id, shown.read), (newest.id.clone(), true));
    assert_eq!(heard.unread, listed.unread - 1);

    let clear = v1::ClearRequest {
        notification_id: newest.id.clone(),
    };
    let cleared = inbox.clear(by(&token, clear.clone())).await.unwrap();
    let now = at(&mut inbox, &token, &position(&cleared)).await;
    assert!(now.data.iter().all(|one| one.id != newest.id));
    assert_eq!(told("cleared").await.notification_id, Some(newest.id));
    let again = inbox.clear(by(&token, clear)).await.unwrap();
    assert_eq!(position(&again), position(&cleared));

    let somebody = v1::ClearRequest {
        notification_id: "019a2b3c-0000-7000-8000-000000000001".into(),
    };
    let status = inbox.clear(by(&token, somebody)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "not_found")
    );

    let all = v1::ClearAllRequest { through: None };
    let cleared = inbox.clear_all(by(&token, all)).await.unwrap();
    let now = at(&mut inbox, &token, &position(&cleared)).await;
    assert_eq!((now.data.len(), now.unread), (0, 0));
    let heard = told("all_cleared").await;
    assert!(heard.through.is_some_and(|through| through > 0));
}

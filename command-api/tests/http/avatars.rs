//! People show a picture of themselves: what is taken, what is refused, and what is kept of it.

use std::io::Cursor;

use http::Method;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use service_kit::Role;
use uuid::Uuid;

use crate::auth::{SignedIn, signed_in};
use crate::shop::{Ask, Reply, Shop};

pub fn png(red: u8) -> Vec<u8> {
    let picture = RgbaImage::from_pixel(30, 20, Rgba([red, 10, 10, 255]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture)
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn form(file: &[u8]) -> Vec<u8> {
    let head = "--cut\r\nContent-Disposition: form-data; name=\"avatar\"; filename=\"me.txt\"\r\n\
                Content-Type: text/plain\r\n\r\n";
    [head.as_bytes(), file, b"\r\n--cut--\r\n"].concat()
}

impl Shop {
    fn showing<'s>(&'s self, who: &SignedIn, file: &[u8]) -> Ask<'s> {
        self.nobody(Method::PUT, "/v1/me/avatar")
            .header("authorization", &format!("Bearer {}", who.access))
            .header("content-type", "multipart/form-data; boundary=cut")
            .raw(form(file))
    }

    pub async fn shows(&self, who: &SignedIn, file: &[u8]) -> Reply {
        self.showing(who, file).send().await
    }
}

fn digest(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{reply:#?}");
    reply.body["digest"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_picture_is_stored_drawn_anew_and_named_by_an_event_and_the_same_again_is_no_event() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let first = shop.shows(&ada, &png(200)).await;
    let name = digest(&first);
    assert_eq!(first.body["media_type"], "image/webp");
    assert_eq!(
        (&first.body["width"], &first.body["height"]),
        (&400.into(), &400.into())
    );
    let end = shop.log_end().await;
    assert_eq!(first.position(), end);
    assert_eq!(
        shop.types().await.last().unwrap(),
        "customer.avatar_changed"
    );
    let stored = shop.pictures().get(ada.id, &name).await.unwrap().unwrap();
    assert_eq!(stored.len(), first.body["size"].as_u64().unwrap() as usize);
    assert_eq!(
        image::guess_format(&stored).unwrap(),
        ImageFormat::WebP,
        "what was sent is not what is kept"
    );

    let again = shop.shows(&ada, &png(200)).await;
    assert_eq!((digest(&again), again.position()), (name.clone(), end));
    assert_eq!(shop.log_end().await, end);

    // The one before is there until every reader has passed the event.
    let second = digest(&shop.shows(&ada, &png(100)).await);
    assert_ne!(second, name);
    for digest in [&name, &second] {
        assert!(shop.pictures().get(ada.id, digest).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_repeat_is_answered_and_changes_nothing_that_came_after_it_and_a_stale_view_is_refused() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let sent = async |file: &[u8]| shop.showing(&ada, file).key("one").send().await;
    digest(&sent(&png(1)).await);
    digest(&shop.shows(&ada, &png(2)).await);
    let end = shop.log_end().await;
    assert_eq!(sent(&png(1)).await.status, 200);
    assert_eq!(shop.log_end().await, end);
    sent(&png(3))
        .await
        .is_problem(422, "idempotency_key_reused");
    let stale = shop
        .showing(&ada, &png(4))
        .header("if-match", "\"1\"")
        .send()
        .await;
    stale.is_problem(412, "stale_version");
    assert_eq!(shop.log_end().await, end);
}

#[tokio::test]
async fn what_is_no_picture_or_too_much_of_one_is_refused_and_leaves_nothing() {
    let shop = Shop::open().await;
    let ada = signed_in(&shop).await;
    let end = shop.log_end().await;
    shop.shows(&ada, b"<svg/>")
        .await
        .is_problem(415, "picture_type_unsupported");
    let mut broken = png(1);
    broken.truncate(40);
    shop.shows(&ada, &broken)
        .await
        .is_problem(422, "picture_unreadable");
    let mut wide = Cursor::new(Vec::new());
    DynamicImage::new_luma8(8_001, 1)
        .write_to(&mut wide, ImageFormat::Png)
        .unwrap();
    shop.shows(&ada, wide.get_ref())
        .await
        .is_problem(422, "picture_too_large");
    shop.shows(&ada, &vec![0; 5 * 1024 * 1024 + 1])
        .await
        .is_problem(413, "body_too_large");
    shop.shows(&ada, b"").await.names("/avatar", "required");
    let raw = shop
        .by(Role::Customer, ada.id, Method::PUT, "/v1/me/avatar")
        .header("content-type", "image/png")
        .raw(png(1));
    raw.send().await.is_problem(415, "unsupported_media_type");
    assert_eq!(shop.log_end().await, end);
    assert_eq!(shop.pictures().of(ada.id).await.unwrap(), []);
}

#[tokio::test]
async fn nobody_and_whoever_is_no_customer_shows_nothing() {
    let shop = Shop::open().await;
    let stranger = Uuid::now_v7();
    let put = async |ask: Ask<'_>| {
        ask.header("content-type", "multipart/form-data; boundary=cut")
            .raw(form(&png(1)))
            .send()
            .await
    };
    let anonymous = put(shop.nobody(Method::PUT, "/v1/me/avatar")).await;
    assert_eq!(anonymous.status, 401);
    let unknown = put(shop.by(Role::Customer, stranger, Method::PUT, "/v1/me/avatar")).await;
    unknown.is_problem(404, "not_found");
    assert_eq!(shop.pictures().of(stranger).await.unwrap(), []);
}

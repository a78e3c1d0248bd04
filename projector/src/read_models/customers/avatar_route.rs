//! GET /v1/me/avatar: the caller's own picture. The row says which file it is; the file comes from the store.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa::openapi::OpenApi;
use utoipa::openapi::info::Info;
use utoipa::openapi::path::Paths;
use uuid::Uuid;

use service_kit::extract::Query;
use service_kit::pictures::Pictures;
use service_kit::{Access, ApiRouter, Caller, Problem, routes};

use super::NAME;
use crate::http::{Asked, ReadSide, database, describe};

/// Under one address the picture may change: it is asked each time, and answered without the picture if it did not.
const ASK_EACH_TIME: &str = "private, no-cache";
/// Under its own name a picture never changes.
const KEEP: &str = "private, max-age=31536000, immutable";

/// What this route reads: rows, and the files that they name.
#[derive(Clone)]
pub struct Gallery {
    /// The rows.
    pub read: ReadSide,
    /// The files.
    pub pictures: Pictures,
}

/// Which picture.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// The digest of the picture that is wanted; when the caller has another one by now the answer is 404. An answer to
    /// this may be kept for ever.
    #[serde(default)]
    #[param(max_length = 64, nullable = false)]
    digest: Option<String>,
}

pub(crate) fn routes() -> ApiRouter<Gallery> {
    let document = OpenApi::new(
        Info::new("Waybill", env!("CARGO_PKG_VERSION")),
        Paths::new(),
    );
    ApiRouter::new(document)
        .routes(Access::Authenticated, routes!(show))
        .each_operation(describe)
}

/// The caller's picture.
#[utoipa::path(
    get, path = "/v1/me/avatar", tag = "me", operation_id = "show_avatar",
    params(Which, ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer")),
    responses(
        (status = 200, description = "The picture", content_type = "image/webp", headers(
            ("ETag" = String, description = "The digest of the picture"),
            ("Cache-Control" = String, description = "Nobody but the caller keeps it"),
        )),
        (status = 304, description = "The caller has this picture already"),
        (status = 404, description = "`not_found`: the caller has no picture, or not this one", body = Problem,
            content_type = "application/problem+json"),
    )
)]
async fn show(
    State(gallery): State<Gallery>,
    caller: Caller,
    asked: Asked,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Gallery { read, pictures } = gallery;
    let reading = read.reading(asked, &[NAME], Some(caller.subject)).await?;
    let named = find(&read, caller.subject).await?;
    let wanted = |digest: &str| {
        which
            .digest
            .as_deref()
            .is_none_or(|wanted| wanted == digest)
    };
    let Some((digest, media_type)) = named.filter(|(digest, _)| wanted(digest)) else {
        return Err(reading.nothing("there is no such picture"));
    };
    let etag = format!("\"{digest}\"");
    let known = is_known(&headers, &etag);
    let bytes = if known {
        None
    } else {
        let bytes = pictures.get(caller.subject, &digest).await?;
        // Replaced or erased between the row and the file.
        Some(bytes.ok_or_else(|| reading.nothing("the picture is being replaced"))?)
    };
    let mut response = reading.answer(()).into_response();
    let set = response.headers_mut();
    set.remove(CONTENT_TYPE);
    set.remove(CONTENT_LENGTH);
    let cache = if which.digest.is_some() {
        KEEP
    } else {
        ASK_EACH_TIME
    };
    set.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    // A digest and a media type of ours are always header values.
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        set.insert(ETAG, etag);
    }
    match bytes {
        None => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = Body::empty();
        }
        Some(bytes) => {
            if let Ok(media_type) = HeaderValue::from_str(&media_type) {
                set.insert(CONTENT_TYPE, media_type);
            }
            *response.body_mut() = Body::from(bytes);
        }
    }
    Ok(response)
}

/// Whether the caller says that he has it. Weak comparison, as RFC 9110 asks for here.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag == etag)
}

async fn find(read: &ReadSide, id: Uuid) -> Result<Option<(String, String)>, Problem> {
    sqlx::query_as(
        "select avatar, avatar_type from read.customers
         where id = $1 and avatar is not null and avatar_type is not null",
    )
    .bind(id)
    .fetch_optional(read.pool())
    .await
    .map_err(database)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use event_schema::customer;
    use service_kit::Role;

    use crate::testing::stories::customer as added;
    use crate::testing::{Shop, to};

    use super::*;

    const ONE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn shows(digest: &str) -> customer::Event {
        customer::AvatarChanged {
            digest: digest.into(),
            media_type: "image/webp".into(),
        }
        .into()
    }

    #[tokio::test]
    async fn a_picture_is_served_to_its_owner_with_its_digest_and_to_nobody_else() {
        let shop = Shop::new().await.open().await;
        let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
        shop.happens([added(&shop.shop, ada, "ada").await]).await;
        shop.catch_up().await;
        let none = shop.get("/v1/me/avatar", Role::Customer, ada).await;
        assert_eq!(none.status, 404);
        let pictures = &shop.shop.pictures;
        for digest in [ONE, OTHER] {
            pictures
                .put(ada, digest, Bytes::from(digest))
                .await
                .unwrap();
        }
        shop.happens([to(ada, [shows(ONE)])]).await;
        shop.catch_up().await;
        let got = shop.get("/v1/me/avatar", Role::Customer, ada).await;
        assert_eq!(got.status, 200);
        assert_eq!(got.header("content-type"), Some("image/webp"));
        assert_eq!(got.header("etag"), Some(&*format!("\"{ONE}\"")));
        assert_eq!(got.header("cache-control"), Some(ASK_EACH_TIME));
        let theirs = shop.get("/v1/me/avatar", Role::Customer, bob).await;
        assert_eq!(theirs.status, 404);

        // Until the event is visible the old one is served, then the new one.
        shop.happens([to(ada, [shows(OTHER)])]).await;
        shop.catch_up().await;
        let ask = async |path: &str, tag: &str| {
            let tag = format!("W/\"x\", \"{tag}\"");
            shop.get_with(
                path,
                Some((Role::Customer, ada)),
                &[("if-none-match", &tag)],
            )
            .await
        };
        assert_eq!(ask("/v1/me/avatar", ONE).await.status, 200);
        let same = ask("/v1/me/avatar", OTHER).await;
        assert_eq!(same.status, 304);
        assert_eq!(same.header("etag"), Some(&*format!("\"{OTHER}\"")));
        assert_eq!(same.header("content-type"), None);
        let named = ask(&format!("/v1/me/avatar?digest={OTHER}"), ONE).await;
        assert_eq!(
            (named.status.as_u16(), named.header("cache-control")),
            (200, Some(KEEP))
        );
        let gone = ask(&format!("/v1/me/avatar?digest={ONE}"), ONE).await;
        assert_eq!(gone.status, 404);
    }

    #[tokio::test]
    async fn an_erased_person_has_no_picture() {
        let shop = Shop::new().await.open().await;
        let ada = Uuid::now_v7();
        shop.happens([added(&shop.shop, ada, "ada").await]).await;
        let pictures = &shop.shop.pictures;
        pictures.put(ada, ONE, Bytes::from(ONE)).await.unwrap();
        let erased = customer::Erased {}.into();
        shop.happens([to(ada, [shows(ONE), erased])]).await;
        shop.catch_up().await;
        let got = shop.get("/v1/me/avatar", Role::Customer, ada).await;
        assert_eq!(got.status, 404);
    }
}

//! An answer from rows: its JSON, the position it was read at, the version of what it shows, and what is held back.

use axum::response::{IntoResponse, Response};
use http::header::ETAG;
use http::{HeaderName, HeaderValue};
use serde::Serialize;

use event_schema::Position;
use service_kit::extract::Json;

/// The checkpoint that the answer was read at; what it shows is at least that fresh.
pub(super) const POSITION: HeaderName = HeaderName::from_static("waybill-position");
/// Rows behind the answer that are parked, as `<projection>/<key>@<first position>`.
pub(super) const HELD: HeaderName = HeaderName::from_static("waybill-held");
/// Most parked rows that the header names; the last place says that there are more.
const NAMED_HELD_MAX: usize = 5;

/// A 200 with the read side's headers.
#[derive(Debug)]
pub struct Answer<T> {
    pub(super) body: T,
    pub(super) position: Position,
    pub(super) version: Option<i64>,
    pub(super) held: Vec<String>,
}

impl<T> Answer<T> {
    /// Says the version of the main aggregate, as an `ETag`.
    #[must_use]
    pub fn version(mut self, version: i64) -> Self {
        self.version = Some(version);
        self
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(POSITION, HeaderValue::from(self.position.0));
        if let Some(etag) = self
            .version
            .and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok())
        {
            headers.insert(ETAG, etag);
        }
        if !self.held.is_empty() {
            let more = self.held.len() > NAMED_HELD_MAX;
            let mut named: Vec<&str> = self
                .held
                .iter()
                .take(NAMED_HELD_MAX)
                .map(String::as_str)
                .collect();
            if more {
                named.push("...");
            }
            // Names, ids and numbers only.
            if let Ok(held) = HeaderValue::from_str(&named.join(", ")) {
                headers.insert(HELD, held);
            }
        }
        response
    }
}

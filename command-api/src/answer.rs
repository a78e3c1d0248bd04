//! What a command is answered with: the body, where the thing is, its version, and the position that made it true.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, HeaderName, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use event_schema::{Position, Version};

/// The header that a query may send back as `Waybill-Min-Position`.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("waybill-position");

/// An accepted command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer<T> {
    status: StatusCode,
    body: Option<T>,
    position: Option<Position>,
    version: Option<Version>,
    location: Option<String>,
}

impl<T> Answer<T> {
    fn new(status: StatusCode, body: Option<T>) -> Self {
        Self {
            status,
            body,
            position: None,
            version: None,
            location: None,
        }
    }

    /// 200.
    pub(crate) fn ok(body: T) -> Self {
        Self::new(StatusCode::OK, Some(body))
    }

    /// 201: it exists, under `location`.
    pub(crate) fn created(location: String, body: T) -> Self {
        Self {
            location: Some(location),
            ..Self::new(StatusCode::CREATED, Some(body))
        }
    }

    /// 202: it is durable, and goes on in the background; `location` tells how.
    pub(crate) fn accepted(location: String, body: T) -> Self {
        Self {
            location: Some(location),
            ..Self::new(StatusCode::ACCEPTED, Some(body))
        }
    }

    /// Where in the log the command became true.
    pub(crate) fn at(self, position: Position) -> Self {
        Self {
            position: Some(position),
            ..self
        }
    }

    /// The version of the main aggregate.
    pub(crate) fn version(self, version: Version) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }
}

impl Answer<()> {
    /// 204: done, and nothing to show.
    pub(crate) fn nothing() -> Self {
        Self::new(StatusCode::NO_CONTENT, None)
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => (self.status, Json(body)).into_response(),
            None => self.status.into_response(),
        };
        let headers = response.headers_mut();
        if let Some(position) = self.position {
            headers.insert(POSITION, HeaderValue::from(position.0));
        }
        let tag = self
            .version
            .and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok());
        if let Some(tag) = tag {
            headers.insert(ETAG, tag);
        }
        // Made of our own routes and ids, so it is always a header value.
        if let Some(location) = self
            .location
            .and_then(|path| HeaderValue::from_str(&path).ok())
        {
            headers.insert(LOCATION, location);
        }
        response
    }
}

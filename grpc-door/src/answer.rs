//! The message that an HTTP answer becomes.

use axum::body::to_bytes;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ETAG, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName};
use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage};
use serde_json::{Map, Value};
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::rpc::Rpc;
use crate::status;

/// No answer of the API is larger; a page of a hundred rows is far below.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Headers that mean something to the caller.
const PASSED_OUT: [HeaderName; 5] = [
    ETAG,
    LOCATION,
    RETRY_AFTER,
    HeaderName::from_static("waybill-position"),
    HeaderName::from_static("x-request-id"),
];

/// Headers of an answer as metadata.
pub(crate) fn metadata(headers: &HeaderMap) -> MetadataMap {
    let mut passed = HeaderMap::new();
    for name in PASSED_OUT {
        if let Some(value) = headers.get(&name) {
            passed.insert(name, value.clone());
        }
    }
    MetadataMap::from_headers(passed)
}

/// The body of a 2xx, or the status of everything else.
pub(crate) async fn json(response: Response) -> Result<(MetadataMap, Value), Status> {
    let (parts, body) = response.into_parts();
    let metadata = metadata(&parts.headers);
    let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        tracing::error!(status = %parts.status, "an answer broke off or is larger than any may be");
        return Err(Status::internal("the answer could not be read"));
    };
    if !parts.status.is_success() {
        let mut status = status::of_problem(parts.status, &parts.headers, &body);
        *status.metadata_mut() = metadata;
        return Err(status);
    }
    if body.is_empty() {
        return Ok((metadata, Value::Object(Map::new())));
    }
    serde_json::from_slice(&body)
        .map(|value| (metadata, value))
        .map_err(|error| {
            tracing::error!(%error, "an answer is not JSON");
            Status::internal("the answer could not be read")
        })
}

/// A body as the rpc's message.
pub(crate) fn message(rpc: &Rpc, body: Value) -> Result<Bytes, Status> {
    let body = match rpc.whole() {
        Some(field) => Value::Object(Map::from_iter([(field, body)])),
        None => body,
    };
    encoded(rpc, body)
}

/// Members as the rpc's message; those that the protos do not know are left out.
pub(crate) fn encoded(rpc: &Rpc, members: Value) -> Result<Bytes, Status> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    DynamicMessage::deserialize_with_options(rpc.output.clone(), members, &options)
        .map(|message| Bytes::from(message.encode_to_vec()))
        .map_err(|error| {
            tracing::error!(rpc = rpc.path, %error, "an answer does not fit the protos");
            Status::internal("the answer could not be put into a message")
        })
}

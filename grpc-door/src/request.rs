//! The HTTP request that a call stands for.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use form_urlencoded::{Serializer as Query, byte_serialize};
use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::{Map, Value};
use tonic::Status;

use crate::rpc::Rpc;
use crate::status::bad_field;

/// Metadata that means something to the API; the rest stays here.
const PASSED_IN: [HeaderName; 10] = [
    AUTHORIZATION,
    IF_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("waybill-min-position"),
    HeaderName::from_static("waybill-wait-ms"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
];

/// A call that can be put to the API, more than once if need be.
#[derive(Debug, Clone)]
pub(crate) struct Translated {
    method: Method,
    uri: http::Uri,
    headers: HeaderMap,
    peer: Option<ConnectInfo<SocketAddr>>,
    body: Bytes,
}

impl Translated {
    /// Reads the message and puts its fields where the route wants them.
    pub(crate) fn of(rpc: &Rpc, call: &tonic::Request<Bytes>) -> Result<Self, Status> {
        let message = DynamicMessage::decode(rpc.input.clone(), call.get_ref().clone())
            .map_err(|error| Status::invalid_argument(format!("unreadable message: {error}")))?;
        let mut members = members(&message)?;
        let mut uri = path(&rpc.route, &mut members)?;
        let has_body = !matches!(rpc.method, Method::GET | Method::DELETE);
        let body = if has_body {
            serde_json::to_vec(&members)
                .map_err(|error| Status::invalid_argument(error.to_string()))?
                .into()
        } else {
            let query = query(&members);
            if !query.is_empty() {
                uri.push('?');
                uri.push_str(&query);
            }
            Bytes::new()
        };
        let mut headers = HeaderMap::new();
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let metadata = call.metadata().as_ref();
        for name in PASSED_IN {
            for value in metadata.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        Ok(Self {
            method: rpc.method.clone(),
            uri: uri
                .parse()
                .map_err(|_| Status::invalid_argument("the fields are too long for an address"))?,
            headers,
            peer: call.extensions().get().copied(),
            body,
        })
    }

    /// The request.
    pub(crate) fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        request
    }
}

/// The message as JSON. What is `optional` in the protos and was not said is not there; everything else is.
fn members(message: &DynamicMessage) -> Result<Map<String, Value>, Status> {
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(false)
        .use_proto_field_name(true)
        .skip_default_fields(false);
    match message.serialize_with_options(serde_json::value::Serializer, &options) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Ok(Map::new()),
        Err(error) => Err(Status::invalid_argument(format!(
            "the message cannot be shown as JSON: {error}"
        ))),
    }
}

/// Fills the route's parameters from the members, which are taken out.
fn path(route: &str, members: &mut Map<String, Value>) -> Result<String, Status> {
    let mut path = String::with_capacity(route.len() + 64);
    for segment in route.split('/').skip(1) {
        path.push('/');
        let Some(name) = segment
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'))
        else {
            path.push_str(segment);
            continue;
        };
        match members.remove(name) {
            // Dots alone would be a way to another address.
            Some(Value::String(id)) if !id.trim_matches('.').is_empty() => {
                path.extend(byte_serialize(id.as_bytes()));
            }
            _ => return Err(bad_field(name, "is missing, or is not an id")),
        }
    }
    Ok(path)
}

fn query(members: &Map<String, Value>) -> String {
    let mut query = Query::new(String::new());
    for (name, value) in members {
        match value {
            Value::Null => {}
            Value::String(text) => {
                query.append_pair(name, text);
            }
            other => {
                query.append_pair(name, &other.to_string());
            }
        }
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::v1;

    fn translated(name: &str, message: &impl Message) -> Result<Translated, Status> {
        let rpcs = crate::rpcs().unwrap();
        let rpc = rpcs
            .iter()
            .find(|rpc| rpc.path.ends_with(&format!("/{name}")))
            .unwrap();
        let mut call = tonic::Request::new(Bytes::from(message.encode_to_vec()));
        call.metadata_mut()
            .insert("authorization", "Bearer x".parse().unwrap());
        call.metadata_mut()
            .insert("something-else", "y".parse().unwrap());
        Translated::of(rpc, &call)
    }

    fn body(translated: &Translated) -> Value {
        serde_json::from_slice(&translated.body).unwrap()
    }

    #[test]
    fn ids_go_into_the_address_and_the_rest_into_the_body_as_it_was_said() {
        let adjusted = translated(
            "AdjustStock",
            &v1::AdjustStockRequest {
                product_id: "019a2b3c-0000-7000-8000-000000000001".into(),
                quantity: -3,
                reason: None,
            },
        )
        .unwrap();
        assert_eq!(adjusted.method, Method::POST);
        assert_eq!(
            adjusted.uri,
            "/v1/inventory/019a2b3c-0000-7000-8000-000000000001/adjust"
        );
        // No reason was given, which is something else than an empty one.
        assert_eq!(body(&adjusted), serde_json::json!({"quantity": -3}));
    }

    #[test]
    fn what_has_to_be_said_is_said_even_if_it_is_nothing() {
        let checked = translated("CheckOrder", &v1::CheckOrderRequest::default()).unwrap();
        assert_eq!(
            body(&checked),
            serde_json::json!({"partner_id": "", "lines": [], "delivery_address": "", "phone": ""})
        );
    }

    #[test]
    fn a_question_has_its_fields_in_the_query() {
        let listed = translated(
            "ListCatalog",
            &v1::ListCatalogRequest {
                q: Some("mug & cup".into()),
                in_stock: Some(false),
                limit: Some(5),
                ..Default::default()
            },
        )
        .unwrap();
        assert_eq!(
            listed.uri,
            "/v1/catalog?in_stock=false&limit=5&q=mug+%26+cup"
        );
        assert!(listed.body.is_empty());
    }

    #[test]
    fn an_id_cannot_lead_to_another_address() {
        let ask = |id: &str| {
            translated(
                "GetOrder",
                &v1::GetOrderRequest {
                    order_id: id.into(),
                },
            )
        };
        assert_eq!(
            ask("../sagas?x=1#y").unwrap().uri.path(),
            "/v1/orders/..%2Fsagas%3Fx%3D1%23y"
        );
        for bad in ["", ".", ".."] {
            assert_eq!(
                ask(bad).unwrap_err().code(),
                tonic::Code::InvalidArgument,
                "{bad}"
            );
        }
    }

    #[test]
    fn only_metadata_that_means_something_is_passed_on() {
        let asked = translated("ListOrders", &v1::ListOrdersRequest::default()).unwrap();
        assert_eq!(asked.headers["authorization"], "Bearer x");
        assert!(!asked.headers.contains_key("something-else"));
    }
}

//! Extractors whose refusals are problems: body as JSON, raw body, path and query.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::{FieldError, Problem};

/// The largest body that is accepted unless a route says otherwise with [`BodyLimit`].
pub const DEFAULT_BODY_LIMIT_BYTES: usize = 1024 * 1024;
/// How much of a body that is too large is still taken in (and thrown away): a client that is cut off in the middle of
/// sending sees a broken connection instead of the 413.
const DRAIN_LIMIT_BYTES: usize = 16 * 1024 * 1024;
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Raises or lowers the body limit of a route: `.layer(Extension(BodyLimit(5 * 1024 * 1024)))`.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit(pub usize);

/// A JSON body, and a JSON answer. As an extractor it answers 400 `unreadable_json`, 413, 415, or 422 `invalid` with a
/// JSON pointer for each field that has the wrong shape, is missing or is not known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

/// The body's bytes, for signatures; 413 when there are too many.
#[derive(Debug, Clone, Default)]
pub struct RawBody(pub Bytes);

/// Parameters of the path. What does not fit names nothing, so the answer is 404.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

/// Parameters of the query; 422 `invalid` when one does not fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type("application/json"));
        }
        parse(&read_body(request).await?).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        read_body(request).await.map(Self)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status() == StatusCode::BAD_REQUEST => Err(
                Problem::not_found("there is nothing here: a part of the address is not an id"),
            ),
            // Anything else is a route whose parameters do not match its handler.
            Err(rejection) => Err(Problem::unexpected(&rejection)),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let parsed: Result<Vec<(String, String)>, _> = serde_urlencoded::from_str(query);
        let pairs = parsed
            .map_err(|_| Problem::bad_request("unreadable_query", "the query cannot be read"))?;
        // No text of ours has it, and the database takes no text with it.
        if let Some((name, _)) = pairs.iter().find(|(_, value)| value.contains('\0')) {
            return Err(Problem::invalid(vec![FieldError {
                pointer: format!("/{}", escape(name)),
                code: "invalid".into(),
                detail: format!("query parameter `{name}`: there is a NUL in it"),
            }]));
        }
        // An empty parameter (`?cursor=`) counts as one that was not sent.
        let kept: Vec<_> = pairs
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let kept = serde_urlencoded::to_string(kept)
            .map_err(|_| Problem::bad_request("unreadable_query", "the query cannot be read"))?;
        let mut track = serde_path_to_error::Track::new();
        let encoded = form_deserializer(&kept);
        T::deserialize(serde_path_to_error::Deserializer::new(encoded, &mut track))
            .map(Self)
            .map_err(|error| {
                let parameter = pointer(&track.path());
                Problem::invalid(vec![FieldError {
                    detail: format!(
                        "query parameter `{}`: {error}",
                        parameter.trim_start_matches('/')
                    ),
                    pointer: parameter,
                    code: "invalid".into(),
                }])
            })
    }
}

fn form_deserializer(query: &str) -> serde_urlencoded::Deserializer<'_> {
    serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()))
}

/// Reads a body of at most the route's limit.
///
/// # Errors
/// 413 when it is larger, 400 when the connection breaks while it is sent.
pub async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let limit = request
        .extensions()
        .get::<BodyLimit>()
        .map_or(DEFAULT_BODY_LIMIT_BYTES, |limit| limit.0);
    let announced = announced_length(request.headers());
    let waits_for_our_word = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    if announced.is_some_and(|length| length > limit) {
        // With `Expect: 100-continue` nothing has been sent yet, and nothing will be once we have answered.
        if !waits_for_our_word {
            drain(&mut body).await;
        }
        return Err(Problem::too_large(limit));
    }
    let mut collected = BytesMut::with_capacity(announced.unwrap_or(0).min(limit));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::bad_request(
                "unreadable_body",
                "the connection broke while the body was sent",
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if collected.len() + data.len() > limit {
            drain(&mut body).await;
            return Err(Problem::too_large(limit));
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

async fn drain(body: &mut Body) {
    let throw_away = async {
        let mut taken = 0_usize;
        while taken < DRAIN_LIMIT_BYTES {
            match body.frame().await {
                Some(Ok(frame)) => taken += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => break,
            }
        }
    };
    // Whatever is left after this is cut off; the answer is the same either way.
    let _: Result<(), tokio::time::error::Elapsed> =
        tokio::time::timeout(DRAIN_LIMIT, throw_away).await;
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `application/json` or `application/<anything>+json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(media_type) = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = media_type.split_once('/') else {
        return false;
    };
    let subtype = subtype.to_ascii_lowercase();
    kind.eq_ignore_ascii_case("application") && (subtype == "json" || subtype.ends_with("+json"))
}

/// Reads JSON of a known shape. The same rules hold at every door (HTTP, NATS).
///
/// # Errors
/// 400 `unreadable_json` for what is not JSON, 422 `invalid` with pointers for JSON of another shape.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::bad_request(
            "unreadable_json",
            "the body is empty, a JSON object is expected",
        ));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        Problem::bad_request("unreadable_json", format!("the body is not JSON: {error}"))
    })?;
    let mut unknown = Vec::new();
    let mut note_unknown = |path: serde_ignored::Path<'_>| {
        let pointer = ignored_pointer(&path);
        unknown.push(unknown_field(pointer));
    };
    let mut track = serde_path_to_error::Track::new();
    let parsed = T::deserialize(serde_ignored::Deserializer::new(
        serde_path_to_error::Deserializer::new(&value, &mut track),
        &mut note_unknown,
    ));
    match parsed {
        Ok(parsed) if unknown.is_empty() => Ok(parsed),
        Ok(_) => Err(Problem::invalid(unknown)),
        Err(error) => {
            let first = wrong_shape(&pointer(&track.path()), &error.to_string());
            let mut errors = vec![first];
            unknown.retain(|known| errors.iter().all(|error| error.pointer != known.pointer));
            errors.append(&mut unknown);
            Err(Problem::invalid(errors))
        }
    }
}

fn unknown_field(pointer: String) -> FieldError {
    let name = pointer.rsplit('/').next().unwrap_or_default().to_owned();
    FieldError {
        pointer,
        code: "unknown_field".into(),
        detail: format!("there is no field `{name}` here"),
    }
}

/// Turns serde's words into a pointer to the very field and a code.
fn wrong_shape(at: &str, message: &str) -> FieldError {
    let quoted = || message.split('`').nth(1).unwrap_or_default();
    if message.starts_with("missing field") {
        return FieldError {
            pointer: format!("{at}/{}", escape(quoted())),
            code: "required".into(),
            detail: format!("the field `{}` is missing", quoted()),
        };
    }
    if message.starts_with("unknown field") {
        // The path may or may not contain the field itself already, depending on how the shape is derived.
        let name = escape(quoted());
        let pointer = if at.rsplit('/').next() == Some(name.as_str()) {
            at.to_owned()
        } else {
            format!("{at}/{name}")
        };
        return unknown_field(pointer);
    }
    let code = if message.starts_with("invalid type") {
        "wrong_type"
    } else {
        "invalid"
    };
    FieldError {
        pointer: at.to_owned(),
        code: code.into(),
        detail: message.to_owned(),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape(key))),
            // The variant of an enum is not a level of the JSON; unknown segments have no name.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn ignored_pointer(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}/{index}", ignored_pointer(parent)),
        Path::Map { parent, key } => format!("{}/{}", ignored_pointer(parent), escape(key)),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => ignored_pointer(parent),
    }
}

/// RFC 6901.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use uuid::Uuid;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Order {
        #[expect(dead_code, reason = "only the shape matters")]
        quote_id: Uuid,
        lines: Vec<Line>,
        note: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    struct Line {
        quantity: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        #[expect(dead_code, reason = "only the shape matters")]
        a: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
    enum Payment {
        Card {
            #[expect(dead_code, reason = "only the shape matters")]
            token: String,
        },
        Checkout {},
    }

    const ID: &str = "018f0000-0000-7000-8000-000000000000";

    fn errors_of<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> Vec<(String, String)> {
        let problem = parse::<T>(json.as_bytes()).unwrap_err();
        assert_eq!(
            (problem.status().as_u16(), problem.code()),
            (422, "invalid"),
            "{problem}"
        );
        problem
            .body()
            .errors
            .iter()
            .map(|error| (error.pointer.clone(), error.code.clone().into_owned()))
            .collect()
    }

    fn error(pointer: &str, code: &str) -> (String, String) {
        (pointer.to_owned(), code.to_owned())
    }

    #[test]
    fn what_is_not_json_is_unreadable() {
        for body in [
            "",
            "  \n",
            "{",
            "{'a':1}",
            r#"{"a":1} x"#,
            "\u{0}",
            r#"{"a":1e999}"#,
        ] {
            let problem = parse::<Order>(body.as_bytes()).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (400, "unreadable_json"),
                "{body}"
            );
        }
        assert_eq!(
            parse::<Order>(&[0xff, 0xfe]).unwrap_err().code(),
            "unreadable_json"
        );
        let deep = "[".repeat(100_000);
        assert_eq!(
            parse::<Order>(deep.as_bytes()).unwrap_err().code(),
            "unreadable_json"
        );
    }

    #[test]
    fn a_field_of_the_wrong_shape_is_pointed_at() {
        let json =
            format!(r#"{{"quote_id":"{ID}","lines":[{{"quantity":1}},{{"quantity":"two"}}]}}"#);
        assert_eq!(
            errors_of::<Order>(&json),
            [error("/lines/1/quantity", "wrong_type")]
        );
        let json = r#"{"quote_id":"x","lines":[]}"#;
        assert_eq!(errors_of::<Order>(json), [error("/quote_id", "invalid")]);
        assert_eq!(errors_of::<Order>("[1]").len(), 1);
        assert_eq!(errors_of::<Order>("null"), [error("", "wrong_type")]);
        let json = format!(r#"{{"quote_id":"{ID}","lines":[{{"quantity":-1}}]}}"#);
        assert_eq!(
            errors_of::<Order>(&json),
            [error("/lines/0/quantity", "invalid")]
        );
    }

    #[test]
    fn a_missing_field_is_pointed_at_where_it_should_be() {
        let json = format!(r#"{{"quote_id":"{ID}","lines":[{{}}]}}"#);
        assert_eq!(
            errors_of::<Order>(&json),
            [error("/lines/0/quantity", "required")]
        );
    }

    #[test]
    fn unknown_fields_are_all_listed_by_name_wherever_they_are() {
        let json = format!(
            r#"{{"quote_id":"{ID}","price":1,"lines":[{{"quantity":1,"a/b":2}}],"note":null,"x":{{"y":1}}}}"#
        );
        let mut found = errors_of::<Order>(&json);
        found.sort();
        assert_eq!(
            found,
            [
                error("/lines/0/a~1b", "unknown_field"),
                error("/price", "unknown_field"),
                error("/x", "unknown_field"),
            ]
        );
    }

    #[test]
    fn shapes_that_refuse_unknown_fields_themselves_are_reported_alike() {
        assert_eq!(
            errors_of::<Strict>(r#"{"a":1,"b":2}"#),
            [error("/b", "unknown_field")]
        );
        assert_eq!(
            errors_of::<Payment>(r#"{"method":"checkout","token":"x"}"#),
            [error("/token", "unknown_field")]
        );
        assert_eq!(
            errors_of::<Payment>(r#"{"method":"card"}"#),
            [error("/token", "required")]
        );
        assert_eq!(errors_of::<Payment>(r#"{"method":"cash"}"#).len(), 1);
        assert!(matches!(
            parse::<Payment>(br#"{"method":"checkout"}"#).unwrap(),
            Payment::Checkout {}
        ));
    }

    #[test]
    fn what_fits_is_read() {
        let json = format!(r#"{{"quote_id":"{ID}","lines":[{{"quantity":3}}],"note":"x"}}"#);
        let order: Order = parse(json.as_bytes()).unwrap();
        assert_eq!(order.lines[0].quantity, 3);
        assert_eq!(order.note.as_deref(), Some("x"));
    }

    #[test]
    fn only_json_is_json() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(value));
            is_json(&headers)
        };
        assert!(with("application/json"));
        assert!(with("Application/JSON; charset=utf-8"));
        assert!(with("application/cloudevents+json"));
        assert!(
            !with("text/plain") && !with("text/json") && !with("application/x-www-form-urlencoded")
        );
        assert!(!is_json(&HeaderMap::new()));
    }

    async fn query<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
        let request = Request::get(format!("/x?{text}")).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        Query::<T>::from_request_parts(&mut parts, &())
            .await
            .map(|query| query.0)
    }

    #[derive(Debug, Deserialize)]
    struct Filter {
        limit: Option<u32>,
        q: Option<String>,
    }

    #[tokio::test]
    async fn a_query_parameter_that_does_not_fit_is_named() {
        let problem = query::<Filter>("limit=ten").await.unwrap_err();
        assert_eq!(
            (problem.status().as_u16(), problem.code()),
            (422, "invalid")
        );
        assert_eq!(problem.body().errors[0].pointer, "/limit");
        assert!(problem.body().errors[0].detail.contains("`limit`"));
    }

    #[tokio::test]
    async fn a_query_parameter_with_a_nul_is_refused_before_it_comes_to_the_database() {
        let problem = query::<Filter>("q=a%00b").await.unwrap_err();
        assert_eq!(
            (problem.status().as_u16(), problem.code()),
            (422, "invalid")
        );
        assert_eq!(problem.body().errors[0].pointer, "/q");
    }

    #[tokio::test]
    async fn an_empty_query_parameter_counts_as_not_sent() {
        let filter = query::<Filter>("limit=&q=a%20b+c").await.unwrap();
        assert_eq!(filter.limit, None);
        assert_eq!(filter.q.as_deref(), Some("a b c"));
    }
}

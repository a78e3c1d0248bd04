//! GET /v1/events: a page of the log.

use ::http::{HeaderName, HeaderValue};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use event_schema::Position;
use service_kit::Problem;
use service_kit::cursor::{DEFAULT_LIMIT, MAX_LIMIT, Page};
use service_kit::extract::{Json, Query};
use service_kit::problem::FieldError;

use super::pattern;
use super::shown::{LoggedEvent, show};
use crate::http::{self, Asked, ReadSide};

/// Where the log ended when it was read; every event up to there that fits is in the answer or follows it.
const POSITION: HeaderName = HeaderName::from_static("waybill-position");

/// Which events.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// A history (`evt.order.<bucket>.<id>`) or a beginning (`evt.order.>`); everything without it.
    subject: Option<String>,
    /// Only what comes after this position; `next_cursor` of the page before.
    after: Option<u64>,
    /// How many, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
}

/// The events of the log in order, with envelope and payload.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "list_events", params(Params),
    responses((status = 200, description = "The events; `next_cursor` is the `after` of the next page", body = Page<LoggedEvent>))
)]
pub(super) async fn list(
    State(read): State<ReadSide>,
    asked: Asked,
    Query(params): Query<Params>,
) -> Result<Response, Problem> {
    let filter = pattern::read(params.subject.as_deref())?;
    let limit = limit(params.limit)?;
    let end = read.store().end().await.map_err(http::log)?.position;
    if let Some(wanted) = asked.position.filter(|wanted| *wanted > end) {
        return Err(beyond(wanted, end));
    }
    let after = Position(params.after.unwrap_or(0));
    let mut events = read
        .store()
        .read(after, limit + 1, Some(&filter))
        .await
        .map_err(http::log)?;
    let has_more = events.len() > limit;
    events.truncate(limit);
    let next_cursor = events
        .last()
        .filter(|_| has_more)
        .map(|last| last.position.to_string());
    let page = Page {
        data: show(events, read.personal()).await?,
        next_cursor,
        has_more,
    };
    let mut response = Json(page).into_response();
    let headers = response.headers_mut();
    headers.insert(POSITION, HeaderValue::from(end.0));
    Ok(response)
}

fn limit(wanted: Option<u32>) -> Result<usize, Problem> {
    let limit = wanted.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit as usize);
    }
    Err(Problem::invalid(vec![FieldError {
        pointer: "/limit".into(),
        code: "out_of_range".into(),
        detail: format!("limit is a number from 1 to {MAX_LIMIT}"),
    }]))
}

/// A position that this log has never given out: it is another log, or has lost its end.
pub(crate) fn beyond(wanted: Position, end: Position) -> Problem {
    let detail = format!("the log ends at position {end}, {wanted} was never given out by it");
    Problem::bad_request("position_unknown", detail).with("position", end.0)
}

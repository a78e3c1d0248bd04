//! What the OpenAPI document says of every query alike: how fresh an answer may be asked for, and what it tells.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required};

use super::answer::{HELD, POSITION};
use super::asked::{DEFAULT_WAIT_MS, MAX_WAIT_MS, MIN_POSITION, WAIT_MS};

/// Queries that nobody asks a position of: they follow the log themselves, or tell where everything stands.
const NOT_BY_POSITION: [&str; 3] = ["/v1/events/live", "/v1/inventory/live", "/v1/projections"];
const BAD_HEADER: &str = "`invalid_header`: one of the headers is not a number in its range; `position_unknown`: the \
    log has never given out the wanted position; `cursor_invalid`: the cursor is not one that this list has given out; \
    `unreadable_query`: the query cannot be read";
const UNAVAILABLE: &str = "Come back after `Retry-After`: `not_caught_up`: the rows have not come to the wanted position \
    in time, the problem names `position` and `lag`; `held`: the row waits for a person; `newer_events`; \
    `database_unavailable`; `broker_unavailable`; `busy`; `timed_out`";

/// Adds the headers of a query and of its answer, and what they can be refused with.
pub(crate) fn describe(path: &str, operation: &mut Operation) {
    if NOT_BY_POSITION.contains(&path) {
        return;
    }
    let number = |name: &str, description: String, maximum: Option<f64>| {
        let schema = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0.0))
            .maximum(maximum);
        RefOr::T(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(schema))
                .build(),
        )
    };
    operation.parameters.get_or_insert_default().extend([
        number(
            MIN_POSITION,
            "The answer includes everything up to this position of the log, such as the `Waybill-Position` that a \
             command was answered with."
                .to_owned(),
            None,
        ),
        number(
            WAIT_MS,
            format!(
                "Milliseconds to wait for that position, {DEFAULT_WAIT_MS} when nothing is said"
            ),
            Some(MAX_WAIT_MS as f64),
        ),
    ]);
    let responses = &mut operation.responses.responses;
    responses.insert("400".to_owned(), RefOr::T(Response::new(BAD_HEADER)));
    responses.insert("503".to_owned(), RefOr::T(Response::new(UNAVAILABLE)));
    if let Some(RefOr::T(answer)) = responses.get_mut("200") {
        for (name, kind, description) in [
            (
                POSITION.as_str(),
                Type::Integer,
                "The position that the rows were read at",
            ),
            (
                "etag",
                Type::String,
                "For `If-Match`: the version of the thing that is shown, if it is one",
            ),
            (
                HELD.as_str(),
                Type::String,
                "Rows behind the answer that wait for a person, as `<read model>/<key>@<position>`",
            ),
        ] {
            let header = HeaderBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(kind)))
                .description(Some(description))
                .build();
            answer
                .headers
                .entry(name.to_owned())
                .or_insert(RefOr::T(header));
        }
    }
}

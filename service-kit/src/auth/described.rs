//! What the OpenAPI document says of every route alike: the problems that the layers and extractors around its handler
//! answer, with their headers, and an example of each problem.

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::content::Content;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};

use super::Access;
use crate::problem::{CONTENT_TYPE_PROBLEM, Problem};

const UNREADABLE_QUERY: &str = "`unreadable_query`: the query cannot be read";
const INVALID_CURSOR: &str = "`cursor_invalid`: the cursor is not one that this list has given out; \
    `unreadable_query`: the query cannot be read";
const NOT_FOUND: &str = "`not_found`: there is no such thing, or it is someone else's";
const INVALID_QUERY: &str =
    "`invalid`: a parameter of the query is not acceptable, `errors` names it";
const RATE_LIMITED: &str = "`rate_limited`: too much at once from this caller; see `Retry-After`";
const INTERNAL: &str =
    "`internal`: a mistake of ours; the request's id leads to it in the service's log";
const UNAVAILABLE: &str = "Come back after `Retry-After`: `busy`: too many requests at this moment; `timed_out`: not \
    answered in time; `broker_unavailable`, `database_unavailable`: a server behind is away";

/// Adds what is not said yet. A description names its codes in backticks, the one to expect first.
pub(super) fn describe(operation: &mut Operation, path: &str, access: Access) {
    let has_query = has_parameter(operation, |place, _| *place == ParameterIn::Query);
    let has_cursor = has_parameter(operation, |_, name| name == "cursor");
    let mut add = |status: &str, description: &str| {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(Response::new(description)));
    };
    match access {
        Access::Public | Access::Signed => {}
        Access::Authenticated => add("401", NOT_SIGNED_IN),
        Access::Roles(roles) => {
            add("401", NOT_SIGNED_IN);
            let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
            add(
                "403",
                &format!("`forbidden`: only for the role {}", names.join(" or ")),
            );
        }
    }
    if has_cursor {
        add("400", INVALID_CURSOR);
    } else if has_query {
        add("400", UNREADABLE_QUERY);
    }
    if path.contains('{') {
        add("404", NOT_FOUND);
    }
    if has_query {
        add("422", INVALID_QUERY);
    }
    add("429", RATE_LIMITED);
    add("500", INTERNAL);
    add("503", UNAVAILABLE);
    for (status, response) in &mut operation.responses.responses {
        if let (Ok(status @ 400..), RefOr::T(response)) = (status.parse::<u16>(), response) {
            complete(status, response);
        }
    }
}

const NOT_SIGNED_IN: &str = "`unauthenticated`: no token, or one that is not accepted";

fn has_parameter(operation: &Operation, is_it: impl Fn(&ParameterIn, &str) -> bool) -> bool {
    operation
        .parameters
        .iter()
        .flatten()
        .any(|parameter| match parameter {
            RefOr::T(parameter) => is_it(&parameter.parameter_in, &parameter.name),
            RefOr::Ref(_) => false,
        })
}

/// Form, headers and an example of a problem.
fn complete(status: u16, response: &mut Response) {
    let code = code(status, &response.description);
    let content = response
        .content
        .entry(CONTENT_TYPE_PROBLEM.to_owned())
        .or_insert_with(|| RefOr::T(problem()));
    if let RefOr::T(content) = content
        && content.example.is_none()
        && content.examples.is_empty()
    {
        content.example = Some(example(status, &code));
    }
    match status {
        401 => add_header(response, "WWW-Authenticate", Type::String, "How to sign in"),
        429 | 503 => add_header(
            response,
            "Retry-After",
            Type::Integer,
            "Seconds after which it may be tried again",
        ),
        _ => {}
    }
}

fn problem() -> Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(Problem::name())))
        .build()
}

fn add_header(response: &mut Response, name: &str, kind: Type, description: &str) {
    let header: Header = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .description(Some(description))
        .build();
    response
        .headers
        .entry(name.to_owned())
        .or_insert_with(|| RefOr::T(header));
}

/// The first code that a description names; what its status usually means when it names none.
fn code(status: u16, description: &str) -> String {
    let is_code = |word: &&str| {
        *word != "errors"
            && !word.is_empty()
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let named = description.split('`').skip(1).step_by(2).find(is_code);
    let usual = match status {
        400 => "unreadable_json",
        401 => "unauthenticated",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        412 => "stale_version",
        413 => "body_too_large",
        415 => "unsupported_media_type",
        422 => "invalid",
        429 => "rate_limited",
        503 => "busy",
        _ => "internal",
    };
    named.unwrap_or(usual).to_owned()
}

fn example(status: u16, code: &str) -> Value {
    let status = http::StatusCode::from_u16(status).unwrap_or_default();
    let problem = Problem::new(status, code.to_owned());
    let body = problem.body();
    json!({
        "type": body.kind, "title": body.title, "status": body.status, "code": body.code,
        "request_id": "019a2b3c-0000-7000-8000-000000000042",
    })
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::path::{OperationBuilder, ParameterBuilder};

    use super::*;
    use crate::auth::Role;

    fn described(operation: OperationBuilder, path: &str, access: Access) -> Value {
        let mut operation = operation.build();
        describe(&mut operation, path, access);
        serde_json::to_value(&operation).unwrap()["responses"].clone()
    }

    fn statuses(responses: &Value) -> Vec<&str> {
        responses
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn a_public_route_without_parameters_can_be_too_much_a_mistake_or_away() {
        let responses = described(OperationBuilder::new(), "/things", Access::Public);
        assert_eq!(statuses(&responses), ["429", "500", "503"]);
        assert!(responses["429"]["headers"]["Retry-After"].is_object());
        let problem = &responses["500"]["content"]["application/problem+json"];
        assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem");
        assert_eq!(problem["example"]["code"], "internal");
    }

    #[test]
    fn a_guarded_list_about_something_can_be_refused_in_each_of_its_ways() {
        let cursor = ParameterBuilder::new()
            .name("cursor")
            .parameter_in(ParameterIn::Query);
        let operation = OperationBuilder::new().parameter(cursor);
        let responses = described(
            operation,
            "/things/{id}/parts",
            Access::Roles(&[Role::Admin]),
        );
        assert_eq!(
            statuses(&responses),
            ["400", "401", "403", "404", "422", "429", "500", "503"]
        );
        let code = |status: &str| {
            responses[status]["content"]["application/problem+json"]["example"]["code"].clone()
        };
        assert_eq!(code("400"), "cursor_invalid");
        assert_eq!(code("422"), "invalid");
        assert!(responses["401"]["headers"]["WWW-Authenticate"].is_object());
        let roles = responses["403"]["description"].as_str().unwrap();
        assert!(roles.contains("admin"), "{roles}");
    }

    #[test]
    fn what_a_route_says_itself_stays_and_its_first_code_is_the_example() {
        let own = Response::new("`errors` tells: `too_late`, `out_of_stock`");
        let operation = OperationBuilder::new().response("409", own);
        let responses = described(operation, "/things", Access::Public);
        let conflict = &responses["409"];
        assert!(conflict["description"].as_str().unwrap().contains("tells"));
        let example = &conflict["content"]["application/problem+json"]["example"];
        assert_eq!(
            (&example["code"], &example["status"]),
            (&json!("too_late"), &json!(409))
        );
    }
}

//! What many routes say alike in the OpenAPI document: shared headers, and the problems any command can answer.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, Response};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use service_kit::Problem;
use service_kit::idempotency::MAX_KEY_CHARS;
use service_kit::problem::CONTENT_TYPE_PROBLEM;

const KEY_REQUIRED: &str = "Chosen by the caller for this one command, the same for every repeat of it: a repeat is \
    answered as the first time and not done twice, however late it comes. The same key with another body is 422 \
    `idempotency_key_reused`; without a key the answer is 400 `idempotency_key_missing`.";
const KEY_OPTIONAL: &str = "May be sent; then a repeat with the same key is not done again, even if the thing was \
    changed in between.";
const IF_MATCH: &str =
    "The `ETag` of the version that the caller has seen; if there is a newer one: 412.";

/// `Idempotency-Key`, required.
pub(crate) struct KeyRequired;
/// `Idempotency-Key`, accepted.
pub(crate) struct KeyOptional;
/// `If-Match`, accepted.
pub(crate) struct IfMatchOptional;

impl IntoParams for KeyRequired {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![header(
            "Idempotency-Key",
            KEY_REQUIRED,
            Required::True,
            MAX_KEY_CHARS,
        )]
    }
}

impl IntoParams for KeyOptional {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![header(
            "Idempotency-Key",
            KEY_OPTIONAL,
            Required::False,
            MAX_KEY_CHARS,
        )]
    }
}

impl IntoParams for IfMatchOptional {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![header("If-Match", IF_MATCH, Required::False, MAX_KEY_CHARS)]
    }
}

fn header(name: &str, description: &str, required: Required, max_length: usize) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(description))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .max_length(Some(max_length)),
        ))
        .build()
}

/// What any command with a body can be answered with.
pub(crate) struct CommandProblems;

impl IntoResponses for CommandProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "The body or a header cannot be read (`unreadable_json`, `idempotency_key_missing`, `idempotency_key_invalid`)",
            ),
            ("413", "`body_too_large`: over 1 MiB"),
            ("415", "`unsupported_media_type`: send `application/json`"),
            (
                "429",
                "`rate_limited`: too much at once from this caller; see `Retry-After`",
            ),
            (
                "503",
                "Come back after `Retry-After` with the same Idempotency-Key: `broker_unavailable`, \
                 `database_unavailable`, `busy`, `newer_events`, `timed_out`",
            ),
        ])
    }
}

/// What a signed callback can be answered with besides.
pub(crate) struct CallbackProblems;

impl IntoResponses for CallbackProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("413", "`body_too_large`: over 1 MiB"),
            ("429", "`rate_limited`: too much at once; see `Retry-After`"),
            (
                "503",
                "Not durable, call again: `broker_unavailable`, `busy`, `newer_events`, `timed_out`",
            ),
        ])
    }
}

/// What a partner's signed message can be answered with besides.
pub(crate) struct PartnerMessageProblems;

impl IntoResponses for PartnerMessageProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("413", "`body_too_large`: over 1 MiB"),
            ("429", "`rate_limited`: too much at once; see `Retry-After`"),
            (
                "503",
                "Not durable, send it again: `broker_unavailable`, `database_unavailable`, `busy`, `newer_events`, \
                 `timed_out`",
            ),
        ])
    }
}

/// What is passed on to the projector can be answered with besides.
pub(crate) struct DeskProblems;

impl IntoResponses for DeskProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "409",
                "`projection_busy`: a rebuild or a comparison of it is under way, or cannot be made now",
            ),
            ("429", "`rate_limited`: too much at once; see `Retry-After`"),
            (
                "503",
                "`projector_unavailable`: no projector runs, or it cannot reach its servers; `not_finished`: a comparison \
                 that takes long and goes on; `broker_unavailable`",
            ),
        ])
    }
}

/// What a command on the caller's inbox can be answered with besides.
pub(crate) struct InboxProblems;

const INBOX_UNAVAILABLE: &str = "Come back after `Retry-After`: `projector_unavailable`: no projector runs that knows whose \
    notifications are whose, or it cannot reach its database; `broker_unavailable`, `busy`, `newer_events`, `timed_out`";

impl IntoResponses for InboxProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "A header cannot be read (`idempotency_key_invalid`)"),
            ("429", "`rate_limited`: too much at once; see `Retry-After`"),
            ("503", INBOX_UNAVAILABLE),
        ])
    }
}

/// What emptying an inbox can be answered with besides.
pub(crate) struct ClearAllProblems;

impl IntoResponses for ClearAllProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "`position_unknown`: the log never gave out this position; `unreadable_query`, `idempotency_key_invalid`",
            ),
            ("429", "`rate_limited`: too much at once; see `Retry-After`"),
            ("503", INBOX_UNAVAILABLE),
        ])
    }
}

/// What sending a message once more can be answered with besides.
pub(crate) struct ReplayProblems;

impl IntoResponses for ReplayProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "The body or a header cannot be read (`unreadable_json`, `idempotency_key_invalid`); `invalid_request`: the \
                 notifier does not understand it",
            ),
            ("413", "`body_too_large`: over 1 MiB"),
            ("415", "`unsupported_media_type`: send `application/json`"),
            ("429", "`rate_limited`: too much at once; see `Retry-After`"),
            (
                "503",
                "Come back after `Retry-After` with the same Idempotency-Key: `notifier_unavailable`: no notifier runs, and \
                 nothing was ordered; `projector_unavailable`; `timed_out`: it has not answered in time, and may have taken \
                 the command; `broker_unavailable`",
            ),
        ])
    }
}

/// 422 of a command without a body.
pub(crate) struct KeyReused;

impl IntoResponses for KeyReused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "422",
            "`idempotency_key_reused`: the key was used for another command",
        )])
    }
}

/// What is passed on to the desk of sagas can be answered with besides.
pub(crate) struct SagaProblems;

impl IntoResponses for SagaProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "The body or a header cannot be read (`unreadable_json`, `idempotency_key_missing`, `idempotency_key_invalid`)",
            ),
            (
                "409",
                "The saga stands otherwise than the command needs it to, perhaps because another operator was faster: \
                 `not_waiting`: it goes on by itself; `already_ended`; `turns_back_already`; `too_late`: its money is being \
                 taken, or was; `other_step`: another step is stuck; `nothing_to_retry`; `refused_already`; `known_inside`: \
                 our own histories know; `cannot_skip`; `poisoned`, `contradiction`: its history cannot be acted on",
            ),
            ("413", "`body_too_large`: over 1 MiB"),
            ("415", "`unsupported_media_type`: send `application/json`"),
            ("429", "`rate_limited`: too much at once; see `Retry-After`"),
            (
                "503",
                "Come back after `Retry-After` with the same Idempotency-Key: `orchestrator_unavailable`: no \
                 saga-orchestrator runs, and nothing was ordered; `timed_out`: it has not answered in time, and may have \
                 taken the command; `broker_unavailable`, `busy`, `newer_events`",
            ),
        ])
    }
}

/// 422 of an operator's command.
pub(crate) struct SagaInvalid;

impl IntoResponses for SagaInvalid {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "422",
            "`invalid`: `errors` names each member of the body that is missing or not acceptable (`/reason`, `/step`, \
             `/outcome`, `/evidence`, `/order_id`); `payment_not_named`: the evidence for an authorisation names no \
             payment of the provider; `idempotency_key_reused`: the key was used for another command",
        )])
    }
}

/// What a route without a command can be answered with besides.
pub(crate) struct OpenProblems;

impl IntoResponses for OpenProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ("400", "The body cannot be read (`unreadable_json`)"),
            ("413", "`body_too_large`: over 1 MiB"),
            ("415", "`unsupported_media_type`: send `application/json`"),
            (
                "422",
                "`invalid`: readable and not acceptable, `errors` names each field",
            ),
            (
                "429",
                "`rate_limited`: too many attempts from here or for this address; see `Retry-After`",
            ),
            (
                "503",
                "Come back after `Retry-After`: `broker_unavailable`, `database_unavailable`, `busy`, `newer_events`, \
                 `timed_out`",
            ),
        ])
    }
}

/// 401 of signing in.
pub(crate) struct BadCredentials;

impl IntoResponses for BadCredentials {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "401",
            "`invalid_credentials`: no account has this address and password, or it is closed",
        )])
    }
}

/// 401 of refreshing.
pub(crate) struct BadRefreshToken;

impl IntoResponses for BadRefreshToken {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "401",
            "`invalid_refresh_token`: unknown, used before, or its time or its session is over",
        )])
    }
}

/// 422 of codes.
pub(crate) struct BadCode;

impl IntoResponses for BadCode {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "422",
            "`code_invalid`: the code is wrong, used, too old, or was tried too often; `invalid`: `errors` names each \
             field that is not acceptable",
        )])
    }
}

/// 403 of changing a password.
pub(crate) struct WrongPassword;

impl IntoResponses for WrongPassword {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "403",
            "`wrong_password`: the current password is another one, or the caller has none",
        )])
    }
}

/// What a picture can be refused for.
pub(crate) struct PictureProblems;

impl IntoResponses for PictureProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                "400",
                "The form or a header cannot be read (`form_malformed`, `idempotency_key_invalid`, `if_match_invalid`)",
            ),
            ("413", "`body_too_large`: the file is over 5 MiB"),
            (
                "415",
                "`unsupported_media_type`: send `multipart/form-data`; `picture_type_unsupported`: the file is not a \
                 PNG, JPEG or WebP",
            ),
            (
                "422",
                "`picture_too_large`: too many pixels; `picture_unreadable`: the file is damaged; `invalid`: there is no \
                 file in the field `avatar`; `idempotency_key_reused`: the key was used for another command",
            ),
            (
                "503",
                "Come back after `Retry-After`: `pictures_unavailable`, `broker_unavailable`, `database_unavailable`, \
                 `busy`, `newer_events`, `timed_out`",
            ),
        ])
    }
}

/// 409 of an address.
pub(crate) struct EmailTaken;

impl IntoResponses for EmailTaken {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[("409", "`email_taken`: another customer has this address")])
    }
}

/// 409 of an account.
pub(crate) struct AccountClosed;

impl IntoResponses for AccountClosed {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[("409", "`account_closed`: the account is closed")])
    }
}

/// 409 of changing one's own account.
pub(crate) struct AccountConflicts;

impl IntoResponses for AccountConflicts {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "409",
            "`email_taken`: another customer has this address; `account_closed`: the account is closed",
        )])
    }
}

/// 404.
pub(crate) struct NotFound;

impl IntoResponses for NotFound {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "404",
            "`not_found`: there is no such thing, or it is someone else's",
        )])
    }
}

/// 412.
pub(crate) struct Stale;

impl IntoResponses for Stale {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "412",
            "`stale_version`: `If-Match` names a version that is no longer the present one",
        )])
    }
}

/// 412 of an order's steps.
pub(crate) struct OrderStale;

impl IntoResponses for OrderStale {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "412",
            "`stale_version`: `If-Match` names a version that is no longer the present one. What is already true is \
             answered as the first time, whatever `If-Match` says.",
        )])
    }
}

/// 422 without codes of its own.
pub(crate) struct Invalid;

impl IntoResponses for Invalid {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "422",
            "`invalid`: readable and not acceptable, `errors` names each field; \
             `idempotency_key_reused`: the key was used for another command",
        )])
    }
}

/// 422 for counts of units.
pub(crate) struct OutOfRange;

impl IntoResponses for OutOfRange {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(
            "422",
            "`quantity_out_of_range`: too few or too many units; `invalid`: another field is not acceptable; \
             `idempotency_key_reused`: the key was used for another command",
        )])
    }
}

fn problems(descriptions: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let one = |(status, description): &(&str, &str)| {
        let mut response = Response::new(*description);
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(Problem::name())))
            .build();
        response
            .content
            .insert(CONTENT_TYPE_PROBLEM.to_owned(), RefOr::T(content));
        ((*status).to_owned(), RefOr::T(response))
    };
    descriptions.iter().map(one).collect()
}

//! Sagas by hand: retry, skip, resolve, abort, close. The saga-orchestrator decides; this reads what an operator sends,
//! passes it on to the broker's service `saga` under the command's id, and puts the answer in the API's words.

mod desk;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::Position;
use event_schema::fulfilment::Step;
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Access, ApiRouter, Caller, Problem, Role, Validation, routes};

use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{KeyRequired, NotFound, SagaInvalid, SagaProblems};
use crate::door::Door;
use crate::fields::{self, REASON_CHARS_MAX};
use desk::Order;

const ADMIN: Access = Access::Roles(&[Role::Admin]);
const STEPS: [Step; 7] = [
    Step::Authorise,
    Step::Hold,
    Step::Capture,
    Step::Commit,
    Step::Void,
    Step::Release,
    Step::Refund,
];

/// The routes of this area.
pub(crate) fn register(api: ApiRouter<Door>) -> ApiRouter<Door> {
    api.routes(ADMIN, routes!(retry))
        .routes(ADMIN, routes!(skip))
        .routes(ADMIN, routes!(resolve))
        .routes(ADMIN, routes!(abort))
        .routes(ADMIN, routes!(close))
}

/// What an operator can order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Retry,
    Skip,
    Resolve,
    Abort,
    Close,
}

impl Verb {
    const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Resolve => "resolve",
            Self::Abort => "abort",
            Self::Close => "close",
        }
    }

    /// The command's name, the same at every door.
    const fn command(self) -> &'static str {
        match self {
            Self::Retry => "sagas.retry",
            Self::Skip => "sagas.skip",
            Self::Resolve => "sagas.resolve",
            Self::Abort => "sagas.abort",
            Self::Close => "sagas.close",
        }
    }

    const fn needs_step(self) -> bool {
        matches!(self, Self::Skip | Self::Resolve)
    }
}

/// An operator's command. Members that a command has no use for are passed over.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SagaCommand {
    /// May be repeated here; it is the one of the address.
    #[serde(default)]
    order_id: Option<Uuid>,
    /// The step that is meant: `authorise`, `hold`, `capture`, `commit`, `void`, `release` or `refund`. Skip and resolve
    /// need it; retry takes it to be sure.
    #[serde(default)]
    #[schema(example = "refund")]
    step: Option<String>,
    /// For resolve: `ok` or `refused`, what became of the step in truth.
    #[serde(default)]
    #[schema(example = "ok")]
    outcome: Option<String>,
    /// For resolve: how you know. For an authorisation it names the provider's payment, such as `pi_123`.
    #[serde(default)]
    #[schema(max_length = 500, example = "re_77 in the provider's dashboard")]
    evidence: Option<String>,
    /// Why; it is recorded in the saga's history.
    #[schema(max_length = 500, example = "ticket 4711: the bank has answered")]
    reason: String,
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// What became of a command, or would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = SagaCommanded)]
pub(crate) struct Commanded {
    /// Whose saga.
    order_id: Uuid,
    /// retry, skip, resolve, abort or close.
    #[schema(example = "skip")]
    command: String,
    /// The command's id in the saga's history; none for a dry run.
    command_id: Option<Uuid>,
    /// Nothing was changed.
    dry_run: bool,
    /// It was carried out before, under the same key.
    repeated: bool,
    /// What it does, or would do, in sentences.
    #[schema(example = json!(["mark refund as settled outside, by your word", "end the saga as closed, with nothing left due"]))]
    would: Vec<String>,
    /// Where in the log it became true; none for a dry run.
    position: Option<u64>,
    /// The saga as it stands now, with the members of `GET /v1/sagas/{id}`.
    #[schema(value_type = Object, example = json!({"status": "closed", "step": null, "cause": null}))]
    saga: Value,
}

/// Does the stuck effect again, under the same effect id and with a fresh budget.
#[utoipa::path(
    post, path = "/v1/sagas/{id}/retry", tag = "sagas", operation_id = "retry_saga",
    params(("id" = Uuid, Path, description = "The order's id"), KeyRequired),
    request_body(content = SagaCommand, example = json!({"step": "refund", "reason": "the bank works again"})),
    responses(
        (status = 200, description = "A dry run: what would happen; nothing was changed", body = Commanded),
        (status = 202, description = "It is recorded, and the saga goes on", body = Commanded, headers(
            ("Location" = String, description = "Where the saga is"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, SagaInvalid, SagaProblems,
    ),
)]
async fn retry(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Fields(body): Fields<SagaCommand>,
) -> Result<Answer<Commanded>, Problem> {
    pass_on(&door, Verb::Retry, &caller, id, &key, body).await
}

/// The stuck step was settled outside, such as by a bank transfer. What is left is done, and the saga ends closed.
#[utoipa::path(
    post, path = "/v1/sagas/{id}/skip", tag = "sagas", operation_id = "skip_saga_step",
    params(("id" = Uuid, Path, description = "The order's id"), KeyRequired),
    request_body(content = SagaCommand, example = json!({"step": "refund", "reason": "paid back by bank transfer 8831"})),
    responses(
        (status = 200, description = "A dry run: what would happen; nothing was changed", body = Commanded),
        (status = 202, description = "It is recorded, and the saga goes on to its end", body = Commanded, headers(
            ("Location" = String, description = "Where the saga is"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, SagaInvalid, SagaProblems,
    ),
)]
async fn skip(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Fields(body): Fields<SagaCommand>,
) -> Result<Answer<Commanded>, Problem> {
    pass_on(&door, Verb::Skip, &caller, id, &key, body).await
}

/// States what became of the stuck step in truth; the saga goes on as if the provider had said it.
#[utoipa::path(
    post, path = "/v1/sagas/{id}/resolve", tag = "sagas", operation_id = "resolve_saga_step",
    params(("id" = Uuid, Path, description = "The order's id"), KeyRequired),
    request_body(content = SagaCommand, example = json!({
        "step": "refund", "outcome": "ok", "evidence": "re_77 in the provider's dashboard", "reason": "ticket 4711"
    })),
    responses(
        (status = 200, description = "A dry run: what would happen; nothing was changed", body = Commanded),
        (status = 202, description = "It is recorded, and the saga goes on", body = Commanded, headers(
            ("Location" = String, description = "Where the saga is"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, SagaInvalid, SagaProblems,
    ),
)]
async fn resolve(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Fields(body): Fields<SagaCommand>,
) -> Result<Answer<Commanded>, Problem> {
    pass_on(&door, Verb::Resolve, &caller, id, &key, body).await
}

/// Calls the order off: the saga turns back, as long as no money is being taken.
#[utoipa::path(
    post, path = "/v1/sagas/{id}/abort", tag = "sagas", operation_id = "abort_saga",
    params(("id" = Uuid, Path, description = "The order's id"), KeyRequired),
    request_body(content = SagaCommand, example = json!({"reason": "the partner has closed"})),
    responses(
        (status = 200, description = "A dry run: what would happen; nothing was changed", body = Commanded),
        (status = 202, description = "It is recorded, and the saga turns back", body = Commanded, headers(
            ("Location" = String, description = "Where the saga is"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, SagaInvalid, SagaProblems,
    ),
)]
async fn abort(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Fields(body): Fields<SagaCommand>,
) -> Result<Answer<Commanded>, Problem> {
    pass_on(&door, Verb::Abort, &caller, id, &key, body).await
}

/// Ends a saga that needs an operator as it is. What needs no provider is put back; the rest is named as left due.
#[utoipa::path(
    post, path = "/v1/sagas/{id}/close", tag = "sagas", operation_id = "close_saga",
    params(("id" = Uuid, Path, description = "The order's id"), KeyRequired),
    request_body(content = SagaCommand, example = json!({"reason": "the customer wants no refund, see ticket 4711"})),
    responses(
        (status = 200, description = "A dry run: what would happen; nothing was changed", body = Commanded),
        (status = 202, description = "It is recorded, and the saga is closed", body = Commanded, headers(
            ("Location" = String, description = "Where the saga is"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, SagaInvalid, SagaProblems,
    ),
)]
async fn close(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Fields(body): Fields<SagaCommand>,
) -> Result<Answer<Commanded>, Problem> {
    pass_on(&door, Verb::Close, &caller, id, &key, body).await
}

async fn pass_on(
    door: &Door,
    verb: Verb,
    caller: &Caller,
    id: Uuid,
    key: &IdempotencyKey,
    body: SagaCommand,
) -> Result<Answer<Commanded>, Problem> {
    // The desk compares what is asked with what was recorded under this id, so nothing else has to be hashed.
    let command = door.command(verb.command(), caller, Some(key), &id)?;
    let mut order = Order {
        order_id: id,
        command_id: command.id().uuid(),
        actor: command.metadata.actor.as_str().to_owned(),
        step: None,
        outcome: None,
        evidence: None,
        reason: String::new(),
        dry_run: body.dry_run,
    };
    fill(verb, &mut order, &body)?;
    let commanded = desk::order(&door.nats, verb, &order).await?;
    Ok(match commanded.position {
        Some(position) => {
            Answer::accepted(format!("/v1/sagas/{id}"), commanded).at(Position(position))
        }
        None => Answer::ok(commanded),
    })
}

/// Checks what was sent, all of it at once.
fn fill(verb: Verb, order: &mut Order, body: &SagaCommand) -> Result<(), Problem> {
    let mut validation = Validation::new();
    if body.order_id.is_some_and(|named| named != order.order_id) {
        validation.add(
            "/order_id",
            "invalid",
            "this is another order than the one of the address",
        );
    }
    order.step = match body.step.as_deref() {
        Some(word) => {
            let names = STEPS.map(Step::as_str);
            let known = names.into_iter().find(|name| *name == word);
            if known.is_none() {
                let names = names.join(", ");
                validation.add("/step", "invalid", format!("a step is one of {names}"));
            }
            known
        }
        None if verb.needs_step() => {
            validation.add("/step", "required", "this command names the step it means");
            None
        }
        None => None,
    };
    if verb == Verb::Resolve {
        order.outcome = match body.outcome.as_deref() {
            Some("ok") => Some("ok"),
            Some("refused") => Some("refused"),
            Some(_) => {
                validation.add("/outcome", "invalid", "an outcome is ok or refused");
                None
            }
            None => {
                validation.add(
                    "/outcome",
                    "required",
                    "say what became of it: ok or refused",
                );
                None
            }
        };
        let evidence = body.evidence.as_deref().unwrap_or_default();
        let evidence = fields::line(&mut validation, "/evidence", evidence, REASON_CHARS_MAX);
        order.evidence = Some(evidence);
    }
    order.reason = fields::line(&mut validation, "/reason", &body.reason, REASON_CHARS_MAX);
    validation.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(verb: Verb, body: Value) -> Result<Order, Vec<String>> {
        let mut order = Order {
            order_id: Uuid::from_u128(1),
            command_id: Uuid::from_u128(2),
            actor: "admin:3".into(),
            step: None,
            outcome: None,
            evidence: None,
            reason: String::new(),
            dry_run: false,
        };
        let body = serde_json::from_value(body).unwrap();
        match fill(verb, &mut order, &body) {
            Ok(()) => Ok(order),
            Err(problem) => {
                assert_eq!(
                    (problem.status().as_u16(), problem.code()),
                    (422, "invalid")
                );
                let errors = problem.body().errors.iter();
                Err(errors.map(|error| error.pointer.clone()).collect())
            }
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        for (verb, body, pointers) in [
            (Verb::Skip, json!({"reason": " "}), vec!["/step", "/reason"]),
            (
                Verb::Resolve,
                json!({"step": "sideways", "outcome": "perhaps", "reason": "x"}),
                vec!["/step", "/outcome", "/evidence"],
            ),
            (
                Verb::Resolve,
                json!({"step": "refund", "evidence": "re_1", "reason": "x"}),
                vec!["/outcome"],
            ),
            (
                Verb::Close,
                json!({"order_id": Uuid::nil(), "reason": "x".repeat(501)}),
                vec!["/order_id", "/reason"],
            ),
            (
                Verb::Retry,
                json!({"step": "REFUND", "reason": "x"}),
                vec!["/step"],
            ),
        ] {
            assert_eq!(filled(verb, body).unwrap_err(), pointers, "{verb:?}");
        }
    }

    #[test]
    fn what_a_command_has_no_use_for_is_not_passed_on() {
        let body = json!({"outcome": "ok", "evidence": "re_1", "reason": " why "});
        let order = filled(Verb::Close, body).unwrap();
        assert_eq!((order.outcome, order.evidence), (None, None));
        assert_eq!(order.reason, "why");
    }
}

//! The path of every call under `/v1`: key, fault, execution, memory, answer.
//!
//! A command runs in a task of its own, so a client that hangs up changes nothing. Its effect, its stored answer, its
//! events and its line in the list of calls commit together; the answer is sent after that, late or never if so asked.

use std::{future::Future, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures::stream;
use http::{HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::{Executor, Postgres};

use crate::{
    Sandbox,
    error::{ApiError, Failure},
    fault::{self, Kind, Operation, Strikes},
    idempotency,
    incoming::{Incoming, with_request_id},
    intent, refund, session,
    work::{Cause, Work},
};

const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const ORIGINAL_REQUEST: HeaderName = HeaderName::from_static("original-request");

/// Everything that changes the ledger through the API.
pub(crate) enum Command {
    CreateIntent(intent::Create),
    ConfirmIntent(intent::Confirm),
    CaptureIntent(intent::Capture),
    CancelIntent(intent::Cancel),
    CreateRefund(refund::Create),
    CreateSession(session::Create),
    ExpireSession(session::Expire),
}

impl Command {
    async fn execute(self, work: &mut Work<'_>) -> Result<Answer, Failure> {
        match self {
            Self::CreateIntent(create) => create.execute(work).await,
            Self::ConfirmIntent(confirm) => confirm.execute(work).await,
            Self::CaptureIntent(capture) => capture.execute(work).await,
            Self::CancelIntent(cancel) => cancel.execute(work).await,
            Self::CreateRefund(create) => create.execute(work).await,
            Self::CreateSession(create) => create.execute(work).await,
            Self::ExpireSession(expire) => expire.execute(work).await,
        }
    }
}

/// What a successful operation says, and how that reaches the caller.
pub(crate) struct Answer {
    pub(crate) object: Value,
    pub(crate) delivery: Delivery,
}

impl Answer {
    pub(crate) fn now(object: Value) -> Self {
        Self {
            object,
            delivery: Delivery::Now,
        }
    }
}

/// How an answer travels. All but `Now` happen after everything is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    Now,
    /// Answered late.
    After(Duration),
    /// Held open without an answer for this long, then dropped.
    Held(Duration),
    /// The connection is dropped at once.
    Dropped,
}

impl Delivery {
    fn as_str(self) -> &'static str {
        match self {
            Self::Now => "answered",
            Self::After(_) => "delayed",
            Self::Held(_) => "held",
            Self::Dropped => "dropped",
        }
    }
}

/// The objects that a call names, as far as known.
#[derive(Debug, Default, Clone)]
pub(crate) struct About {
    pub(crate) order_id: Option<String>,
    pub(crate) intent_id: Option<String>,
    pub(crate) session_id: Option<String>,
}

impl About {
    pub(crate) fn order(order_id: Option<String>) -> Self {
        Self {
            order_id,
            ..Self::default()
        }
    }

    pub(crate) fn intent(id: &str) -> Self {
        Self {
            intent_id: plausible(id),
            ..Self::default()
        }
    }

    pub(crate) fn session(id: &str) -> Self {
        Self {
            session_id: plausible(id),
            ..Self::default()
        }
    }
}

fn plausible(id: &str) -> Option<String> {
    crate::id::is_plausible(id).then(|| id.to_owned())
}

/// An answer that is final: what the caller gets, in which way.
struct Outcome {
    status: StatusCode,
    body: String,
    delivery: Delivery,
    /// The request that was answered first, when this repeats its answer.
    original_request: Option<String>,
}

impl Outcome {
    fn of(error: &ApiError) -> Self {
        Self {
            status: error.status(),
            body: error.to_json().to_string(),
            delivery: Delivery::Now,
            original_request: None,
        }
    }

    fn of_object(object: &Value, delivery: Delivery) -> Self {
        Self {
            status: StatusCode::OK,
            body: object.to_string(),
            delivery,
            original_request: None,
        }
    }

    /// What the network does to this answer.
    fn struck_by(mut self, fault: Option<fault::Fault>) -> Self {
        match fault.map(|fault| (fault.kind, fault.delay)) {
            Some((Kind::DropBefore | Kind::DropAfter, _)) => self.delivery = Delivery::Dropped,
            Some((Kind::Delay, delay)) => self.delivery = Delivery::After(delay),
            Some((Kind::ServerError | Kind::ServerErrorAfter | Kind::TooManyRequests, _))
            | None => {}
        }
        self
    }
}

/// The line that this call leaves in the ledger.
struct Call {
    received_at: Timestamp,
    operation: Operation,
    about: About,
    request_id: String,
    method: String,
    path: String,
    idempotency_key: Option<String>,
    fingerprint: String,
}

impl Call {
    fn new(incoming: &Incoming, operation: Operation, about: About) -> Self {
        Self {
            received_at: Timestamp::now(),
            operation,
            about,
            request_id: incoming.request_id.clone(),
            method: incoming.method.to_string(),
            path: incoming.path.chars().take(500).collect(),
            idempotency_key: incoming.idempotency_key.clone(),
            fingerprint: idempotency::fingerprint(incoming),
        }
    }

    /// Writes the line. `touched` is what the execution found or made beyond what the call named. With `first_at` the
    /// answer is also kept from then on as the first one under the call's key.
    async fn log<'e>(
        &self,
        executor: impl Executor<'e, Database = Postgres>,
        touched: &About,
        outcome: &Outcome,
        error_code: Option<&str>,
        fault: Option<Kind>,
        first_at: Option<Timestamp>,
    ) -> Result<(), sqlx::Error> {
        let kept_as = first_at.map(|at| (at, &self.fingerprint, &outcome.body));
        sqlx::query(
            "with kept as (
                 insert into sandbox.idempotency_keys (key, created_at, fingerprint, request_id, status, body)
                 select $9, $15, $16, $2, $11, $17 where $9 is not null and $15 is not null
                 on conflict (key) do update set
                     created_at = excluded.created_at, fingerprint = excluded.fingerprint,
                     request_id = excluded.request_id, status = excluded.status, body = excluded.body)
             insert into sandbox.calls (received_at, request_id, operation, method, path, order_id, intent_id, session_id,
                                        idempotency_key, replayed, status, error_code, delivery, fault)
             values ($1, $2, $3, $4, $5,
                     coalesce($6, (select order_id from sandbox.payment_intents where id = $7),
                                  (select order_id from sandbox.checkout_sessions where id = $8)),
                     $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(self.received_at.to_sqlx())
        .bind(&self.request_id)
        .bind(self.operation.as_str())
        .bind(&self.method)
        .bind(&self.path)
        .bind(self.about.order_id.as_ref().or(touched.order_id.as_ref()))
        .bind(self.about.intent_id.as_ref().or(touched.intent_id.as_ref()))
        .bind(self.about.session_id.as_ref().or(touched.session_id.as_ref()))
        .bind(&self.idempotency_key)
        .bind(outcome.original_request.is_some())
        .bind(i32::from(outcome.status.as_u16()))
        .bind(error_code)
        .bind(outcome.delivery.as_str())
        .bind(fault.map(Kind::as_str))
        .bind(kept_as.map(|(at, ..)| at.to_sqlx()))
        .bind(kept_as.map(|(_, fingerprint, _)| fingerprint))
        .bind(kept_as.map(|(.., body)| body))
        .execute(executor)
        .await?;
        Ok(())
    }
}

/// Carries a command out, or repeats what it answered before.
pub(crate) async fn run(
    sandbox: &Sandbox,
    incoming: Incoming,
    operation: Operation,
    about: About,
    command: Result<Command, ApiError>,
) -> Response {
    let call = Call::new(&incoming, operation, about);
    let request_id = call.request_id.clone();
    // Not cancelled when the client leaves: a provider that has begun goes on, and a transaction is never torn.
    let task = tokio::spawn(outcome_of(sandbox.clone(), call, command));
    let response = match task.await {
        Ok(outcome) => deliver(sandbox, outcome).await,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                request.id = request_id,
                "a call broke off"
            );
            ApiError::internal().into_response()
        }
    };
    with_request_id(response, &request_id)
}

async fn outcome_of(sandbox: Sandbox, call: Call, command: Result<Command, ApiError>) -> Outcome {
    let error = match command {
        Ok(command) => match execute(&sandbox, &call, command).await {
            Ok(outcome) => return outcome,
            Err(failure) => failure.into_api_error(),
        },
        Err(error) => error,
    };
    let outcome = Outcome::of(&error);
    // The answer does not depend on this line: it tells a tester what was refused.
    if let Err(failed) = call
        .log(
            sandbox.pool(),
            &About::default(),
            &outcome,
            error.error_code(),
            None,
            None,
        )
        .await
    {
        tracing::warn!(
            error = &failed as &dyn std::error::Error,
            "a refused call could not be noted"
        );
    }
    outcome
}

async fn execute(sandbox: &Sandbox, call: &Call, command: Command) -> Result<Outcome, Failure> {
    let cause = Cause {
        request_id: Some(call.request_id.clone()),
        idempotency_key: call.idempotency_key.clone(),
    };
    let mut work = Work::begin(sandbox.pool(), sandbox.config(), cause).await?;

    let key = call.idempotency_key.as_deref();
    let entered = idempotency::enter(&mut work.tx, key, work.now).await?;
    if !entered.is_free {
        return Err(ApiError::key_in_use().into());
    }
    let any_faults = entered.any_faults;
    if let Some(stored) = entered.stored() {
        return replay(work, call, stored).await;
    }

    let fault = if any_faults {
        let strikes = Strikes::FirstExecution;
        fault::take(&mut *work.tx, call.operation, &call.about, strikes).await?
    } else {
        None
    };
    let kind = fault.map(|fault| fault.kind);
    if let Some(Kind::DropBefore | Kind::TooManyRequests) = kind {
        let error = ApiError::rate_limit();
        let outcome = Outcome::of(&error).struck_by(fault);
        let nothing = About::default();
        call.log(&mut *work.tx, &nothing, &outcome, None, kind, None)
            .await?;
        work.commit().await?;
        return Ok(outcome);
    }

    let (mut outcome, mut error_code) = if kind == Some(Kind::ServerError) {
        (Outcome::of(&ApiError::internal()), None)
    } else {
        match command.execute(&mut work).await {
            Ok(answer) => (Outcome::of_object(&answer.object, answer.delivery), None),
            Err(Failure::Refused(error)) => (Outcome::of(&error), error.error_code()),
            Err(failure @ (Failure::Invalid(_) | Failure::Database(_))) => return Err(failure),
        }
    };
    if kind == Some(Kind::ServerErrorAfter) {
        (outcome, error_code) = (Outcome::of(&ApiError::internal()), None);
    }
    let outcome = outcome.struck_by(fault);

    let (touched, first_at) = (std::mem::take(&mut work.touched), Some(work.now));
    call.log(
        &mut *work.tx,
        &touched,
        &outcome,
        error_code,
        kind,
        first_at,
    )
    .await?;
    if work.commit().await? {
        sandbox.outbox().notify_one();
    }
    Ok(outcome)
}

/// The same answer again, unless the request is not the same.
async fn replay(
    mut work: Work<'_>,
    call: &Call,
    stored: idempotency::Stored,
) -> Result<Outcome, Failure> {
    if stored.fingerprint != call.fingerprint {
        return Err(ApiError::key_reused().into());
    }
    let fault = fault::take(&mut *work.tx, call.operation, &call.about, Strikes::Replay).await?;
    let kind = fault.map(|fault| fault.kind);
    let outcome = if kind == Some(Kind::TooManyRequests) {
        Outcome::of(&ApiError::rate_limit())
    } else {
        Outcome {
            status: u16::try_from(stored.status)
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: stored.body,
            delivery: Delivery::Now,
            original_request: Some(stored.request_id),
        }
    };
    let outcome = outcome.struck_by(fault);
    let nothing = About::default();
    call.log(&mut *work.tx, &nothing, &outcome, None, kind, None)
        .await?;
    work.commit().await?;
    Ok(outcome)
}

/// Answers a question about the ledger. Questions have no keys, but they can be made to fail.
pub(crate) async fn read(
    sandbox: &Sandbox,
    incoming: &Incoming,
    operation: Operation,
    about: About,
    question: impl Future<Output = Result<Value, Failure>>,
) -> Response {
    let call = Call::new(incoming, operation, about);
    let outcome = match look(sandbox, &call, question).await {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::of(&failure.into_api_error()),
    };
    with_request_id(deliver(sandbox, outcome).await, &call.request_id)
}

async fn look(
    sandbox: &Sandbox,
    call: &Call,
    question: impl Future<Output = Result<Value, Failure>>,
) -> Result<Outcome, Failure> {
    let fault = fault::take(
        sandbox.pool(),
        call.operation,
        &call.about,
        Strikes::FirstExecution,
    )
    .await?;
    let kind = fault.map(|fault| fault.kind);
    let (outcome, error_code) = match kind {
        Some(Kind::ServerError | Kind::ServerErrorAfter) => {
            (Outcome::of(&ApiError::internal()), None)
        }
        Some(Kind::TooManyRequests) => (Outcome::of(&ApiError::rate_limit()), None),
        Some(Kind::DropBefore | Kind::DropAfter | Kind::Delay) | None => match question.await {
            Ok(object) => (Outcome::of_object(&object, Delivery::Now), None),
            Err(Failure::Invalid(error) | Failure::Refused(error)) => {
                (Outcome::of(&error), error.error_code())
            }
            Err(failure @ Failure::Database(_)) => return Err(failure),
        },
    };
    let outcome = outcome.struck_by(fault);
    call.log(
        sandbox.pool(),
        &About::default(),
        &outcome,
        error_code,
        kind,
        None,
    )
    .await?;
    Ok(outcome)
}

async fn deliver(sandbox: &Sandbox, outcome: Outcome) -> Response {
    match outcome.delivery {
        Delivery::Now => answer(outcome),
        Delivery::After(delay) => {
            wait(sandbox, delay).await;
            answer(outcome)
        }
        Delivery::Held(hold) => {
            wait(sandbox, hold).await;
            dropped_connection()
        }
        Delivery::Dropped => dropped_connection(),
    }
}

/// Waits, but not beyond the sandbox's own stop.
pub(crate) async fn wait(sandbox: &Sandbox, delay: Duration) {
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = sandbox.closing().cancelled() => {}
    }
}

fn answer(outcome: Outcome) -> Response {
    let mut response = (outcome.status, outcome.body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(original) = outcome.original_request {
        headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        if let Ok(original) = HeaderValue::from_str(&original) {
            headers.insert(ORIGINAL_REQUEST, original);
        }
    }
    response
}

/// An answer whose body fails before its first byte: the server closes the connection without having sent
/// even the status line, which to the client is a provider that never answered.
pub(crate) fn dropped_connection() -> Response {
    let broken = stream::once(async {
        Err::<bytes::Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    });
    Response::new(Body::from_stream(broken))
}

//! POST /v1/webhooks/payments/{provider}: the payment provider tells us something.
//!
//! A callback moves no money here: it is recorded if it is new, and the saga looks the truth up. It is answered 2xx only
//! after it is durable, and it needs the log only. A callback about no order of ours is kept where a person finds it.

use axum::extract::State;
use http::HeaderMap;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::payment::{Command as Wanted, Payment, RecordCallback, Rejection};
use domain::stray_callback::{Command as Kept, Receive, StrayCallback};
use event_schema::ids::derived;
use event_schema::{Actor, stray_callback};
use event_store::{Refusal as Undecided, Stop, Work};
use service_kit::Problem;
use service_kit::extract::{Path, RawBody};

use super::callback::{self, Callback};
use super::signature;
use crate::answer::Answer;
use crate::command::Command;
use crate::documents::{CallbackProblems, NotFound};
use crate::door::Door;
use crate::problem::{self, Refusal};

/// The callback was taken in.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CallbackReceived)]
pub(crate) struct Received {
    received: bool,
}

/// Takes in a signed callback of the payment provider.
#[utoipa::path(
    post,
    path = "/v1/webhooks/payments/{provider}",
    tag = "webhooks",
    operation_id = "payment_callback",
    params(
        ("provider" = String, Path, description = "The provider's id: `stripe`, or `sandbox`"),
        ("Stripe-Signature" = String, Header, description = "`t=<unix seconds>,v1=<hex HMAC-SHA256 over \"<t>.<body>\">`; \
            good for 5 minutes"),
    ),
    request_body(content = String, content_type = "application/json", description = "The event, byte for byte as signed"),
    responses(
        (status = 200, description = "Durable, or nothing new", body = Received, headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true; not for types that say nothing \
                about a payment"),
        )),
        (status = 400, description = "`signature_invalid`: not signed with our secret within the last 5 minutes; \
            `unreadable_event`: signed, and not an event", body = Problem, content_type = "application/problem+json"),
        NotFound, CallbackProblems,
    ),
)]
pub(crate) async fn payment_callback(
    State(door): State<Door>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Answer<Received>, Problem> {
    if provider != door.provider.id {
        return Err(Problem::not_found("no payment provider has this id here"));
    }
    let now = door.clock.now();
    let header = headers
        .get(signature::HEADER)
        .and_then(|value| value.to_str().ok());
    signature::verify(
        header,
        &body,
        door.provider.webhook_secret.expose_secret(),
        now,
    )
    .map_err(|error| {
        metrics::counter!("waybill_payment_callbacks_total", "outcome" => "forged").increment(1);
        problem::of_signature(error)
    })?;
    let Some(callback) =
        callback::read(&provider, &body).map_err(|error| problem::of_callback(&error))?
    else {
        metrics::counter!("waybill_payment_callbacks_total", "outcome" => "passed_over")
            .increment(1);
        return Ok(Answer::ok(Received { received: true }));
    };

    let event_id = callback.recorded.provider_event_id.clone();
    let id = derived(&["payment_callback", &provider, &event_id]);
    let order = callback
        .order_reference
        .as_deref()
        .and_then(|text| Uuid::parse_str(text).ok());
    let mut command = Command::of(id, Actor::provider(&provider), now);
    if let Some(order) = order {
        // An order's id is that of the command that placed it: the conversation that this belongs to.
        command.metadata.correlation_id = order;
    }
    let executed = door
        .execute(&command, |work| record(work, order, &callback))
        .await?;
    let outcome = match (executed.appended, executed.value) {
        (false, _) => "known",
        (true, Place::Payment) => "recorded",
        (true, Place::Stray) => "stray",
    };
    metrics::counter!("waybill_payment_callbacks_total", "outcome" => outcome).increment(1);
    if executed.appended && executed.value == Place::Stray {
        tracing::warn!(provider.event = %event_id, "a payment callback is about no order of ours; it is kept");
    }
    Ok(Answer::ok(Received { received: true }).at(executed.position))
}

/// Where a callback belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Payment,
    Stray,
}

fn record(
    work: &mut Work,
    order: Option<Uuid>,
    callback: &Callback,
) -> Result<Place, Stop<Refusal>> {
    let told = &callback.recorded;
    if let Some(order) = order {
        let record = RecordCallback {
            provider: told.provider.clone(),
            provider_event_id: told.provider_event_id.clone(),
            kind: told.kind.clone(),
            provider_payment_id: told.provider_payment_id.clone(),
            session_id: told.session_id.clone(),
            amount: told.amount,
            status: told.status.clone(),
            created_at: told.created_at,
        };
        match work.decide::<Payment>(order, Wanted::RecordCallback(record)) {
            Ok(_) => return Ok(Place::Payment),
            Err(Undecided::Rejected(Rejection::UnknownPayment)) => {}
            Err(other) => return Err(other.into()),
        }
    }
    let receive = Receive {
        provider: told.provider.clone(),
        provider_event_id: told.provider_event_id.clone(),
        kind: told.kind.clone(),
        order_reference: callback.order_reference.clone(),
        provider_payment_id: told.provider_payment_id.clone(),
    };
    let stray = stray_callback::id(&told.provider, &told.provider_event_id);
    work.decide::<StrayCallback>(stray, Kept::Receive(receive))?;
    Ok(Place::Stray)
}

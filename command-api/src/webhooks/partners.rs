//! POST /v1/webhooks/partners/{partner_id}: a partner's own system tells us that an order is prepared.
//!
//! Signed as Standard Webhooks says, with the secret that was shown when the partner was added: the same one that signs
//! what we send to the partner. It is answered 2xx only after it is durable; the sender repeats everything else.

use aws_lc_rs::hmac;
use axum::extract::State;
use http::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::Actor;
use event_schema::ids::{PartnerId, derived};
use event_store::Work;
use service_kit::extract::{Path, RawBody};
use service_kit::{Problem, Role, Validation, standard_webhooks};

use super::partner_message::{self, OrderReady};
use crate::answer::Answer;
use crate::command::Command;
use crate::documents::{Invalid, NotFound, PartnerMessageProblems};
use crate::door::Door;
use crate::fields;
use crate::if_match::IfMatch;
use crate::orders::ready::{Seller, make_ready};
use crate::problem;

/// The message was taken in.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = PartnerMessageReceived)]
pub(crate) struct Received {
    received: bool,
}

/// What a partner sends, for the document; the bytes are what is signed.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the body is read after its signature is checked"
)]
pub(crate) struct PartnerMessage {
    /// `order.ready`; every other type is answered and forgotten.
    #[schema(example = "order.ready")]
    r#type: String,
    data: PartnerMessageData,
}

/// Which order, and where it waits.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the body is read after its signature is checked"
)]
pub(crate) struct PartnerMessageData {
    order_id: Uuid,
    #[schema(max_length = 500, example = "1 Main Street, back door")]
    pickup_address: String,
}

/// Takes in a signed message of a partner: an order is prepared. Telling it again changes nothing.
#[utoipa::path(
    post,
    path = "/v1/webhooks/partners/{partner_id}",
    tag = "webhooks",
    operation_id = "partner_message",
    params(
        ("partner_id" = Uuid, Path, description = "The partner who speaks"),
        ("webhook-id" = String, Header, description = "Which message it is; the same for every repeat"),
        ("webhook-timestamp" = i64, Header, description = "When it was sent, in Unix seconds; good for 5 minutes"),
        ("webhook-signature" = String, Header, description = "`v1,<base64 HMAC-SHA256 over \"<id>.<timestamp>.<body>\">` \
            under the partner's webhook secret; several are divided by spaces"),
    ),
    request_body(content = PartnerMessage, content_type = "application/json", description = "Byte for byte as signed"),
    responses(
        (status = 200, description = "Durable, or nothing new", body = Received, headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true; not for types that are not \
                acted on"),
        )),
        (status = 400, description = "`signature_invalid`: not signed with the partner's secret within the last 5 \
            minutes; `unreadable_event`: signed, and not a message", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`not_confirmed`: the order is not paid and in stock yet; `called_off`",
            body = Problem, content_type = "application/problem+json"),
        NotFound, PartnerMessageProblems, Invalid,
    ),
)]
pub(crate) async fn partner_message(
    State(door): State<Door>,
    Path(partner): Path<Uuid>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Answer<Received>, Problem> {
    let now = door.clock.now();
    let keys = keys(&door, partner, now).await?;
    let message_id = standard_webhooks::verify(&headers, &body, &keys, now).map_err(|error| {
        count("forged");
        problem::of_standard_signature(error)
    })?;
    let message =
        partner_message::read(&body).map_err(|error| problem::of_partner_message(&error))?;
    let Some(OrderReady {
        order_id,
        pickup_address,
    }) = message
    else {
        count("passed_over");
        return Ok(Answer::ok(Received { received: true }));
    };
    let mut validation = Validation::new();
    let pickup_address = fields::address(&mut validation, "/data/pickup_address", &pickup_address);
    validation.finish()?;

    let id = derived(&["partner_message", &partner.to_string(), message_id]);
    let actor = Actor::caller(Role::Partner.name(), partner);
    let mut command = Command::of(id, actor, now);
    // An order's id is that of the command that placed it: the conversation that this belongs to.
    command.metadata.correlation_id = order_id;
    let seller = Seller::Only(PartnerId(partner));
    let decide =
        |work: &mut Work| make_ready(work, order_id, seller, &pickup_address, &IfMatch::Any);
    let executed = door.execute(&command, decide).await?;
    count(if executed.appended {
        "recorded"
    } else {
        "known"
    });
    Ok(Answer::ok(Received { received: true }).at(executed.position))
}

/// The keys that this partner may sign with: a secret that was replaced is good for a while more.
async fn keys(door: &Door, partner: Uuid, now: Timestamp) -> Result<Vec<hmac::Key>, Problem> {
    let secrets = door
        .vault
        .believed_secrets(standard_webhooks::PARTNER_SECRET, partner, now)
        .await?;
    if secrets.is_empty() {
        return Err(Problem::not_found("there is no such partner"));
    }
    let key = |secret: &SecretString| {
        standard_webhooks::key(secret.expose_secret()).ok_or_else(|| {
            tracing::error!(%partner, "the webhook secret of a partner has a form that holds no key");
            Problem::internal()
        })
    };
    secrets.iter().map(key).collect()
}

fn count(outcome: &'static str) {
    metrics::counter!("waybill_partner_messages_total", "outcome" => outcome).increment(1);
}

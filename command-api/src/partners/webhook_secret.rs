//! POST /v1/partners/{id}/webhook-secret: an admin gives a partner a new webhook secret.
//!
//! Secrets are no facts of the business: this changes the vault and nothing in the log, so the answer has no position.

use std::time::Duration;

use axum::extract::State;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use domain::partner::Partner;
use event_schema::ids::derived;
use event_store::{Stop, Work};
use service_kit::extract::Path;
use service_kit::idempotency::IdempotencyKey;
use service_kit::standard_webhooks::PARTNER_SECRET;
use service_kit::vault::Rotated;
use service_kit::{Caller, Problem};

use super::add::new_secret;
use crate::answer::Answer;
use crate::documents::{CommandProblems, Invalid, KeyRequired, NotFound};
use crate::door::Door;
use crate::problem::Refusal;

/// A partner has a day to take a new secret over.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// A new secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = WebhookSecretAnswer)]
pub(crate) struct SecretBody {
    partner_id: Uuid,
    /// Signs messages to the partner and from it, as Standard Webhooks says; shown here and nowhere else.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    webhook_secret: String,
    /// What is signed with the secret before is believed until then.
    #[schema(value_type = String, format = DateTime)]
    previous_valid_until: Timestamp,
}

/// Gives a partner a new webhook secret. The one before is believed for 24 hours more.
#[utoipa::path(
    post,
    path = "/v1/partners/{id}/webhook-secret",
    tag = "partners",
    operation_id = "rotate_webhook_secret",
    params(("id" = Uuid, Path, description = "The partner"), KeyRequired),
    responses(
        (status = 200, description = "The new secret. It is shown here and nowhere else; a repeat of this very command \
            shows it again while it is the present one.", body = SecretBody),
        (status = 409, description = "`secret_replaced`: a repeat of a command whose secret was replaced since",
            body = Problem, content_type = "application/problem+json"),
        NotFound, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn rotate_webhook_secret(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
) -> Result<Answer<SecretBody>, Problem> {
    let command = door.command("partners.rotate_webhook_secret", &caller, Some(&key), &id)?;
    let exists = |work: &mut Work| {
        let is_there = work.state::<Partner>(id)?.profile().is_some();
        is_there
            .then_some(())
            .ok_or_else(|| Stop::rejected(Refusal::not_found("there is no such partner")))
    };
    door.execute(&command, exists).await?;
    // The same key for another partner is another rotation.
    let rotation = derived(&[
        "webhook_secret",
        &command.id().uuid().to_string(),
        &id.to_string(),
    ]);
    let now = command.metadata.occurred_at;
    let rotated = door
        .vault
        .rotate_secret(PARTNER_SECRET, id, rotation, &new_secret()?, now, GRACE)
        .await?;
    let (secret, previous_valid_until) = match rotated {
        Rotated::Now {
            secret,
            previous_until,
        } => (secret, previous_until),
        Rotated::Replaced => {
            return Err(Problem::conflict(
                "secret_replaced",
                "this command has happened, and the secret that it made was replaced since",
            ));
        }
        Rotated::Missing => {
            tracing::error!(partner = %id, "a partner without a webhook secret");
            return Err(Problem::internal());
        }
    };
    Ok(Answer::ok(SecretBody {
        partner_id: id,
        webhook_secret: secret.expose_secret().to_owned(),
        previous_valid_until,
    }))
}

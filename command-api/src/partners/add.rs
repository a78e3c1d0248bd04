//! POST /v1/partners: an admin adds a partner, which is neither verified nor enabled yet.

use aws_lc_rs::rand;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use domain::partner::{Add, Command as Wanted, Partner, Profile};
use event_schema::Version;
use event_store::Work;
use service_kit::idempotency::IdempotencyKey;
use service_kit::standard_webhooks::PARTNER_SECRET;
use service_kit::{Caller, Problem, Validation};

use super::PartnerBody;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, Invalid, KeyRequired};
use crate::door::Door;

/// Standard Webhooks asks for 24 to 64 bytes.
const SECRET_BYTES: usize = 32;

/// A partner to add.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AddPartner {
    /// Name of the business.
    #[schema(max_length = 200, example = "Corner Bakery Ltd")]
    title: String,
    /// The brand shown to customers.
    #[schema(max_length = 200, example = "Corner Bakery")]
    brand: String,
    /// Business telephone number.
    #[schema(max_length = 32, example = "+49 30 5550100")]
    phone: String,
    /// Business e-mail address.
    #[schema(max_length = 254, example = "orders@bakery.example")]
    email: String,
    /// Where orders are picked up.
    #[schema(max_length = 500, example = "1 Main Street, Springfield")]
    address: String,
    /// Where the partner wants to be told of orders.
    #[serde(default)]
    #[schema(max_length = 2048, example = "https://bakery.example/hooks/waybill")]
    webhook_url: Option<String>,
}

/// Adds a partner.
#[utoipa::path(
    post,
    path = "/v1/partners",
    tag = "partners",
    operation_id = "add_partner",
    params(KeyRequired),
    request_body = AddPartner,
    responses(
        (status = 201, description = "The partner exists. `webhook_secret` is shown here and nowhere else; a repeat of \
            this very command shows it again.", body = PartnerBody, headers(
            ("Location" = String, description = "Where the partner is"),
            ("ETag" = String, description = "The partner's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        CommandProblems, Invalid,
    ),
)]
pub(crate) async fn add_partner(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Fields(body): Fields<AddPartner>,
) -> Result<Answer<PartnerBody>, Problem> {
    let mut validation = Validation::new();
    let AddPartner {
        title,
        brand,
        phone,
        email,
        address,
        webhook_url,
    } = body;
    let profile = super::check(
        &mut validation,
        &Profile {
            title,
            brand,
            phone,
            email,
            address,
            webhook_url,
        },
    );
    validation.finish()?;

    let command = door.command("partners.add", &caller, Some(&key), &profile)?;
    let id = command.id().uuid();
    // Asked first, so that a key that was used for something else leaves no secret behind.
    let known = door
        .execute(&command, |work| command.has_created::<Partner>(work))
        .await?
        .value;
    let secret = door
        .vault
        .keep_secret(PARTNER_SECRET, id, &new_secret()?)
        .await?;
    let position = match known {
        Some(position) => position,
        None => {
            let decide = |work: &mut Work| {
                if let Some(position) = command.has_created::<Partner>(work)? {
                    return Ok(Some(position));
                }
                work.decide::<Partner>(
                    id,
                    Wanted::Add(Add {
                        profile: profile.clone(),
                    }),
                )?;
                Ok(None)
            };
            let executed = door.execute(&command, decide).await?;
            executed.value.unwrap_or(executed.position)
        }
    };
    let body = PartnerBody {
        webhook_secret: Some(secret.expose_secret().to_owned()),
        ..PartnerBody::new(id, profile, false, false)
    };
    Ok(Answer::created(format!("/v1/partners/{id}"), body)
        .at(position)
        .version(Version(1)))
}

/// A fresh secret in the form of Standard Webhooks.
pub(super) fn new_secret() -> Result<SecretString, Problem> {
    let mut bytes = [0_u8; SECRET_BYTES];
    rand::fill(&mut bytes).map_err(|error| Problem::unexpected(&error))?;
    Ok(SecretString::from(format!(
        "whsec_{}",
        STANDARD.encode(bytes)
    )))
}

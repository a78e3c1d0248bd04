//! POST /v1/customers: an admin adds a person.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use domain::customer::{Add, Command as Wanted, Customer};
use event_schema::{Position, Sealed, Version};
use event_store::{Claim, Stop, Work};
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Role, Validation};

use super::{EMAIL_RULE, stored};
use crate::answer::Answer;
use crate::body::Fields;
use crate::command::Command;
use crate::documents::{CommandProblems, EmailTaken, Invalid, KeyRequired};
use crate::door::Door;
use crate::fields::{self, NAME_CHARS_MAX};
use crate::problem::Refusal;

/// Somebody to add.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AddCustomer {
    /// Full name.
    #[schema(max_length = 200, example = "Ada Lovelace")]
    name: String,
    /// E-mail address; belongs to one customer, however it is spelt.
    #[schema(max_length = 254, example = "ada@example.org")]
    email: String,
    /// What the person may do; `customer` if nothing is said.
    #[serde(default)]
    role: Option<Role>,
}

/// A customer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = CustomerAnswer)]
pub(crate) struct CustomerBody {
    id: Uuid,
    name: String,
    email: String,
    role: Role,
}

/// What the hash of the command is made of.
#[derive(Serialize)]
struct Content<'a> {
    name: &'a str,
    email: &'a str,
    role: Role,
}

/// Adds a customer.
#[utoipa::path(
    post,
    path = "/v1/customers",
    tag = "customers",
    operation_id = "add_customer",
    params(KeyRequired),
    request_body = AddCustomer,
    responses(
        (status = 201, description = "The customer exists", body = CustomerBody, headers(
            ("Location" = String, description = "Where the customer is"),
            ("ETag" = String, description = "The customer's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        EmailTaken, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn add_customer(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Fields(body): Fields<AddCustomer>,
) -> Result<Answer<CustomerBody>, Problem> {
    let mut validation = Validation::new();
    let name = fields::line(&mut validation, "/name", &body.name, NAME_CHARS_MAX);
    let email = fields::email(&mut validation, "/email", &body.email);
    validation.finish()?;
    let role = body.role.unwrap_or(Role::Customer);

    let content = Content {
        name: &name,
        email: &email,
        role,
    };
    let command = door.command("customers.add", &caller, Some(&key), &content)?;
    let id = command.id().uuid();
    let email_key = door.email_key(&email);

    // Asked first without a key for the person, so that a refused command leaves none behind.
    let known = door
        .execute(&command, |work| admit(work, &command, &email_key))
        .await?
        .value;
    let position = match known {
        Some(position) => position,
        None => {
            let personal = door.vault.personal_key(id).await?;
            let seal = |field: &str, value: &String| {
                Sealed::seal(&personal, id, id, field, value)
                    .map_err(|error| Problem::unexpected(&error))
            };
            let add = Add {
                name: seal("name", &name)?,
                email: seal("email", &email)?,
                email_key: email_key.clone(),
                role: stored(role),
                partner_id: None,
                phone: None,
                birth_date: None,
                push_token: None,
            };
            let decide = |work: &mut Work| {
                if let Some(position) = admit(work, &command, &email_key)? {
                    return Ok(Some(position));
                }
                if let Claim::Taken { .. } = work.claim(EMAIL_RULE, &email_key, id)? {
                    return Err(Stop::rejected(Refusal::email_taken()));
                }
                work.decide::<Customer>(id, Wanted::Add(add.clone()))?;
                Ok(None)
            };
            let executed = door.execute(&command, decide).await?;
            executed.value.unwrap_or(executed.position)
        }
    };
    let body = CustomerBody {
        id,
        name,
        email,
        role,
    };
    Ok(Answer::created(format!("/v1/customers/{id}"), body)
        .at(position)
        .version(Version(1)))
}

/// The position of the same command's first time; nothing when it may happen now.
fn admit(
    work: &mut Work,
    command: &Command,
    email_key: &str,
) -> Result<Option<Position>, Stop<Refusal>> {
    if let Some(position) = command.has_created::<Customer>(work)? {
        return Ok(Some(position));
    }
    match work.holder(EMAIL_RULE, email_key)? {
        Some(_) => Err(Stop::rejected(Refusal::email_taken())),
        None => Ok(None),
    }
}

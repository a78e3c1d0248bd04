//! POST /v1/auth/register: somebody becomes a customer of the shop. Nobody makes himself anything else.

use axum::extract::State;
use jiff::civil::Date;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use domain::customer::{Add, Command as Wanted, Customer};
use event_schema::customer::Role as StoredRole;
use event_schema::{Actor, PersonalKey, Sealed, Version};
use event_store::{Claim, Stop, Work};
use service_kit::{Problem, Role, Validation, passwords};
use uuid::Uuid;

use super::limits::{self, Place};
use super::mails;
use crate::answer::Answer;
use crate::body::Fields;
use crate::command::Command;
use crate::customers::{AccountBody, Channels, EMAIL_RULE};
use crate::documents::{EmailTaken, OpenProblems};
use crate::door::Door;
use crate::fields;
use crate::problem::Refusal;

/// First and last name and the space between fill one name.
const HALF_NAME_CHARS_MAX: usize = 99;

/// Somebody who wants an account.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Register {
    /// E-mail address; belongs to one customer, however it is spelt.
    #[schema(max_length = 254, example = "ada@example.org")]
    email: String,
    /// 8 to 128 characters, at most 512 bytes.
    #[schema(min_length = 8, max_length = 128, example = "correct horse battery")]
    password: String,
    /// First name.
    #[schema(max_length = 99, example = "Ada")]
    first_name: String,
    /// Last name.
    #[schema(max_length = 99, example = "Lovelace")]
    last_name: String,
    /// Telephone number.
    #[serde(default)]
    #[schema(max_length = 32, example = "+49 30 5550100")]
    phone: Option<String>,
    /// Day of birth.
    #[serde(default)]
    #[schema(max_length = 10, example = "1990-12-10")]
    birth_date: Option<String>,
    /// Where pushed messages reach the person's device: its token, or a browser's subscription to Web Push as JSON.
    #[serde(default)]
    #[schema(max_length = 2048, example = "fcm:d1Xk2mQ9")]
    push_token: Option<String>,
}

/// Signs up. The account has the role `customer`; a code to show that the address is one's own comes by mail.
#[utoipa::path(
    post,
    path = "/v1/auth/register",
    tag = "auth",
    operation_id = "register",
    request_body = Register,
    responses(
        (status = 201, description = "The account exists, and can be signed in to", body = AccountBody, headers(
            ("Location" = String, description = "Where the customer is"),
            ("ETag" = String, description = "The customer's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        EmailTaken, OpenProblems,
    ),
)]
pub(crate) async fn register_account(
    State(door): State<Door>,
    place: Place,
    Fields(body): Fields<Register>,
) -> Result<Answer<AccountBody>, Problem> {
    let wanted = Checked::from(body, fields::today(door.clock.now()))?;
    limits::sign_up(&door, &place).await?;
    let id = door.clock.new_id();
    let command = Command::of(
        id,
        Actor::caller(Role::Customer.name(), id),
        door.clock.now(),
    );
    let email_key = door.email_key(&wanted.email);

    // Asked before the work of hashing, and so that a refused sign-up leaves nothing behind.
    let free = |work: &mut Work| match work.holder(EMAIL_RULE, &email_key)? {
        Some(_) => Err(Stop::rejected(Refusal::email_taken())),
        None => Ok(()),
    };
    door.execute(&command, free).await?;
    let hash = door.passwords.hash(&wanted.password).await?;
    // The password is there before the customer: nobody finds an account that cannot be signed in to.
    door.vault
        .set_first_password(id, &hash, door.clock.now())
        .await?;
    let personal = door.vault.personal_key(id).await?;
    let add = wanted.sealed(&personal, id, &email_key)?;
    let decide = |work: &mut Work| {
        if let Claim::Taken { .. } = work.claim(EMAIL_RULE, &email_key, id)? {
            return Err(Stop::rejected(Refusal::email_taken()));
        }
        work.decide::<Customer>(id, Wanted::Add(add.clone()))?;
        work.version::<Customer>(id).map_err(Stop::from)
    };
    let executed = match door.execute(&command, decide).await {
        Ok(executed) => executed,
        Err(problem) => {
            // Somebody else was faster. After an unclear answer the password stays: the account may exist.
            if problem.status().is_client_error() {
                door.vault.remove_account(id, door.clock.now()).await?;
            }
            return Err(problem);
        }
    };
    mails::verification(&door, id, email_key);
    let version: Version = executed.value;
    Ok(
        Answer::created(format!("/v1/customers/{id}"), wanted.body(id))
            .at(executed.position)
            .version(version),
    )
}

/// What somebody sent, every field acceptable.
struct Checked {
    name: String,
    email: String,
    password: SecretString,
    phone: Option<String>,
    birth_date: Option<String>,
    push_token: Option<String>,
}

impl Checked {
    fn from(body: Register, today: Date) -> Result<Self, Problem> {
        let mut validation = Validation::new();
        let half = HALF_NAME_CHARS_MAX;
        let first = fields::line(&mut validation, "/first_name", &body.first_name, half);
        let last = fields::line(&mut validation, "/last_name", &body.last_name, half);
        let password = SecretString::from(body.password);
        passwords::validate(&mut validation, "/password", &password);
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let checked = Self {
            name: format!("{first} {last}"),
            email: fields::email(&mut validation, "/email", &body.email),
            password,
            phone: filled(&body.phone)
                .map(|phone| fields::phone(&mut validation, "/phone", &phone)),
            birth_date: filled(&body.birth_date)
                .map(|day| fields::birth_date(&mut validation, "/birth_date", &day, today)),
            push_token: fields::push_token(
                &mut validation,
                "/push_token",
                body.push_token.as_deref(),
            ),
        };
        validation.finish()?;
        Ok(checked)
    }

    fn sealed(&self, personal: &PersonalKey, id: Uuid, email_key: &str) -> Result<Add, Problem> {
        let seal = |field: &str, value: &String| {
            Sealed::seal(personal, id, id, field, value)
                .map_err(|error| Problem::unexpected(&error))
        };
        let optional = |field: &str, value: &Option<String>| {
            value.as_ref().map(|value| seal(field, value)).transpose()
        };
        Ok(Add {
            name: seal("name", &self.name)?,
            email: seal("email", &self.email)?,
            email_key: email_key.to_owned(),
            role: StoredRole::Customer,
            partner_id: None,
            phone: optional("phone", &self.phone)?,
            birth_date: optional("birth_date", &self.birth_date)?,
            push_token: optional("push_token", &self.push_token)?,
        })
    }

    fn body(self, id: Uuid) -> AccountBody {
        AccountBody {
            id,
            name: self.name,
            email: self.email,
            email_verified: false,
            role: Role::Customer,
            partner_id: None,
            phone: self.phone,
            birth_date: self.birth_date,
            notification_channels: Channels::ALL,
            quiet_hours: None,
        }
    }
}

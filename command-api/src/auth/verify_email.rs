//! POST /v1/auth/verify-email: the code that was sent to an address came back, so the address is the person's.
//! POST /v1/auth/verify-email/send: sends another code.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use domain::customer::{Command as Wanted, Customer, Rejection, VerifyEmail};
use event_schema::Actor;
use event_store::{Stop, Work};
use service_kit::vault::Purpose;
use service_kit::{Problem, Role};

use super::limits::{self, Place};
use super::mails;
use super::pace::Pace;
use crate::answer::Answer;
use crate::body::Fields;
use crate::command::Command;
use crate::documents::{BadCode, OpenProblems};
use crate::door::Door;
use crate::problem::{self, Refusal};

/// An address and what was sent to it.
#[derive(Deserialize, ToSchema)]
pub(crate) struct AddressAndCode {
    /// The address.
    #[schema(max_length = 254, example = "ada@example.org")]
    email: String,
    /// The code that was sent to it: eight digits, good for 15 minutes and five tries.
    #[schema(max_length = 32, example = "01234567")]
    code: String,
}

/// An address.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Address {
    /// The address; one that nobody can have is answered like any other.
    #[schema(example = "ada@example.org")]
    pub(super) email: String,
}

/// Verifies an address.
#[utoipa::path(
    post,
    path = "/v1/auth/verify-email",
    tag = "auth",
    operation_id = "verify_email",
    request_body = AddressAndCode,
    responses(
        (status = 204, description = "The address is the person's", headers(
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        OpenProblems, BadCode,
    ),
)]
pub(crate) async fn verify_email(
    State(door): State<Door>,
    place: Place,
    Fields(body): Fields<AddressAndCode>,
) -> Result<Answer<()>, Problem> {
    let pace = Pace::begin();
    limits::try_code(&door, &place).await?;
    let account = door.account(&body.email).await?;
    let now = door.clock.now();
    let used = door
        .vault
        .use_code(Purpose::VerifyEmail, account.id, &body.code, now)
        .await?;
    let Some(about) = used else {
        return Err(pace.no(problem::invalid_code()).await);
    };
    let id = account.id;
    let command = Command::of(
        door.clock.new_id(),
        Actor::caller(Role::Customer.name(), id),
        now,
    );
    let decide = |work: &mut Work| {
        let verify = VerifyEmail {
            email_key: about.clone(),
        };
        // A code for an address that the person has left is no code any more.
        match work.decide::<Customer>(id, Wanted::VerifyEmail(verify)) {
            Err(event_store::Refusal::Rejected(
                Rejection::OtherEmail | Rejection::Deactivated | Rejection::NotAdded,
            )) => Err(Stop::rejected(Refusal::from(problem::invalid_code()))),
            other => Ok(other.map(|_| ())?),
        }
    };
    let executed = door.execute(&command, decide).await?;
    Ok(Answer::nothing().at(executed.position))
}

/// Sends another code to an address that is not verified yet. The answer is the same whether there is an account or not.
#[utoipa::path(
    post,
    path = "/v1/auth/verify-email/send",
    tag = "auth",
    operation_id = "send_verification",
    request_body = Address,
    responses(
        (status = 202, description = "If the address belongs to an account and is not verified, a code is on its way"),
        OpenProblems,
    ),
)]
pub(crate) async fn send_verification(
    State(door): State<Door>,
    place: Place,
    Fields(body): Fields<Address>,
) -> Result<StatusCode, Problem> {
    limits::ask_for_mail(&door, &place, &door.email_key(&body.email)).await?;
    mails::verification_again(&door, body.email);
    Ok(StatusCode::ACCEPTED)
}

//! POST /v1/auth/password/forgot: a code that sets a new password comes by mail.

use axum::extract::State;
use http::StatusCode;

use service_kit::Problem;

use super::limits::{self, Place};
use super::mails;
use super::verify_email::Address;
use crate::body::Fields;
use crate::documents::OpenProblems;
use crate::door::Door;

/// Asks for a code to set a new password. Nobody hears whether there is such an account: the answer is the same, and the
/// work is done after it.
#[utoipa::path(
    post,
    path = "/v1/auth/password/forgot",
    tag = "auth",
    operation_id = "forgot_password",
    request_body = Address,
    responses(
        (status = 202, description = "If the address belongs to an account, a code is on its way"),
        OpenProblems,
    ),
)]
pub(crate) async fn forgot_password(
    State(door): State<Door>,
    place: Place,
    Fields(body): Fields<Address>,
) -> Result<StatusCode, Problem> {
    limits::ask_for_mail(&door, &place, &door.email_key(&body.email)).await?;
    mails::reset(&door, body.email);
    Ok(StatusCode::ACCEPTED)
}

//! PATCH /v1/me: somebody changes what is known of him. A new address counts at once and is verified again.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use event_schema::notification::Channel;
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem};

use crate::answer::Answer;
use crate::body::Fields;
use crate::customers::AccountBody;
use crate::customers::edit::{Edit, edit};
use crate::documents::{
    AccountConflicts, CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale,
};
use crate::door::Door;
use crate::fields::{self, QuietHoursBody};
use crate::if_match::IfMatch;

/// What to change; what is not named stays, null takes a value away.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChangeMe {
    /// Full name.
    #[serde(default)]
    #[schema(max_length = 200, example = "Ada King")]
    name: Option<String>,
    /// E-mail address; a code to verify it is sent there.
    #[serde(default)]
    #[schema(max_length = 254, example = "ada@example.com")]
    email: Option<String>,
    /// Telephone number.
    #[serde(default, deserialize_with = "fields::nullable")]
    #[schema(value_type = Option<String>, max_length = 32, example = "+49 30 5550100")]
    phone: Option<Option<String>>,
    /// Day of birth.
    #[serde(default, deserialize_with = "fields::nullable")]
    #[schema(value_type = Option<String>, max_length = 10, example = "1990-12-10")]
    birth_date: Option<Option<String>>,
    /// Where pushed messages reach the person's device: its token, or a browser's subscription to Web Push as JSON.
    #[serde(default, deserialize_with = "fields::nullable")]
    #[schema(value_type = Option<String>, max_length = 2048, example = "fcm:d1Xk2mQ9")]
    push_token: Option<Option<String>>,
    /// By which ways the caller wants to be told things; one that is not named stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notification_channels: Option<ChooseChannels>,
    /// When the caller wants to be left alone: what can wait waits until they are over; null for never.
    #[serde(
        default,
        deserialize_with = "fields::nullable_hours",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<QuietHoursBody>)]
    quiet_hours: Option<Option<QuietHoursBody>>,
}

/// Ways by which somebody is told things, on or off. The inbox has everything anyhow.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ChooseChannels {
    /// By e-mail.
    #[serde(default)]
    email: Option<bool>,
    /// By text message.
    #[serde(default)]
    sms: Option<bool>,
    /// Pushed to the device.
    #[serde(default)]
    push: Option<bool>,
}

impl ChooseChannels {
    fn named(self) -> Vec<(Channel, bool)> {
        [
            (Channel::Email, self.email),
            (Channel::Sms, self.sms),
            (Channel::Push, self.push),
        ]
        .into_iter()
        .filter_map(|(channel, on)| Some((channel, on?)))
        .collect()
    }
}

/// Changes the caller's own data. Another address ends all sessions; the access token that this was asked with lives out
/// its minutes.
#[utoipa::path(
    patch,
    path = "/v1/me",
    tag = "me",
    operation_id = "change_me",
    params(KeyOptional, IfMatchOptional),
    request_body = ChangeMe,
    responses(
        (status = 200, description = "The caller as he is now", body = AccountBody, headers(
            ("ETag" = String, description = "The customer's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, AccountConflicts, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn change_me(
    State(door): State<Door>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<ChangeMe>,
) -> Result<Answer<AccountBody>, Problem> {
    let command = door.command("me.change", &caller, key.as_ref(), &body)?;
    let wanted = Edit {
        name: body.name,
        email: body.email,
        phone: body.phone,
        birth_date: body.birth_date,
        push_token: body.push_token,
        channels: body
            .notification_channels
            .map(ChooseChannels::named)
            .unwrap_or_default(),
        quiet_hours: body.quiet_hours,
        ..Edit::default()
    };
    let wanted = wanted.checked(fields::today(door.clock.now()))?;
    edit(&door, &caller, &command, &if_match, caller.subject, wanted).await
}

//! PUT /v1/payment-providers: an admin says how a payment provider is shown and whether new orders may use it.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use domain::payment_provider::{Command as Wanted, PaymentProvider, Set};
use event_schema::{Version, payment_provider};
use event_store::{Stop, Work};
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use super::ProviderBody;
use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, NotFound, Stale};
use crate::door::Door;
use crate::fields::{self, NAME_CHARS_MAX};
use crate::if_match::IfMatch;
use crate::problem::Refusal;

/// A payment provider as it shall be.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SetPaymentProvider {
    /// Its name in the API, as GET lists it.
    #[schema(example = "stripe")]
    id: String,
    /// Its name for people.
    #[schema(max_length = 200, example = "Card")]
    title: String,
    /// Whether new orders may be paid with it.
    active: bool,
    /// Whether customers may pay on its hosted page.
    checkout: bool,
}

/// Sets a payment provider. One that is switched off takes no new orders; payments that have begun go on.
#[utoipa::path(
    put,
    path = "/v1/payment-providers",
    tag = "payment-providers",
    operation_id = "set_payment_provider",
    params(KeyOptional, IfMatchOptional),
    request_body = SetPaymentProvider,
    responses(
        (status = 200, description = "The provider as it is now", body = ProviderBody, headers(
            ("ETag" = String, description = "The provider's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        NotFound, Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn set_payment_provider(
    State(door): State<Door>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<SetPaymentProvider>,
) -> Result<Answer<ProviderBody>, Problem> {
    let mut validation = Validation::new();
    let title = fields::line(&mut validation, "/title", &body.title, NAME_CHARS_MAX);
    validation.finish()?;
    let SetPaymentProvider {
        id,
        active,
        checkout,
        ..
    } = body;

    let content = (&id, &title, active, checkout);
    let command = door.command("payment_providers.set", &caller, key.as_ref(), &content)?;
    let history = payment_provider::id(&id);
    let decide = |work: &mut Work| {
        let version = work.version::<PaymentProvider>(history)?;
        // The settings' own, or one that they named before.
        if version == Version::NONE && id != door.provider.id {
            return Err(Stop::rejected(Refusal::not_found(
                "the shop has no such payment provider",
            )));
        }
        if !command.has_happened(work)? {
            if_match.check(version).map_err(Stop::rejected)?;
            let set = Set {
                provider: id.clone(),
                title: title.clone(),
                active,
                checkout,
            };
            work.decide::<PaymentProvider>(history, Wanted::Set(set))?;
        }
        Ok(work.version::<PaymentProvider>(history)?)
    };
    let executed = door.execute(&command, decide).await?;
    let body = ProviderBody {
        id,
        title,
        active,
        checkout,
    };
    Ok(Answer::ok(body)
        .at(executed.position)
        .version(executed.value))
}

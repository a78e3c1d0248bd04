//! Every failure of a command as the caller sees it; the only file that knows which status and code a "no" has.

use std::convert::Infallible;
use std::time::Duration;

use domain::{
    customer, fulfilment, inbox, inventory, notification_agent, offer, order, partner, payment,
    payment_provider, product, resource, stray_callback,
};
use event_schema::ids::ProductId;
use event_store::{AppendError, ExecuteError, LoadError, LogRewound};
use http::StatusCode;
use service_kit::Problem;
use service_kit::problem::FieldError;
use service_kit::standard_webhooks::StandardSignatureError;

use crate::orders::quote::{BucketError, ClaimError};
use crate::webhooks::{CallbackError, PartnerMessageError, SignatureError};

/// After this long a caller whose commands queue up may come back.
const RETRY_AFTER_QUEUE: Duration = Duration::from_secs(1);

/// A command's "no", ready to be told. Every rejection of the domain turns into one.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl Refusal {
    pub(crate) fn not_found(detail: &str) -> Self {
        Self(Problem::not_found(detail))
    }

    pub(crate) fn key_reused() -> Self {
        Self(Problem::unprocessable(
            "idempotency_key_reused",
            "this Idempotency-Key was used for another command; a new command needs a new key",
        ))
    }

    pub(crate) fn email_taken() -> Self {
        Self(Problem::conflict(
            "email_taken",
            "another customer has this e-mail address",
        ))
    }

    pub(crate) fn unknown_partner() -> Self {
        invalid("/partner_id", "there is no such partner".to_owned())
    }

    /// `by_card` tells whether the provider takes new orders at all.
    pub(crate) fn provider_inactive(provider: &str, by_card: bool) -> Self {
        let detail = if by_card {
            format!("`{provider}` takes no orders on its hosted page for now; pay by card")
        } else {
            format!("`{provider}` takes no new orders for now")
        };
        Self(Problem::conflict("provider_inactive", detail))
    }

    pub(crate) fn sku_taken() -> Self {
        Self(Problem::conflict(
            "sku_taken",
            "another product has this SKU",
        ))
    }

    pub(crate) fn out_of_stock(name: &str, product: ProductId, available: u64) -> Self {
        Self(
            Problem::conflict(
                "out_of_stock",
                format!("only {available} units of `{name}` are available"),
            )
            .with("product_id", product.to_string())
            .with("available", available),
        )
    }

    pub(crate) fn too_late() -> Self {
        Self(Problem::conflict(
            "too_late",
            "the order's money is being taken or was taken; it cannot be cancelled any more",
        ))
    }
}

fn invalid(pointer: &str, detail: String) -> Refusal {
    Refusal(Problem::invalid(vec![FieldError {
        pointer: pointer.to_owned(),
        code: "invalid".into(),
        detail,
    }]))
}

fn quantity_out_of_range(detail: String) -> Refusal {
    Refusal(Problem::unprocessable("quantity_out_of_range", detail))
}

/// A rejection that only a defect of ours leads to: the edge has checked, or the id is a command's own.
fn unexpected(rejection: &(dyn std::error::Error + 'static)) -> Refusal {
    Refusal(Problem::unexpected(rejection))
}

impl From<customer::Rejection> for Refusal {
    fn from(rejection: customer::Rejection) -> Self {
        match rejection {
            customer::Rejection::AlreadyAdded => unexpected(&rejection),
            customer::Rejection::NotAdded => Self::not_found("there is no such customer"),
            customer::Rejection::Deactivated => {
                Self(Problem::conflict("account_closed", rejection.to_string()))
            }
            customer::Rejection::OtherEmail => {
                Self(Problem::conflict("email_changed", rejection.to_string()))
            }
            customer::Rejection::PartnerMismatch => invalid("/partner_id", rejection.to_string()),
            customer::Rejection::QuietHours(_) => invalid("/quiet_hours", rejection.to_string()),
        }
    }
}

impl From<resource::Rejection> for Refusal {
    fn from(rejection: resource::Rejection) -> Self {
        match rejection {
            resource::Rejection::AlreadyAdded => unexpected(&rejection),
            resource::Rejection::NotAdded => Self::not_found("there is no such resource"),
            resource::Rejection::Nameless => invalid("/name", rejection.to_string()),
        }
    }
}

/// What can only be already true is never refused.
impl From<Infallible> for Refusal {
    fn from(rejection: Infallible) -> Self {
        match rejection {}
    }
}

impl From<inbox::Rejection> for Refusal {
    fn from(rejection: inbox::Rejection) -> Self {
        match rejection {
            inbox::Rejection::Cleared => Self::not_found(&rejection.to_string()),
        }
    }
}

impl From<notification_agent::Rejection> for Refusal {
    fn from(rejection: notification_agent::Rejection) -> Self {
        use notification_agent::Rejection;
        let pointer = match rejection {
            Rejection::NameMissing => "/name",
            Rejection::ChannelTwice | Rejection::ProviderTwice | Rejection::ChannelMissing => {
                "/channels"
            }
            Rejection::QuietHours(_) => "/quiet_hours",
        };
        invalid(pointer, rejection.to_string())
    }
}

impl From<payment_provider::Rejection> for Refusal {
    fn from(rejection: payment_provider::Rejection) -> Self {
        match rejection {
            payment_provider::Rejection::TitleMissing => invalid("/title", rejection.to_string()),
        }
    }
}

impl From<partner::Rejection> for Refusal {
    fn from(rejection: partner::Rejection) -> Self {
        match rejection {
            partner::Rejection::AlreadyAdded => unexpected(&rejection),
            partner::Rejection::NotAdded => Self::not_found("there is no such partner"),
            partner::Rejection::TitleMissing => invalid("/title", rejection.to_string()),
        }
    }
}

impl From<product::Rejection> for Refusal {
    fn from(rejection: product::Rejection) -> Self {
        match rejection {
            product::Rejection::AlreadyAdded => unexpected(&rejection),
            product::Rejection::NotAdded | product::Rejection::Removed => {
                Self::not_found("there is no such product")
            }
            product::Rejection::SkuMissing => invalid("/sku", rejection.to_string()),
            product::Rejection::NameMissing => invalid("/name", rejection.to_string()),
            product::Rejection::NegativeUnitCost => {
                invalid("/unit_cost/amount", rejection.to_string())
            }
        }
    }
}

impl From<offer::Rejection> for Refusal {
    fn from(rejection: offer::Rejection) -> Self {
        match rejection {
            offer::Rejection::PriceTooLow => invalid("/price/amount", rejection.to_string()),
        }
    }
}

impl From<inventory::Rejection> for Refusal {
    fn from(rejection: inventory::Rejection) -> Self {
        use inventory::Rejection;
        match rejection {
            Rejection::QuantityOutOfRange | Rejection::TooManyUnits => {
                quantity_out_of_range(rejection.to_string())
            }
            Rejection::InsufficientStock { available } => Self(
                Problem::conflict("insufficient_stock", rejection.to_string())
                    .with("available", available),
            ),
            Rejection::OutOfStock { available } => Self(
                Problem::conflict("out_of_stock", rejection.to_string())
                    .with("available", available),
            ),
            // Holds are the saga's alone; no command of this door speaks of one.
            Rejection::HeldDifferently { .. } | Rejection::HoldGone => unexpected(&rejection),
        }
    }
}

impl From<order::Rejection> for Refusal {
    fn from(rejection: order::Rejection) -> Self {
        use order::Rejection;
        match rejection {
            Rejection::NotPlaced => Self::not_found("there is no such order"),
            Rejection::TooLate => Self::too_late(),
            Rejection::NotConfirmed => {
                Self(Problem::conflict("not_confirmed", rejection.to_string()))
            }
            Rejection::NotReady => Self(Problem::conflict("not_ready", rejection.to_string())),
            Rejection::NotTaken => Self(Problem::conflict("not_taken", rejection.to_string())),
            Rejection::AlreadyTaken => {
                Self(Problem::conflict("already_taken", rejection.to_string()))
            }
            Rejection::CalledOff => Self(Problem::conflict("called_off", rejection.to_string())),
            Rejection::PickupAddressMissing => invalid("/pickup_address", rejection.to_string()),
            Rejection::QuantityOutOfRange { .. } | Rejection::TooManyLines => {
                quantity_out_of_range(rejection.to_string())
            }
            Rejection::CurrencyMismatch => Self(Problem::unprocessable(
                "currency_mismatch",
                rejection.to_string(),
            )),
            // Quotes are made here and always add up; the rest is the saga's own.
            Rejection::AlreadyPlaced
            | Rejection::NoLines
            | Rejection::ProductTwice { .. }
            | Rejection::TotalsDoNotAddUp => unexpected(&rejection),
        }
    }
}

impl From<payment::Rejection> for Refusal {
    fn from(rejection: payment::Rejection) -> Self {
        // A callback is recorded or is a stray; all other commands on a payment are the saga's.
        unexpected(&rejection)
    }
}

impl From<stray_callback::Rejection> for Refusal {
    fn from(rejection: stray_callback::Rejection) -> Self {
        match rejection {}
    }
}

impl From<fulfilment::Rejection> for Refusal {
    fn from(rejection: fulfilment::Rejection) -> Self {
        use fulfilment::Rejection;
        match rejection {
            Rejection::NotStarted => Self::not_found("there is no such order"),
            Rejection::TooLate => Self::too_late(),
            Rejection::OtherDefinition { .. } => Self(Problem::newer_events(rejection.to_string())),
            Rejection::Order(rejection) => rejection.into(),
            Rejection::Operator(rejection) if rejection.is_invalid() => Self(
                Problem::unprocessable(rejection.code(), rejection.to_string()),
            ),
            Rejection::Operator(rejection) => {
                Self(Problem::conflict(rejection.code(), rejection.to_string()))
            }
            // The saga decides over states that it has written itself; where they contradict, we are wrong.
            Rejection::AlreadyStarted
            | Rejection::UnfitAnswer { .. }
            | Rejection::StockNotLoaded { .. }
            | Rejection::CompensationDue { .. }
            | Rejection::Payment(_)
            | Rejection::Stock { .. } => unexpected(&rejection),
        }
    }
}

/// The one answer to a wrong password, an unknown address and a closed account.
pub(crate) fn invalid_credentials() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid_credentials")
        .detail("there is no account with this e-mail address and password")
        .challenge(r#"Bearer realm="waybill""#)
}

/// The password that a change has to name is another one.
pub(crate) fn wrong_password() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "wrong_password")
        .detail("this is not the account's password")
}

/// The one answer to a refresh token that is unknown, used, or over.
pub(crate) fn invalid_refresh_token() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid_refresh_token")
        .detail("this refresh token is of no use (any more); sign in again")
        .challenge(r#"Bearer realm="waybill""#)
}

/// The one answer to a code that is wrong, used, too old, or tried too often.
pub(crate) fn invalid_code() -> Problem {
    Problem::unprocessable(
        "code_invalid",
        "this code is not, or no longer, the one that was sent; ask for another",
    )
}

/// Signing in was tried too often from here, or for this address.
pub(crate) fn too_many_attempts(wait: Duration) -> Problem {
    Problem::too_many_requests("too many attempts; wait a little", wait)
}

/// A closed account is not changed any more.
pub(crate) fn account_closed() -> Problem {
    Refusal::from(customer::Rejection::Deactivated).0
}

/// Why a command did not happen.
pub(crate) fn of_execution(error: ExecuteError<Refusal>) -> Problem {
    match error {
        ExecuteError::Rejected(Refusal(problem)) => problem,
        ExecuteError::Conflict => {
            Problem::busy("others are changing the same thing; repeat the command")
        }
        ExecuteError::Newer { event_type } => newer(&event_type),
        ExecuteError::Append(error) => of_append(error),
        ExecuteError::Load(error) => of_load(error),
    }
}

fn of_append(error: AppendError) -> Problem {
    match error {
        AppendError::Conflict { .. } => {
            Problem::busy("others are changing the same thing; repeat the command")
        }
        AppendError::Unavailable(why) => broker_unavailable(&why),
        AppendError::Rewound(rewound) => not_this_log(&rewound),
        AppendError::Full(why) => {
            tracing::error!(why, "the event log has no room left");
            Problem::unavailable(
                "broker_unavailable",
                "the event log has no room left; nothing was stored",
            )
        }
        AppendError::TooLarge { size, limit, .. } => Problem::unprocessable(
            "invalid",
            format!("what would have to be stored is too large: {size} where {limit} are allowed"),
        ),
        AppendError::Busy { waiting } => Problem::too_many_requests(
            format!("{waiting} commands of this caller are waiting to be stored already"),
            RETRY_AFTER_QUEUE,
        ),
        AppendError::Corrupt { .. } | AppendError::Refused(_) => Problem::unexpected(&error),
    }
}

/// Why something could not be read from the log.
pub(crate) fn of_load(error: LoadError) -> Problem {
    match error {
        LoadError::Unavailable(why) => broker_unavailable(&why),
        LoadError::Rewound(rewound) => not_this_log(&rewound),
        LoadError::NotReached(_) => broker_unavailable(&error.to_string()),
        LoadError::Newer { event_type, .. } => newer(&event_type),
        LoadError::Corrupt { .. } => Problem::unexpected(&error),
    }
}

fn broker_unavailable(why: &str) -> Problem {
    tracing::warn!(
        why,
        "a command could not be carried out: the broker is away"
    );
    Problem::broker_unavailable()
}

/// The log behind the broker is another one than that of before; this process is about to end.
fn not_this_log(rewound: &LogRewound) -> Problem {
    tracing::error!("{rewound}");
    Problem::unavailable("broker_unavailable", rewound.to_string())
}

fn newer(event_type: &str) -> Problem {
    Problem::newer_events(format!(
        "a newer version of Waybill has written `{event_type}`; this one must be upgraded before it decides on that"
    ))
}

/// Why a quote could not be kept.
pub(crate) fn of_bucket(error: BucketError) -> Problem {
    match error {
        BucketError::Unavailable(why) => broker_unavailable(&why),
        BucketError::Unreadable { .. } => Problem::unexpected(&error),
    }
}

/// Why an order does not get its quote.
pub(crate) fn of_claim(error: ClaimError) -> Problem {
    match error {
        ClaimError::NotFound => Problem::not_found(error.to_string()),
        ClaimError::Expired(_) => Problem::conflict("quote_expired", error.to_string()),
        ClaimError::Used => Problem::conflict("quote_used", error.to_string()),
        ClaimError::Bucket(error) => of_bucket(error),
    }
}

/// Why a callback is not believed.
pub(crate) fn of_signature(error: SignatureError) -> Problem {
    Problem::bad_request("signature_invalid", error.to_string())
}

/// Why a partner's message is not believed.
pub(crate) fn of_standard_signature(error: StandardSignatureError) -> Problem {
    Problem::bad_request("signature_invalid", error.to_string())
}

/// Why a partner's signed message is not understood.
pub(crate) fn of_partner_message(error: &PartnerMessageError) -> Problem {
    Problem::bad_request("unreadable_event", error.to_string())
}

/// Why a signed callback is not understood.
pub(crate) fn of_callback(error: &CallbackError) -> Problem {
    Problem::bad_request("unreadable_event", error.to_string())
}

#[cfg(test)]
mod tests {
    use event_schema::{Position, Subject, Version};
    use uuid::Uuid;

    use super::*;

    fn told(problem: &Problem) -> (u16, String) {
        (problem.status().as_u16(), problem.code().to_owned())
    }

    fn subject() -> Subject {
        Subject::history("order", Uuid::from_u128(1))
    }

    #[test]
    fn what_keeps_a_command_from_happening_has_its_published_status_and_code() {
        let corrupt = || LoadError::Corrupt {
            place: subject().to_string(),
            reason: "a gap".into(),
        };
        let newer = LoadError::Newer {
            subject: subject(),
            event_type: "order.returned v1".into(),
        };
        let conflict = AppendError::Conflict {
            subject: subject(),
            expected: Version(1),
            actual: Version(2),
        };
        let away = || "no answer".to_owned();
        let rewound = || LogRewound::Regrown { known: Position(5) };
        for (error, status, code) in [
            (
                ExecuteError::Rejected(Refusal::email_taken()),
                409,
                "email_taken",
            ),
            (
                ExecuteError::Rejected(Refusal::key_reused()),
                422,
                "idempotency_key_reused",
            ),
            (ExecuteError::Conflict, 503, "busy"),
            (
                ExecuteError::Newer {
                    event_type: "order.returned v1".into(),
                },
                503,
                "newer_events",
            ),
            (ExecuteError::Append(conflict), 503, "busy"),
            (
                ExecuteError::Append(AppendError::Unavailable(away())),
                503,
                "broker_unavailable",
            ),
            (
                ExecuteError::Append(AppendError::Full(away())),
                503,
                "broker_unavailable",
            ),
            (
                ExecuteError::Append(AppendError::Rewound(rewound())),
                503,
                "broker_unavailable",
            ),
            (
                ExecuteError::Load(LoadError::Rewound(rewound())),
                503,
                "broker_unavailable",
            ),
            (
                ExecuteError::Append(AppendError::TooLarge {
                    what: "bytes",
                    size: 2,
                    limit: 1,
                }),
                422,
                "invalid",
            ),
            (
                ExecuteError::Append(AppendError::Busy { waiting: 64 }),
                429,
                "rate_limited",
            ),
            (
                ExecuteError::Append(AppendError::Refused(away())),
                500,
                "internal",
            ),
            (
                ExecuteError::Load(LoadError::Unavailable(away())),
                503,
                "broker_unavailable",
            ),
            (
                ExecuteError::Load(LoadError::NotReached(Position(9))),
                503,
                "broker_unavailable",
            ),
            (ExecuteError::Load(newer), 503, "newer_events"),
            (ExecuteError::Load(corrupt()), 500, "internal"),
        ] {
            let label = format!("{error:?}");
            assert_eq!(
                told(&of_execution(error)),
                (status, code.to_owned()),
                "{label}"
            );
        }
    }

    #[test]
    fn every_business_no_is_below_500_and_what_is_our_mistake_is_not() {
        let no = |refusal: Refusal| told(&refusal.0);
        assert_eq!(
            no(partner::Rejection::NotAdded.into()),
            (404, "not_found".into())
        );
        assert_eq!(
            no(product::Rejection::Removed.into()),
            (404, "not_found".into())
        );
        assert_eq!(
            no(product::Rejection::NameMissing.into()),
            (422, "invalid".into())
        );
        assert_eq!(
            no(offer::Rejection::PriceTooLow.into()),
            (422, "invalid".into())
        );
        let too_few = inventory::Rejection::InsufficientStock { available: 1 };
        assert_eq!(no(too_few.into()), (409, "insufficient_stock".into()));
        assert_eq!(
            no(inventory::Rejection::OutOfStock { available: 1 }.into()),
            (409, "out_of_stock".into())
        );
        assert_eq!(
            no(inventory::Rejection::TooManyUnits.into()),
            (422, "quantity_out_of_range".into())
        );
        assert_eq!(
            no(order::Rejection::NotPlaced.into()),
            (404, "not_found".into())
        );
        assert_eq!(
            no(order::Rejection::CurrencyMismatch.into()),
            (422, "currency_mismatch".into())
        );
        assert_eq!(
            no(fulfilment::Rejection::NotStarted.into()),
            (404, "not_found".into())
        );
        assert_eq!(
            no(fulfilment::Rejection::TooLate.into()),
            (409, "too_late".into())
        );
        let asked_in_vain = fulfilment::OperatorRejection::NotWaiting {
            status: fulfilment::Status::Unwinding,
        };
        assert_eq!(
            no(fulfilment::Rejection::from(asked_in_vain).into()),
            (409, "not_waiting".into())
        );
        let asked_badly = fulfilment::OperatorRejection::CommandReused;
        assert_eq!(
            no(fulfilment::Rejection::from(asked_badly).into()),
            (422, "idempotency_key_reused".into())
        );
        let later_build = fulfilment::Rejection::OtherDefinition {
            def: fulfilment::definition(),
        };
        assert_eq!(no(later_build.into()), (503, "newer_events".into()));
        assert_eq!(
            no(customer::Rejection::AlreadyAdded.into()),
            (500, "internal".into())
        );
        assert_eq!(
            no(order::Rejection::TotalsDoNotAddUp.into()),
            (500, "internal".into())
        );
    }

    #[test]
    fn every_answer_that_asks_to_come_back_says_when() {
        let away = of_load(LoadError::Unavailable("x".into()));
        let busy = of_append(AppendError::Busy { waiting: 64 });
        for problem in [away, busy] {
            let response = axum::response::IntoResponse::into_response(problem);
            assert!(response.headers().contains_key("retry-after"));
        }
    }
}

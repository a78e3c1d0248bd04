//! `POST /v1/payment_intents/{id}/confirm`: an attempt on an intent that waits for one.

use axum::{
    extract::{Path, State},
    response::Response,
};

use super::{Intent, Status, authorise};
use crate::{
    Sandbox,
    call::{self, About, Answer, Command, Delivery},
    card::Card,
    error::{ApiError, Failure},
    fault::Operation,
    form::Form,
    id,
    incoming::Incoming,
    work::Work,
};

const PARAMETERS: &[&str] = &[
    "payment_method",
    "return_url",
    "off_session",
    "error_on_requires_action",
    "receipt_email",
];

/// A checked request to confirm.
pub(crate) struct Confirm {
    id: String,
    payment_method: Option<String>,
    return_url: Option<String>,
    on_session: bool,
}

pub(super) async fn handle(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Response {
    let command = Confirm::parse(&id, &incoming.form).map(Command::ConfirmIntent);
    call::run(
        &sandbox,
        incoming,
        Operation::Confirm,
        About::intent(&id),
        command,
    )
    .await
}

impl Confirm {
    fn parse(id: &str, form: &Form) -> Result<Self, ApiError> {
        form.allow(PARAMETERS)?;
        if !id::is_plausible(id) {
            return Err(ApiError::no_such("payment intent", id));
        }
        let payment_method = form.text("payment_method")?.map(str::to_owned);
        if let Some(token) = &payment_method {
            Card::from_parameter(token, "payment_method")?;
        }
        Ok(Self {
            id: id.to_owned(),
            payment_method,
            return_url: form.url("return_url")?,
            on_session: !form.flag("off_session")? && !form.flag("error_on_requires_action")?,
        })
    }

    pub(crate) async fn execute(self, work: &mut Work<'_>) -> Result<Answer, Failure> {
        let mut intent = Intent::lock(work, &self.id)
            .await?
            .ok_or_else(|| ApiError::no_such("payment intent", &self.id))?;
        if intent.session_id.is_some() {
            return Err(Failure::Refused(
                ApiError::invalid("This payment intent belongs to a checkout session: the customer confirms it there.")
                    .code("payment_intent_unexpected_state")
                    .payment_intent(intent.to_json(work.config)),
            ));
        }
        match intent.status {
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresAction => {}
            Status::Processing | Status::RequiresCapture | Status::Canceled | Status::Succeeded => {
                return Err(unexpected_state(work, &intent, "confirmed"));
            }
        }
        let token = match (self.payment_method, intent.status) {
            (Some(token), _) => token,
            // A refused method is not tried again by itself.
            (None, Status::RequiresPaymentMethod) => {
                return Err(ApiError::parameter(
                    "parameter_missing",
                    "payment_method",
                    "This payment intent needs a new 'payment_method' to be confirmed.",
                )
                .into());
            }
            (None, _) => intent.payment_method.clone().unwrap_or_default(),
        };
        if self.return_url.is_some() {
            intent.return_url = self.return_url;
        }
        carry_out(work, &mut intent, &token, self.on_session).await
    }
}

/// Tries the card and words the answer; how the answer travels depends on the card.
pub(super) async fn carry_out(
    work: &mut Work<'_>,
    intent: &mut Intent,
    token: &str,
    on_session: bool,
) -> Result<Answer, Failure> {
    match authorise::attempt(work, intent, token, on_session).await? {
        authorise::Attempt::Declined(decline, charge) => {
            Err(authorise::declined(work, intent, decline, &charge))
        }
        authorise::Attempt::Authorised
        | authorise::Attempt::NeedsAction
        | authorise::Attempt::Processing => Ok(Answer {
            object: intent.to_json(work.config),
            delivery: delivery_of(work, token),
        }),
    }
}

/// Some cards are authorised by a network that answers late, or never.
pub(crate) fn delivery_of(work: &Work<'_>, token: &str) -> Delivery {
    match Card::parse(token) {
        Some(Card::Slow) => Delivery::After(work.config.slow_delay),
        Some(Card::Timeout) => Delivery::Held(work.config.timeout_hold),
        Some(_) | None => Delivery::Now,
    }
}

/// What Stripe answers to a step that the intent's state does not allow.
pub(super) fn unexpected_state(work: &Work<'_>, intent: &Intent, step: &str) -> Failure {
    Failure::Refused(
        ApiError::invalid(format!(
            "This payment intent cannot be {step}: its status is {}.",
            intent.status
        ))
        .code("payment_intent_unexpected_state")
        .payment_intent(intent.to_json(work.config)),
    )
}

//! GET /v1/payments/{order_id}: every call to the provider and every sum, for the customer and for admins.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use event_schema::Timestamp;
use service_kit::extract::Path;
use service_kit::{Access, ApiRouter, Caller, Problem, Role, routes};

use super::NAME;
use super::order_routes::find;
use super::payment;
use super::show::{Amounts, Whose};
use crate::http::money::Money;
use crate::http::{Answer, Asked, ReadSide};

const READS: &[&str] = &[NAME];
const ALLOWED: Access = Access::Roles(&[Role::Customer, Role::Admin]);

/// The payment of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaymentView {
    /// Which order.
    pub order_id: Uuid,
    /// none, pending, authorised, captured, voided, refund_pending, refunded, unknown or declined.
    pub status: String,
    /// card or checkout.
    pub method: Option<String>,
    /// Who is asked for the money.
    pub provider: Option<String>,
    /// What the order costs.
    pub amount: Money,
    /// The sums so far.
    pub amounts: Amounts,
    /// The page on which the customer has to act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkout_url: Option<String>,
    /// The provider's last "no".
    pub refusal: Option<RefusalView>,
    /// The calls to the provider, in order.
    pub attempts: Vec<AttemptView>,
    /// Money that went back.
    pub refunds: Vec<RefundView>,
    /// The provider's name for the payment; only shown to admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_payment_id: Option<String>,
}

/// A refusal of the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusalView {
    /// The provider's code.
    pub code: String,
    /// The provider's words.
    pub message: String,
}

/// One call to the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AttemptView {
    /// authorise, capture, void or refund.
    pub step: String,
    /// The id under which it was made; the same for every repeat.
    pub effect_id: Uuid,
    /// pending, ok, refused or unknown.
    pub outcome: String,
    /// The provider's code, or what was seen instead of an answer.
    pub detail: Option<String>,
    /// When it was decided to call.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// When the outcome was known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// Money that went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefundView {
    /// The provider's refund.
    pub refund_id: String,
    /// How much.
    pub amount: Money,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub refunded_at: Timestamp,
}

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ALLOWED, routes!(show))
}

/// The payment of one order.
#[utoipa::path(
    get, path = "/v1/payments/{order_id}", tag = "payments", operation_id = "show_payment", params(("order_id" = Uuid, Path)),
    responses((status = 200, description = "The payment", body = PaymentView), (status = 404, description = "No such order"))
)]
async fn show(
    State(read): State<ReadSide>,
    caller: Caller,
    asked: Asked,
    Path(order_id): Path<Uuid>,
) -> Result<Answer<PaymentView>, Problem> {
    let reading = read.reading(asked, READS, Some(order_id)).await?;
    // The customer's and the admin's business, not the partner's.
    let whose = Whose {
        partner: None,
        ..Whose::of(&caller)
    };
    let found = find(&read, order_id, whose).await?;
    let view = found.and_then(|found| {
        let (total, currency) = (found.row.total?, found.row.currency?);
        Some(view(
            order_id,
            found.row.payment.0,
            found.row.payment_method,
            total,
            &currency,
            whose.everybodys,
        ))
    });
    let view = view.ok_or_else(|| reading.nothing(format!("there is no order {order_id}")))?;
    Ok(reading.answer(view))
}

fn view(
    order_id: Uuid,
    payment: payment::Payment,
    method: Option<String>,
    total: i64,
    currency: &str,
    for_admin: bool,
) -> PaymentView {
    PaymentView {
        order_id,
        status: payment.status.shown().to_owned(),
        method,
        provider: payment.provider.clone(),
        amount: Money::new(total, currency),
        amounts: payment.amounts(currency),
        checkout_url: payment.open_checkout_url(),
        refusal: payment.refusal.map(|refusal| RefusalView {
            code: refusal.code,
            message: refusal.message,
        }),
        attempts: payment
            .attempts
            .into_iter()
            .map(|attempt| AttemptView {
                step: attempt.step,
                effect_id: attempt.effect_id.uuid(),
                outcome: attempt.outcome,
                detail: attempt.detail,
                requested_at: attempt.requested_at,
                ended_at: attempt.ended_at,
            })
            .collect(),
        refunds: payment
            .refunds
            .into_iter()
            .map(|refund| RefundView {
                refund_id: refund.refund_id,
                amount: Money::new(refund.amount, currency),
                refunded_at: refund.refunded_at,
            })
            .collect(),
        provider_payment_id: payment.provider_payment_id.filter(|_| for_admin),
    }
}

//! A payment of 42.00 EUR, in events.

use event_schema::ids::EffectId;
use event_schema::order::PaymentMethod;
use event_schema::payment::{self as event, Event};

use super::RequireAction;
use crate::fixtures::{at, eur, order};

pub(super) fn effect(step: &str, opening: u32) -> EffectId {
    EffectId::of(order(1), step, opening)
}

pub(super) fn requested(opening: u32) -> Event {
    event::Requested {
        provider: "sandbox".into(),
        amount: eur(4200),
        method: PaymentMethod::Checkout,
        effect_id: effect("authorise", opening),
    }
    .into()
}

pub(super) fn require_action() -> RequireAction {
    RequireAction {
        checkout_url: "https://pay.example/cs_1".into(),
        session_id: Some("cs_1".into()),
        provider_payment_id: None,
        expires_at: at(0),
    }
}

pub(super) fn action_required() -> Event {
    let RequireAction {
        checkout_url,
        session_id,
        provider_payment_id,
        expires_at,
    } = require_action();
    event::ActionRequired {
        checkout_url,
        session_id,
        provider_payment_id,
        expires_at,
    }
    .into()
}

pub(super) fn authorised() -> Event {
    event::Authorised {
        provider_payment_id: "pi_1".into(),
        amount: eur(4200),
    }
    .into()
}

pub(super) fn declined() -> Event {
    event::Declined {
        code: "card_declined".into(),
        message: "Your card was declined.".into(),
    }
    .into()
}

pub(super) fn capture_requested() -> Event {
    event::CaptureRequested {
        effect_id: effect("capture", 1),
    }
    .into()
}

pub(super) fn captured() -> Event {
    event::Captured { amount: eur(4200) }.into()
}

pub(super) fn void_requested() -> Event {
    event::VoidRequested {
        effect_id: effect("void", 1),
    }
    .into()
}

pub(super) fn voided() -> Event {
    event::Voided {}.into()
}

pub(super) fn refund_requested() -> Event {
    event::RefundRequested {
        effect_id: effect("refund", 1),
        amount: eur(4200),
    }
    .into()
}

pub(super) fn refunded() -> Event {
    event::Refunded {
        refund_id: "re_1".into(),
        amount: eur(4200),
    }
    .into()
}

pub(super) fn outcome_unknown(step: &str) -> Event {
    event::OutcomeUnknown {
        step: step.into(),
        detail: "no answer".into(),
    }
    .into()
}

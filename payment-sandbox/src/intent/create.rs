//! `POST /v1/payment_intents`, and the opening of an intent for a checkout session.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use jiff_sqlx::ToSqlx;
use sqlx::types::Json;

use super::{Intent, Status, confirm};
use crate::{
    Sandbox,
    call::{self, About, Answer, Command},
    card::Card,
    error::{ApiError, Failure},
    fault::Operation,
    form::Form,
    id,
    incoming::Incoming,
    work::Work,
};

/// The largest amount that Stripe takes: twelve digits.
pub(crate) const AMOUNT_MAX: i64 = 999_999_999_999;

pub(crate) const CAPTURE_METHODS: &[&str] = &["automatic", "automatic_async", "manual"];

const PARAMETERS: &[&str] = &[
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "description",
    "error_on_requires_action",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_types",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
];

/// ISO 4217 codes that cards can be charged in.
const CURRENCIES: &str = "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd \
    cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl hrk htg huf \
    idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr \
    mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp \
    sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx usd uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw";

/// A checked request for a new intent.
pub(crate) struct Create {
    intent: NewIntent,
    confirm: bool,
    on_session: bool,
}

/// What an intent is opened with.
pub(crate) struct NewIntent {
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) capture_method: String,
    pub(crate) payment_method: Option<String>,
    pub(crate) return_url: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

pub(super) async fn handle(State(sandbox): State<Sandbox>, incoming: Incoming) -> Response {
    let about = About::order(order_of(&incoming.form, "metadata[order_id]"));
    let command = Create::parse(&incoming.form).map(Command::CreateIntent);
    call::run(&sandbox, incoming, Operation::Create, about, command).await
}

/// The order that a request names, if it does so readably.
pub(crate) fn order_of(form: &Form, path: &str) -> Option<String> {
    form.text(path).ok().flatten().map(str::to_owned)
}

/// An amount in minor units within what can be charged.
pub(crate) fn amount(form: &Form, path: &str) -> Result<i64, ApiError> {
    let amount = form.required_integer(path, 1)?;
    if amount > AMOUNT_MAX {
        return Err(ApiError::parameter(
            "amount_too_large",
            path,
            format!("'{path}' must be at most {AMOUNT_MAX}, not {amount}."),
        ));
    }
    Ok(amount)
}

/// A currency that is supported, in lower case.
pub(crate) fn currency(form: &Form, path: &str) -> Result<String, ApiError> {
    let currency = form.required(path)?.to_ascii_lowercase();
    if CURRENCIES
        .split_ascii_whitespace()
        .any(|supported| supported == currency)
    {
        return Ok(currency);
    }
    let shown: String = currency.chars().take(20).collect();
    Err(ApiError::invalid(format!("The currency '{shown}' is not supported.")).param(path))
}

impl Create {
    fn parse(form: &Form) -> Result<Self, ApiError> {
        form.allow(PARAMETERS)?;
        let payment_method = form.text("payment_method")?.map(str::to_owned);
        if let Some(token) = &payment_method {
            Card::from_parameter(token, "payment_method")?;
        }
        let confirm = form.flag("confirm")?;
        let return_url = form.url("return_url")?;
        check_methods(form)?;
        if confirm {
            if payment_method.is_none() {
                return Err(ApiError::parameter(
                    "parameter_missing",
                    "payment_method",
                    "'confirm' needs a 'payment_method'.",
                ));
            }
            check_return_url(form, return_url.as_deref())?;
        } else if form.flag("off_session")? || form.flag("error_on_requires_action")? {
            return Err(ApiError::invalid(
                "'off_session' and 'error_on_requires_action' need 'confirm=true'.",
            ));
        }
        Ok(Self {
            intent: NewIntent {
                amount: amount(form, "amount")?,
                currency: currency(form, "currency")?,
                capture_method: form
                    .choice("capture_method", CAPTURE_METHODS)?
                    .unwrap_or("automatic")
                    .to_owned(),
                payment_method,
                return_url,
                description: form.text("description")?.map(str::to_owned),
                session_id: None,
                metadata: form.metadata("metadata")?,
            },
            confirm,
            on_session: !form.flag("off_session")? && !form.flag("error_on_requires_action")?,
        })
    }

    pub(crate) async fn execute(self, work: &mut Work<'_>) -> Result<Answer, Failure> {
        let token = self.intent.payment_method.clone();
        let mut intent = open(work, self.intent).await?;
        match token.filter(|_| self.confirm) {
            Some(token) => confirm::carry_out(work, &mut intent, &token, self.on_session).await,
            None => Ok(Answer::now(intent.to_json(work.config))),
        }
    }
}

/// Only cards are spoken here.
fn check_methods(form: &Form) -> Result<(), ApiError> {
    let listed = form.entries("payment_method_types");
    for entry in &listed {
        if form.text(entry)? != Some("card") {
            return Err(
                ApiError::invalid("The only payment method type here is 'card'.").param(entry),
            );
        }
    }
    let automatic = form.flag("automatic_payment_methods[enabled]")?;
    if automatic && !listed.is_empty() {
        return Err(ApiError::parameter(
            "parameters_exclusive",
            "payment_method_types",
            "Give 'payment_method_types' or 'automatic_payment_methods', not both.",
        ));
    }
    Ok(())
}

/// Without a list of types Stripe may pick one that redirects, so it wants to know where to send the customer back to.
fn check_return_url(form: &Form, return_url: Option<&str>) -> Result<(), ApiError> {
    let redirects = form.choice(
        "automatic_payment_methods[allow_redirects]",
        &["always", "never"],
    )?;
    if return_url.is_some()
        || redirects == Some("never")
        || !form.entries("payment_method_types").is_empty()
    {
        return Ok(());
    }
    Err(ApiError::invalid(
        "Confirming needs a 'return_url', unless 'payment_method_types[]=card' or \
         'automatic_payment_methods[allow_redirects]=never' rules out methods that redirect.",
    )
    .param("return_url"))
}

/// Opens an intent that nothing has been tried on yet.
pub(crate) async fn open(work: &mut Work<'_>, new: NewIntent) -> Result<Intent, sqlx::Error> {
    let id = id::new("pi");
    let intent = Intent {
        client_secret: format!("{id}_{}", id::new("secret")),
        id,
        created_at: work.now.to_sqlx(),
        amount: new.amount,
        amount_capturable: 0,
        amount_received: 0,
        currency: new.currency,
        status: match &new.payment_method {
            Some(_) => Status::RequiresConfirmation,
            None => Status::RequiresPaymentMethod,
        },
        capture_method: new.capture_method,
        payment_method: new.payment_method,
        latest_charge: None,
        last_payment_error: None,
        return_url: new.return_url,
        description: new.description,
        cancellation_reason: None,
        canceled_at: None,
        session_id: new.session_id,
        settles_at: None,
        metadata: Json(new.metadata),
    };
    intent.insert(work).await?;
    intent.announce(work, "payment_intent.created");
    Ok(intent)
}

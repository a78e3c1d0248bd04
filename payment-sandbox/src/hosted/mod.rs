//! The pages that a customer sees: pay a session, confirm a payment. Plain HTML, no script.

mod html;

use std::future::Future;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;

use self::html::Page;
use crate::{
    Sandbox,
    call::{Delivery, dropped_connection, wait},
    card::Card,
    error::{ApiError, Failure},
    form::Form,
    id,
    intent::{self, Intent},
    session::{self, Confirmation, Payment, Session},
};

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/pay/{session_id}", get(show_session).post(pay_session))
        .route(
            "/pay/intents/{intent_id}",
            get(show_intent).post(answer_intent),
        )
}

async fn show_session(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    if !id::is_plausible(&id) {
        return not_found();
    }
    match Session::find(sandbox.pool(), &id).await {
        Ok(Some(session)) => match session.status_at(Timestamp::now()) {
            session::Status::Open => page(StatusCode::OK, html::pay(&session, None)),
            session::Status::Complete => page(StatusCode::OK, html::already_paid(&session)),
            session::Status::Expired => page(StatusCode::GONE, html::expired(&session)),
        },
        Ok(None) => not_found(),
        Err(error) => failed(error.into()),
    }
}

async fn pay_session(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    if !id::is_plausible(&id) {
        return not_found();
    }
    let token = match token_of(&body) {
        Ok(token) => token,
        Err(error) => return failed(error.into()),
    };
    let paying = sandbox.clone();
    let outcome = undisturbed(async move { session::pay(&paying, &id, &token).await }).await;
    match outcome {
        Ok(Payment::Complete(session, Delivery::Now)) => {
            Redirect::to(&session.success_url()).into_response()
        }
        Ok(Payment::Complete(session, Delivery::After(delay))) => {
            wait(&sandbox, delay).await;
            Redirect::to(&session.success_url()).into_response()
        }
        Ok(Payment::Complete(_, Delivery::Held(hold))) => {
            wait(&sandbox, hold).await;
            dropped_connection()
        }
        Ok(Payment::Complete(_, Delivery::Dropped)) => dropped_connection(),
        Ok(Payment::Confirm(intent)) => {
            Redirect::to(&sandbox.config().page_url(&format!("pay/intents/{intent}")))
                .into_response()
        }
        Ok(Payment::Declined(session, decline)) => page(
            StatusCode::PAYMENT_REQUIRED,
            html::pay(&session, Some(decline.message)),
        ),
        Ok(Payment::Expired(session)) => page(StatusCode::GONE, html::expired(&session)),
        Ok(Payment::NoSuchSession) => not_found(),
        Err(failure) => failed(failure),
    }
}

async fn show_intent(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    if !id::is_plausible(&id) {
        return not_found();
    }
    let intent: Result<Option<Intent>, sqlx::Error> =
        sqlx::query_as("select * from sandbox.payment_intents where id = $1")
            .bind(&id)
            .fetch_optional(sandbox.pool())
            .await;
    match intent {
        Ok(Some(intent)) if intent.status == intent::Status::RequiresAction => {
            page(StatusCode::OK, html::confirm(&intent))
        }
        Ok(Some(intent)) => page(
            StatusCode::OK,
            html::nothing_to_confirm(intent.return_url.as_deref()),
        ),
        Ok(None) => not_found(),
        Err(error) => failed(error.into()),
    }
}

async fn answer_intent(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    if !id::is_plausible(&id) {
        return not_found();
    }
    let approved = match Form::parse(&body)
        .and_then(|form| form.choice("answer", &["confirm", "refuse"]))
    {
        Ok(Some(answer)) => answer == "confirm",
        Ok(None) => return failed(ApiError::invalid("'answer' must be confirm or refuse.").into()),
        Err(error) => return failed(error.into()),
    };
    let answering = sandbox.clone();
    let outcome =
        undisturbed(async move { session::authenticate(&answering, &id, approved).await }).await;
    match outcome {
        Ok(Confirmation::Done(Some(next)) | Confirmation::Refused(Some(next))) => {
            Redirect::to(&next).into_response()
        }
        Ok(Confirmation::Done(None)) => page(StatusCode::OK, html::answered(true)),
        Ok(Confirmation::Refused(None)) => page(StatusCode::OK, html::answered(false)),
        Ok(Confirmation::NotWaiting) => page(StatusCode::CONFLICT, html::nothing_to_confirm(None)),
        Ok(Confirmation::NoSuchIntent) => not_found(),
        Err(failure) => failed(failure),
    }
}

fn token_of(body: &[u8]) -> Result<String, ApiError> {
    let form = Form::parse(body)?;
    let token = form.required("token")?;
    Card::from_parameter(token, "token")?;
    Ok(token.to_owned())
}

/// Runs to its end even when the browser goes away.
async fn undisturbed<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(work)
        .await
        .unwrap_or_else(|_| Err(Failure::Refused(ApiError::internal())))
}

fn not_found() -> Response {
    page(
        StatusCode::NOT_FOUND,
        html::message(
            "There is nothing to pay here",
            "This address belongs to no payment.",
        ),
    )
}

fn failed(failure: Failure) -> Response {
    let error = failure.into_api_error();
    page(
        error.status(),
        html::message("That did not work", error.message()),
    )
}

fn page(status: StatusCode, page: Page) -> Response {
    let mut response = (status, axum::response::Html(page.0)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

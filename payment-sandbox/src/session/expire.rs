//! The end of a session that was not paid: asked for, or by time.

use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use super::{Session, Status};
use crate::{
    Sandbox,
    call::{self, About, Answer, Command},
    error::{ApiError, Failure},
    fault::Operation,
    form::Form,
    id,
    incoming::Incoming,
    intent,
    work::{Cause, Work},
};

/// How many overdue sessions are ended in one go.
const OVERDUE_BATCH: i64 = 50;

/// A checked request to expire.
pub(crate) struct Expire {
    id: String,
}

pub(super) async fn handle(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    incoming: Incoming,
) -> Response {
    let command = Expire::parse(&id, &incoming.form).map(Command::ExpireSession);
    call::run(
        &sandbox,
        incoming,
        Operation::Expire,
        About::session(&id),
        command,
    )
    .await
}

impl Expire {
    fn parse(id: &str, form: &Form) -> Result<Self, ApiError> {
        form.allow(&[])?;
        if !id::is_plausible(id) {
            return Err(ApiError::no_such("checkout session", id));
        }
        Ok(Self { id: id.to_owned() })
    }

    pub(crate) async fn execute(self, work: &mut Work<'_>) -> Result<Answer, Failure> {
        let mut session = Session::lock(work, &self.id)
            .await?
            .ok_or_else(|| ApiError::no_such("checkout session", &self.id))?;
        if session.status != Status::Open {
            return Err(Failure::Refused(ApiError::invalid(format!(
                "Only an open checkout session can be expired. The status of this one is {}.",
                session.status.as_str()
            ))));
        }
        expire(work, &mut session).await?;
        Ok(Answer::now(session.to_json(work.config, work.now)))
    }
}

/// Ends an open session whose lock is held.
pub(super) async fn expire(work: &mut Work<'_>, session: &mut Session) -> Result<(), sqlx::Error> {
    session.status = Status::Expired;
    session.save(work).await?;
    session.announce(work, "checkout.session.expired");
    if let Some(intent_id) = &session.intent_id {
        intent::cancel_with_its_session(work, intent_id).await?;
    }
    Ok(())
}

/// Ends sessions whose time is over; tells how many. One that somebody is paying just now is left to him.
pub(crate) async fn expire_overdue(sandbox: &Sandbox) -> Result<usize, sqlx::Error> {
    let overdue: Vec<String> = sqlx::query_scalar(
        "select id from sandbox.checkout_sessions where status = 'open' and expires_at <= $1 order by expires_at limit $2",
    )
    .bind(Timestamp::now().to_sqlx())
    .bind(OVERDUE_BATCH)
    .fetch_all(sandbox.pool())
    .await?;
    for id in &overdue {
        let mut work = Work::begin(sandbox.pool(), sandbox.config(), Cause::default()).await?;
        if let Some(mut session) = Session::lock(&mut work, id).await?
            && session.status == Status::Open
        {
            expire(&mut work, &mut session).await?;
        }
        if work.commit().await? {
            sandbox.outbox().notify_one();
        }
    }
    Ok(overdue.len())
}

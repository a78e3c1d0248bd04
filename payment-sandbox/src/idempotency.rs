//! The first answer under an Idempotency-Key, kept 24 hours in the same transaction as what it tells.

use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use sqlx::{FromRow, Postgres, Transaction};

use crate::incoming::Incoming;

/// How long a key is remembered.
pub(crate) const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Keeps these locks apart from any other advisory lock in the database.
const LOCK_SEED: i64 = 12_111;

/// What was answered first.
#[derive(Debug, FromRow)]
pub(crate) struct Stored {
    pub(crate) fingerprint: String,
    pub(crate) request_id: String,
    pub(crate) status: i32,
    pub(crate) body: String,
}

/// What makes two requests the same: method, path and parameters, in whatever order.
pub(crate) fn fingerprint(incoming: &Incoming) -> String {
    let text = format!(
        "{} {}\n{}",
        incoming.method,
        incoming.path,
        incoming.form.canonical()
    );
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// Takes the key for the rest of the transaction; false when another request holds it. A process that dies lets
/// go of it by dying, so no key is ever stuck "in progress".
pub(crate) async fn try_lock(
    tx: &mut Transaction<'static, Postgres>,
    key: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_try_advisory_xact_lock(hashtextextended($1, $2))")
        .bind(key)
        .bind(LOCK_SEED)
        .fetch_one(&mut **tx)
        .await
}

/// The answer given before, unless it is too old.
pub(crate) async fn find(
    tx: &mut Transaction<'static, Postgres>,
    key: &str,
    now: Timestamp,
) -> Result<Option<Stored>, sqlx::Error> {
    sqlx::query_as(
        "select fingerprint, request_id, status, body from sandbox.idempotency_keys
         where key = $1 and created_at > $2",
    )
    .bind(key)
    .bind((now - KEPT).to_sqlx())
    .fetch_optional(&mut **tx)
    .await
}

/// Keeps this answer as the first one under the key.
pub(crate) async fn store(
    tx: &mut Transaction<'static, Postgres>,
    key: &str,
    now: Timestamp,
    answer: Stored,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into sandbox.idempotency_keys (key, created_at, fingerprint, request_id, status, body)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (key) do update set
             created_at = excluded.created_at, fingerprint = excluded.fingerprint,
             request_id = excluded.request_id, status = excluded.status, body = excluded.body",
    )
    .bind(key)
    .bind(now.to_sqlx())
    .bind(answer.fingerprint)
    .bind(answer.request_id)
    .bind(answer.status)
    .bind(answer.body)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

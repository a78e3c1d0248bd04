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
#[derive(Debug)]
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

/// What a call finds when it begins.
#[derive(Debug, FromRow)]
pub(crate) struct Entered {
    /// False when another request holds the key.
    pub(crate) is_free: bool,
    /// The answer given before under the key, unless it is too old.
    #[sqlx(flatten)]
    stored: MaybeStored,
    /// Whether a tester has ordered any failure at all.
    pub(crate) any_faults: bool,
}

#[derive(Debug, FromRow)]
struct MaybeStored {
    fingerprint: Option<String>,
    request_id: Option<String>,
    status: Option<i32>,
    body: Option<String>,
}

impl Entered {
    pub(crate) fn stored(self) -> Option<Stored> {
        let stored = self.stored;
        Some(Stored {
            fingerprint: stored.fingerprint?,
            request_id: stored.request_id?,
            status: stored.status?,
            body: stored.body?,
        })
    }
}

/// Takes the key, if there is one, for the rest of the transaction, and looks it up. A process that dies lets go of it
/// by dying, so no key is ever stuck "in progress".
pub(crate) async fn enter(
    tx: &mut Transaction<'static, Postgres>,
    key: Option<&str>,
    now: Timestamp,
) -> Result<Entered, sqlx::Error> {
    sqlx::query_as(
        "select is_free, fingerprint, request_id, status, body, any_faults from sandbox.enter($1, $2, $3)",
    )
    .bind(key)
    .bind(LOCK_SEED)
    .bind((now - KEPT).to_sqlx())
    .fetch_one(&mut **tx)
    .await
}

//! Sessions and their refresh tokens: opaque, used once, stored as hashes only. Whoever shows a used one again ends the
//! whole session, for owner and thief alike.
//!
//! A client whose answer was lost, or that sent its token twice at once, is no thief: within [`REUSE_GRACE`], and as long
//! as nobody has used the successor, the used token leads to the very same successor again. So two holders of one token
//! end up with one token, and the second use of that one is noticed.

use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Vault, VaultError};
use crate::crypto::CryptoError;
use crate::postgres;

/// A refresh token that is not used for so long is of no use any more.
pub const REFRESH_TOKEN_TTL: Duration = Duration::from_secs(14 * 24 * 3_600);
/// A session ends after this long, however often it is refreshed.
pub const SESSION_TTL: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How long a used token still leads to its successor.
pub const REUSE_GRACE: Duration = Duration::from_secs(10);
/// Open sessions of one person; the oldest end when there are more.
pub const SESSIONS_PER_PERSON_MAX: i64 = 20;
const TOKEN_BYTES: usize = 32;
const NONCE_BYTES: usize = 16;
/// Longer than any token of ours.
const TOKEN_CHARS_MAX: usize = 128;

/// A session with a refresh token that has not been used.
#[derive(Debug)]
pub struct Opened {
    /// The session's id, which its access tokens carry.
    pub session: Uuid,
    /// Whose it is.
    pub person: Uuid,
    /// The refresh token, known to its holder alone.
    pub refresh_token: SecretString,
}

/// What came of a refresh token.
#[derive(Debug)]
pub enum Rotation {
    /// It was good, and is used now; here is the next one.
    Fresh(Opened),
    /// It was used before: its session has been ended.
    Reused {
        /// The session.
        session: Uuid,
        /// Whose.
        person: Uuid,
    },
    /// There is no such token, or its time or its session is over.
    Unknown,
}

#[derive(sqlx::FromRow)]
struct Found {
    session: Uuid,
    person: Uuid,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    ends_at: Timestamp,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    session_ends_at: Timestamp,
    ended: bool,
    used_at: Option<jiff_sqlx::Timestamp>,
    nonce: Option<Vec<u8>>,
    successor_used: bool,
}

impl Vault {
    /// Opens a session for a person whose password of this version was checked; nothing when it has changed since.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_session(
        &self,
        person: Uuid,
        credential_version: i64,
        origin: &str,
        session: Uuid,
        now: Timestamp,
    ) -> Result<Option<Opened>, VaultError> {
        let mut transaction = postgres::begin(&self.pool).await?;
        let unchanged: Option<(i32,)> = sqlx::query_as(
            "select 1 from vault.credentials where person = $1 and version = $2 for share",
        )
        .bind(person)
        .bind(credential_version)
        .fetch_optional(&mut *transaction)
        .await?;
        if unchanged.is_none() {
            return Ok(None);
        }
        sqlx::query(
            "update vault.sessions set ended_at = $3, ended_why = 'too_many' where id in ( \
             select id from vault.sessions where person = $1 and ended_at is null \
             order by opened_at desc offset $2 for update)",
        )
        .bind(person)
        .bind(SESSIONS_PER_PERSON_MAX - 1)
        .bind(now.to_sqlx())
        .execute(&mut *transaction)
        .await?;
        let ends_at = later(now, SESSION_TTL);
        sqlx::query(
            "insert into vault.sessions (id, person, origin, opened_at, ends_at) values ($1, $2, $3, $4, $5)",
        )
        .bind(session)
        .bind(person)
        .bind(self.origin_hash(origin))
        .bind(now.to_sqlx())
        .bind(ends_at.to_sqlx())
        .execute(&mut *transaction)
        .await?;
        let refresh_token = encoded(&random::<TOKEN_BYTES>()?);
        self.store_token(&mut transaction, &refresh_token, session, ends_at, now)
            .await?;
        transaction.commit().await?;
        Ok(Some(Opened {
            session,
            person,
            refresh_token,
        }))
    }

    /// Exchanges a refresh token for its successor.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rotate(&self, token: &str, now: Timestamp) -> Result<Rotation, VaultError> {
        if token.is_empty() || token.len() > TOKEN_CHARS_MAX {
            return Ok(Rotation::Unknown);
        }
        let hash = self.token_hash(token);
        let mut transaction = postgres::begin(&self.pool).await?;
        // The session's row is what all tokens of a family queue up at.
        let locked: Option<(Uuid,)> = sqlx::query_as(
            "select id from vault.sessions where id = \
             (select session from vault.refresh_tokens where token_hash = $1) for update",
        )
        .bind(&hash)
        .fetch_optional(&mut *transaction)
        .await?;
        if locked.is_none() {
            return Ok(Rotation::Unknown);
        }
        let found: Option<Found> = sqlx::query_as(
            "select t.session, s.person, t.ends_at, s.ends_at as session_ends_at, s.ended_at is not null as ended, \
             t.used_at, t.nonce, coalesce(n.used_at is not null, false) as successor_used \
             from vault.refresh_tokens t join vault.sessions s on s.id = t.session \
             left join vault.refresh_tokens n on n.token_hash = t.successor where t.token_hash = $1",
        )
        .bind(&hash)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(found) = found else {
            return Ok(Rotation::Unknown);
        };
        if found.ended || found.session_ends_at <= now || found.ends_at <= now {
            return Ok(Rotation::Unknown);
        }
        let (session, person) = (found.session, found.person);
        if let (Some(used_at), Some(nonce)) = (found.used_at, &found.nonce) {
            let graceful = now <= later(used_at.to_jiff(), REUSE_GRACE) && !found.successor_used;
            if graceful {
                return Ok(Rotation::Fresh(Opened {
                    session,
                    person,
                    refresh_token: self.successor(token, nonce),
                }));
            }
            end_one(&mut transaction, session, "token_reused", now).await?;
            transaction.commit().await?;
            return Ok(Rotation::Reused { session, person });
        }
        let nonce = random::<NONCE_BYTES>()?;
        let refresh_token = self.successor(token, &nonce);
        sqlx::query(
            "update vault.refresh_tokens set used_at = $2, nonce = $3, successor = $4 where token_hash = $1",
        )
        .bind(&hash)
        .bind(now.to_sqlx())
        .bind(nonce.as_slice())
        .bind(self.token_hash(refresh_token.expose_secret()))
        .execute(&mut *transaction)
        .await?;
        self.store_token(
            &mut transaction,
            &refresh_token,
            session,
            found.session_ends_at,
            now,
        )
        .await?;
        transaction.commit().await?;
        Ok(Rotation::Fresh(Opened {
            session,
            person,
            refresh_token,
        }))
    }

    /// Ends the session that a refresh token belongs to; nothing when there is none that is open.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_session_of(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Uuid>, VaultError> {
        let ended: Option<(Uuid,)> = sqlx::query_as(
            "update vault.sessions set ended_at = $2, ended_why = 'signed_out' where ended_at is null and id = \
             (select session from vault.refresh_tokens where token_hash = $1) returning id",
        )
        .bind(self.token_hash(token))
        .bind(now.to_sqlx())
        .fetch_optional(&self.pool)
        .await?;
        Ok(ended.map(|(id,)| id))
    }

    /// Ends all sessions of a person; the access token of the session `spared` lives out its minutes. Answers those
    /// whose access tokens are void.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_sessions(
        &self,
        person: Uuid,
        spared: Option<Uuid>,
        why: &'static str,
        now: Timestamp,
    ) -> Result<Vec<Uuid>, VaultError> {
        let mut transaction = postgres::begin(&self.pool).await?;
        let ended = end_all(&mut transaction, person, spared, why, now).await?;
        transaction.commit().await?;
        Ok(ended)
    }

    /// Whether the person has signed in from there before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_known_origin(&self, person: Uuid, origin: &str) -> Result<bool, VaultError> {
        let (known,): (bool,) = sqlx::query_as(
            "select exists (select from vault.sessions where person = $1 and origin = $2)",
        )
        .bind(person)
        .bind(self.origin_hash(origin))
        .fetch_one(&self.pool)
        .await?;
        Ok(known)
    }

    /// Sessions that ended after `since`, so that their access tokens are void; with the moment they ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ended_since(
        &self,
        since: Timestamp,
    ) -> Result<Vec<(Uuid, Timestamp)>, VaultError> {
        let rows: Vec<(Uuid, jiff_sqlx::Timestamp)> = sqlx::query_as(
            "select id, ended_at from vault.sessions where ended_at > $1 and not spared",
        )
        .bind(since.to_sqlx())
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, at)| (id, at.to_jiff()))
            .collect())
    }

    async fn store_token(
        &self,
        connection: &mut PgConnection,
        token: &SecretString,
        session: Uuid,
        session_ends_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let ends_at = later(now, REFRESH_TOKEN_TTL).min(session_ends_at);
        sqlx::query(
            "insert into vault.refresh_tokens (token_hash, session, ends_at) values ($1, $2, $3)",
        )
        .bind(self.token_hash(token.expose_secret()))
        .bind(session)
        .bind(ends_at.to_sqlx())
        .execute(connection)
        .await?;
        Ok(())
    }

    fn token_hash(&self, token: &str) -> String {
        self.hashing.keyed_hash("refresh-token", token.as_bytes())
    }

    fn origin_hash(&self, origin: &str) -> String {
        self.hashing.keyed_hash("session-origin", origin.as_bytes())
    }

    /// Neither the database with the installation's key nor an old token with the database leads to it: it takes all
    /// three.
    fn successor(&self, token: &str, nonce: &[u8]) -> SecretString {
        let bytes = [nonce, token.as_bytes()].concat();
        SecretString::from(self.hashing.keyed_hash("refresh-successor", &bytes))
    }
}

/// Ends all open sessions of a person, and takes back that one was spared before.
pub(super) async fn end_all(
    connection: &mut PgConnection,
    person: Uuid,
    spared: Option<Uuid>,
    why: &'static str,
    now: Timestamp,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let rows: Vec<(Uuid, bool)> = sqlx::query_as(
        "update vault.sessions set ended_at = $3, ended_why = $4, spared = (id is not distinct from $2) \
         where person = $1 and (ended_at is null or spared) returning id, spared",
    )
    .bind(person)
    .bind(spared)
    .bind(now.to_sqlx())
    .bind(why)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, spared)| (!spared).then_some(id))
        .collect())
}

async fn end_one(
    connection: &mut PgConnection,
    session: Uuid,
    why: &'static str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("update vault.sessions set ended_at = $2, ended_why = $3 where id = $1")
        .bind(session)
        .bind(now.to_sqlx())
        .bind(why)
        .execute(connection)
        .await?;
    Ok(())
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX))
        .unwrap_or(Timestamp::MAX)
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], CryptoError> {
    let mut bytes = [0_u8; BYTES];
    rand::fill(&mut bytes).map_err(|_| CryptoError::Derivation)?;
    Ok(bytes)
}

fn encoded(bytes: &[u8]) -> SecretString {
    SecretString::from(URL_SAFE_NO_PAD.encode(bytes))
}

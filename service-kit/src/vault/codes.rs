//! Codes that are sent by mail: short enough to type, so they live briefly, allow few tries and work once.

use std::time::Duration;

use aws_lc_rs::{constant_time, rand};
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx;
use secrecy::SecretString;
use uuid::Uuid;

use super::{Vault, VaultError};
use crate::crypto::CryptoError;

/// How long a code works.
pub const CODE_TTL: Duration = Duration::from_secs(15 * 60);
/// How often a code may be tried. A guess hits with 5 in 100 million.
pub const CODE_TRIES_MAX: i32 = 5;
/// Eight digits.
const CODES: u64 = 100_000_000;
/// The largest multiple of [`CODES`] that 64 bits hold: numbers from there on would favour small codes.
const UNBIASED_BELOW: u64 = u64::MAX - u64::MAX % CODES;

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To show that an address is the person's.
    VerifyEmail,
    /// To set a password without knowing the old one.
    ResetPassword,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
        }
    }
}

impl Vault {
    /// Makes a code, which replaces the one before. `about` comes back when it is used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn issue_code(
        &self,
        purpose: Purpose,
        person: Uuid,
        about: &str,
        now: Timestamp,
    ) -> Result<SecretString, VaultError> {
        let code = format!("{:08}", number()?);
        let ends_at = now
            .saturating_add(SignedDuration::try_from(CODE_TTL).unwrap_or(SignedDuration::MAX))
            .unwrap_or(Timestamp::MAX);
        sqlx::query(
            "insert into vault.codes (purpose, person, code_hash, about, ends_at, tries_left) \
             values ($1, $2, $3, $4, $5, $6) on conflict (purpose, person) do update set \
             code_hash = excluded.code_hash, about = excluded.about, ends_at = excluded.ends_at, \
             tries_left = excluded.tries_left",
        )
        .bind(purpose.name())
        .bind(person)
        .bind(self.code_hash(purpose, person, &code))
        .bind(about)
        .bind(ends_at.to_sqlx())
        .bind(CODE_TRIES_MAX)
        .execute(&self.pool)
        .await?;
        Ok(SecretString::from(code))
    }

    /// Uses a code: what it was about, if it is the right one. Every call is a try, and the right one is the last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn use_code(
        &self,
        purpose: Purpose,
        person: Uuid,
        code: &str,
        now: Timestamp,
    ) -> Result<Option<String>, VaultError> {
        let tried: Option<(String,)> = sqlx::query_as(
            "update vault.codes set tries_left = tries_left - 1 \
             where purpose = $1 and person = $2 and tries_left > 0 and ends_at > $3 returning code_hash",
        )
        .bind(purpose.name())
        .bind(person)
        .bind(now.to_sqlx())
        .fetch_optional(&self.pool)
        .await?;
        let given = self.code_hash(purpose, person, code.trim());
        let right = tried.is_some_and(|(stored,)| {
            constant_time::verify_slices_are_equal(stored.as_bytes(), given.as_bytes()).is_ok()
        });
        if !right {
            return Ok(None);
        }
        // Of two who send the right code at once, one finds it.
        let used: Option<(String,)> = sqlx::query_as(
            "delete from vault.codes where purpose = $1 and person = $2 and code_hash = $3 returning about",
        )
        .bind(purpose.name())
        .bind(person)
        .bind(given)
        .fetch_optional(&self.pool)
        .await?;
        Ok(used.map(|(about,)| about))
    }

    fn code_hash(&self, purpose: Purpose, person: Uuid, code: &str) -> String {
        let bytes = [person.as_bytes().as_slice(), code.as_bytes()].concat();
        self.hashing
            .keyed_hash(&format!("code-{}", purpose.name()), &bytes)
    }
}

fn number() -> Result<u64, CryptoError> {
    loop {
        let mut bytes = [0_u8; 8];
        rand::fill(&mut bytes).map_err(|_| CryptoError::Derivation)?;
        let number = u64::from_be_bytes(bytes);
        if number < UNBIASED_BELOW {
            return Ok(number % CODES);
        }
    }
}

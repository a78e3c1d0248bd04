//! Secrets that are replaced while the other side still signs with the old one.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{Vault, VaultError};
use crate::postgres;

/// What became of a rotation.
#[derive(Debug, Clone)]
pub enum Rotated {
    /// It has happened, now or at the same rotation's first time.
    Now {
        /// The secret that holds.
        secret: SecretString,
        /// Until when the one before is believed.
        previous_until: Timestamp,
    },
    /// The rotation happened before, and another one has replaced its secret since.
    Replaced,
    /// There is no secret to replace.
    Missing,
}

impl Vault {
    /// Puts `fresh` in the place of the secret of this kind and id, which stays valid for `grace`. The same `rotation`
    /// replaces once: a repeat answers with the secret of its first time, whatever `fresh` is.
    ///
    /// # Errors
    /// When the database fails or the stored secret cannot be unwrapped.
    pub async fn rotate_secret(
        &self,
        kind: &'static str,
        id: Uuid,
        rotation: Uuid,
        fresh: &SecretString,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotated, VaultError> {
        let wrapped = self
            .wrapping
            .wrap(kind, id, fresh.expose_secret().as_bytes())?;
        let mut transaction = postgres::begin(&self.pool).await?;
        // Locks the row: of two rotations at once the second finds what the first has left.
        let row: Option<(Vec<u8>, Option<Uuid>, Option<jiff_sqlx::Timestamp>)> = sqlx::query_as(
            "select wrapped_secret, rotation, previous_until from vault.secrets where kind = $1 and id = $2 for update",
        )
        .bind(kind)
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some((holds, holds_since, until)) = row else {
            return Ok(Rotated::Missing);
        };
        let noted = sqlx::query(
            "insert into vault.secret_rotations (rotation, kind, id, rotated_at) values ($1, $2, $3, $4) \
             on conflict (rotation) do nothing",
        )
        .bind(rotation)
        .bind(kind)
        .bind(id)
        .bind(now.to_sqlx())
        .execute(&mut *transaction)
        .await?;
        if noted.rows_affected() == 0 {
            return match until {
                Some(until) if holds_since == Some(rotation) => Ok(Rotated::Now {
                    secret: self.unwrap_secret(kind, id, &holds)?,
                    previous_until: until.to_jiff(),
                }),
                _ => Ok(Rotated::Replaced),
            };
        }
        // As it is stored: a repeat is answered to the same microsecond.
        let previous_until: jiff_sqlx::Timestamp = sqlx::query_scalar(
            "update vault.secrets set previous_wrapped_secret = wrapped_secret, previous_until = $4, \
             wrapped_secret = $3, rotation = $5, updated_at = now() where kind = $1 and id = $2 \
             returning previous_until",
        )
        .bind(kind)
        .bind(id)
        .bind(wrapped)
        .bind((now + grace).to_sqlx())
        .bind(rotation)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Rotated::Now {
            secret: fresh.clone(),
            previous_until: previous_until.to_jiff(),
        })
    }

    /// The secrets of this kind and id that are believed at this moment: the present one first, then the one that it
    /// has replaced, for as long as that is good. None when there never was one.
    ///
    /// # Errors
    /// When the database fails or a secret cannot be unwrapped.
    pub async fn believed_secrets(
        &self,
        kind: &'static str,
        id: Uuid,
        now: Timestamp,
    ) -> Result<Vec<SecretString>, VaultError> {
        let row: Option<(Vec<u8>, Option<Vec<u8>>)> = sqlx::query_as(
            "select wrapped_secret, case when previous_until > $3 then previous_wrapped_secret end \
             from vault.secrets where kind = $1 and id = $2",
        )
        .bind(kind)
        .bind(id)
        .bind(now.to_sqlx())
        .fetch_optional(&self.pool)
        .await?;
        let Some((holds, previous)) = row else {
            return Ok(Vec::new());
        };
        std::iter::once(holds)
            .chain(previous)
            .map(|wrapped| self.unwrap_secret(kind, id, &wrapped))
            .collect()
    }
}

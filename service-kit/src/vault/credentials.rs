//! Passwords: their hashes, wrapped, and a version that counts how often they changed.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{Vault, VaultError, sessions};

const KIND: &str = "credential";

/// What a password is checked against.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The hash as a PHC string.
    pub hash: SecretString,
    /// How often the password was set.
    pub version: i64,
}

impl Vault {
    /// The person's password, if one was ever set.
    ///
    /// # Errors
    /// When the database fails or the hash cannot be unwrapped.
    pub async fn credential(&self, person: Uuid) -> Result<Option<Credential>, VaultError> {
        let row: Option<(Vec<u8>, i64)> =
            sqlx::query_as("select wrapped_hash, version from vault.credentials where person = $1")
                .bind(person)
                .fetch_optional(&self.pool)
                .await?;
        let Some((wrapped, version)) = row else {
            return Ok(None);
        };
        let hash = self.unwrap_secret(KIND, person, &wrapped)?;
        Ok(Some(Credential { hash, version }))
    }

    /// Sets the first password of a person; whoever has one keeps it. Says whether it was set.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_first_password(
        &self,
        person: Uuid,
        hash: &SecretString,
        now: Timestamp,
    ) -> Result<bool, VaultError> {
        let set = sqlx::query(
            "insert into vault.credentials (person, wrapped_hash, changed_at) values ($1, $2, $3) \
             on conflict (person) do nothing",
        )
        .bind(person)
        .bind(self.wrapped_hash(person, hash)?)
        .bind(now.to_sqlx())
        .execute(&self.pool)
        .await?;
        Ok(set.rows_affected() == 1)
    }

    /// Sets a new password and ends the person's sessions in the same transaction. The access token of the session
    /// `spared` lives out its minutes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn change_password(
        &self,
        person: Uuid,
        hash: &SecretString,
        spared: Option<Uuid>,
        now: Timestamp,
    ) -> Result<Vec<Uuid>, VaultError> {
        let wrapped = self.wrapped_hash(person, hash)?;
        let mut transaction = crate::postgres::begin(&self.pool).await?;
        sqlx::query(
            "insert into vault.credentials (person, wrapped_hash, changed_at) values ($1, $2, $3) \
             on conflict (person) do update set wrapped_hash = excluded.wrapped_hash, \
             changed_at = excluded.changed_at, version = credentials.version + 1",
        )
        .bind(person)
        .bind(wrapped)
        .bind(now.to_sqlx())
        .execute(&mut *transaction)
        .await?;
        let ended =
            sessions::end_all(&mut transaction, person, spared, "password_changed", now).await?;
        transaction.commit().await?;
        Ok(ended)
    }

    /// Replaces the hash of the same password by a stronger one, unless the password has changed meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn strengthen(
        &self,
        person: Uuid,
        version: i64,
        hash: &SecretString,
    ) -> Result<(), VaultError> {
        sqlx::query(
            "update vault.credentials set wrapped_hash = $3 where person = $1 and version = $2",
        )
        .bind(person)
        .bind(version)
        .bind(self.wrapped_hash(person, hash)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Removes everything by which the person could sign in: password, sessions, codes. Answers the sessions that this
    /// ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_account(
        &self,
        person: Uuid,
        now: Timestamp,
    ) -> Result<Vec<Uuid>, VaultError> {
        let mut transaction = crate::postgres::begin(&self.pool).await?;
        for table in ["credentials", "codes"] {
            sqlx::query(sqlx::AssertSqlSafe(format!(
                "delete from vault.{table} where person = $1"
            )))
            .bind(person)
            .execute(&mut *transaction)
            .await?;
        }
        let ended =
            sessions::end_all(&mut transaction, person, None, "account_closed", now).await?;
        transaction.commit().await?;
        Ok(ended)
    }

    fn wrapped_hash(&self, person: Uuid, hash: &SecretString) -> Result<Vec<u8>, VaultError> {
        Ok(self
            .wrapping
            .wrap(KIND, person, hash.expose_secret().as_bytes())?)
    }
}

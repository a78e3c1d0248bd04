//! What is left of persons who were erased.

use std::collections::HashSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Vault, VaultError};
use crate::postgres;

impl Vault {
    /// Those of these persons of whom the vault still holds something: a key, a password, a code, a session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn left_of(&self, persons: &[Uuid]) -> Result<HashSet<Uuid>, VaultError> {
        let rows: Vec<(Uuid,)> = sqlx::query_as(
            "select p from unnest($1::uuid[]) as p where \
             not exists (select from vault.personal_keys k where k.person = p and k.wrapped_key is null) \
             or exists (select from vault.credentials c where c.person = p) \
             or exists (select from vault.codes c where c.person = p) \
             or exists (select from vault.sessions s where s.person = p and (s.ended_at is null or s.origin <> ''))",
        )
        .bind(persons)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(person,)| person).collect())
    }

    /// As [`Vault::remove_account`], and what tells where the person's sessions came from goes too. The ended sessions
    /// themselves stay for as long as somebody could show their tokens. Answers the sessions that this ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_account(
        &self,
        person: Uuid,
        now: Timestamp,
    ) -> Result<Vec<Uuid>, VaultError> {
        let ended = self.remove_account(person, now).await?;
        let mut transaction = postgres::begin(&self.pool).await?;
        sqlx::query("update vault.sessions set origin = '' where person = $1 and origin <> ''")
            .bind(person)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(ended)
    }
}

//! How often something may be tried, counted in the database, so that all replicas count together.
//!
//! A leaky bucket a key: each try fills it by one period, time empties it, and a full one refuses. Nothing is ever
//! locked for longer than it takes one try to drain.

use std::time::Duration;

use jiff::Timestamp;

use super::{Vault, VaultError};

/// How often something may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// What is counted; separates the keys of different allowances.
    pub name: &'static str,
    /// Tries at once.
    pub burst: u32,
    /// After this long there is one more.
    pub period: Duration,
}

impl Allowance {
    fn period_millis(self) -> i64 {
        i64::try_from(self.period.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Vault {
    /// Takes one try, or says how long to wait for the next.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attempt(
        &self,
        allowance: Allowance,
        whose: &str,
        now: Timestamp,
    ) -> Result<Result<(), Duration>, VaultError> {
        let key = self.attempt_key(allowance, whose);
        let now = now.as_millisecond();
        let period = allowance.period_millis();
        let room = period.saturating_mul(i64::from(allowance.burst));
        let taken: Option<(i64,)> = sqlx::query_as(
            "insert into vault.attempts (key, full_at) values ($1, $2 + $3) \
             on conflict (key) do update set full_at = greatest(attempts.full_at, $2) + $3 \
             where greatest(attempts.full_at, $2) + $3 <= $2 + $4 returning full_at",
        )
        .bind(&key)
        .bind(now)
        .bind(period)
        .bind(room)
        .fetch_optional(&self.pool)
        .await?;
        if taken.is_some() {
            return Ok(Ok(()));
        }
        let full_at: Option<(i64,)> =
            sqlx::query_as("select full_at from vault.attempts where key = $1")
                .bind(&key)
                .fetch_optional(&self.pool)
                .await?;
        let wait = full_at.map_or(period, |(full_at,)| {
            full_at
                .saturating_add(period)
                .saturating_sub(now)
                .saturating_sub(room)
        });
        Ok(Err(Duration::from_millis(
            u64::try_from(wait).unwrap_or(1).max(1),
        )))
    }

    /// Gives back a try that turned out to be honest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_back(&self, allowance: Allowance, whose: &str) -> Result<(), VaultError> {
        sqlx::query("update vault.attempts set full_at = full_at - $2 where key = $1")
            .bind(self.attempt_key(allowance, whose))
            .bind(allowance.period_millis())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    fn attempt_key(&self, allowance: Allowance, whose: &str) -> String {
        self.hashing
            .keyed_hash(&format!("attempt-{}", allowance.name), whose.as_bytes())
    }
}

//! Forgets what time has made useless, a bounded bite at a time.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use super::{Vault, VaultError};

/// Rows that one bite takes of each table, so that no statement holds locks for long; what another replica is about to
/// take is left to it.
const ROWS_PER_BITE: i64 = 5_000;

impl Vault {
    /// Removes ended tokens, sessions, codes and drained buckets; answers how many rows that was. More than none means
    /// that there may be more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, VaultError> {
        let mut swept = 0;
        for statement in [
            "delete from vault.refresh_tokens where token_hash in \
             (select token_hash from vault.refresh_tokens where ends_at < $1 limit $2 for update skip locked)",
            "delete from vault.sessions where id in \
             (select id from vault.sessions where ends_at < $1 limit $2 for update skip locked)",
            "delete from vault.codes where (purpose, person) in \
             (select purpose, person from vault.codes where ends_at < $1 limit $2 for update skip locked)",
        ] {
            swept += sqlx::query(statement)
                .bind(now.to_sqlx())
                .bind(ROWS_PER_BITE)
                .execute(&self.pool)
                .await?
                .rows_affected();
        }
        swept += sqlx::query(
            "delete from vault.attempts where key in \
             (select key from vault.attempts where full_at < $1 limit $2 for update skip locked)",
        )
        .bind(now.as_millisecond())
        .bind(ROWS_PER_BITE)
        .execute(&self.pool)
        .await?
        .rows_affected();
        Ok(swept)
    }
}

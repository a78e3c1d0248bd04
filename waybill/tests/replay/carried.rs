//! What `pg_dump` and `psql` carry from one database to another, as docs/runbooks/moving-house.md says: rows of tables
//! that are there already.

use futures::TryStreamExt as _;
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt as _;

/// Personal keys and secrets.
pub const VAULT: &[&str] = &["vault.personal_keys", "vault.secrets"];
/// Carries the rows of these tables over.
pub async fn rows(from: &PgPool, to: &PgPool, tables: &[&str]) {
    for table in tables {
        let out = format!("copy {table} to stdout");
        let mut rows = from.copy_out_raw(&out).await.unwrap();
        let into = format!("copy {table} from stdin");
        let mut copied = to.copy_in_raw(&into).await.unwrap();
        while let Some(chunk) = rows.try_next().await.unwrap() {
            copied.send(chunk).await.unwrap();
        }
        copied.finish().await.unwrap();
    }
}

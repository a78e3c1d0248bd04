//! The vault's migrations, recorded in its own schema: it is backed up and restored without the rest.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The migrations of the schema `vault`, for [`crate::postgres::migrate`] and [`crate::postgres::wait_until_migrated`].
#[must_use]
pub fn migrator() -> Migrator {
    let mut migrator = Migrator::with_migrations(vec![Migration::new(
        1,
        "personal keys and secrets".into(),
        MigrationType::Simple,
        include_str!("../../migrations/vault/0001_personal_keys_and_secrets.sql").into_sql_str(),
        false,
    )]);
    migrator.create_schema("vault");
    migrator.dangerous_set_table_name("vault.migrations");
    migrator
}

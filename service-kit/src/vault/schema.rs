//! The vault's migrations, recorded in its own schema: it is backed up and restored without the rest.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The migrations of the schema `vault`, for [`crate::postgres::migrate`] and [`crate::postgres::wait_until_migrated`].
#[must_use]
pub fn migrator() -> Migrator {
    let simple = |version: i64, name: &'static str, sql: &'static str| {
        let sql = sql.into_sql_str();
        Migration::new(
            version,
            Cow::Borrowed(name),
            MigrationType::Simple,
            sql,
            false,
        )
    };
    let mut migrator = Migrator::with_migrations(vec![
        simple(
            1,
            "personal keys and secrets",
            include_str!("../../migrations/vault/0001_personal_keys_and_secrets.sql"),
        ),
        simple(
            2,
            "accounts",
            include_str!("../../migrations/vault/0002_accounts.sql"),
        ),
        simple(
            3,
            "rotated secrets",
            include_str!("../../migrations/vault/0003_rotated_secrets.sql"),
        ),
    ]);
    migrator.create_schema("vault");
    migrator.dangerous_set_table_name("vault.migrations");
    migrator
}

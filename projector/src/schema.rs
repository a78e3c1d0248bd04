//! Which schema a statement runs against: the live `read`, or a shadow of it that a rebuild or a check fills.
//!
//! Statements are constants that name their tables as `read.<table>`, so they read as plain SQL; for a shadow the
//! schema's name is exchanged. Nothing depends on the connection's search path.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, SqlSafeStr as _, SqlStr};

use crate::projection::Table;

/// The live schema, as statements spell it.
const LIVE: &str = "read.";
/// The tables that every schema needs besides a projection's own: where it stands, who writes, what is parked.
const BOOKKEEPING: [&str; 3] = ["checkpoint", "projector_lease", "parked"];

/// The live schema or a shadow of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    shadow: Option<Arc<str>>,
}

impl Schema {
    /// The schema that queries are answered from.
    pub const LIVE: Self = Self { shadow: None };

    /// A schema beside the live one. Both parts come from constants of this crate, never from a caller.
    pub(crate) fn shadow(purpose: &'static str, projection: &'static str) -> Self {
        Self {
            shadow: Some(format!("read_{purpose}_{projection}").into()),
        }
    }

    /// The schema's name.
    pub fn name(&self) -> &str {
        self.shadow.as_deref().unwrap_or("read")
    }

    /// A statement whose tables are spelt `read.<table>`, for this schema.
    pub fn sql(&self, text: &'static str) -> SqlStr {
        match &self.shadow {
            None => text.into_sql_str(),
            Some(name) => AssertSqlSafe(in_schema(text, name)).into_sql_str(),
        }
    }

    /// Makes the shadow anew: the projection's tables and the bookkeeping, shaped like the live ones and empty.
    pub(crate) async fn create(
        &self,
        connection: &mut PgConnection,
        tables: &[Table],
    ) -> Result<(), sqlx::Error> {
        let Some(name) = &self.shadow else {
            return Ok(());
        };
        self.drop(connection).await?;
        run(connection, format!("create schema {name}")).await?;
        for table in tables.iter().map(|table| table.name).chain(BOOKKEEPING) {
            run(
                connection,
                format!("create table {name}.{table} (like read.{table} including all)"),
            )
            .await?;
        }
        Ok(())
    }

    /// Removes the shadow and all that is in it; the live schema is never removed by this.
    pub(crate) async fn drop(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some(name) = &self.shadow else {
            return Ok(());
        };
        run(connection, format!("drop schema if exists {name} cascade")).await
    }

    /// Puts the shadow's tables in the place of the live ones. In the caller's transaction: all of them or none.
    pub(crate) async fn replace_live(
        &self,
        connection: &mut PgConnection,
        tables: &[Table],
    ) -> Result<(), sqlx::Error> {
        let Some(name) = &self.shadow else {
            return Ok(());
        };
        for Table { name: table, .. } in tables {
            run(connection, format!("drop table read.{table}")).await?;
            run(
                connection,
                format!("alter table {name}.{table} set schema read"),
            )
            .await?;
        }
        Ok(())
    }
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map(drop)
}

/// Exchanges the schema in front of every table, and nothing else that happens to end in `read.`.
fn in_schema(text: &str, name: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find(LIVE) {
        let (before, from) = rest.split_at(at);
        let begins_a_word = before
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
        out.push_str(before);
        if begins_a_word {
            out.push_str(name);
            out.push('.');
        } else {
            out.push_str(LIVE);
        }
        rest = &from[LIVE.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_schema_in_front_of_a_table_is_exchanged() {
        assert_eq!(
            in_schema(
                "insert into read.orders (id) select thread.id from (read.a) join x.read.y",
                "s"
            ),
            "insert into s.orders (id) select thread.id from (s.a) join x.read.y"
        );
    }

    #[test]
    fn a_live_statement_stays_as_it_is_written() {
        assert_eq!(
            Schema::LIVE.sql("select 1 from read.orders").as_str(),
            "select 1 from read.orders"
        );
        let shadow = Schema::shadow("rebuild", "orders");
        assert_eq!(
            shadow.sql("select 1 from read.orders").as_str(),
            "select 1 from read_rebuild_orders.orders"
        );
    }
}

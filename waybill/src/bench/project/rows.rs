//! The database's limit: the rows of a projection's tables, written into tables of the same shape by nothing but SQL.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use projector::projection::Table;
use serde_json::Value;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Column as _, PgPool, Postgres, Row as _, TypeInfo as _};
use uuid::Uuid;

use crate::bench::race::{Contestant, Sample};
use crate::bench::times::Times;

/// Rows of one upsert.
pub const STATEMENT_ROWS: usize = 1000;
/// Most rows that are kept as a source.
const SOURCE_ROWS_MAX: usize = 20_000;
/// A bare statement may take its time on a busy machine.
const SCHEMA: &str = "bench";

/// The values of one column.
#[derive(Clone)]
enum Values {
    Uuid(Vec<Option<Uuid>>),
    Text(Vec<Option<String>>),
    Json(Vec<Option<Json<Value>>>),
    BigInt(Vec<Option<i64>>),
    Boolean(Vec<Option<bool>>),
    Time(Vec<Option<jiff_sqlx::Timestamp>>),
}

/// A table's rows, by column, and as COPY writes them.
#[derive(Clone)]
struct Source {
    table: Table,
    names: Vec<String>,
    columns: Vec<Values>,
    rows: usize,
    copied: Vec<Bytes>,
}

/// The rows of all tables of a projection.
#[derive(Clone)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Reads what a projection has written, and makes empty tables of the same shape.
    pub async fn read(pool: &PgPool, tables: &[Table]) -> anyhow::Result<Self> {
        forget(pool).await?;
        run(pool, format!("create schema {SCHEMA}")).await?;
        let mut sources = Vec::new();
        for table in tables {
            let name = table.name;
            run(
                pool,
                format!("create table {SCHEMA}.{name} (like read.{name} including all)"),
            )
            .await?;
            let rows: Vec<PgRow> = sqlx::query(AssertSqlSafe(format!(
                "select * from read.{name} order by {} limit {SOURCE_ROWS_MAX}",
                table.key
            )))
            .fetch_all(pool)
            .await?;
            let copy = format!(
                "copy (select * from read.{name} order by {} limit {SOURCE_ROWS_MAX}) to stdout (format binary)",
                table.key
            );
            let mut connection = pool.acquire().await?;
            let copied = connection.copy_out_raw(&copy).await?.try_collect().await?;
            if let Some(source) = source(*table, &rows, copied)? {
                sources.push(source);
            }
        }
        if sources.is_empty() {
            bail!("the projection has written no rows");
        }
        Ok(Self(sources))
    }

    /// How many there are.
    pub fn rows(&self) -> usize {
        self.0.iter().map(|source| source.rows).sum()
    }
}

/// Takes the tables away.
pub async fn forget(pool: &PgPool) -> anyhow::Result<()> {
    run(pool, format!("drop schema if exists {SCHEMA} cascade")).await
}

async fn run(pool: &PgPool, statement: String) -> anyhow::Result<()> {
    sqlx::query(AssertSqlSafe(statement)).execute(pool).await?;
    Ok(())
}

fn source(table: Table, rows: &[PgRow], copied: Vec<Bytes>) -> anyhow::Result<Option<Source>> {
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let names = first
        .columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    let mut columns = Vec::with_capacity(first.columns().len());
    for (place, column) in first.columns().iter().enumerate() {
        columns.push(values(rows, place, column.type_info().name())?);
    }
    Ok(Some(Source {
        table,
        names,
        columns,
        rows: rows.len(),
        copied,
    }))
}

fn values(rows: &[PgRow], place: usize, kind: &str) -> anyhow::Result<Values> {
    fn read<'r, T>(rows: &'r [PgRow], place: usize) -> Result<Vec<Option<T>>, sqlx::Error>
    where
        T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
    {
        rows.iter().map(|row| row.try_get(place)).collect()
    }
    Ok(match kind {
        "UUID" => Values::Uuid(read(rows, place)?),
        "TEXT" => Values::Text(read(rows, place)?),
        "JSONB" => Values::Json(read(rows, place)?),
        "INT8" => Values::BigInt(read(rows, place)?),
        "BOOL" => Values::Boolean(read(rows, place)?),
        "TIMESTAMPTZ" => Values::Time(read(rows, place)?),
        other => bail!("the bench does not know how to write a column of the type {other}"),
    })
}

impl Values {
    fn array(&self) -> &'static str {
        match self {
            Self::Uuid(_) => "uuid[]",
            Self::Text(_) => "text[]",
            Self::Json(_) => "jsonb[]",
            Self::BigInt(_) => "bigint[]",
            Self::Boolean(_) => "boolean[]",
            Self::Time(_) => "timestamptz[]",
        }
    }

    fn bind<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
        rows: Range<usize>,
    ) -> Query<'q, Postgres, PgArguments> {
        match self {
            Self::Uuid(values) => query.bind(&values[rows]),
            Self::Text(values) => query.bind(&values[rows]),
            Self::Json(values) => query.bind(&values[rows]),
            Self::BigInt(values) => query.bind(&values[rows]),
            Self::Boolean(values) => query.bind(&values[rows]),
            Self::Time(values) => query.bind(&values[rows]),
        }
    }
}

impl Source {
    fn upsert(&self) -> String {
        let (table, key) = (self.table.name, self.table.key);
        let names = self.names.join(", ");
        let arrays: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(n, values)| format!("${}::{}", n + 1, values.array()))
            .collect();
        let set: Vec<String> = self
            .names
            .iter()
            .filter(|name| *name != key)
            .map(|name| format!("{name} = excluded.{name}"))
            .collect();
        format!(
            "insert into {SCHEMA}.{table} ({names}) select * from unnest({}) on conflict ({key}) do update set {}",
            arrays.join(", "),
            set.join(", ")
        )
    }

    /// The same rows with other values in columns that projections change and indexes hold: an update that touches no
    /// index is cheaper than those that are measured.
    fn changed(&self) -> Self {
        let mut changed = self.clone();
        for (name, values) in changed.names.iter().zip(&mut changed.columns) {
            if let Values::Text(texts) = values
                && name.ends_with("status")
            {
                texts.iter_mut().flatten().for_each(|text| text.push('\''));
            }
        }
        changed
    }
}

/// Upserts by `unnest`, each statement a transaction of its own that does not wait for the disk; as many rows, and as
/// many of them updates, as the projection has written.
pub struct Upserts {
    pool: PgPool,
    even: Vec<Source>,
    odd: Vec<Source>,
    rows: u64,
}

impl Upserts {
    pub fn new(pool: &PgPool, sources: Sources, rows: u64) -> Self {
        let odd = sources.0.iter().map(Source::changed).collect();
        Self {
            pool: projector::worker_pool(pool),
            even: sources.0,
            odd,
            rows,
        }
    }
}

#[async_trait]
impl Contestant for Upserts {
    async fn run(&mut self, _: Duration) -> anyhow::Result<Sample> {
        truncate(&self.pool, &self.even).await?;
        let statements: Vec<String> = self.even.iter().map(Source::upsert).collect();
        let mut connection = self.pool.acquire().await?;
        let (begun, mut written, mut times) = (Instant::now(), 0, Times::new()?);
        for pass in 0_u64.. {
            let sources = if pass % 2 == 0 { &self.even } else { &self.odd };
            for (source, statement) in sources.iter().zip(&statements) {
                let mut from = 0;
                while from < source.rows && written < self.rows {
                    let most = usize::try_from(self.rows - written)
                        .unwrap_or(STATEMENT_ROWS)
                        .min(STATEMENT_ROWS);
                    let rows = from..source.rows.min(from + most);
                    let at = Instant::now();
                    let query = sqlx::query(AssertSqlSafe(statement.as_str()));
                    let query = source
                        .columns
                        .iter()
                        .fold(query, |query, values| values.bind(query, rows.clone()));
                    query.execute(&mut *connection).await?;
                    times.record(at.elapsed());
                    written += rows.len() as u64;
                    from = rows.end;
                }
            }
            if written >= self.rows {
                break;
            }
        }
        Ok(Sample {
            took: begun.elapsed(),
            amounts: vec![("rows", written)],
            times: Some(times),
        })
    }
}

/// COPY of all rows into empty tables, again and again.
pub struct Copies {
    pool: PgPool,
    sources: Vec<Source>,
}

impl Copies {
    pub fn new(pool: &PgPool, sources: Sources) -> Self {
        Self {
            pool: projector::worker_pool(pool),
            sources: sources.0,
        }
    }
}

#[async_trait]
impl Contestant for Copies {
    async fn run(&mut self, about: Duration) -> anyhow::Result<Sample> {
        let (mut took, mut written, mut times) = (Duration::ZERO, 0, Times::new()?);
        let begun = Instant::now();
        while written == 0 || begun.elapsed() < about {
            truncate(&self.pool, &self.sources).await?;
            let mut connection = self.pool.acquire().await?;
            let at = Instant::now();
            for source in &self.sources {
                let statement = format!(
                    "copy {SCHEMA}.{} from stdin (format binary)",
                    source.table.name
                );
                let mut copy = connection.copy_in_raw(&statement).await?;
                for chunk in &source.copied {
                    copy.send(chunk.as_ref()).await?;
                }
                written += copy.finish().await?;
            }
            times.record(at.elapsed());
            took += at.elapsed();
        }
        Ok(Sample {
            took,
            amounts: vec![("rows", written)],
            times: Some(times),
        })
    }
}

async fn truncate(pool: &PgPool, sources: &[Source]) -> anyhow::Result<()> {
    for source in sources {
        run(pool, format!("truncate {SCHEMA}.{}", source.table.name))
            .await
            .context("emptying a raw table")?;
    }
    Ok(())
}

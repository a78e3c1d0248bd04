//! Looks for words everywhere that the shop keeps something: every message of every stream and bucket with its headers,
//! every row of every table, every file that is not the database's own, and everything the processes have said.

use std::fs;
use std::path::Path;

use async_nats::jetstream;
use sqlx::{AssertSqlSafe, PgPool};
use testkit::Shop;

/// Where a word was found.
pub type Found = Vec<String>;

pub async fn database(shop: &Shop) -> PgPool {
    let running = shop.running();
    PgPool::connect(running["database_url"].as_str().unwrap())
        .await
        .unwrap()
}

/// Every place where one of the words is.
pub async fn everywhere(shop: &mut Shop, words: &[String]) -> Found {
    let mut found = Found::new();
    streams(shop, words, &mut found).await;
    tables(shop, words, &mut found).await;
    let data = shop.data_dir().to_owned();
    files(&data, words, &mut found);
    look(
        shop.program().said().as_bytes(),
        words,
        "what the processes said",
        &mut found,
    );
    found
}

fn look(bytes: &[u8], words: &[String], place: &str, found: &mut Found) {
    for word in words {
        let word = word.as_bytes();
        if bytes.len() >= word.len() && bytes.windows(word.len()).any(|window| window == word) {
            found.push(format!("{place}: {}", String::from_utf8_lossy(word)));
        }
    }
}

async fn streams(shop: &Shop, words: &[String], found: &mut Found) {
    let running = shop.running();
    let client = async_nats::connect(running["nats_url"].as_str().unwrap())
        .await
        .unwrap();
    let context = jetstream::new(client);
    for name in [
        "EVENTS",
        "KV_quotes",
        "KV_snapshots",
        "KV_saga_status",
        "KV_saga_attention",
        "KV_notifier",
    ] {
        let stream = context.get_stream(name).await.unwrap();
        let state = stream.cached_info().state.clone();
        let mut seen = 0;
        for sequence in state.first_sequence..=state.last_sequence {
            // Replaced or deleted since.
            let Ok(message) = stream.get_raw_message(sequence).await else {
                continue;
            };
            seen += 1;
            let place = format!("{name} {sequence} {}", message.subject);
            look(&message.payload, words, &place, found);
            look(place.as_bytes(), words, &place, found);
            look(
                format!("{:?}", message.headers).as_bytes(),
                words,
                &place,
                found,
            );
        }
        assert!(name != "EVENTS" || seen > 10, "the log was read");
    }
}

async fn tables(shop: &Shop, words: &[String], found: &mut Found) {
    let pool = database(shop).await;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select schemaname::text, tablename::text from pg_tables
         where schemaname not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(tables.len() > 10, "the tables were found");
    for (schema, table) in tables {
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "select t::text from {schema}.{table} t"
        )))
        .fetch_all(&pool)
        .await
        .unwrap();
        for row in rows {
            look(row.as_bytes(), words, &format!("{schema}.{table}"), found);
        }
    }
}

/// The database's own files keep what was deleted until it is vacuumed and its journal is over; the run-book says so.
fn files(folder: &Path, words: &[String], found: &mut Found) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            // What was delivered is the receiver's: the message sandbox stands for what is outside of the shop.
            if !path.ends_with("postgres") && !path.ends_with("messages") {
                files(&path, words, found);
            }
        } else if kind.is_file()
            && let Ok(bytes) = fs::read(&path)
        {
            look(&bytes, words, &path.display().to_string(), found);
        }
    }
}

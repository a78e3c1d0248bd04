//! One transaction on the ledger: what an operation writes, and the events that leave with it.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::{Value, json};
use sqlx::{PgPool, Postgres, Transaction};

use crate::{call::About, config::Config, id};

/// The version that the objects look like; told in every event.
pub(crate) const API_VERSION: &str = "2024-06-20";

/// Whatever the server's or the pool's defaults are: an answer is given only for what is on disk, and nobody waits for a
/// row, a statement or an abandoned client without a limit.
const BEGIN: &str = "begin;
    set local synchronous_commit = on;
    set local lock_timeout = '5s';
    set local statement_timeout = '15s';
    set local idle_in_transaction_session_timeout = '30s'";

/// An open transaction with the moment at which it happens. Nothing in it is visible before [`Work::commit`].
pub(crate) struct Work<'a> {
    pub(crate) tx: Transaction<'static, Postgres>,
    pub(crate) config: &'a Config,
    pub(crate) now: Timestamp,
    /// What caused the events of this work; all absent when time or a customer did.
    pub(crate) cause: Cause,
    /// The objects that were found or made, for the list of calls.
    pub(crate) touched: About,
    events: Vec<Event>,
}

/// The API call behind an event.
#[derive(Debug, Default, Clone)]
pub(crate) struct Cause {
    pub(crate) request_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

struct Event {
    kind: &'static str,
    object: Value,
    object_key: String,
    order_id: Option<String>,
}

impl<'a> Work<'a> {
    /// Begins.
    pub(crate) async fn begin(
        pool: &PgPool,
        config: &'a Config,
        cause: Cause,
    ) -> Result<Self, sqlx::Error> {
        let tx = service_kit::postgres::begin_with(pool, BEGIN).await?;
        Ok(Self {
            tx,
            config,
            now: Timestamp::now(),
            cause,
            touched: About::default(),
            events: Vec::new(),
        })
    }

    /// Remembers an event to be sent when this work is committed, if anybody wants to hear of it. Events of one
    /// `object_key` are sent in order.
    pub(crate) fn record(
        &mut self,
        kind: &'static str,
        object: Value,
        object_key: &str,
        order_id: Option<&str>,
    ) {
        if !self.config.announces(kind) {
            return;
        }
        self.events.push(Event {
            kind,
            object,
            object_key: object_key.to_owned(),
            order_id: order_id.map(str::to_owned),
        });
    }

    /// Writes the events and commits. Answers whether there is anything new to deliver.
    pub(crate) async fn commit(mut self) -> Result<bool, sqlx::Error> {
        let any = !self.events.is_empty();
        if any {
            self.store_events().await?;
        }
        self.tx.commit().await?;
        Ok(any)
    }

    async fn store_events(&mut self) -> Result<(), sqlx::Error> {
        let count = self.events.len();
        let mut ids = Vec::with_capacity(count);
        let mut kinds = Vec::with_capacity(count);
        let mut keys = Vec::with_capacity(count);
        let mut orders = Vec::with_capacity(count);
        let mut bodies = Vec::with_capacity(count);
        for event in std::mem::take(&mut self.events) {
            let id = id::new("evt");
            bodies.push(
                json!({
                    "id": id,
                    "object": "event",
                    "api_version": API_VERSION,
                    "created": self.now.as_second(),
                    "data": { "object": event.object },
                    "livemode": false,
                    "pending_webhooks": 1,
                    "request": { "id": self.cause.request_id, "idempotency_key": self.cause.idempotency_key },
                    "type": event.kind,
                })
                .to_string(),
            );
            ids.push(id);
            kinds.push(event.kind.to_owned());
            keys.push(event.object_key);
            orders.push(event.order_id);
        }
        sqlx::query(
            "insert into sandbox.events (id, type, created_at, object_key, order_id, body, next_attempt_at)
             select id, type, $6, object_key, order_id, body, $6
             from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                  with ordinality as new (id, type, object_key, order_id, body, place)
             order by place",
        )
        .bind(&ids)
        .bind(&kinds)
        .bind(&keys)
        .bind(&orders)
        .bind(&bodies)
        .bind(self.now.to_sqlx())
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

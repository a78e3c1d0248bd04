//! A shop for tests: a real Postgres, a log in memory, the worker running, queries over the whole HTTP stack.

pub mod live;
pub mod stories;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use uuid::Uuid;

use event_schema::ids::CommandId;
use event_schema::{Actor, EventSet, Metadata, NewEvent, Position, Sealed, Subject, Version};
use event_store::{EventStore, Group, InMemoryStore, Part};
use service_kit::http::{HttpLimits, Readiness, ServerBuilder};
use service_kit::pictures::Pictures;
use service_kit::signing::{Grant, SigningKey, Tokens};
use service_kit::vault::{self, Vault};
use service_kit::{ApiRouter, Clock, Role, Shutdown, postgres};

use crate::projection::Projection;
use crate::{Deps, Moves, Personal, Service, Workshop, read_models, worker};

const HOUR: Duration = Duration::from_secs(3_600);
/// Nothing that a test waits for takes longer, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

/// A database and a log, and whoever reads and writes them.
pub struct Shop {
    pub store: Arc<dyn EventStore>,
    pub pool: PgPool,
    pub vault: Vault,
    pub pictures: Pictures,
    tokens: Arc<Tokens>,
    clock: Clock,
}

/// The shop while its projector runs.
pub struct Open {
    pub shop: Shop,
    pub router: Router,
    pub readiness: Readiness,
    pub workshop: Workshop,
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The ids of a list's rows.
    pub fn ids(&self) -> Vec<&str> {
        self.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap())
            .collect()
    }
}

/// One history's share of what happens.
pub struct Happening {
    subject: Subject,
    events: Vec<NewEvent>,
}

/// Events of one history, to happen together with others.
pub fn to<E: EventSet>(id: Uuid, events: impl IntoIterator<Item = E>) -> Happening {
    let new = |event: E| NewEvent {
        event_id: Uuid::now_v7(),
        event_type: event.event_type(),
        schema_version: event.schema_version(),
        payload: Bytes::from(event.encode().unwrap()),
        saga: event.saga_headers(),
    };
    Happening {
        subject: Subject::history(E::AGGREGATE, id),
        events: events.into_iter().map(new).collect(),
    }
}

/// An event of a type that no build knows yet.
pub fn from_the_future(aggregate: &str, id: Uuid, event_type: &'static str) -> Happening {
    let event = NewEvent {
        event_id: Uuid::now_v7(),
        event_type,
        schema_version: 1,
        payload: Bytes::from_static(&[0x80]),
        saga: None,
    };
    Happening {
        subject: Subject::history(aggregate, id),
        events: vec![event],
    }
}

impl Shop {
    /// An empty shop with the log in memory.
    pub async fn new() -> Self {
        Self::with_log(Arc::new(InMemoryStore::new())).await
    }

    /// An empty shop with a log of the test's own.
    pub async fn with_log(store: Arc<dyn EventStore>) -> Self {
        let url = dev_servers::fresh_database().await.unwrap();
        let pool = postgres::connect(&url.into(), "projector-test", 10)
            .await
            .unwrap();
        postgres::migrate(&pool, &vault::migrator()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(&folder.path().join("signing.key")).unwrap();
        let clock = Clock::system();
        Self {
            store,
            vault: Vault::new(pool.clone(), &key.installation_key().unwrap()).unwrap(),
            pool,
            tokens: Arc::new(Tokens::new(&key, clock.clone())),
            pictures: Pictures::in_memory(),
            clock,
        }
    }

    /// Begins to project and to serve.
    pub async fn open(self) -> Open {
        let service = Service::new(self.deps()).await.unwrap();
        let readiness = Readiness::new();
        service.readiness(&readiness);
        let router = self.router_of(service.api());
        let workshop = service.workshop().clone();
        let shutdown = Shutdown::new();
        let running = tokio::spawn(service.run(shutdown.clone()));
        Open {
            shop: self,
            router,
            readiness,
            workshop,
            shutdown,
            running,
        }
    }

    /// These routes with all layers around them.
    pub fn router_of(&self, api: ApiRouter) -> Router {
        let limits = HttpLimits {
            rate_limit: None,
            ..HttpLimits::default()
        };
        ServerBuilder::new(limits)
            .tokens(Arc::clone(&self.tokens))
            .api(api)
            .build()
    }

    pub fn deps(&self) -> Deps {
        Deps {
            instance: "test".into(),
            store: Arc::clone(&self.store),
            pool: self.pool.clone(),
            vault: self.vault.clone(),
            nats: None,
            tokens: Arc::clone(&self.tokens),
            clock: self.clock.clone(),
            pictures: self.pictures.clone(),
            provider: "sandbox".into(),
        }
    }

    /// A worker for these projections alone, not running yet.
    pub fn worker(&self, projections: Vec<Arc<dyn Projection>>, instance: &str) -> worker::Worker {
        let pool = crate::worker_pool(&self.pool);
        let personal = Personal::new(self.vault.clone());
        worker::Worker::new(
            pool,
            Arc::clone(&self.store),
            personal,
            projections,
            Moves::default(),
            instance,
        )
    }

    /// What happens, as one group; what happens to one subject in several steps stays in their order. Answers the
    /// position of its last event.
    pub async fn happens(&self, what: impl IntoIterator<Item = Happening>) -> Position {
        let mut parts: Vec<Part> = Vec::new();
        for Happening { subject, events } in what {
            if let Some(part) = parts.iter_mut().find(|part| part.subject == subject) {
                part.events.extend(events);
                continue;
            }
            let head = self.store.head(&subject).await.unwrap();
            let expected = head.map_or(Version::NONE, |(version, _)| version);
            parts.push(Part {
                subject,
                expected,
                seen: head.map(|(_, position)| position).into(),
                events,
            });
        }
        let metadata = Metadata::new(CommandId(Uuid::now_v7()), Actor::system(), self.clock.now());
        self.store
            .append(Group {
                metadata,
                parts,
                conditions: vec![],
            })
            .await
            .unwrap()
            .last
    }

    /// A text sealed for a person.
    pub async fn sealed(&self, person: Uuid, field: &str, text: &str) -> Sealed<String> {
        let key = self.vault.personal_key(person).await.unwrap();
        Sealed::seal(&key, person, Uuid::now_v7(), field, &text.to_owned()).unwrap()
    }

    /// Waits until every one of these projections stands at the log's end.
    pub async fn wait_until_caught_up(&self, projections: &[&str]) -> Position {
        let end = self.store.end().await.unwrap().position;
        eventually("the projections stand at the log's end", async || {
            let behind: i64 = sqlx::query_scalar(
                "select count(*) from unnest($1::text[]) as wanted (name)
                 where not exists (select 1 from read.checkpoint c where c.projection = name and c.position >= $2)",
            )
            .bind(projections)
            .bind(i64::try_from(end.0).unwrap())
            .fetch_one(&self.pool)
            .await
            .ok()?;
            (behind == 0).then_some(())
        })
        .await;
        end
    }

    /// Every row of every read model.
    pub async fn rows(&self) -> BTreeMap<&'static str, Vec<Value>> {
        let mut all = BTreeMap::new();
        for projection in read_models::all() {
            for table in projection.tables() {
                let rows = sqlx::query_scalar(AssertSqlSafe(format!(
                    "select to_jsonb(t) from read.{} t order by {}",
                    table.name, table.key
                )))
                .fetch_all(&self.pool)
                .await
                .unwrap();
                all.insert(table.name, rows);
            }
        }
        all
    }

    pub fn token(&self, role: Role, subject: Uuid) -> String {
        self.tokens.issue(role, subject, HOUR).unwrap()
    }

    /// A token of somebody who has an account of his own and acts for a partner.
    pub fn token_for_partner(&self, person: Uuid, partner: Uuid) -> String {
        let grant = Grant {
            subject: person,
            roles: vec![Role::Partner],
            partner: Some(partner),
            session: None,
        };
        self.tokens.issue_grant(grant, HOUR).unwrap()
    }

    /// Lets the lease of a worker that is gone run out at once.
    pub async fn lease_runs_out(&self) {
        sqlx::query("update read.projector_lease set until = now() - interval '1 second'")
            .execute(&self.pool)
            .await
            .unwrap();
    }
}

impl Open {
    /// Asks as a role.
    pub async fn get(&self, path: &str, role: Role, subject: Uuid) -> Got {
        self.get_with(path, Some((role, subject)), &[]).await
    }

    pub async fn get_with(
        &self,
        path: &str,
        caller: Option<(Role, Uuid)>,
        headers: &[(&str, &str)],
    ) -> Got {
        let mut request = Request::get(path);
        if let Some((role, subject)) = caller {
            request = request.header(
                "authorization",
                format!("Bearer {}", self.shop.token(role, subject)),
            );
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        // A live answer has no end: whoever wants to read one does so piece by piece.
        let endless = parts
            .headers
            .get("content-type")
            .is_some_and(|kind| kind == "text/event-stream");
        let body = if endless {
            Value::Null
        } else {
            let bytes = body.collect().await.unwrap().to_bytes();
            serde_json::from_slice(&bytes).unwrap_or(Value::Null)
        };
        Got {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// Asks as an admin.
    pub async fn ask(&self, path: &str) -> Got {
        self.get(path, Role::Admin, ADMIN).await
    }

    /// Waits until all projections stand at the log's end.
    pub async fn catch_up(&self) -> Position {
        let names: Vec<&str> = read_models::all()
            .iter()
            .map(|projection| projection.name())
            .collect();
        self.shop.wait_until_caught_up(&names).await
    }

    /// Things happen and are in the rows when this returns.
    pub async fn happens(&self, what: impl IntoIterator<Item = Happening>) -> Position {
        let position = self.shop.happens(what).await;
        self.catch_up().await;
        position
    }

    /// Ends the projector.
    pub async fn close(self) -> Shop {
        self.shutdown.begin();
        self.running.await.unwrap().unwrap();
        self.shop
    }
}

/// The admin who asks.
pub const ADMIN: Uuid = Uuid::from_u128(0xad);

/// Asks until there is an answer, within the test's patience.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            tokio::time::Instant::now() < until,
            "did not happen within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(POLL).await;
    }
}

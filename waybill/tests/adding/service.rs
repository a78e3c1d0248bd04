//! The service: what it needs, its routes with their rules, and what it runs in the background.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use event_schema::ids::CommandId;
use event_schema::{Actor, Metadata};
use event_store::{EventStore, ExecuteError, Executor, Once, Stop, Work};
use projector::worker::Worker;
use projector::{Moves, Personal};
use serde::{Deserialize, Serialize};
use service_kit::extract::{Json, Path};
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Access, ApiRouter, Caller, Clock, Problem, Role, Shutdown, Vault, routes};
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa::openapi::{Info, OpenApi, Paths};
use uuid::Uuid;

use crate::gift_card::{self, Command, GiftCard};
use crate::left::{Left, TABLES};

/// What the service needs; shared handles.
#[derive(Clone)]
pub struct Deps {
    pub instance: String,
    pub store: Arc<dyn EventStore>,
    pub pool: PgPool,
    pub vault: Vault,
}

/// What every handler holds.
#[derive(Clone)]
struct Door {
    executor: Executor,
    pool: PgPool,
    clock: Clock,
}

/// Gift cards, ready to run.
pub struct Service {
    door: Door,
    worker: Worker,
}

/// How much.
#[derive(Debug, Deserialize, ToSchema)]
struct Amount {
    /// In cents.
    #[schema(example = 5000)]
    cents: u32,
}

/// A gift card.
#[derive(Debug, Serialize, ToSchema)]
struct Card {
    /// Its id.
    id: Uuid,
    /// What can still be spent.
    left: u32,
}

impl Service {
    /// Makes its tables and puts the parts together.
    pub async fn new(deps: Deps) -> anyhow::Result<Self> {
        projector::migrate(&deps.pool).await?;
        sqlx::raw_sql(TABLES).execute(&deps.pool).await?;
        let worker = Worker::new(
            projector::worker_pool(&deps.pool),
            Arc::clone(&deps.store),
            Personal::new(deps.vault),
            vec![Arc::new(Left)],
            Moves::default(),
            &deps.instance,
        );
        let door = Door {
            executor: Executor::new(deps.store),
            pool: deps.pool,
            clock: Clock::system(),
        };
        Ok(Self { door, worker })
    }

    /// Its routes; none can be added without a rule.
    pub fn api(&self) -> ApiRouter {
        let document = OpenApi::new(Info::new("Gift cards", "1"), Paths::new());
        ApiRouter::new(document)
            .routes(Access::Roles(&[Role::Admin]), routes!(issue))
            .routes(Access::Roles(&[Role::Customer]), routes!(redeem))
            .routes(Access::Authenticated, routes!(show))
            .with_state(self.door.clone())
    }

    /// Keeps the read model until the shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        self.worker.run(shutdown).await;
    }
}

impl Door {
    /// One decision, appended as one group or not at all.
    async fn decide(
        &self,
        caller: &Caller,
        command: CommandId,
        decide: impl FnMut(&mut Work) -> Result<Card, Stop<Problem>> + Send,
    ) -> Result<Card, Problem> {
        let role = caller.roles.first().map_or("caller", |role| role.name());
        let actor = Actor::caller(role, caller.subject);
        let metadata = Metadata::new(command, actor, self.clock.now());
        let executed = self.executor.execute(metadata, None, decide).await;
        executed
            .map(|executed| executed.value)
            .map_err(|error| match error {
                ExecuteError::Rejected(problem) => problem,
                ExecuteError::Conflict => Problem::busy("others were faster; try again"),
                ExecuteError::Newer { event_type } => Problem::newer_events(event_type),
                ExecuteError::Append(_) | ExecuteError::Load(_) => Problem::broker_unavailable(),
            })
    }
}

fn card(work: &mut Work, id: Uuid) -> Result<Card, Stop<Problem>> {
    match *work.state::<GiftCard>(id)? {
        gift_card::State::Issued { left } => Ok(Card { id, left }),
        gift_card::State::NotIssued => Err(Stop::rejected(gift_card::Rejection::NotIssued)),
    }
}

/// Issues a card. Its id is the command's, so a repeat under the same key is the same card.
#[utoipa::path(
    post, path = "/v1/gift-cards", operation_id = "issue_gift_card", request_body = Amount,
    responses((status = 201, description = "The card exists", body = Card)),
)]
async fn issue(
    State(door): State<Door>,
    caller: Caller,
    key: IdempotencyKey,
    Json(amount): Json<Amount>,
) -> Result<(StatusCode, Json<Card>), Problem> {
    let id = key.command_id(caller.subject, "gift_cards.issue");
    let decide = |work: &mut Work| {
        let cents = amount.cents;
        work.decide::<GiftCard>(id, Command::Issue { cents })?;
        card(work, id)
    };
    let card = door.decide(&caller, CommandId(id), decide).await?;
    Ok((StatusCode::CREATED, Json(card)))
}

/// Spends some of a card; once, however often the command is repeated.
#[utoipa::path(
    post, path = "/v1/gift-cards/{id}/redeem", operation_id = "redeem_gift_card", params(("id" = Uuid, Path)),
    request_body = Amount,
    responses((status = 200, description = "What is left", body = Card)),
)]
async fn redeem(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Json(amount): Json<Amount>,
) -> Result<Json<Card>, Problem> {
    let command = CommandId(key.command_id(caller.subject, "gift_cards.redeem"));
    let decide = |work: &mut Work| {
        if let Once::First = work.once(command)? {
            let cents = amount.cents;
            work.decide::<GiftCard>(id, Command::Redeem { cents })?;
        }
        card(work, id)
    };
    let card = door.decide(&caller, command, decide).await?;
    Ok(Json(card))
}

/// What is left, from the read model.
#[utoipa::path(
    get, path = "/v1/gift-cards/{id}", operation_id = "show_gift_card", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The card", body = Card)),
)]
async fn show(State(door): State<Door>, Path(id): Path<Uuid>) -> Result<Json<Card>, Problem> {
    let left: Option<i64> =
        sqlx::query_scalar("select left_cents from read.gift_cards where id = $1")
            .bind(id)
            .fetch_optional(&door.pool)
            .await
            .map_err(|_| Problem::database_unavailable())?;
    let left = left.and_then(|left| u32::try_from(left).ok());
    left.map(|left| Json(Card { id, left }))
        .ok_or_else(|| Problem::not_found("there is no such gift card"))
}

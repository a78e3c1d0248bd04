//! GET /v1/sagas and /v1/sagas/{id}: what operators look at, for admins.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use event_schema::Timestamp;
use event_schema::fulfilment::Cause;
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::extract::{Path, Query};
use service_kit::{Access, ApiRouter, Problem, Role, routes};

use super::NAME;
use super::row::Row;
use super::saga::{StepRow, StockLine};
use super::show::Amounts;
use crate::http::{Answer, Asked, ReadSide, database};
use crate::projection::is_newer;

const READS: &[&str] = &[NAME];
const ADMINS: Access = Access::Roles(&[Role::Admin]);

/// A saga.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SagaView {
    /// The order's id.
    pub id: Uuid,
    /// running, unwinding, needs_operator, completed, compensated or closed.
    pub status: String,
    /// The step that is under way or stuck.
    pub step: Option<String>,
    /// Why a person is needed.
    pub cause: Option<String>,
    /// Since when the status holds.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Position of its last event.
    pub position: u64,
    /// When it is looked into at the latest.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// Why it unwinds.
    pub reason: Option<String>,
    /// Why, in words.
    pub detail: Option<String>,
    /// The definition that it runs as.
    pub def: String,
    /// Its steps, in the order in which they began.
    pub steps: Vec<SagaStep>,
    /// Where the money is.
    pub money: Amounts,
    /// Where the units are.
    pub stock: Vec<SagaStock>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SagaStep {
    /// Which.
    pub step: String,
    /// waiting, in_flight, backing_off, awaiting_customer, done, refused, overtaken, stuck or skipped.
    pub state: String,
    /// Tries so far.
    pub tries: u32,
    /// ok, refused, retry or unknown: how the last try ended.
    pub outcome: Option<String>,
    /// The effect, for a step outside.
    pub effect_id: Option<Uuid>,
}

/// Where the units of one line are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SagaStock {
    /// Which product.
    pub product_id: Uuid,
    /// How many were ordered.
    pub quantity: u32,
    /// Held for the order now.
    pub held: u32,
    /// Sold to the order.
    pub sold: u32,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only sagas with this status, such as `needs_operator`.
    status: Option<String>,
    /// Only sagas at this step, such as `capture`.
    step: Option<String>,
}

pub(super) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ADMINS, routes!(list))
        .routes(ADMINS, routes!(show))
}

/// Sagas, newest first.
#[utoipa::path(
    get, path = "/v1/sagas", tag = "sagas", operation_id = "list_sagas", params(Filter, PageParams),
    responses((status = 200, description = "A page of sagas", body = Page<SagaView>))
)]
async fn list(
    State(read): State<ReadSide>,
    asked: Asked,
    page: PageRequest<(Timestamp, Uuid)>,
    Query(filter): Query<Filter>,
) -> Result<Answer<Page<SagaView>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let (at, id) = page.after.unzip();
    // Of a saga that is set aside the rows know only what was before.
    let rows: Vec<Kept> = sqlx::query_as(
        "select o.*, p.cause as parked_cause, p.parked_at
         from read.orders o left join read.parked p on p.projection = $6 and p.key = o.id
         where o.saga_status is not null
           and ($1::text is null
                or (p.key is null and o.saga_status = $1)
                or (p.key is not null and $1 = 'needs_operator'))
           and ($2::text is null or o.saga_step = $2)
           and ($3::timestamptz is null or (o.created_at, o.id) < ($3, $4))
         order by o.created_at desc, o.id desc limit $5",
    )
    .bind(filter.status)
    .bind(filter.step)
    .bind(at.map(jiff_sqlx::Timestamp::from))
    .bind(id)
    .bind(page.fetch())
    .bind(NAME)
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    let Page {
        data,
        next_cursor,
        has_more,
    } = Page::from_surplus(rows, page.limit, |kept| (kept.row.created_at, kept.row.id));
    let data = data.into_iter().filter_map(view).collect();
    Ok(reading.answer(Page {
        data,
        next_cursor,
        has_more,
    }))
}

/// One saga; its id is the order's.
#[utoipa::path(
    get, path = "/v1/sagas/{id}", tag = "sagas", operation_id = "show_saga", params(("id" = Uuid, Path)),
    responses((status = 200, description = "The saga", body = SagaView), (status = 404, description = "No such saga"))
)]
async fn show(
    State(read): State<ReadSide>,
    asked: Asked,
    Path(id): Path<Uuid>,
) -> Result<Answer<SagaView>, Problem> {
    let reading = read.reading(asked, READS, Some(id)).await?;
    let kept: Option<Kept> = sqlx::query_as(
        "select o.*, p.cause as parked_cause, p.parked_at
         from read.orders o left join read.parked p on p.projection = $2 and p.key = o.id
         where o.id = $1",
    )
    .bind(id)
    .bind(NAME)
    .fetch_optional(read.pool())
    .await
    .map_err(database)?;
    let saga = kept
        .and_then(view)
        .ok_or_else(|| reading.nothing(format!("there is no saga {id}")))?;
    Ok(reading.answer(saga))
}

/// A row, and what is wrong with the events that come after it.
#[derive(sqlx::FromRow)]
struct Kept {
    #[sqlx(flatten)]
    row: Row,
    parked_cause: Option<String>,
    parked_at: Option<jiff_sqlx::Timestamp>,
}

fn view(kept: Kept) -> Option<SagaView> {
    let set_aside = kept.parked_cause.zip(kept.parked_at);
    let view = of_row(kept.row)?;
    let Some((detail, at)) = set_aside else {
        return Some(view);
    };
    // The saga's owner cannot go on from such an event either: it has set the saga aside, for the same cause.
    let cause = if is_newer(&detail) {
        Cause::VersionUnsupported
    } else {
        Cause::Poisoned
    };
    Some(SagaView {
        status: "needs_operator".to_owned(),
        cause: Some(cause.as_str().to_owned()),
        since: at.to_jiff(),
        deadline: None,
        detail: Some(detail),
        ..view
    })
}

fn of_row(row: Row) -> Option<SagaView> {
    let saga = row.saga?.0;
    let currency = row.currency?;
    let step = |step: StepRow| SagaStep {
        step: step.step.as_str().to_owned(),
        state: step.state,
        tries: step.tries,
        outcome: step.outcome,
        effect_id: step.effect_id.map(Uuid::from),
    };
    let stock = |(line, held, sold): (StockLine, u32, u32)| SagaStock {
        product_id: line.product_id,
        quantity: line.quantity,
        held,
        sold,
    };
    Some(SagaView {
        id: row.id,
        status: saga.status().to_owned(),
        step: saga.step().map(|step| step.as_str().to_owned()),
        cause: saga.stuck.as_ref().map(|stuck| stuck.cause.clone()),
        since: saga.since,
        position: saga.position,
        deadline: saga.deadline(),
        reason: saga.reason.clone(),
        detail: saga.detail().map(str::to_owned),
        def: saga.def.clone(),
        steps: saga.all_steps().into_iter().map(step).collect(),
        money: row.payment.0.amounts(&currency),
        stock: saga.stock().map(stock).collect(),
    })
}

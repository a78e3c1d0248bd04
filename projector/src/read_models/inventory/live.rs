//! GET /v1/inventory/live: stocks as they change, as server-sent events whose ids are positions.
//!
//! Each message is a stock as it is, under the position of its last change. A stock that was parked is told at its next
//! change after it was released.

use ::http::HeaderMap;
use async_trait::async_trait;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use event_schema::Position;
use service_kit::extract::Query;
use service_kit::{Caller, Problem};

use super::routes::{Stock, only_of, stocks};
use crate::events_route::{CHANGES_AT_ONCE, Changing, follow, message, resumed};
use crate::http::{ReadSide, database};

/// From where.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Begin with what has changed after this position instead of now; 0 begins with every stock that ever changed.
    /// The `Waybill-Position` of `GET /v1/inventory` leaves no gap. `Last-Event-ID` comes before it.
    after: Option<u64>,
}

/// Stocks that change from now on, or have changed after `Last-Event-ID`; a partner sees those that he looks after. One
/// message for each: its id the position of the change, its data the stock as `GET /v1/inventory/{product_id}` shows it.
/// Comments say why the server ends it; the way on is to come back with the last id.
#[utoipa::path(
    get, path = "/v1/inventory/live", tag = "inventory", operation_id = "follow_inventory",
    params(Params, ("Last-Event-ID" = Option<u64>, Header, description = "The last position that was seen")),
    responses(
        (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String,
            example = "id: 42\ndata: {\"product_id\":\"019a2b3c-0000-7000-8000-000000000001\",\"sku\":\"MUG-1\",\"name\":\"Mug\",\"received\":10,\"available\":3,\"held\":1,\"sold\":6,\"low_stock_threshold\":3,\"low\":true}\n\n"),
        (status = 400, description = "`position_unknown`: the log never gave out this position; `invalid_header`",
            body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`busy`: too many follow already; `broker_unavailable`, `database_unavailable`",
            body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn live(
    State(read): State<ReadSide>,
    caller: Caller,
    headers: HeaderMap,
    Query(params): Query<Params>,
) -> Result<Response, Problem> {
    let place = read.stock_feed().enter()?;
    let wanted = params.after.map(Position);
    // A message is made of the rows of both.
    let after = resumed(&read, &headers, wanted, &["inventory", "catalogue"]).await?;
    let stocks = Stocks {
        whose: only_of(&caller),
        read: read.clone(),
    };
    Ok(follow(
        stocks,
        after,
        read.stock_feed(),
        read.moves(),
        place,
        "waybill_live_stock_readers",
    ))
}

/// The stocks that one reader sees.
struct Stocks {
    whose: Option<Uuid>,
    read: ReadSide,
}

#[async_trait]
impl Changing for Stocks {
    /// What the catalogue does not know yet waits for it, so that a stock is not passed over for want of its product's
    /// name and owner.
    async fn changes(&self, after: i64) -> Result<Vec<(i64, Event)>, Problem> {
        let changed: Vec<Stock> = sqlx::query_as(stocks!(
            "and i.position > $2 and i.position <= (
                 select min(c.position) from read.checkpoint c where c.projection in ('inventory', 'catalogue'))
             order by i.position limit $3"
        ))
        .bind(self.whose)
        .bind(after)
        .bind(CHANGES_AT_ONCE)
        .fetch_all(self.read.pool())
        .await
        .map_err(database)?;
        changed
            .iter()
            .map(|stock| Ok((stock.position, message(stock.position, stock)?)))
            .collect()
    }
}

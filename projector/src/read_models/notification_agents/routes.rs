//! GET /v1/notification-agents: for admins.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use event_schema::Timestamp;
use event_schema::notification as stored;
use event_schema::notification_agent::{Set, built_in};
use service_kit::cursor::{Page, PageParams, PageRequest};
use service_kit::{Access, ApiRouter, Problem, Role, routes};

use super::NAME;
use crate::http::{Answer, Asked, ReadSide, database};

const READS: &[&str] = &[NAME];
const ADMINS: Access = Access::Roles(&[Role::Admin]);

/// The settings by which some kinds of messages go out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NotificationAgent)]
pub struct Agent {
    /// Its name in the API.
    #[schema(example = "orders")]
    pub name: String,
    /// What it tells.
    #[schema(example = json!(["order_confirmed", "order_cancelled"]))]
    pub kinds: Vec<String>,
    /// `high`, `normal` or `low`: what goes first when there is more to send than can be sent at once.
    #[schema(example = "high")]
    pub priority: String,
    /// By which ways.
    pub channels: Vec<Route>,
    /// Whether it tells anything at all.
    pub active: bool,
    /// Whether a message may rather arrive twice than not at all.
    pub allow_duplicates: bool,
    /// When nobody is told anything by it.
    pub quiet_hours: Option<QuietHours>,
    /// How often it was set, for `If-Match`; 0 for one that is built in and nobody has set.
    pub version: i64,
    /// When it was last set; null while nobody has.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub updated_at: Option<Timestamp>,
}

/// A way out of the house, and who carries on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = NotificationRoute)]
pub struct Route {
    /// `email`, `sms`, `push` or `webhook`.
    #[schema(example = "email")]
    pub channel: String,
    /// Who is asked, in order; empty means everyone who is configured for the channel.
    #[schema(example = json!(["smtp", "resend"]))]
    pub providers: Vec<String>,
}

/// A time of day during which nobody is told anything; it may run over midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuietHours {
    /// From this time of day on.
    #[schema(example = "22:00")]
    pub from: String,
    /// To this time of day.
    #[schema(example = "07:00")]
    pub to: String,
    /// IANA name of the time zone that both are meant in.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
}

impl From<&stored::QuietHours> for QuietHours {
    fn from(hours: &stored::QuietHours) -> Self {
        Self {
            from: hours.from.clone(),
            to: hours.until.clone(),
            time_zone: hours.time_zone.clone(),
        }
    }
}

impl From<&Set> for Agent {
    fn from(set: &Set) -> Self {
        let route = |route: &event_schema::notification_agent::Route| Route {
            channel: route.channel.as_str().to_owned(),
            providers: route.providers.clone(),
        };
        Self {
            name: set.name.clone(),
            kinds: set
                .kinds
                .iter()
                .map(|kind| kind.as_str().to_owned())
                .collect(),
            priority: set.priority.as_str().to_owned(),
            channels: set.channels.iter().map(route).collect(),
            active: set.active,
            allow_duplicates: set.allow_duplicates,
            quiet_hours: set.quiet_hours.as_ref().map(QuietHours::from),
            version: 0,
            updated_at: None,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    #[sqlx(json)]
    kinds: Vec<String>,
    priority: String,
    #[sqlx(json)]
    channels: Vec<Route>,
    active: bool,
    allow_duplicates: bool,
    #[sqlx(json(nullable))]
    quiet_hours: Option<QuietHours>,
    version: i64,
    #[sqlx(try_from = "jiff_sqlx::Timestamp")]
    updated_at: Timestamp,
}

impl From<Row> for Agent {
    fn from(row: Row) -> Self {
        let Row {
            name,
            kinds,
            priority,
            channels,
            active,
            allow_duplicates,
            quiet_hours,
            version,
            updated_at,
        } = row;
        Self {
            name,
            kinds,
            priority,
            channels,
            active,
            allow_duplicates,
            quiet_hours,
            version,
            updated_at: Some(updated_at),
        }
    }
}

pub(crate) fn routes(api: ApiRouter<ReadSide>) -> ApiRouter<ReadSide> {
    api.routes(ADMINS, routes!(list))
}

/// The agents that are built in and those that somebody has set, by name; one that is set stands in the place of the
/// built-in one of its name.
#[utoipa::path(
    get, path = "/v1/notification-agents", tag = "notifications", operation_id = "list_notification_agents",
    params(PageParams),
    responses((status = 200, description = "A page of agents", body = Page<Agent>))
)]
async fn list(
    State(read): State<ReadSide>,
    asked: Asked,
    page: PageRequest<String>,
) -> Result<Answer<Page<Agent>>, Problem> {
    let reading = read.reading(asked, READS, None).await?;
    let built_in: BTreeMap<String, Agent> = built_in()
        .iter()
        .map(|set| (set.name.clone(), Agent::from(set)))
        .collect();
    let names: Vec<&String> = built_in.keys().collect();
    let rows: Vec<Row> = sqlx::query_as(
        r#"select name, kinds, priority, channels, active, allow_duplicates, quiet_hours, version, updated_at
         from read.notification_agents
         where $1::text is null or name collate "C" > $1
         order by name collate "C" limit $2"#,
    )
    .bind(page.after.as_ref())
    .bind(page.fetch())
    .fetch_all(read.pool())
    .await
    .map_err(database)?;
    // A built-in one that was set is not shown as built in, on whatever page its row is.
    let set: Vec<String> =
        sqlx::query_scalar("select name from read.notification_agents where name = any($1)")
            .bind(names)
            .fetch_all(read.pool())
            .await
            .map_err(database)?;
    let mut agents: BTreeMap<String, Agent> = built_in
        .into_iter()
        .filter(|(name, _)| !set.contains(name))
        .filter(|(name, _)| page.after.as_ref().is_none_or(|after| name > after))
        .collect();
    agents.extend(rows.into_iter().map(|row| (row.name.clone(), row.into())));
    let fetched = usize::try_from(page.fetch()).unwrap_or(usize::MAX);
    let agents: Vec<Agent> = agents.into_values().take(fetched).collect();
    Ok(
        reading.answer(Page::from_surplus(agents, page.limit, |agent| {
            agent.name.clone()
        })),
    )
}

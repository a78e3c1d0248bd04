//! PUT /v1/notification-agents: an admin says what an agent tells, by which ways, by whom and how urgently.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use domain::notification_agent::{Agent, Command as Wanted, NotificationAgent, Set};
use event_schema::notification::{Channel, Kind, Priority};
use event_schema::notification_agent::{self, Route};
use event_store::{Stop, Work};
use service_kit::idempotency::IdempotencyKey;
use service_kit::{Caller, Problem, Validation};

use crate::answer::Answer;
use crate::body::Fields;
use crate::documents::{CommandProblems, IfMatchOptional, Invalid, KeyOptional, Stale};
use crate::door::Door;
use crate::fields::{self, QuietHoursBody};
use crate::if_match::IfMatch;

/// Names are for settings and logs.
const AGENT_NAME_CHARS_MAX: usize = 64;
/// More of anything in a list than this is a mistake.
const LIST_MAX: usize = 32;

/// An agent as it shall be, the whole of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SetNotificationAgent {
    /// Its name: small letters, digits, `-` and `_`. The name of a built-in one takes its place.
    #[schema(max_length = 64, pattern = "^[a-z0-9_-]+$", example = "orders")]
    name: String,
    /// What it tells, each once.
    #[schema(max_items = 32, example = json!(["order_confirmed", "order_cancelled"]))]
    kinds: Vec<String>,
    /// `high`, `normal` or `low`: what goes first when there is more to send than can be sent at once.
    #[schema(example = "high")]
    priority: String,
    /// By which ways, each once.
    #[schema(max_items = 32)]
    channels: Vec<RouteBody>,
    /// Whether it tells anything at all.
    active: bool,
    /// Whether a message may rather arrive twice than not at all, when it is unknown whether a provider sent it.
    #[serde(default)]
    allow_duplicates: bool,
    /// When nobody is told anything by it.
    #[serde(default)]
    quiet_hours: Option<QuietHoursBody>,
}

/// A way out of the house, and who carries on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SetNotificationRoute)]
pub(crate) struct RouteBody {
    /// `email`, `sms`, `push` or `webhook`.
    #[schema(example = "email")]
    channel: String,
    /// Who is asked, in order; empty means everyone who is configured for the channel.
    #[serde(default)]
    #[schema(max_items = 32, example = json!(["smtp", "resend"]))]
    providers: Vec<String>,
}

/// An agent as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NotificationAgentAnswer)]
pub(crate) struct AgentBody {
    /// Its name.
    name: String,
    /// What it tells.
    kinds: Vec<&'static str>,
    /// What goes first.
    priority: &'static str,
    /// By which ways, and who carries on each.
    channels: Vec<RouteBody>,
    /// Whether it tells anything at all.
    active: bool,
    /// Whether a message may rather arrive twice than not at all.
    allow_duplicates: bool,
    /// When nobody is told anything by it.
    quiet_hours: Option<QuietHoursBody>,
    /// How often it was set.
    version: u64,
}

impl AgentBody {
    fn of(agent: Agent, version: u64) -> Self {
        let route = |route: Route| RouteBody {
            channel: route.channel.as_str().to_owned(),
            providers: route.providers,
        };
        Self {
            name: agent.name,
            kinds: agent.kinds.iter().map(|kind| kind.as_str()).collect(),
            priority: agent.priority.as_str(),
            channels: agent.channels.into_iter().map(route).collect(),
            active: agent.active,
            allow_duplicates: agent.allow_duplicates,
            quiet_hours: agent.quiet_hours.map(QuietHoursBody::from),
            version,
        }
    }
}

/// Sets an agent, the whole of it. What is intended already goes out as it was intended.
#[utoipa::path(
    put,
    path = "/v1/notification-agents",
    tag = "notifications",
    operation_id = "set_notification_agent",
    params(KeyOptional, IfMatchOptional),
    request_body = SetNotificationAgent,
    responses(
        (status = 200, description = "The agent as it is now", body = AgentBody, headers(
            ("ETag" = String, description = "The agent's version"),
            ("Waybill-Position" = u64, description = "Where in the log this became true"),
        )),
        Stale, CommandProblems, Invalid,
    ),
)]
pub(crate) async fn set_notification_agent(
    State(door): State<Door>,
    caller: Caller,
    key: Option<IdempotencyKey>,
    if_match: IfMatch,
    Fields(body): Fields<SetNotificationAgent>,
) -> Result<Answer<AgentBody>, Problem> {
    let agent = checked(&body)?;
    let command = door.command("notification_agents.set", &caller, key.as_ref(), &body)?;
    let history = notification_agent::id(&agent.name);
    let decide = |work: &mut Work| {
        if !command.has_happened(work)? {
            if_match
                .check(work.version::<NotificationAgent>(history)?)
                .map_err(Stop::rejected)?;
            work.decide::<NotificationAgent>(history, Wanted::Set(Set(agent.clone())))?;
        }
        Ok(work.version::<NotificationAgent>(history)?)
    };
    let executed = door.execute(&command, decide).await?;
    Ok(Answer::ok(AgentBody::of(agent.clone(), executed.value.0))
        .at(executed.position)
        .version(executed.value))
}

/// The agent with every field acceptable.
fn checked(body: &SetNotificationAgent) -> Result<Agent, Problem> {
    let mut validation = Validation::new();
    let name = fields::line(&mut validation, "/name", &body.name, AGENT_NAME_CHARS_MAX);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.chars().all(fits) {
        let detail = "a name has small letters, digits, `-` and `_`";
        validation.add("/name", "invalid", detail);
    }
    let kinds = kinds(&mut validation, &body.kinds);
    let priority = [Priority::High, Priority::Normal, Priority::Low]
        .into_iter()
        .find(|priority| priority.as_str() == body.priority);
    if priority.is_none() {
        validation.add("/priority", "invalid", "this is `high`, `normal` or `low`");
    }
    let channels = channels(&mut validation, &body.channels);
    if body.active && body.channels.is_empty() {
        let detail = "an agent that is active needs a channel";
        validation.add("/channels", "required", detail);
    }
    let quiet_hours = body
        .quiet_hours
        .as_ref()
        .map(|hours| fields::quiet_hours(&mut validation, "/quiet_hours", hours));
    let agent = priority.map(|priority| Agent {
        name,
        kinds,
        priority,
        channels,
        active: body.active,
        allow_duplicates: body.allow_duplicates,
        quiet_hours,
    });
    validation.finish_with(agent)
}

fn kinds(validation: &mut Validation, named: &[String]) -> Vec<Kind> {
    too_many(validation, "/kinds", named.len());
    let mut kinds = Vec::with_capacity(named.len().min(LIST_MAX));
    for (place, name) in named.iter().enumerate().take(LIST_MAX) {
        let pointer = format!("/kinds/{place}");
        match Kind::ALL.into_iter().find(|kind| kind.as_str() == name) {
            None => validation.add(pointer, "invalid", "there is no such kind"),
            Some(kind) if kinds.contains(&kind) => {
                validation.add(pointer, "invalid", "this is named twice");
            }
            Some(kind) => kinds.push(kind),
        }
    }
    kinds
}

fn channels(validation: &mut Validation, named: &[RouteBody]) -> Vec<Route> {
    too_many(validation, "/channels", named.len());
    let mut routes: Vec<Route> = Vec::with_capacity(named.len().min(LIST_MAX));
    for (place, route) in named.iter().enumerate().take(LIST_MAX) {
        let pointer = format!("/channels/{place}/channel");
        let known = Channel::ALL
            .into_iter()
            .find(|channel| channel.as_str() == route.channel);
        let Some(channel) = known else {
            let detail = "this is `email`, `sms`, `push` or `webhook`";
            validation.add(pointer, "invalid", detail);
            continue;
        };
        if routes.iter().any(|route| route.channel == channel) {
            validation.add(pointer, "invalid", "this is named twice");
        }
        let all = channel.providers();
        for (at, provider) in route.providers.iter().enumerate().take(LIST_MAX) {
            let pointer = format!("/channels/{place}/providers/{at}");
            if !all.contains(&provider.as_str()) {
                let detail = format!("by {} carry: {}", route.channel, all.join(", "));
                validation.add(pointer, "invalid", detail);
            } else if route.providers.iter().take(at).any(|one| one == provider) {
                validation.add(pointer, "invalid", "this is named twice");
            }
        }
        too_many(
            validation,
            &format!("/channels/{place}/providers"),
            route.providers.len(),
        );
        routes.push(Route {
            channel,
            providers: route.providers.clone(),
        });
    }
    routes
}

fn too_many(validation: &mut Validation, pointer: &str, count: usize) {
    if count > LIST_MAX {
        validation.add(pointer, "too_long", format!("at most {LIST_MAX} of them"));
    }
}

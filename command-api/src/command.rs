//! What makes a request a command: an id that is the same for every repeat, a hash of what was asked, and who asked.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use event_schema::ids::CommandId;
use event_schema::{Actor, Decider, Metadata, Position};
use event_store::{Once, Stop, Work};
use service_kit::crypto::InstallationKey;
use service_kit::idempotency::IdempotencyKey;
use service_kit::telemetry::traces;
use service_kit::{Caller, Problem};

use crate::problem::Refusal;

/// One command of a caller.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    /// What its events will share.
    pub(crate) metadata: Metadata,
    /// Whether the caller can repeat it under the same id.
    repeatable: bool,
}

impl Command {
    /// `name` is `<area>.<verb>`, the same at every door; `content` is everything that was asked, ids of the path
    /// included, secrets left out.
    pub(crate) fn new(
        installation: &InstallationKey,
        now: Timestamp,
        name: &str,
        caller: &Caller,
        key: Option<&IdempotencyKey>,
        content: &impl Serialize,
    ) -> Result<Self, Problem> {
        let id = key.map_or_else(Uuid::now_v7, |key| key.command_id(caller.subject, name));
        let role = caller.roles.first().map_or("caller", |role| role.name());
        let hash = installation
            .command_hash(content)
            .map_err(|error| Problem::unexpected(&error))?;
        let metadata = Metadata {
            command_hash: Some(hash),
            traceparent: traces::traceparent(),
            ..Metadata::new(CommandId(id), Actor::caller(role, caller.subject), now)
        };
        Ok(Self {
            metadata,
            repeatable: key.is_some(),
        })
    }

    /// A command whose id is given by what it is about, such as a provider's event.
    pub(crate) fn of(id: Uuid, actor: Actor, now: Timestamp) -> Self {
        Self {
            metadata: Metadata {
                traceparent: traces::traceparent(),
                ..Metadata::new(CommandId(id), actor, now)
            },
            repeatable: true,
        }
    }

    /// Its id; for a create also the id of what it creates.
    pub(crate) fn id(&self) -> CommandId {
        self.metadata.command_id
    }

    /// For creates: the position at which this very command has created the aggregate before, if it has. The aggregate's
    /// id is the command's, so anything that has this id was made under the same key.
    pub(crate) fn has_created<D: Decider>(
        &self,
        work: &mut Work,
    ) -> Result<Option<Position>, Stop<Refusal>> {
        work.presume_new(self.id().uuid());
        match work.created_by::<D>(self.id().uuid())? {
            None => Ok(None),
            Some((_, hash, position)) => self.same(hash.as_deref()).map(|()| Some(position)),
        }
    }

    /// For additive commands, and for changes that came with a key: whether it has happened before. If it has not, that
    /// it does is recorded with its events.
    pub(crate) fn has_happened(&self, work: &mut Work) -> Result<bool, Stop<Refusal>> {
        if !self.repeatable {
            return Ok(false);
        }
        match work.once(self.id())? {
            Once::First => Ok(false),
            Once::Repeat { command_hash, .. } => self.same(command_hash.as_deref()).map(|()| true),
        }
    }

    fn same(&self, stored: Option<&str>) -> Result<(), Stop<Refusal>> {
        if stored == self.metadata.command_hash.as_deref() {
            Ok(())
        } else {
            Err(Stop::rejected(Refusal::key_reused()))
        }
    }
}

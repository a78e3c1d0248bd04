//! What a decision works on: the states it asked for, and the events it has recorded so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use event_schema::codec::CodecError;
use event_schema::ids::CommandId;
use event_schema::record::{Claimed, DoneEvent, Released, UniqEvent};
use event_schema::{Decider, EventSet, Metadata, NewEvent, Position, Subject, Version};

use super::answers::{Claim, Halt, Once, Refusal, Release};
use super::cache::{Origin, Warm};
use super::kind::{AnyState, Kind};
use crate::records::{Done, Uniq};
use crate::store::{Group, Part};

/// One history as the decision sees it.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// As it is in the log.
    pub(crate) base: Warm,
    /// As it will be.
    state: AnyState,
    events: Vec<NewEvent>,
    read: bool,
}

/// A history that the closure asked for and that was not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub(crate) kind: Kind,
    /// Whether it most likely has no events: then it need not be asked for before the log says otherwise.
    pub(crate) presumed_new: bool,
}

/// Handed to the closure of [`Executor::execute`](crate::Executor::execute).
#[derive(Debug)]
pub struct Work {
    slots: BTreeMap<Subject, Slot>,
    needs: BTreeMap<Subject, Need>,
    /// Ids that nothing is stored under, unless this very command has happened before.
    presumed_new: BTreeSet<Uuid>,
    /// Histories in the order in which they first got an event.
    written: Vec<Subject>,
    done: Option<Subject>,
    /// A repeated command's own position, which no single state shows.
    repeated: Option<Position>,
}

/// What a decision left behind.
pub(crate) struct Decided {
    pub(crate) group: Option<Group>,
    /// Every history it rests on, as it was read.
    pub(crate) read: Vec<(Subject, Warm)>,
    /// Histories it adds to, as they will be.
    pub(crate) next: Vec<(Subject, Warm)>,
    pub(crate) repeated: Option<Position>,
}

impl Work {
    pub(crate) fn new(states: impl Iterator<Item = (Subject, Warm)>) -> Self {
        let slot = |base: Warm| Slot {
            state: Arc::clone(&base.state),
            base,
            events: Vec::new(),
            read: false,
        };
        Self {
            slots: states
                .map(|(subject, base)| (subject, slot(base)))
                .collect(),
            needs: BTreeMap::new(),
            presumed_new: BTreeSet::new(),
            written: Vec::new(),
            done: None,
            repeated: None,
        }
    }

    /// The state of an aggregate, with what this work has already recorded on it.
    pub fn state<D: Decider>(&mut self, id: Uuid) -> Result<Arc<D::State>, Halt> {
        self.state_at::<D>(&Subject::history(D::Event::AGGREGATE, id))
    }

    /// Says that this id belongs to this command, such as that of what it creates: unless it is repeated, nothing is
    /// stored under it. Histories of it are then not read beforehand: the append expects them to be empty, and an answer
    /// without an append is checked with the leader, so a repeat is found all the same, a moment later.
    pub fn presume_new(&mut self, id: Uuid) {
        self.presumed_new.insert(id);
    }

    /// States of several aggregates of one kind; asks for all that are missing at once.
    pub fn states<D: Decider>(&mut self, ids: &[Uuid]) -> Result<Vec<Arc<D::State>>, Halt> {
        self.prefetch::<D>(ids);
        ids.iter().map(|id| self.state::<D>(*id)).collect()
    }

    /// Says that these aggregates will be asked for, so that they are loaded together. Not a read by itself.
    pub fn prefetch<D: Decider>(&mut self, ids: &[Uuid]) {
        for id in ids {
            let subject = Subject::history(D::Event::AGGREGATE, *id);
            if !self.slots.contains_key(&subject) {
                self.need(subject, Kind::of::<D>());
            }
        }
    }

    /// How many events the aggregate has, with those this work has recorded.
    pub fn version<D: Decider>(&mut self, id: Uuid) -> Result<Version, Halt> {
        let slot = self.slot::<D>(&Subject::history(D::Event::AGGREGATE, id))?;
        Ok(slot.base.version.after(slot.events.len() as u64))
    }

    /// Where the aggregate's last stored event is; none before the first, or while it is on its way to the log.
    pub fn position<D: Decider>(&mut self, id: Uuid) -> Result<Option<Position>, Halt> {
        Ok(self
            .slot::<D>(&Subject::history(D::Event::AGGREGATE, id))?
            .base
            .position)
    }

    /// Decides a command on the state with what is already recorded, and records what comes of it; answers how
    /// many events that is.
    pub fn decide<D: Decider>(
        &mut self,
        id: Uuid,
        command: D::Command,
    ) -> Result<usize, Refusal<D::Rejection>> {
        let state = self.state::<D>(id)?;
        let events = D::decide(&state, command).map_err(Refusal::Rejected)?;
        let count = events.len();
        self.record::<D>(id, events)?;
        Ok(count)
    }

    /// Records events that a function over several aggregates decided.
    pub fn record<D: Decider>(&mut self, id: Uuid, events: Vec<D::Event>) -> Result<(), Halt> {
        self.record_at::<D>(&Subject::history(D::Event::AGGREGATE, id), &events)
    }

    /// For additive commands: whether this command has happened before. If not, it is recorded with this group.
    pub fn once(&mut self, command: CommandId) -> Result<Once, Halt> {
        let subject = Subject::done(command);
        if !self.slots.contains_key(&subject) {
            let (kind, presumed_new) = (Kind::of::<Done>(), true);
            self.needs
                .insert(subject.clone(), Need { kind, presumed_new });
        }
        let state = self.state_at::<Done>(&subject)?;
        if self.done.as_ref() == Some(&subject) {
            return Ok(Once::First);
        }
        let slot = self.slot::<Done>(&subject)?;
        if let (Some(following), Some(origin)) = (state.following, &slot.base.origin) {
            // While the first one is on its way its position is not known; the executor waits and asks again.
            let position = Position(
                origin
                    .position
                    .unwrap_or_default()
                    .0
                    .saturating_add(following.into()),
            );
            let command_hash = origin.command_hash.clone();
            self.repeated = self.repeated.max(Some(position));
            return Ok(Once::Repeat {
                position,
                command_hash,
            });
        }
        if self.done.is_some() {
            return Err(Halt::Unsound("one group cannot be two commands".into()));
        }
        self.done = Some(subject);
        Ok(Once::First)
    }

    /// Claims a unique value for an owner; `key` is a keyed hash, never the value.
    pub fn claim(&mut self, rule: &str, key: &str, owner: Uuid) -> Result<Claim, Halt> {
        let subject = Subject::uniq(rule, key);
        match self.state_at::<Uniq>(&subject)?.owner {
            Some(holder) if holder == owner => Ok(Claim::Held),
            Some(holder) => Ok(Claim::Taken { owner: holder }),
            None => {
                self.record_at::<Uniq>(&subject, &[UniqEvent::Claimed(Claimed { owner })])?;
                Ok(Claim::Claimed)
            }
        }
    }

    /// Frees a unique value, if the owner holds it.
    pub fn release(&mut self, rule: &str, key: &str, owner: Uuid) -> Result<Release, Halt> {
        let subject = Subject::uniq(rule, key);
        if self.state_at::<Uniq>(&subject)?.owner != Some(owner) {
            return Ok(Release::NotHeld);
        }
        self.record_at::<Uniq>(&subject, &[UniqEvent::Released(Released { owner })])?;
        Ok(Release::Released)
    }

    /// Who holds a unique value.
    pub fn holder(&mut self, rule: &str, key: &str) -> Result<Option<Uuid>, Halt> {
        Ok(self.state_at::<Uniq>(&Subject::uniq(rule, key))?.owner)
    }

    /// The command that created an aggregate, the hash of it, and the position of the aggregate's first event;
    /// none when nothing is stored.
    pub fn created_by<D: Decider>(
        &mut self,
        id: Uuid,
    ) -> Result<Option<(CommandId, Option<String>, Position)>, Halt> {
        let origin = &self
            .slot::<D>(&Subject::history(D::Event::AGGREGATE, id))?
            .base
            .origin;
        let told = |o: &Origin| {
            (
                o.command_id,
                o.command_hash.clone(),
                o.position.unwrap_or_default(),
            )
        };
        Ok(origin.as_ref().map(told))
    }

    fn need(&mut self, subject: Subject, kind: Kind) {
        let presumed_new = subject
            .aggregate()
            .is_some_and(|(_, id)| self.presumed_new.contains(&id));
        self.needs
            .entry(subject)
            .or_insert(Need { kind, presumed_new });
    }

    fn slot<D: Decider>(&mut self, subject: &Subject) -> Result<&mut Slot, Halt> {
        let kind = Kind::of::<D>();
        if !self.slots.contains_key(subject) {
            self.need(subject.clone(), kind);
        }
        match self.slots.get_mut(subject) {
            None => Err(Halt::NeedsLoad),
            Some(slot) if slot.base.kind.type_id != kind.type_id => Err(Halt::Unsound(format!(
                "{subject} is used as {} and as {}",
                slot.base.kind.name, kind.name
            ))),
            Some(slot) => {
                slot.read = true;
                Ok(slot)
            }
        }
    }

    fn state_at<D: Decider>(&mut self, subject: &Subject) -> Result<Arc<D::State>, Halt> {
        let state = Arc::clone(&self.slot::<D>(subject)?.state);
        state
            .downcast()
            .map_err(|_| Halt::Unsound(format!("the state of {subject} is of another kind")))
    }

    fn record_at<D: Decider>(
        &mut self,
        subject: &Subject,
        events: &[D::Event],
    ) -> Result<(), Halt> {
        if events.is_empty() {
            return Ok(());
        }
        let mut state = D::State::clone(&*self.state_at::<D>(subject)?);
        for event in events {
            state = D::evolve(state, event);
        }
        let def = D::saga_def(&state).map(|def| def.to_string());
        let mut stored = Vec::with_capacity(events.len());
        for event in events {
            let mut saga = event.saga_headers();
            if def.is_some() {
                saga.get_or_insert_default().def.clone_from(&def);
            }
            stored.push(new_event(event, saga)?);
        }
        let slot = self.slot::<D>(subject)?;
        slot.state = Arc::new(state);
        slot.events.extend(stored);
        if !self.written.contains(subject) {
            self.written.push(subject.clone());
        }
        Ok(())
    }

    /// What the closure asked for and did not get.
    pub(crate) fn needs(self) -> BTreeMap<Subject, Need> {
        self.needs
    }

    /// What an early end rests on.
    pub(crate) fn read(&self) -> Vec<(Subject, Warm)> {
        let read = self.slots.iter().filter(|(_, slot)| slot.read);
        read.map(|(subject, slot)| (subject.clone(), slot.base.clone()))
            .collect()
    }

    /// Makes the group: records first, aggregates in the order in which they got events, the rest as conditions.
    pub(crate) fn finish(mut self, metadata: Metadata) -> Result<Decided, Halt> {
        let read = self.read();
        if self.written.is_empty() && self.done.is_none() {
            return Ok(Decided {
                group: None,
                read,
                next: Vec::new(),
                repeated: self.repeated,
            });
        }
        if let Some(subject) = self.done.take() {
            // Also when nothing followed: a repeat must find that it has happened, whatever is true by then.
            let following: usize = self.slots.values().map(|slot| slot.events.len()).sum();
            let following = u32::try_from(following).unwrap_or(u32::MAX);
            let done = DoneEvent::Recorded(event_schema::record::Done { following });
            self.record_at::<Done>(&subject, &[done])?;
        }
        let is_done = |subject: &Subject| subject.as_str().starts_with("done.");
        let is_uniq = |subject: &Subject| subject.as_str().starts_with("uniq.");
        self.written
            .sort_by_key(|subject| (!is_done(subject), !is_uniq(subject)));
        let origin = Origin {
            command_id: metadata.command_id,
            command_hash: metadata.command_hash.clone(),
            position: None,
        };
        let mut parts = Vec::with_capacity(self.written.len());
        let mut next = Vec::with_capacity(self.written.len());
        for subject in &self.written {
            let Some(slot) = self.slots.remove(subject) else {
                continue;
            };
            let base = slot.base;
            next.push((
                subject.clone(),
                Warm {
                    state: slot.state,
                    version: base.version.after(slot.events.len() as u64),
                    position: None,
                    checked_to: None,
                    origin: Some(base.origin.clone().unwrap_or_else(|| origin.clone())),
                    kind: base.kind,
                    snapshot: base.snapshot,
                    pending: None,
                    on_its_way: slot.events.last().map(|event| event.event_id),
                },
            ));
            let (expected, seen) = (base.version, base.seen());
            parts.push(Part {
                subject: subject.clone(),
                expected,
                seen,
                events: slot.events,
            });
        }
        let written: BTreeSet<&Subject> = self.written.iter().collect();
        let conditions = read
            .iter()
            .filter(|(subject, _)| !written.contains(subject))
            .map(|(subject, warm)| (subject.clone(), warm.version, warm.seen()))
            .collect();
        Ok(Decided {
            group: Some(Group {
                metadata,
                parts,
                conditions,
            }),
            read,
            next,
            repeated: self.repeated,
        })
    }
}

fn new_event<E: EventSet>(
    event: &E,
    saga: Option<event_schema::SagaHeaders>,
) -> Result<NewEvent, Halt> {
    let payload = event.encode().map_err(|error: CodecError| {
        Halt::Unsound(format!(
            "{}: {}",
            event.event_type(),
            super::kind::with_cause(&error)
        ))
    })?;
    Ok(NewEvent {
        event_id: Uuid::now_v7(),
        event_type: event.event_type(),
        schema_version: event.schema_version(),
        payload: Bytes::from(payload),
        saga,
    })
}

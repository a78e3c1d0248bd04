//! The log folded event by event, with as little kept as the checks need.
//!
//! Kept are: of every history its last version (about 40 bytes); of every order whose saga has ended with everything
//! where it belongs two bytes beside its id; of every other order its states; of every product its counts and running
//! holds; and the first offenders. An order that is heard of after it came to rest is read again from its histories.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::fulfilment::audit::{AtRest, Counts, Fact, Finding, OrderAudit, StockAudit};
use domain::fulfilment::{self, Status};
use domain::{inventory, order, payment};
use event_schema::ids::{CommandId, OrderId, ProductId};
use event_schema::registry::{self, Registered};
use event_schema::{DecodeError, EventSet, Position, Recorded, Subject, Timestamp, Version};
use event_store::LoadError;
use uuid::Uuid;

use super::histories::{Archive, Histories};
use super::offender::{Offender, Whose, Wrong};

/// Most offenders that are named; the others are counted.
const OFFENDERS_NAMED_MAX: usize = 1_000;

/// An order that there is still something to say about.
#[derive(Debug)]
struct Open {
    audit: OrderAudit,
    status: Option<Status>,
    /// Since when the status holds.
    since: Timestamp,
    /// Where it was heard of last.
    position: Position,
    /// What was wrong with it when it was looked at last.
    standing: Vec<Finding>,
}

/// An order that has come to rest.
#[derive(Debug, Clone, Copy)]
struct Resting {
    rest: AtRest,
    status: Status,
}

/// How many holds there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holds {
    /// Begun.
    pub begun: u64,
    /// Ended by a sale.
    pub committed: u64,
    /// Ended by being put back.
    pub released: u64,
}

/// The log so far.
#[derive(Debug)]
pub struct Book {
    every_position: bool,
    events: u64,
    last_happened: Timestamp,
    /// The command whose events are being read.
    command: Option<(CommandId, Position)>,
    touched: BTreeSet<Uuid>,
    versions: HashMap<(&'static str, Uuid), u64>,
    open: HashMap<Uuid, Open>,
    resting: HashMap<Uuid, Resting>,
    stock: BTreeMap<ProductId, StockAudit>,
    /// What was found of a stock once is not told again with other numbers.
    told_of_stock: HashSet<(ProductId, &'static str)>,
    /// Orders and products with events that cannot be read: nothing can be said of them.
    damaged: HashSet<Uuid>,
    holds: Holds,
    offenders: Vec<Offender>,
    unnamed: u64,
}

impl Book {
    /// Before anything happened.
    pub fn new(every_position: bool) -> Self {
        Self {
            every_position,
            events: 0,
            last_happened: Timestamp::UNIX_EPOCH,
            command: None,
            touched: BTreeSet::new(),
            versions: HashMap::new(),
            open: HashMap::new(),
            resting: HashMap::new(),
            stock: BTreeMap::new(),
            told_of_stock: HashSet::new(),
            damaged: HashSet::new(),
            holds: Holds::default(),
            offenders: vec![],
            unnamed: 0,
        }
    }

    /// Whether an event belongs to the command that is being read: they stand or fall together.
    pub fn goes_on_with(&self, event: &Recorded) -> bool {
        self.command
            .is_some_and(|(command, _)| command == event.metadata.command_id)
    }

    /// Whether a command is being read whose last event may be yet to come.
    pub fn is_within_a_command(&self) -> bool {
        self.command.is_some()
    }

    /// The next event.
    pub async fn read<A: Archive + ?Sized>(
        &mut self,
        event: &Recorded,
        archive: &A,
    ) -> Result<(), LoadError> {
        if !self.goes_on_with(event) {
            self.end_command();
        }
        self.command = Some((event.metadata.command_id, event.position));
        self.events += 1;
        self.last_happened = event.metadata.occurred_at;
        let Some((aggregate, id)) = known(&event.subject) else {
            let reason = format!("{} is no history that this build knows", event.subject);
            self.unread(event, Whose::History(event.subject.clone()), reason, true);
            return Ok(());
        };
        self.next_version(event, aggregate, id);
        match aggregate.aggregate {
            fulfilment::Event::AGGREGATE => match decoded::<fulfilment::Event>(event) {
                Ok(fact) => self.of_order(event, id, Fact::Saga(&fact), archive).await,
                Err(error) => self.damaged(event, aggregate, id, &error),
            },
            order::Event::AGGREGATE => match decoded::<order::Event>(event) {
                Ok(fact) => self.of_order(event, id, Fact::Order(&fact), archive).await,
                Err(error) => self.damaged(event, aggregate, id, &error),
            },
            payment::Event::AGGREGATE => match decoded::<payment::Event>(event) {
                Ok(fact) => {
                    self.of_order(event, id, Fact::Payment(&fact), archive)
                        .await
                }
                Err(error) => self.damaged(event, aggregate, id, &error),
            },
            inventory::Event::AGGREGATE => match decoded::<inventory::Event>(event) {
                Ok(fact) => self.of_stock(event, ProductId(id), &fact, archive).await,
                Err(error) => self.damaged(event, aggregate, id, &error),
            },
            _ => {
                let check = aggregate.check;
                match check(&event.event_type, event.schema_version, &event.payload) {
                    Ok(_) => Ok(()),
                    Err(error) => self.damaged(event, aggregate, id, &error),
                }
            }
        }
    }

    /// A message that is not even an event.
    pub fn unreadable(&mut self, position: Position, subject: Option<&Subject>, reason: &str) {
        self.end_command();
        self.events += 1;
        let known = subject.and_then(known);
        if let Some((aggregate, id)) = known {
            // Its place in the history is taken, whatever it says.
            *self.versions.entry((aggregate.aggregate, id)).or_default() += 1;
            self.damaged.insert(id);
        }
        let whose = match (known, subject) {
            (Some((aggregate, id)), Some(subject)) => whose(aggregate, id, subject),
            (None, Some(subject)) => Whose::History(subject.clone()),
            (_, None) => Whose::Nobody,
        };
        self.tell(Offender {
            whose,
            position,
            wrong: Wrong::Unreadable {
                event_type: None,
                reason: reason.to_owned(),
                newer: false,
            },
        });
    }

    /// No more events: everything is judged as it stands.
    pub fn close(&mut self) {
        self.end_command();
        if self.every_position {
            return;
        }
        let mut found = vec![];
        for (order, open) in &self.open {
            if self.damaged.contains(order) {
                continue;
            }
            for finding in judged(open, &self.damaged) {
                found.push((open.position, *order, finding));
            }
        }
        found.sort_by_key(|(position, order, _)| (*position, *order));
        for (position, order, finding) in found {
            self.tell(Offender {
                whose: Whose::Saga(order),
                position,
                wrong: Wrong::Balance(finding),
            });
        }
    }

    /// Versions are 1, 2, 3 in every history.
    fn next_version(&mut self, event: &Recorded, aggregate: &'static Registered, id: Uuid) {
        let last = self.versions.entry((aggregate.aggregate, id)).or_default();
        let (expected, Version(found)) = (*last + 1, event.version);
        *last = found;
        if found != expected {
            self.tell(Offender {
                whose: whose(aggregate, id, &event.subject),
                position: event.position,
                wrong: Wrong::VersionGap {
                    subject: event.subject.clone(),
                    expected,
                    found,
                },
            });
        }
    }

    async fn of_order<A: Archive + ?Sized>(
        &mut self,
        event: &Recorded,
        id: Uuid,
        fact: Fact<'_>,
        archive: &A,
    ) -> Result<(), LoadError> {
        if self.damaged.contains(&id) {
            return Ok(());
        }
        if let Some(resting) = self.resting.get(&id).copied() {
            let histories = match archive.before(id, event.position).await {
                Ok(histories) => histories,
                Err(error @ (LoadError::Corrupt { .. } | LoadError::Newer { .. })) => {
                    // It was read whole before, so this is about what came since.
                    tracing::debug!(order.id = %id, %error, "a history cannot be read again");
                    self.damaged.insert(id);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            self.resting.remove(&id);
            self.take_up(id, resting, histories, event);
        }
        let open = self.open.entry(id).or_insert_with(|| Open {
            audit: OrderAudit::new(OrderId(id)),
            status: None,
            since: event.metadata.occurred_at,
            position: event.position,
            standing: vec![],
        });
        open.position = event.position;
        let broken = open.audit.apply(fact);
        let status = open.audit.saga().saga().map(fulfilment::Saga::status);
        if open.status != status {
            open.status = status;
            open.since = event.metadata.occurred_at;
        }
        self.touched.insert(id);
        for finding in broken {
            if !of_damaged(&finding, &self.damaged) {
                self.tell(Offender {
                    whose: Whose::Saga(id),
                    position: event.position,
                    wrong: Wrong::Balance(finding),
                });
            }
        }
        Ok(())
    }

    fn take_up(&mut self, id: Uuid, resting: Resting, histories: Histories, event: &Recorded) {
        let Histories {
            saga,
            order,
            payment,
        } = histories;
        let open = Open {
            audit: OrderAudit::taken_up(OrderId(id), resting.rest, saga, order, payment),
            status: Some(resting.status),
            since: event.metadata.occurred_at,
            position: event.position,
            standing: vec![],
        };
        self.open.insert(id, open);
    }

    async fn of_stock<A: Archive + ?Sized>(
        &mut self,
        event: &Recorded,
        product: ProductId,
        fact: &inventory::Event,
        archive: &A,
    ) -> Result<(), LoadError> {
        let order = match fact {
            inventory::Event::Held(e) => {
                self.holds.begun += 1;
                Some(e.order_id)
            }
            inventory::Event::Committed(e) => {
                self.holds.committed += 1;
                Some(e.order_id)
            }
            inventory::Event::Released(e) => {
                self.holds.released += 1;
                Some(e.order_id)
            }
            inventory::Event::Received(_)
            | inventory::Event::Adjusted(_)
            | inventory::Event::ThresholdSet(_)
            | inventory::Event::RanLow(_) => None,
        };
        if !self.damaged.contains(&product.uuid()) {
            let found = self.stock.entry(product).or_default().apply(fact);
            for finding in found {
                if self.told_of_stock.insert((product, finding.code())) {
                    self.tell(Offender {
                        whose: Whose::Stock(product),
                        position: event.position,
                        wrong: Wrong::Balance(finding),
                    });
                }
            }
        }
        match order {
            Some(order) => {
                let fact = Fact::Stock(product, fact);
                self.of_order(event, order.uuid(), fact, archive).await
            }
            None => Ok(()),
        }
    }

    /// An event that says nothing to this build.
    fn damaged(
        &mut self,
        event: &Recorded,
        aggregate: &'static Registered,
        id: Uuid,
        error: &DecodeError,
    ) -> Result<(), LoadError> {
        self.damaged.insert(id);
        let reason = with_causes(error);
        let whose = whose(aggregate, id, &event.subject);
        self.unread(event, whose, reason, error.is_newer());
        Ok(())
    }

    fn unread(&mut self, event: &Recorded, whose: Whose, reason: String, newer: bool) {
        self.tell(Offender {
            whose,
            position: event.position,
            wrong: Wrong::Unreadable {
                event_type: Some(event.event_type.clone()),
                reason,
                newer,
            },
        });
    }

    /// A command's events are all there: what it touched has to balance, and may have come to rest.
    fn end_command(&mut self) {
        let Some((_, position)) = self.command.take() else {
            return;
        };
        for id in std::mem::take(&mut self.touched) {
            let Some(open) = self.open.get_mut(&id) else {
                continue;
            };
            if self.damaged.contains(&id) {
                continue;
            }
            let mut new = vec![];
            if self.every_position {
                let found = judged(open, &self.damaged);
                let is_new = |finding: &&Finding| !open.standing.contains(finding);
                new.extend(found.iter().filter(is_new).cloned());
                open.standing = found;
            }
            if let (Some(rest), Some(status)) = (open.audit.at_rest(), open.status) {
                self.open.remove(&id);
                self.resting.insert(id, Resting { rest, status });
            }
            for finding in new {
                self.tell(Offender {
                    whose: Whose::Saga(id),
                    position,
                    wrong: Wrong::Balance(finding),
                });
            }
        }
    }

    fn tell(&mut self, offender: Offender) {
        if self.offenders.len() < OFFENDERS_NAMED_MAX {
            self.offenders.push(offender);
        } else {
            self.unnamed += 1;
        }
    }
}

/// What the report says of a book.
impl Book {
    /// Events that were read.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// When the last of them happened.
    pub fn last_happened(&self) -> Timestamp {
        self.last_happened
    }

    /// Sagas by status, and since when the one stands so that has stood so longest; nothing is kept of those at rest.
    pub fn sagas(&self) -> HashMap<Status, (u64, Option<Timestamp>)> {
        let mut by_status: HashMap<Status, (u64, Option<Timestamp>)> = HashMap::new();
        for resting in self.resting.values() {
            by_status.entry(resting.status).or_default().0 += 1;
        }
        for open in self.open.values() {
            let Some(status) = open.status else { continue };
            let (count, oldest) = by_status.entry(status).or_default();
            *count += 1;
            *oldest = Some(oldest.map_or(open.since, |oldest| oldest.min(open.since)));
        }
        by_status
    }

    /// Holds that began and ended.
    pub fn holds(&self) -> Holds {
        self.holds
    }

    /// Holds that run.
    pub fn holds_running(&self) -> usize {
        self.stock.values().map(|stock| stock.holds().count()).sum()
    }

    /// Products, and where the units of all of them are.
    pub fn stock(&self) -> (usize, Counts) {
        let mut all = Counts::default();
        for stock in self.stock.values() {
            let one = stock.counts();
            all.received = all.received.saturating_add(one.received);
            all.available = all.available.saturating_add(one.available);
            all.held = all.held.saturating_add(one.held);
            all.sold = all.sold.saturating_add(one.sold);
        }
        (self.stock.len(), all)
    }

    /// Histories with events that cannot be read: of these nothing can be said.
    pub fn unjudged(&self) -> usize {
        self.damaged.len()
    }

    /// Whether it looked at every position.
    pub fn every_position(&self) -> bool {
        self.every_position
    }

    /// Orders whose states are kept, and orders at rest.
    pub fn kept(&self) -> (usize, usize) {
        (self.open.len(), self.resting.len())
    }

    /// The offenders that are named, and how many more there are.
    pub fn offenders(&self) -> (&[Offender], u64) {
        (&self.offenders, self.unnamed)
    }
}

/// What does not balance, as far as it can be judged.
fn judged(open: &Open, damaged: &HashSet<Uuid>) -> Vec<Finding> {
    let mut found = open.audit.balance();
    found.retain(|finding| !of_damaged(finding, damaged));
    found
}

fn of_damaged(finding: &Finding, damaged: &HashSet<Uuid>) -> bool {
    finding
        .product_id()
        .is_some_and(|product| damaged.contains(&product.uuid()))
}

fn decoded<E: EventSet>(event: &Recorded) -> Result<E, DecodeError> {
    E::decode(&event.event_type, event.schema_version, &event.payload)
}

fn known(subject: &Subject) -> Option<(&'static Registered, Uuid)> {
    let (name, id) = subject.aggregate()?;
    let aggregate = registry::ALL.iter().find(|known| known.aggregate == name)?;
    Some((aggregate, id))
}

fn whose(aggregate: &Registered, id: Uuid, subject: &Subject) -> Whose {
    match aggregate.aggregate {
        fulfilment::Event::AGGREGATE | order::Event::AGGREGATE | payment::Event::AGGREGATE => {
            Whose::Saga(id)
        }
        inventory::Event::AGGREGATE => Whose::Stock(ProductId(id)),
        _ => Whose::History(subject.clone()),
    }
}

fn with_causes(error: &DecodeError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

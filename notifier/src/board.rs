//! The messages that are open, in memory: a fold of the log's notification events. It says whose turn it is, and holds
//! no more of a message than it takes to find it.
//!
//! High goes before normal and normal before low, and the lower ones never fill all places. What goes to partners'
//! systems has places of its own, a few for each partner, taken in turn: a dead partner delays nobody.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use event_schema::Position;
use event_schema::ids::DeliveryId;
use event_schema::notification::{Channel, Intended, Recipient};
use uuid::Uuid;

use crate::roster::rank;

/// Messages to persons that are carried at once, by priority: what is left is kept free for higher ones.
const DIRECT_AT_ONCE: [usize; 3] = [192, 168, 144];
/// Messages to partners' systems that are carried at once.
const WEBHOOKS_AT_ONCE: usize = 64;
/// Of these to one partner.
const PER_PARTNER_AT_ONCE: usize = 4;
/// The log is not read on while so many are due.
const DUE_MAX: usize = 50_000;

/// One open message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The history it is in.
    pub(crate) history: Uuid,
    /// Where in the log it was intended.
    pub(crate) position: Position,
    rank: usize,
    /// The partner, when it goes to his system.
    partner: Option<Uuid>,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Due,
    Waiting(Instant),
    Working,
}

/// What is due, oldest first within its priority.
#[derive(Debug, Default)]
struct Queue([VecDeque<DeliveryId>; 3]);

impl Queue {
    fn push(&mut self, rank: usize, id: DeliveryId) {
        if let Some(queue) = self.0.get_mut(rank) {
            queue.push_back(id);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(VecDeque::is_empty)
    }
}

#[derive(Debug, Default)]
struct Partner {
    queue: Queue,
    working: usize,
    in_turns: bool,
}

/// All that is open.
#[derive(Debug, Default)]
pub(crate) struct Board {
    entries: HashMap<DeliveryId, Entry>,
    waiting: BTreeSet<(Instant, DeliveryId)>,
    direct: Queue,
    partners: HashMap<Uuid, Partner>,
    /// Partners that have something due and a place free, in turn.
    turns: VecDeque<Uuid>,
    due: usize,
    working_direct: usize,
    working_webhooks: usize,
}

impl Board {
    /// A message is open; it is due after this long.
    pub(crate) fn insert(
        &mut self,
        intended: &Intended,
        history: Uuid,
        position: Position,
        due_in: Duration,
    ) {
        let id = intended.delivery_id;
        if self.entries.contains_key(&id) {
            return;
        }
        let partner = match (intended.channel, intended.recipient) {
            (Channel::Webhook, Recipient::Partner(partner)) => Some(partner.uuid()),
            _ => None,
        };
        let entry = Entry {
            history,
            position,
            rank: rank(intended.priority),
            partner,
            place: Place::Working,
        };
        self.entries.insert(id, entry);
        self.put(id, due_in);
    }

    /// A message is over.
    pub(crate) fn remove(&mut self, id: DeliveryId) {
        // One that is being carried is let go of by whoever carries it.
        if let Some(entry) = self.entries.get(&id)
            && entry.place != Place::Working
        {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: DeliveryId) {
        if let Some(entry) = self.entries.remove(&id) {
            match entry.place {
                // Its place in the queue is passed over when its turn comes.
                Place::Due => self.due = self.due.saturating_sub(1),
                Place::Waiting(at) => {
                    self.waiting.remove(&(at, id));
                }
                Place::Working => {}
            }
        }
    }

    /// A message that was carried is over, or goes on after this long.
    pub(crate) fn carried(&mut self, id: DeliveryId, again_in: Option<Duration>) {
        let Some(entry) = self.entries.get(&id).copied() else {
            return;
        };
        match entry.partner {
            None => self.working_direct = self.working_direct.saturating_sub(1),
            Some(partner) => {
                self.working_webhooks = self.working_webhooks.saturating_sub(1);
                if let Some(known) = self.partners.get_mut(&partner) {
                    known.working = known.working.saturating_sub(1);
                }
                self.offer_turn(partner);
            }
        }
        match again_in {
            None => self.forget(id),
            Some(after) => self.put(id, after),
        }
        self.tidy(entry.partner);
    }

    /// The next message that may be carried.
    pub(crate) fn next(&mut self) -> Option<(DeliveryId, Entry)> {
        self.next_direct().or_else(|| self.next_webhook())
    }

    /// What has waited long enough is due.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some((at, id)) = self.waiting.first().copied() {
            if at > now {
                return;
            }
            self.waiting.pop_first();
            self.put(id, Duration::ZERO);
        }
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// Whether the log should not be read on.
    pub(crate) fn is_full(&self) -> bool {
        self.due >= DUE_MAX
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The open ones: where they were intended, and how long they still wait.
    pub(crate) fn open(&self, now: Instant) -> impl Iterator<Item = (&Entry, Duration)> {
        self.entries.values().map(move |entry| match entry.place {
            Place::Waiting(at) => (entry, at.saturating_duration_since(now)),
            Place::Due | Place::Working => (entry, Duration::ZERO),
        })
    }

    fn put(&mut self, id: DeliveryId, after: Duration) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if !after.is_zero() {
            let now = Instant::now();
            let at = now.checked_add(after).unwrap_or(now);
            entry.place = Place::Waiting(at);
            self.waiting.insert((at, id));
            return;
        }
        entry.place = Place::Due;
        self.due += 1;
        let (rank, partner) = (entry.rank, entry.partner);
        match partner {
            None => self.direct.push(rank, id),
            Some(partner) => {
                self.partners
                    .entry(partner)
                    .or_default()
                    .queue
                    .push(rank, id);
                self.offer_turn(partner);
            }
        }
    }

    fn offer_turn(&mut self, partner: Uuid) {
        if let Some(known) = self.partners.get_mut(&partner)
            && !known.in_turns
            && !known.queue.is_empty()
            && known.working < PER_PARTNER_AT_ONCE
        {
            known.in_turns = true;
            self.turns.push_back(partner);
        }
    }

    fn tidy(&mut self, partner: Option<Uuid>) {
        if let Some(partner) = partner
            && let Some(known) = self.partners.get(&partner)
            && known.working == 0
            && known.queue.is_empty()
            && !known.in_turns
        {
            self.partners.remove(&partner);
        }
    }

    fn next_direct(&mut self) -> Option<(DeliveryId, Entry)> {
        for (rank, most) in DIRECT_AT_ONCE.into_iter().enumerate() {
            if self.working_direct >= most {
                return None;
            }
            while let Some(id) = self.direct.0.get_mut(rank).and_then(VecDeque::pop_front) {
                if let Some(entry) = self.begin(id) {
                    self.working_direct += 1;
                    return Some((id, entry));
                }
            }
        }
        None
    }

    fn next_webhook(&mut self) -> Option<(DeliveryId, Entry)> {
        if self.working_webhooks >= WEBHOOKS_AT_ONCE {
            return None;
        }
        while let Some(partner) = self.turns.pop_front() {
            let mut found = None;
            while found.is_none() {
                let Some(known) = self.partners.get_mut(&partner) else {
                    break;
                };
                let Some(id) = known.queue.0.iter_mut().find_map(VecDeque::pop_front) else {
                    break;
                };
                found = self.begin(id).map(|entry| (id, entry));
            }
            if let Some(known) = self.partners.get_mut(&partner) {
                known.in_turns = false;
                if found.is_some() {
                    known.working += 1;
                }
            }
            self.offer_turn(partner);
            if found.is_some() {
                self.working_webhooks += 1;
                return found;
            }
            self.tidy(Some(partner));
        }
        None
    }

    /// The message is being carried from now on; none when it is over or its turn was another one's.
    fn begin(&mut self, id: DeliveryId) -> Option<Entry> {
        let entry = self.entries.get_mut(&id)?;
        if entry.place != Place::Due {
            return None;
        }
        entry.place = Place::Working;
        self.due = self.due.saturating_sub(1);
        Some(*entry)
    }
}

#[cfg(test)]
mod tests {
    use event_schema::Timestamp;
    use event_schema::ids::{CustomerId, PartnerId};
    use event_schema::notification::{AgentVersion, Kind, Priority};

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn message(n: u128, priority: Priority, partner: Option<u128>) -> Intended {
        Intended {
            delivery_id: DeliveryId(Uuid::from_u128(n)),
            event_id: Uuid::from_u128(n),
            kind: Kind::OrderConfirmed,
            channel: partner.map_or(Channel::Email, |_| Channel::Webhook),
            recipient: match partner {
                None => Recipient::Customer(CustomerId(Uuid::from_u128(1))),
                Some(partner) => Recipient::Partner(PartnerId(Uuid::from_u128(partner))),
            },
            order_id: None,
            about: None,
            agent: AgentVersion {
                name: "orders".into(),
                version: 0,
            },
            priority,
            providers: vec![],
            allow_duplicates: false,
            intended_at: Timestamp::UNIX_EPOCH,
            not_before: None,
            replay_of: None,
        }
    }

    fn add(board: &mut Board, n: u128, priority: Priority, partner: Option<u128>) {
        let message = message(n, priority, partner);
        board.insert(&message, Uuid::from_u128(n), Position(1), NOW);
    }

    fn next(board: &mut Board) -> Option<u128> {
        board.next().map(|(id, _)| id.uuid().as_u128())
    }

    fn id(n: u128) -> DeliveryId {
        DeliveryId(Uuid::from_u128(n))
    }

    #[test]
    fn high_overtakes_normal_and_low_and_within_a_priority_the_oldest_goes_first() {
        let mut board = Board::default();
        add(&mut board, 1, Priority::Low, None);
        add(&mut board, 2, Priority::Normal, None);
        add(&mut board, 3, Priority::High, None);
        add(&mut board, 4, Priority::High, None);
        let order: Vec<_> = std::iter::from_fn(|| next(&mut board)).collect();
        assert_eq!(order, [3, 4, 2, 1]);
    }

    #[test]
    fn low_ones_never_take_every_place() {
        let mut board = Board::default();
        for n in 0..1000 {
            add(&mut board, n, Priority::Low, None);
        }
        let taken = std::iter::from_fn(|| next(&mut board)).count();
        assert_eq!(taken, DIRECT_AT_ONCE[2]);
        add(&mut board, 5000, Priority::High, None);
        assert_eq!(next(&mut board), Some(5000));
    }

    #[test]
    fn a_dead_partner_delays_nobody_and_takes_no_more_than_his_places() {
        let mut board = Board::default();
        for n in 0..100 {
            add(&mut board, n, Priority::High, Some(1));
        }
        add(&mut board, 500, Priority::Low, Some(2));
        add(&mut board, 501, Priority::High, None);
        let order: Vec<_> = std::iter::from_fn(|| next(&mut board)).collect();
        assert_eq!(order, [501, 0, 500, 1, 2, 3]);
        board.carried(id(0), Some(Duration::from_secs(5)));
        assert_eq!(next(&mut board), Some(4));
        assert_eq!(next(&mut board), None);
    }

    #[test]
    fn what_waits_is_due_when_its_time_comes_and_what_is_over_never() {
        let mut board = Board::default();
        add(&mut board, 1, Priority::High, None);
        add(&mut board, 2, Priority::High, None);
        add(&mut board, 3, Priority::High, None);
        board.remove(id(2));
        assert_eq!(next(&mut board), Some(1));
        assert_eq!(next(&mut board), Some(3));
        board.carried(id(1), Some(Duration::from_secs(60)));
        board.carried(id(3), None);
        assert_eq!(next(&mut board), None);
        assert_eq!(board.len(), 1);
        board.wake(Instant::now() + Duration::from_secs(59));
        assert_eq!(next(&mut board), None);
        board.wake(Instant::now() + Duration::from_secs(61));
        assert_eq!(next(&mut board), Some(1));
        board.carried(id(1), None);
        assert_eq!((board.len(), board.due, board.working_direct), (0, 0, 0));
        assert!(board.waiting.is_empty());
    }

    #[test]
    fn nothing_is_left_of_partners_whose_messages_are_over() {
        let mut board = Board::default();
        for n in 0..50 {
            add(&mut board, n, Priority::High, Some(n % 5));
        }
        while let Some(n) = next(&mut board) {
            board.carried(id(n), None);
        }
        assert!(board.partners.is_empty() && board.turns.is_empty());
        assert_eq!((board.len(), board.due, board.working_webhooks), (0, 0, 0));
    }
}

//! A small shop in memory: the states of one order's world, folded batch by batch, with every law checked each time.

use std::collections::BTreeMap;

use event_schema::ids::{CommandId, EffectId, ProductId};
use event_schema::order::{CancelReason, PaymentMethod};
use event_schema::{Decider, EventSet, Money, Position, Timestamp, codec};
use uuid::Uuid;

use super::audit::{Entry, Fact, Finding, Offence, OrderAudit, Scope, StockAudit, audit};
use super::{
    Action, Answer, Decision, Event, Fulfilment, Input, OperatorCommand, Policy, Rejection, Saga,
    Stage, State, Status, Step, World, react, start,
};
use crate::fixtures::{at, eur, kettle, mug, order};
use crate::inventory::{self, Inventory};
use crate::order::fixtures::two_mugs_and_a_kettle;
use crate::order::{self, Order};
use crate::payment::{self, Payment};

/// One order for two mugs and a kettle, 42.00 EUR, and everything it touches.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    pub(super) saga: State,
    pub(super) order: order::State,
    pub(super) payment: payment::State,
    pub(super) stock: BTreeMap<ProductId, inventory::State>,
    pub(super) policy: Policy,
    pub(super) now_ms: i64,
    pub(super) history: Vec<Event>,
    /// Every batch so far; each is one command.
    pub(super) batches: Vec<Decision>,
    audit: OrderAudit,
    stock_audit: BTreeMap<ProductId, StockAudit>,
}

impl Shop {
    /// Five mugs and so many kettles; the order is placed.
    pub(super) fn with_kettles(kettles: u32) -> Self {
        Self::placed(
            kettles,
            PaymentMethod::Card {
                token: "pm_card_visa".into(),
            },
        )
    }

    /// Enough of everything; the order is placed and paid by card.
    pub(super) fn open() -> Self {
        Self::with_kettles(3)
    }

    /// Enough of everything; the customer is on the provider's page.
    pub(super) fn at_checkout() -> Self {
        let mut shop = Self::placed(3, PaymentMethod::Checkout);
        shop.answer(action_required());
        shop
    }

    pub(super) fn placed(kettles: u32, payment_method: PaymentMethod) -> Self {
        let received = |quantity| inventory::Receive {
            quantity,
            reason: None,
        };
        let mut stock = BTreeMap::new();
        let mut stock_audit = BTreeMap::<_, StockAudit>::new();
        for (product, quantity) in [(mug(), 5), (kettle(), kettles)] {
            let events = Inventory::decide(&Inventory::initial(), received(quantity).into())
                .unwrap_or_default();
            stock.insert(product, Inventory::fold(&events));
            let audit = stock_audit.entry(product).or_default();
            for event in &events {
                assert_eq!(audit.apply(event), []);
            }
        }
        let placed = event_schema::order::Placed {
            payment_method,
            ..two_mugs_and_a_kettle()
        };
        let mut shop = Self {
            saga: Fulfilment::initial(),
            order: Order::initial(),
            payment: Payment::initial(),
            stock,
            policy: Policy::default(),
            now_ms: 0,
            history: vec![],
            batches: vec![],
            audit: OrderAudit::new(order(1)),
            stock_audit,
        };
        let started = start(order(1), &placed, "sandbox", shop.now(), &shop.policy).unwrap();
        let place = order::Place::from(placed);
        let decision = Decision {
            order: Order::decide(&Order::initial(), place.into()).unwrap(),
            ..started
        };
        shop.fold(&decision);
        shop
    }

    /// A process starts anew and knows what is stored, nothing else.
    pub(super) fn restarted(&self) -> Self {
        let kettles = u32::try_from(self.stock[&kettle()].received).unwrap();
        let mut shop = Self::placed(kettles, self.saga().method.clone());
        shop.policy = self.policy.clone();
        for batch in self.batches.iter().skip(1) {
            match is_foreign(batch) {
                true => shop.apply(batch),
                false => shop.fold(batch),
            }
        }
        shop.now_ms = self.now_ms;
        assert_eq!(
            (&shop.saga, &shop.order, &shop.payment, &shop.stock),
            (&self.saga, &self.order, &self.payment, &self.stock),
            "what is stored is what there is"
        );
        shop
    }

    pub(super) fn now(&self) -> Timestamp {
        at(self.now_ms)
    }

    pub(super) fn pass(&mut self, ms: i64) -> &mut Self {
        self.now_ms += ms;
        self
    }

    /// Time passes to the saga's deadline, and it is told.
    pub(super) fn wake(&mut self) -> Decision {
        let deadline = self
            .saga
            .deadline()
            .expect("a saga that waits for something");
        self.now_ms += deadline
            .as_millisecond()
            .saturating_sub(self.now().as_millisecond())
            .max(0);
        self.input(Input::DeadlinePassed)
    }

    /// Time passes until the open effect is due again.
    pub(super) fn until_due(&mut self) -> &mut Self {
        let until = self.saga.pending().expect("an open effect").phase.until();
        self.now_ms += until
            .as_millisecond()
            .saturating_sub(self.now().as_millisecond())
            .max(0);
        self
    }

    pub(super) fn react(&self, input: Input) -> Result<Decision, Rejection> {
        let world = World {
            order_id: order(1),
            saga: &self.saga,
            order: &self.order,
            payment: &self.payment,
            stock: &self.stock,
        };
        react(&world, input, self.now(), &self.policy)
    }

    /// The saga reacts, the batch is appended, and the same input again changes nothing.
    #[track_caller]
    pub(super) fn input(&mut self, input: Input) -> Decision {
        let decision = self.react(input.clone()).unwrap();
        self.fold(&decision);
        assert_eq!(
            self.react(input.clone()),
            Ok(Decision::default()),
            "{input:?} was delivered twice"
        );
        decision
    }

    /// The provider answers the open effect.
    #[track_caller]
    pub(super) fn answer(&mut self, answer: Answer) -> Decision {
        let input = self.answered(answer);
        self.input(input)
    }

    #[track_caller]
    pub(super) fn answered(&self, answer: Answer) -> Input {
        let open = self.saga.pending().expect("an open effect");
        Input::Answered {
            step: open.step,
            effect_id: open.effect_id,
            answer,
        }
    }

    #[track_caller]
    pub(super) fn cancel(&mut self) -> Decision {
        self.input(cancel())
    }

    pub(super) fn saga(&self) -> &Saga {
        self.saga.saga().unwrap()
    }

    pub(super) fn status(&self) -> Status {
        self.saga().status()
    }

    pub(super) fn effect(&self, step: Step) -> EffectId {
        self.saga()
            .step(step)
            .and_then(|record| record.effect_id)
            .expect("a step outside that was opened")
    }

    /// Available, held and sold units of a product.
    pub(super) fn units(&self, product: ProductId) -> (u64, u64, u64) {
        let stock = &self.stock[&product];
        (stock.available, stock.held, stock.sold)
    }

    /// An operator's command is carried out.
    #[track_caller]
    pub(super) fn order_by_operator(&mut self, command: OperatorCommand) -> Decision {
        self.input(Input::Commanded(command))
    }

    /// Whether an offence is what the provider told after a person had ended it: found, and nobody puts it right but
    /// people.
    fn is_told(&self, finding: &Finding) -> bool {
        let about_money = matches!(
            finding,
            Finding::MoneyKept { .. }
                | Finding::MoneySetAside { .. }
                | Finding::PaidTwice { .. }
                | Finding::GivenBackTwice { .. }
        );
        about_money && !self.saga().late.is_empty()
    }

    /// What the audit says, at every position, but for what the provider told after a person had ended it.
    pub(super) fn offences(&self) -> Vec<Offence> {
        let mut entries = vec![];
        let mut position = 0;
        let mut number = 0;
        for batch in &self.batches {
            let command_id = CommandId(Uuid::from_u128(number));
            // What others have broken is looked at with the batch that follows.
            number += u128::from(!is_foreign(batch));
            entries.extend(facts(batch).map(|fact| {
                position += 1;
                Entry {
                    position: Position(position),
                    command_id,
                    fact,
                }
            }));
        }
        let mut offences = audit(order(1), entries, Scope::EveryPosition);
        offences.retain(|offence| !self.is_told(&offence.finding));
        offences
    }

    /// Somebody else than the saga has written about a stock; what that breaks is looked at with the next batch.
    pub(super) fn foreign(&mut self, product: ProductId, event: inventory::Event) {
        self.apply(&Decision {
            stock: BTreeMap::from([(product, vec![event])]),
            ..Decision::default()
        });
    }

    pub(super) fn fold(&mut self, decision: &Decision) {
        if decision.is_empty() {
            return;
        }
        self.apply(decision);
        let balance = self.audit.balance();
        assert!(
            balance.iter().all(|finding| self.is_told(finding)),
            "{balance:?} after {:?}: {:?}",
            types(decision),
            self.saga
        );
        self.check();
    }

    fn apply(&mut self, decision: &Decision) {
        self.batches.push(decision.clone());
        for fact in facts(decision) {
            assert_eq!(self.audit.apply(fact), []);
            if let Fact::Stock(product, event) = fact {
                let audit = self.stock_audit.entry(product).or_default();
                assert_eq!(audit.apply(event), []);
            }
        }
        for event in &decision.saga {
            self.saga = Fulfilment::evolve(self.saga.clone(), event);
            self.history.push(event.clone());
        }
        for event in &decision.order {
            self.order = Order::evolve(self.order.clone(), event);
        }
        for event in &decision.payment {
            self.payment = Payment::evolve(self.payment.clone(), event);
        }
        for (product, events) in &decision.stock {
            let stock = self.stock.remove(product).unwrap();
            self.stock
                .insert(*product, events.iter().fold(stock, Inventory::evolve));
        }
    }

    /// What holds at every position of the log.
    fn check(&self) {
        for stock in self.stock.values() {
            assert_eq!(
                stock.received,
                stock.available + stock.held + stock.sold,
                "{stock:?}"
            );
        }
        let ledger = self.payment.ledger().unwrap();
        assert!(0 <= ledger.refunded.amount, "{ledger:?}");
        assert!(
            ledger.refunded.amount <= ledger.captured.amount,
            "{ledger:?}"
        );
        assert!(
            ledger.captured.amount <= ledger.authorised.amount,
            "{ledger:?}"
        );
        let kept = ledger.captured.minus(ledger.refunded).unwrap();
        let saga = self.saga();
        match &saga.stage {
            Stage::Completed => {
                assert_eq!(kept, saga.total);
                assert_eq!((self.units(mug()).2, self.units(kettle()).2), (2, 1));
                assert!(matches!(self.order, order::State::Confirmed(_)));
            }
            Stage::Compensated { .. } => {
                assert_eq!(
                    (kept.amount, self.payment.has_capturable()),
                    (0, false),
                    "money is kept: {ledger:?}"
                );
                assert!(
                    self.stock
                        .values()
                        .all(|stock| stock.held == 0 && stock.sold == 0)
                );
                assert!(matches!(self.order, order::State::Cancelled(..)));
            }
            Stage::Closed(ending) => {
                let named = |step| ending.left_due.contains(&step);
                let outside = self.payment.outside().unwrap();
                let settled = outside.received.amount + outside.returned.amount > 0;
                assert!(
                    kept.amount == 0
                        || settled
                        || !saga.late.is_empty()
                        || named(Step::Refund)
                        || matches!(self.order, order::State::Confirmed(_)),
                    "money is kept and not named: {ledger:?}"
                );
                assert!(self.stock.values().all(|stock| stock.held == 0));
                assert!(
                    self.saga.deadline().is_none() && saga.stuck.is_none(),
                    "nothing happens any more"
                );
            }
            Stage::Running | Stage::Unwinding(_) => {}
        }
        assert_eq!(
            Fulfilment::fold(&self.history),
            self.saga,
            "the history is the saga"
        );
        self.survives_a_snapshot();
    }

    fn survives_a_snapshot(&self) {
        fn check<
            T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
        >(
            state: &T,
        ) {
            assert_eq!(
                &codec::decode::<T>(&codec::encode(state).unwrap()).unwrap(),
                state
            );
        }
        check(&self.saga);
        check(&self.order);
        check(&self.payment);
        self.stock.values().for_each(check);
    }
}

/// Whether somebody else than the saga has written it.
fn is_foreign(batch: &Decision) -> bool {
    batch.saga.is_empty() && batch.order.is_empty() && batch.payment.is_empty()
}

/// A batch's events in the order in which they are appended.
fn facts(decision: &Decision) -> impl Iterator<Item = Fact<'_>> {
    let saga = decision.saga.iter().map(Fact::Saga);
    let order = decision.order.iter().map(Fact::Order);
    let payment = decision.payment.iter().map(Fact::Payment);
    let stock = decision
        .stock
        .iter()
        .flat_map(|(product, events)| events.iter().map(move |event| Fact::Stock(*product, event)));
    saga.chain(order).chain(payment).chain(stock)
}

/// The types of a batch's events: the saga's, the order's, the payment's, the stock's.
pub(super) fn types(decision: &Decision) -> Vec<&'static str> {
    let saga = decision.saga.iter().map(EventSet::event_type);
    let order = decision.order.iter().map(EventSet::event_type);
    let payment = decision.payment.iter().map(EventSet::event_type);
    let stock = decision.stock.values().flatten().map(EventSet::event_type);
    saga.chain(order).chain(payment).chain(stock).collect()
}

pub(super) fn cancel() -> Input {
    Input::CancelRequested {
        reason: CancelReason::CustomerCancelled,
        detail: None,
    }
}

/// The n-th command of an operator.
pub(super) fn ordered(n: u128, action: Action) -> OperatorCommand {
    OperatorCommand {
        command_id: CommandId(Uuid::from_u128(0xc0_0000 + n)),
        action,
        reason: "the customer called".into(),
        quarantine: None,
    }
}

pub(super) fn price() -> Money {
    eur(4200)
}

pub(super) fn authorised() -> Answer {
    authorised_as("pi_1")
}

pub(super) fn authorised_as(id: &str) -> Answer {
    Answer::Authorised {
        provider_payment_id: id.into(),
        amount: price(),
    }
}

pub(super) fn already_captured() -> Answer {
    Answer::AlreadyCaptured {
        provider_payment_id: "pi_1".into(),
        amount: price(),
    }
}

pub(super) fn action_required() -> Answer {
    Answer::ActionRequired {
        checkout_url: "https://pay.example/cs_1".into(),
        session_id: Some("cs_1".into()),
        provider_payment_id: None,
    }
}

pub(super) fn captured() -> Answer {
    Answer::Captured { amount: price() }
}

pub(super) fn refunded() -> Answer {
    Answer::Refunded {
        refund_id: "re_1".into(),
        amount: price(),
    }
}

pub(super) fn refund_failed(refund_id: &str) -> Answer {
    Answer::RefundFailed {
        refund_id: refund_id.into(),
        amount: price(),
        code: "expired_or_canceled_card".into(),
        message: "the refund failed".into(),
    }
}

pub(super) fn refused() -> Answer {
    Answer::Refused {
        code: "refused".into(),
        message: "never".into(),
    }
}

pub(super) fn unknown() -> Answer {
    Answer::Unknown {
        after: None,
        detail: "no answer".into(),
        reachable: true,
    }
}

pub(super) fn unreachable_provider() -> Answer {
    Answer::Unknown {
        after: None,
        detail: "connection refused".into(),
        reachable: false,
    }
}

pub(super) fn later() -> Answer {
    Answer::Retry {
        after: None,
        detail: "429".into(),
        reachable: true,
    }
}

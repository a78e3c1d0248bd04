//! A small shop in memory: the states of one order's world, folded batch by batch, with every law checked each time.

use std::collections::BTreeMap;

use event_schema::ids::{EffectId, ProductId};
use event_schema::order::{CancelReason, PaymentMethod};
use event_schema::{Decider, EventSet, Money, Timestamp, codec};

use super::{
    Answer, Decision, Event, Fulfilment, Input, Policy, Rejection, Saga, Stage, State, Status,
    Step, World, react, start,
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
        for (product, quantity) in [(mug(), 5), (kettle(), kettles)] {
            let events = Inventory::decide(&Inventory::initial(), received(quantity).into())
                .unwrap_or_default();
            stock.insert(product, Inventory::fold(&events));
        }
        let placed = event_schema::order::Placed {
            payment_method,
            ..two_mugs_and_a_kettle()
        };
        let mut shop = Self {
            saga: Fulfilment::initial(),
            order: Order::fold(
                &Order::decide(&Order::initial(), order::Place::from(placed.clone()).into())
                    .unwrap(),
            ),
            payment: Payment::initial(),
            stock,
            policy: Policy::default(),
            now_ms: 0,
            history: vec![],
        };
        let decision = start(order(1), &placed, "sandbox", shop.now(), &shop.policy).unwrap();
        shop.fold(&decision);
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

    pub(super) fn fold(&mut self, decision: &Decision) {
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
        self.check();
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

pub(super) fn refused() -> Answer {
    Answer::Refused {
        code: "refused".into(),
        message: "never".into(),
    }
}

pub(super) fn unknown() -> Answer {
    Answer::Unknown {
        detail: "no answer".into(),
        reachable: true,
    }
}

pub(super) fn unreachable_provider() -> Answer {
    Answer::Unknown {
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

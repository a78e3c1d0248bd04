//! Each offence is found where it shows, and a history without one is not suspected. That sound histories are not
//! suspected is checked after every batch of every story by the shop in `fixtures`.

use event_schema::fulfilment as saga;
use event_schema::ids::{CommandId, EffectId, OrderId, ProductId};
use event_schema::order::CancelReason;
use event_schema::{EventSet, Money, Position, inventory as stock_events, order as order_events};
use uuid::Uuid;

use super::{AtRest, Entry, Fact, Finding, Offence, OrderAudit, Scope, StockAudit, audit};
use crate::fixtures::{at, eur, kettle, mug, order as order_id};
use crate::fulfilment::fixtures::{
    Shop, already_captured, authorised, captured, refunded, refused, types,
};
use crate::fulfilment::{Answer, Decision, Event, Status, Step};
use crate::inventory::ReleaseCause;
use crate::{inventory, order, payment};

/// One event, with the number of its command.
#[derive(Debug, Clone)]
enum Told {
    Saga(Event),
    Order(order::Event),
    Payment(payment::Event),
    Stock(ProductId, inventory::Event),
}

#[derive(Debug, Clone)]
struct Log(Vec<(u128, Told)>);

impl Log {
    fn of(shop: &Shop) -> Self {
        let mut log = Self(vec![]);
        for batch in &shop.batches {
            log.append(batch);
        }
        log
    }

    fn append(&mut self, batch: &Decision) -> &mut Self {
        let command = self.0.last().map_or(0, |(command, _)| command + 1);
        let mut add = |told| self.0.push((command, told));
        batch
            .saga
            .iter()
            .cloned()
            .map(Told::Saga)
            .for_each(&mut add);
        batch
            .order
            .iter()
            .cloned()
            .map(Told::Order)
            .for_each(&mut add);
        batch
            .payment
            .iter()
            .cloned()
            .map(Told::Payment)
            .for_each(&mut add);
        for (product, events) in &batch.stock {
            for event in events {
                add(Told::Stock(*product, event.clone()));
            }
        }
        self
    }

    /// Something that no saga decides.
    fn and(mut self, told: Told) -> Self {
        let command = self.0.last().map_or(0, |(command, _)| command + 1);
        self.0.push((command, told));
        self
    }

    /// Loses every event of a type.
    fn without(mut self, event_type: &str) -> Self {
        let before = self.0.len();
        self.0.retain(|(_, told)| told.event_type() != event_type);
        assert!(self.0.len() < before, "there is no {event_type} to lose");
        self
    }

    fn offences(&self, scope: Scope) -> Vec<Offence> {
        let entries = self
            .0
            .iter()
            .zip(1..)
            .map(|((command, told), position)| Entry {
                position: Position(position),
                command_id: CommandId(Uuid::from_u128(*command)),
                fact: told.fact(),
            });
        audit(order_id(1), entries, scope)
    }

    fn found(&self) -> Vec<Finding> {
        let found = |offence: Offence| offence.finding;
        self.offences(Scope::EveryPosition)
            .into_iter()
            .map(found)
            .collect()
    }

    fn codes(&self) -> Vec<&'static str> {
        let codes: Vec<_> = self.found().iter().map(Finding::code).collect();
        for code in &codes {
            assert!(Finding::CODES.contains(code), "{code} is not listed");
        }
        codes
    }
}

impl Told {
    fn fact(&self) -> Fact<'_> {
        match self {
            Self::Saga(event) => Fact::Saga(event),
            Self::Order(event) => Fact::Order(event),
            Self::Payment(event) => Fact::Payment(event),
            Self::Stock(product, event) => Fact::Stock(*product, event),
        }
    }

    fn event_type(&self) -> &'static str {
        match self {
            Self::Saga(event) => event.event_type(),
            Self::Order(event) => event.event_type(),
            Self::Payment(event) => event.event_type(),
            Self::Stock(_, event) => event.event_type(),
        }
    }
}

/// The order folded from everything that was told.
fn folded(log: &Log) -> OrderAudit {
    let mut order = OrderAudit::new(order_id(1));
    for (_, told) in &log.0 {
        assert_eq!(order.apply(told.fact()), []);
    }
    order
}

fn completed() -> Shop {
    let mut shop = Shop::open();
    shop.answer(authorised());
    shop.answer(captured());
    shop
}

fn put_back() -> Shop {
    let mut shop = Shop::open();
    shop.answer(authorised());
    shop.answer(refused());
    shop.answer(Answer::Voided);
    shop
}

fn given_back() -> Shop {
    let mut shop = Shop::open();
    shop.answer(authorised());
    shop.answer(refused());
    shop.answer(already_captured());
    shop.answer(refunded());
    shop
}

fn taken(amount: Money) -> Told {
    Told::Payment(event_schema::payment::Captured { amount }.into())
}

fn held(order_id: OrderId, quantity: u32) -> inventory::Event {
    stock_events::Held {
        order_id,
        quantity,
        expires_at: at(0),
    }
    .into()
}

fn released(order_id: OrderId, quantity: u32) -> inventory::Event {
    stock_events::Released {
        order_id,
        quantity,
        cause: ReleaseCause::Expired,
    }
    .into()
}

fn committed(order_id: OrderId, quantity: u32) -> inventory::Event {
    stock_events::Committed { order_id, quantity }.into()
}

#[test]
fn a_sound_history_is_not_suspected_at_any_position() {
    for shop in [
        Shop::open(),
        Shop::at_checkout(),
        completed(),
        put_back(),
        given_back(),
    ] {
        for scope in [Scope::Now, Scope::EveryPosition] {
            assert_eq!(Log::of(&shop).offences(scope), []);
        }
    }
}

#[test]
fn an_order_that_is_confirmed_without_its_money_is_found() {
    let log = Log::of(&completed()).without("payment.captured");
    assert_eq!(
        log.found(),
        [Finding::NotPaid {
            kept: eur(0),
            total: eur(4200)
        }]
    );
}

#[test]
fn an_order_that_is_called_off_with_its_money_kept_is_found() {
    let log = Log::of(&given_back()).without("payment.refunded");
    assert_eq!(log.found(), [Finding::MoneyKept { kept: eur(4200) }]);
    let log = Log::of(&put_back()).without("payment.voided");
    assert_eq!(
        log.found(),
        [Finding::MoneySetAside {
            set_aside: eur(4200)
        }]
    );
}

#[test]
fn money_that_is_taken_twice_or_that_nobody_set_aside_is_found() {
    let log = Log::of(&completed()).and(taken(eur(4200)));
    assert_eq!(
        log.codes(),
        ["ledger_out_of_bounds", "paid_twice"],
        "the sums contradict each other, and the customer has paid twice"
    );
    let again = Log::of(&given_back()).and(Told::Payment(
        event_schema::payment::Refunded {
            refund_id: "re_2".into(),
            amount: eur(4200),
        }
        .into(),
    ));
    assert_eq!(again.codes(), ["ledger_out_of_bounds", "given_back_twice"]);
}

#[test]
fn money_that_is_taken_while_nobody_goes_on_is_found() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    let log = Log::of(&shop).and(taken(eur(4200)));
    assert_eq!(log.found(), [Finding::PaidAndForgotten { kept: eur(4200) }]);
}

#[test]
fn units_that_are_sold_without_the_order_or_not_at_all_are_found() {
    let log = Log::of(&completed()).without("inventory.committed");
    assert_eq!(
        log.codes(),
        [
            "hold_outlives_saga",
            "not_sold",
            "hold_outlives_saga",
            "not_sold"
        ]
    );
    let log = Log::of(&put_back()).and(Told::Stock(mug(), committed(order_id(1), 2)));
    assert_eq!(
        log.found(),
        [
            Finding::EndedWithoutHold { product_id: mug() },
            Finding::SoldToNobody {
                product_id: mug(),
                sold: 2
            }
        ]
    );
}

#[test]
fn a_hold_that_outlives_its_saga_or_goes_before_its_time_is_found() {
    let log = Log::of(&put_back()).without("inventory.released");
    assert_eq!(
        log.found(),
        [(mug(), 2), (kettle(), 1)].map(|(product_id, held)| Finding::HoldOutlivesSaga {
            product_id,
            held,
            saga: Status::Compensated
        })
    );
    let mut shop = Shop::open();
    shop.answer(authorised());
    let log = Log::of(&shop).and(Told::Stock(mug(), released(order_id(1), 2)));
    assert_eq!(log.found(), [Finding::HoldMissing { product_id: mug() }]);
}

#[test]
fn a_hold_that_begins_or_ends_twice_or_with_another_quantity_is_found() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    let log = Log::of(&shop).and(Told::Stock(mug(), held(order_id(1), 2)));
    assert_eq!(log.codes(), ["held_twice", "other_quantity"]);
    let log = Log::of(&shop).and(Told::Stock(mug(), committed(order_id(1), 1)));
    assert!(
        log.codes().starts_with(&["other_quantity"]),
        "{:?}",
        log.codes()
    );
    let log = Log::of(&put_back()).and(Told::Stock(mug(), released(order_id(1), 2)));
    assert_eq!(log.codes(), ["ended_without_hold"]);
    let log = Log::of(&put_back()).and(Told::Stock(mug(), held(order_id(1), 2)));
    assert_eq!(log.codes(), ["held_twice", "hold_outlives_saga"]);
}

#[test]
fn a_product_that_was_never_ordered_is_found() {
    let stranger = ProductId(Uuid::from_u128(0xa9));
    let mut shop = Shop::open();
    shop.answer(authorised());
    let log = Log::of(&shop).and(Told::Stock(stranger, held(order_id(1), 3)));
    assert_eq!(
        log.found(),
        [Finding::OtherQuantity {
            product_id: stranger,
            ordered: 0,
            found: 3
        }]
    );
    let others = Log::of(&shop).and(Told::Stock(mug(), held(order_id(2), 3)));
    assert_eq!(
        others.found(),
        [],
        "what others hold is their audit's business"
    );
}

#[test]
fn a_saga_that_ends_while_something_is_due_is_found() {
    let compensated = saga::Compensated {
        reason: CancelReason::OutOfStock,
    };
    let mut unwinding = Shop::with_kettles(0);
    unwinding.answer(authorised());
    let log = Log::of(&unwinding).and(Told::Saga(compensated.into()));
    assert_eq!(
        log.found(),
        [Finding::EndedWithDue {
            saga: Status::Compensated,
            due: vec![Step::Void]
        }]
    );
    let log = Log::of(&Shop::open()).and(Told::Saga(saga::Completed {}.into()));
    assert!(
        log.codes().starts_with(&["ended_with_due"]),
        "{:?}",
        log.codes()
    );
    let log = Log::of(&unwinding).and(Told::Saga(saga::Completed {}.into()));
    assert_eq!(log.codes(), ["ended_with_due"]);
    let unnamed = saga::Closed {
        left_due: vec![],
        reason: "?".into(),
    };
    let log = Log::of(&unwinding).and(Told::Saga(unnamed.into()));
    assert!(
        log.codes().starts_with(&["ended_with_due"]),
        "{:?}",
        log.codes()
    );
    assert!(log.codes().contains(&"money_set_aside"));
}

#[test]
fn a_saga_that_goes_on_after_its_end_is_found() {
    let intended = saga::Intended {
        step: Step::Void,
        effect_id: EffectId::of(order_id(1), "void", 9),
        opening: 9,
        deadline: at(0),
    };
    for (shop, status) in [
        (completed(), Status::Completed),
        (put_back(), Status::Compensated),
    ] {
        let log = Log::of(&shop).and(Told::Saga(intended.clone().into()));
        assert_eq!(
            log.found(),
            [Finding::AfterTheEnd {
                saga: status,
                event: "fulfilment.intended"
            }]
        );
    }
}

#[test]
fn an_order_and_its_saga_that_contradict_each_other_are_found() {
    let log = Log::of(&completed()).without("order.confirmed");
    assert_eq!(
        log.codes(),
        ["order_disagrees", "sold_to_nobody", "sold_to_nobody"]
    );
    let cancelled = order_events::Cancelled {
        reason: CancelReason::CustomerCancelled,
        detail: None,
    };
    let log = Log::of(&Shop::open()).and(Told::Order(cancelled.into()));
    assert_eq!(
        log.found(),
        [Finding::OrderDisagrees {
            order: "cancelled",
            saga: Status::Running
        }]
    );
    let orphan = Log(Log::of(&Shop::open())
        .0
        .into_iter()
        .filter(|(_, told)| matches!(told, Told::Order(_)))
        .collect());
    assert_eq!(orphan.found(), [Finding::SagaMissing]);
    let orphan = Log::of(&Shop::open()).without("order.placed");
    assert_eq!(orphan.found(), [Finding::OrderMissing]);
}

#[test]
fn an_offence_that_was_put_right_shows_only_when_every_position_is_looked_at() {
    let mut shop = Shop::open();
    shop.answer(authorised());
    let mut log = Log::of(&shop).and(taken(eur(4200)));
    let taken_at = Position(log.0.len() as u64);
    // What the capture's own batch would have recorded, one command later.
    let mut rest = shop.answer(captured());
    rest.payment.clear();
    assert!(types(&rest).contains(&"order.confirmed"));
    log.append(&rest);
    assert_eq!(log.offences(Scope::Now), []);
    assert_eq!(
        log.offences(Scope::EveryPosition),
        [Offence {
            position: taken_at,
            finding: Finding::PaidAndForgotten { kept: eur(4200) }
        }]
    );
}

#[test]
fn an_offence_that_stays_is_told_once_where_it_shows_first() {
    let mut log = Log::of(&completed()).without("payment.captured");
    let shows_at = Position(log.0.len() as u64);
    log = log.and(Told::Payment(
        event_schema::payment::OutcomeUnknown {
            step: "capture".into(),
            detail: "no answer".into(),
        }
        .into(),
    ));
    let offences = log.offences(Scope::EveryPosition);
    assert_eq!(offences.len(), 1);
    assert_eq!(offences[0].position, shows_at);
}

#[test]
fn a_stock_that_balances_is_not_suspected_and_one_that_does_not_is_found() {
    let received = |quantity| {
        stock_events::Received {
            quantity,
            reason: None,
        }
        .into()
    };
    let mut stock = StockAudit::new();
    for event in [
        received(5),
        held(order_id(1), 2),
        held(order_id(2), 1),
        committed(order_id(1), 2),
        released(order_id(2), 1),
    ] {
        assert_eq!(stock.apply(&event), [], "{event:?}");
    }
    assert_eq!(stock.holds().count(), 0);

    let mut oversold = stock.clone();
    assert_eq!(
        oversold.apply(&held(order_id(3), 4)),
        [Finding::StockBelowNothing {
            available: -1,
            held: 4,
            sold: 2
        }]
    );
    assert_eq!(oversold.balance(), oversold.balance());

    let contradiction = |n| Finding::HoldsContradict {
        order_id: order_id(n),
    };
    let mut twice = stock.clone();
    assert_eq!(twice.apply(&held(order_id(3), 1)), []);
    assert_eq!(twice.apply(&held(order_id(3), 1)), [contradiction(3)]);
    let mut unheld = stock.clone();
    assert_eq!(
        unheld.apply(&committed(order_id(1), 2))[0],
        contradiction(1),
        "a unit is sold once"
    );
    let mut other = stock;
    assert_eq!(other.apply(&held(order_id(3), 2)), []);
    assert_eq!(other.apply(&released(order_id(3), 1))[0], contradiction(3));
}

#[test]
fn every_finding_says_what_is_wrong_and_has_a_word_of_its_own() {
    let log = Log::of(&completed()).without("payment.captured");
    let finding = &log.found()[0];
    assert_eq!(
        finding.to_string(),
        "0.00 EUR are kept for a confirmed order of 42.00 EUR"
    );
    assert_eq!(finding.code(), "not_paid");
}

#[test]
fn of_an_order_at_rest_its_histories_and_a_word_are_enough_to_go_on() {
    let mut declined = Shop::open();
    declined.answer(refused());
    for (shop, rest) in [
        (completed(), AtRest::Sold),
        (put_back(), AtRest::PutBack),
        (given_back(), AtRest::PutBack),
        (declined, AtRest::NeverHeld),
    ] {
        let whole = folded(&Log::of(&shop));
        assert_eq!(whole.at_rest(), Some(rest));
        let (saga, order, payment) = (shop.saga, shop.order, shop.payment);
        assert_eq!(
            OrderAudit::taken_up(order_id(1), rest, saga, order, payment),
            whole
        );
    }
}

#[test]
fn an_order_that_runs_or_does_not_balance_is_not_at_rest() {
    assert_eq!(folded(&Log::of(&Shop::open())).at_rest(), None);
    let mut being_paid = Shop::open();
    being_paid.answer(authorised());
    assert_eq!(folded(&Log::of(&being_paid)).at_rest(), None);
    let unpaid = Log::of(&completed()).without("payment.captured");
    assert_eq!(folded(&unpaid).at_rest(), None);
    let still_held = Log::of(&put_back()).without("inventory.released");
    assert_eq!(folded(&still_held).at_rest(), None);
}

#[test]
fn units_that_are_put_aside_for_nobody_are_found() {
    let log = Log(vec![(0, Told::Stock(mug(), held(order_id(1), 2)))]);
    assert_eq!(log.found(), [Finding::SagaMissing]);
    let log = log.and(Told::Stock(mug(), released(order_id(1), 2)));
    assert_eq!(
        log.offences(Scope::Now),
        [],
        "somebody has put them back: nothing is wrong any more"
    );
}

//! Every step of the step table, broken in every way that it can be broken, in every story; and a process that dies at
//! each place where it can die. The fault is counted where it happens: a test that breaks nothing fails.
//!
//! A new row of the table is picked up by itself: [`Fault::can_break`] and [`break_inside`] do not compile or do not pass
//! until they know it.

use std::collections::BTreeSet;

use event_schema::inventory as stock_events;
use event_schema::order::PaymentMethod;

use crate::fixtures::{kettle, mug, order as order_id};
use crate::fulfilment::fixtures::{Shop, ordered};
use crate::fulfilment::provider::{Books, Card, Provider};
use crate::fulfilment::{
    Action, Answer, Cause, Input, Pending, Phase, Place, STEPS, Stage, Status, Step, StepSpec,
    Truth, you_may,
};

/// More happenings than any story has; one that goes on longer never ends.
const MOST_HAPPENINGS: u32 = 60;

/// What a story is about.
#[derive(Debug, Clone, Copy)]
struct Story {
    name: &'static str,
    kettles: u32,
    card: Card,
    /// The customer cancels while the money is being set aside.
    calls_off: bool,
    /// The provider refuses the capture.
    refuses: Option<Step>,
    /// Somebody takes the money by hand before it is let go.
    taken_by_hand: bool,
    ends: Status,
}

const PLAIN: Story = Story {
    name: "completing",
    kettles: 3,
    card: Card::Good,
    calls_off: false,
    refuses: None,
    taken_by_hand: false,
    ends: Status::Completed,
};

const STORIES: [Story; 7] = [
    PLAIN,
    Story {
        name: "declined",
        card: Card::Declines,
        ends: Status::Compensated,
        ..PLAIN
    },
    Story {
        name: "out of stock",
        kettles: 0,
        ends: Status::Compensated,
        ..PLAIN
    },
    Story {
        name: "cancelled",
        calls_off: true,
        ends: Status::Compensated,
        ..PLAIN
    },
    Story {
        name: "expired",
        card: Card::NeedsCustomer,
        ends: Status::Compensated,
        ..PLAIN
    },
    Story {
        name: "capture refused",
        refuses: Some(Step::Capture),
        ends: Status::Compensated,
        ..PLAIN
    },
    Story {
        name: "taken after all",
        kettles: 0,
        taken_by_hand: true,
        ends: Status::Compensated,
        ..PLAIN
    },
];

/// How a step is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// It is refused for good, or is not possible.
    Fails,
    /// It happens and nobody hears of it: no outcome is recorded in time.
    TimesOut,
    /// It does not even reach the provider, and nobody hears of that either.
    NeverArrives,
    /// It happens, and the answer is of no use.
    Unknown,
    /// The provider wants to be asked later.
    Later,
    /// Its call provably never happened: it is opened under a new effect id.
    NeverHappened,
    /// Its input comes a second time with every input that follows, and after the end.
    ComesAgain,
    /// The process dies when the intent is recorded and nobody was called.
    DiesBeforeTheCall,
    /// The process dies when the provider was called and no answer is recorded.
    DiesAfterTheCall,
    /// The process dies when the step's end is recorded.
    DiesAfterTheEnd,
}

const FAULTS: [Fault; 10] = [
    Fault::Fails,
    Fault::TimesOut,
    Fault::NeverArrives,
    Fault::Unknown,
    Fault::Later,
    Fault::NeverHappened,
    Fault::ComesAgain,
    Fault::DiesBeforeTheCall,
    Fault::DiesAfterTheCall,
    Fault::DiesAfterTheEnd,
];

impl Fault {
    /// What can befall a step. Nobody outside is asked for a step inside, and putting units back cannot fail.
    fn can_break(self, spec: &StepSpec) -> bool {
        match (spec.place, self) {
            (Place::Inside, Self::Fails) => match spec.step {
                Step::Hold | Step::Commit => true,
                Step::Release => false,
                Step::Authorise | Step::Capture | Step::Void | Step::Refund => {
                    unreachable!("{} is done outside", spec.step)
                }
            },
            (Place::Inside, Self::ComesAgain | Self::DiesAfterTheEnd) | (Place::Provider, _) => {
                true
            }
            (
                Place::Inside,
                Self::TimesOut
                | Self::NeverArrives
                | Self::Unknown
                | Self::Later
                | Self::NeverHappened
                | Self::DiesBeforeTheCall
                | Self::DiesAfterTheCall,
            ) => false,
        }
    }
}

/// A story as it is told, with one fault in it.
struct Telling {
    story: Story,
    shop: Shop,
    provider: Provider,
    fault: Option<(Step, Fault)>,
    /// How often the fault has happened.
    happened: u32,
    /// The input that comes again and again.
    again: Option<Input>,
    called_off: bool,
}

impl Telling {
    fn of(story: Story, fault: Option<(Step, Fault)>) -> Self {
        let method = match story.card {
            Card::NeedsCustomer => PaymentMethod::Checkout,
            Card::Good | Card::Declines => PaymentMethod::Card {
                token: "pm_card_visa".into(),
            },
        };
        Self {
            story,
            shop: Shop::placed(story.kettles, method),
            provider: Provider {
                refuses: story.refuses,
                ..Provider::with(story.card)
            },
            fault,
            happened: 0,
            again: None,
            called_off: false,
        }
    }

    /// Tells it to its end, or until it needs a person.
    fn tell(mut self) -> Self {
        for _ in 0..MOST_HAPPENINGS {
            self.comes_again();
            if self.shop.saga().has_ended() || self.shop.status() == Status::NeedsOperator {
                return self;
            }
            self.go_on();
        }
        panic!(
            "{}, {:?}: it never ends: {:?}",
            self.story.name, self.fault, self.shop.saga
        );
    }

    /// Whether the fault is to happen now.
    fn breaks(&mut self, step: Step, fault: Fault) -> bool {
        let now = self.fault == Some((step, fault)) && self.happened == 0;
        self.happened += u32::from(now);
        now
    }

    fn go_on(&mut self) {
        let open = self.shop.saga.pending().cloned().expect("an open effect");
        match open.phase {
            Phase::AwaitingCustomer { .. } => {
                self.shop.wake();
            }
            Phase::Backoff { .. } => {
                self.shop.until_due();
                self.call(&open);
            }
            Phase::InFlight { .. } => self.call(&open),
        }
    }

    fn call(&mut self, open: &Pending) {
        let step = open.step;
        if self.breaks(step, Fault::DiesBeforeTheCall) {
            return self.restart();
        }
        if self.breaks(step, Fault::NeverArrives) {
            self.shop.wake();
            return;
        }
        if self.breaks(step, Fault::Later) {
            return self.answer(Answer::Retry {
                after: None,
                detail: "429".into(),
                reachable: true,
            });
        }
        if self.breaks(step, Fault::NeverHappened) {
            return self.answer(Answer::NeverHappened {
                detail: "500 replayed, nothing listed".into(),
            });
        }
        let fails = self.fault == Some((step, Fault::Fails));
        if fails {
            self.provider.refuses = Some(step);
        }
        if step == Step::Void && self.story.taken_by_hand {
            self.provider.taken_by_hand();
        }
        let answer = self.provider.call(open);
        // What the provider has really refused.
        self.happened += u32::from(fails && matches!(answer, Answer::Refused { .. }));
        if self.story.calls_off && step == Step::Authorise && !self.called_off {
            self.called_off = true;
            self.shop.cancel();
            return;
        }
        if self.breaks(step, Fault::TimesOut) {
            self.shop.wake();
            return;
        }
        if self.breaks(step, Fault::Unknown) {
            return self.answer(Answer::Unknown {
                after: None,
                detail: "connection reset".into(),
                reachable: true,
            });
        }
        if self.breaks(step, Fault::DiesAfterTheCall) {
            return self.restart();
        }
        self.break_inside(step);
        let ended_before = self.ended();
        let input = self.shop.answered(answer.clone());
        self.answer(answer);
        for ended in self.ended().difference(&ended_before) {
            if self.breaks(*ended, Fault::DiesAfterTheEnd) {
                self.restart();
            }
            if self.breaks(*ended, Fault::ComesAgain) {
                self.again = Some(input.clone());
            }
        }
    }

    /// Steps that have ended, one way or the other.
    fn ended(&self) -> BTreeSet<Step> {
        let steps = self.shop.saga().steps.iter();
        steps
            .filter(|record| record.outcome.is_some() && self.is_over(record.step))
            .map(|record| record.step)
            .collect()
    }

    fn is_over(&self, step: Step) -> bool {
        self.shop
            .saga
            .pending()
            .is_none_or(|pending| pending.step != step)
    }

    /// Makes impossible what is decided in the batch of the answer that comes now.
    fn break_inside(&mut self, answered: Step) {
        if answered == Step::Authorise
            && self.provider.books == Books::SetAside
            && self.breaks(Step::Hold, Fault::Fails)
        {
            let gone = stock_events::Adjusted {
                quantity: -4,
                reason: Some("broken".into()),
            };
            self.shop.foreign(mug(), gone.into());
        }
        if answered == Step::Capture
            && self.provider.books == Books::Taken
            && self.breaks(Step::Commit, Fault::Fails)
        {
            let released = stock_events::Released {
                order_id: order_id(1),
                quantity: 1,
                cause: stock_events::ReleaseCause::Expired,
            };
            self.shop.foreign(kettle(), released.into());
        }
    }

    fn answer(&mut self, answer: Answer) {
        let input = self.shop.answered(answer);
        self.shop.input(input);
    }

    fn restart(&mut self) {
        self.shop = self.shop.restarted();
    }

    fn comes_again(&mut self) {
        if let Some(again) = self.again.clone() {
            assert!(
                self.shop.input(again.clone()).is_empty(),
                "{}, {:?}: {again:?} acted twice",
                self.story.name,
                self.fault
            );
        }
    }

    /// The money moved once at most, each way, and the books agree with the ending.
    fn check(&self) {
        let label = (self.story.name, self.fault);
        let (taken, given_back) = self.provider.moved;
        assert!(taken <= 1 && given_back <= taken, "{label:?}");
        let books = self.provider.books;
        match self.shop.status() {
            Status::Completed => assert_eq!(books, Books::Taken, "{label:?}"),
            Status::Compensated => assert!(
                !matches!(books, Books::SetAside | Books::Taken),
                "{label:?}: {books:?}"
            ),
            Status::NeedsOperator | Status::Closed => {}
            Status::Running | Status::Unwinding => panic!("{label:?}: it has not ended"),
        }
        assert_eq!(self.shop.offences(), [], "{label:?}");
    }
}

/// The steps that a story goes through when nothing is broken.
fn steps_of(story: Story) -> BTreeSet<Step> {
    let told = Telling::of(story, None).tell();
    told.check();
    assert_eq!(told.shop.status(), story.ends, "{}", story.name);
    told.shop
        .saga()
        .steps
        .iter()
        .map(|record| record.step)
        .collect()
}

/// Whether a fault at a step of a story can happen: the story ends the step by an answer of its own.
fn reaches(story: Story, step: Step, fault: Fault) -> bool {
    let overtaken = story.calls_off && step == Step::Authorise;
    // Money that is taken is not let go, refused or not.
    let taken = story.taken_by_hand && (step, fault) == (Step::Void, Fault::Fails);
    let waits = step == Step::Authorise && matches!(story.card, Card::NeedsCustomer);
    let before_the_customer_acts = matches!(
        fault,
        Fault::DiesBeforeTheCall | Fault::NeverArrives | Fault::Later | Fault::NeverHappened
    ) || (waits
        && !matches!(fault, Fault::ComesAgain | Fault::DiesAfterTheEnd));
    steps_of(story).contains(&step)
        && (!overtaken || before_the_customer_acts || fault == Fault::Fails)
        && (!waits || before_the_customer_acts)
        && !taken
}

/// Why a person is needed after a fault, if one is.
fn needs_a_person(step: Step, fault: Fault) -> Option<Cause> {
    match (step, fault) {
        (Step::Void, Fault::Fails) => Some(Cause::VoidRefused),
        (Step::Refund, Fault::Fails) => Some(Cause::RefundRefused),
        (Step::Commit, Fault::Fails) => Some(Cause::Poisoned),
        (
            Step::Authorise
            | Step::Hold
            | Step::Capture
            | Step::Commit
            | Step::Void
            | Step::Release
            | Step::Refund,
            _,
        ) => None,
    }
}

#[test]
fn every_step_broken_in_every_way_in_every_story_ends_balanced_or_with_a_person() {
    let mut broken = BTreeSet::new();
    for story in STORIES {
        for spec in STEPS {
            for fault in FAULTS.into_iter().filter(|fault| fault.can_break(spec)) {
                let step = spec.step;
                let told = Telling::of(story, Some((step, fault))).tell();
                let meant = u32::from(reaches(story, step, fault));
                assert_eq!(
                    told.happened, meant,
                    "{}: {fault:?} at {step} happened so often",
                    story.name
                );
                told.check();
                if meant == 0 {
                    assert_eq!(told.shop.status(), story.ends, "{}", story.name);
                    continue;
                }
                broken.insert((step, fault));
                let stuck = told.shop.saga().stuck.as_ref();
                let expected = needs_a_person(step, fault);
                assert_eq!(
                    stuck.map(|stuck| stuck.cause),
                    expected,
                    "{}: {fault:?} at {step}",
                    story.name
                );
                if expected.is_none() && fault != Fault::Fails {
                    assert_eq!(
                        told.shop.status(),
                        story.ends,
                        "{}: {fault:?} at {step} changes nothing in the end",
                        story.name
                    );
                }
            }
        }
    }
    for spec in STEPS {
        for fault in FAULTS.into_iter().filter(|fault| fault.can_break(spec)) {
            assert!(
                broken.contains(&(spec.step, fault)),
                "no story breaks {} by {fault:?}",
                spec.step
            );
        }
    }
}

#[test]
fn a_process_may_die_at_every_recorded_batch_and_on_both_sides_of_every_call() {
    for story in STORIES {
        let whole = Telling::of(story, None).tell();
        let batches = whole.shop.batches.len();
        let mut died = 0;
        for at in 1..=batches {
            for was_called in [false, true] {
                let mut telling = Telling::of(story, None);
                while telling.shop.batches.len() < at {
                    telling.go_on();
                }
                assert_eq!(
                    telling.shop.batches.len(),
                    at,
                    "{}: it died there",
                    story.name
                );
                if let Some(open) = telling.shop.saga.pending().cloned()
                    && was_called
                {
                    telling.provider.call(&open);
                }
                telling.restart();
                died += 1;
                // Nobody knows whether the open call was made: it is looked up like any other.
                if telling.shop.saga.pending().is_some() {
                    telling.shop.wake();
                }
                let told = telling.tell();
                assert_eq!(
                    told.shop.status(),
                    story.ends,
                    "{}: died at batch {at}, called: {was_called}",
                    story.name
                );
                told.check();
            }
        }
        assert_eq!(died, 2 * batches, "{}", story.name);
        assert!(batches > 1, "{}", story.name);
    }
}

#[test]
fn a_history_can_be_folded_up_to_every_single_event() {
    use crate::fulfilment::{Fulfilment, explain, view};
    use event_schema::Decider;

    for story in STORIES {
        let whole = Telling::of(story, None).tell();
        let history = &whole.shop.history;
        for cut in 0..=history.len() {
            let state = Fulfilment::fold(&history[..cut]);
            let rest = history[cut..]
                .iter()
                .fold(state.clone(), Fulfilment::evolve);
            assert_eq!(rest, whole.shop.saga, "{}, cut at {cut}", story.name);
            let seen = view(&state, &whole.shop.payment);
            assert_eq!(seen.is_some(), cut > 0, "{}, cut at {cut}", story.name);
            let now = whole.shop.now();
            let told = explain(&state, &whole.shop.payment, now, now, &whole.shop.policy);
            assert_eq!(told.is_empty(), cut == 0, "{}, cut at {cut}", story.name);
        }
    }
}

/// The shop after a fault that needs a person, with a provider that has become reasonable.
fn stuck(story: Story, step: Step) -> Telling {
    let mut told = Telling::of(story, Some((step, Fault::Fails))).tell();
    assert_eq!(told.shop.status(), Status::NeedsOperator);
    told.provider.refuses = None;
    told.fault = None;
    told
}

#[test]
fn everything_that_a_person_may_order_ends_the_saga_and_dying_at_it_changes_nothing() {
    let of = |name| {
        STORIES
            .into_iter()
            .find(|story| story.name == name)
            .unwrap()
    };
    for (story, step) in [
        (of("cancelled"), Step::Void),
        (of("out of stock"), Step::Void),
        (of("capture refused"), Step::Void),
        (of("expired"), Step::Void),
        (of("taken after all"), Step::Refund),
        (of("completing"), Step::Commit),
    ] {
        let choices = you_may(&stuck(story, step).shop.saga);
        assert!(!choices.is_empty());
        for choice in choices {
            for dies in [false, true] {
                let mut telling = stuck(story, step);
                let resolve = |truth| Action::Resolve {
                    step,
                    truth,
                    evidence: "seen in the dashboard".into(),
                };
                let says_ok = choice.would.starts_with("with outcome ok");
                let action = match choice.command.as_str() {
                    "retry" => Action::Retry { step: Some(step) },
                    "skip" => Action::Skip { step },
                    "resolve" if says_ok => resolve(Truth::Ok),
                    "resolve" => resolve(Truth::Refused),
                    "close" => Action::Close,
                    other => unreachable!("{other} is not offered here"),
                };
                let command = ordered(1, action.clone());
                telling.shop.order_by_operator(command.clone());
                if dies {
                    telling.restart();
                    assert!(
                        telling.shop.order_by_operator(command).is_empty(),
                        "an accepted command survives and acts once"
                    );
                }
                let told = telling.tell();
                let in_vain = step == Step::Commit && matches!(action, Action::Retry { .. });
                assert_eq!(
                    told.shop.saga().has_ended(),
                    !in_vain,
                    "{}: {action:?}",
                    story.name
                );
                assert_eq!(told.shop.offences(), [], "{}: {action:?}", story.name);
                let closes = matches!(action, Action::Skip { .. } | Action::Close);
                assert_eq!(
                    matches!(told.shop.saga().stage, Stage::Closed(_)),
                    closes,
                    "{}: {action:?}",
                    story.name
                );
            }
        }
    }
}

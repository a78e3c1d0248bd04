//! Sagas as text for a terminal: the verdict first, columns that line up, nothing that needs a legend.

use std::fmt::Write as _;

use domain::fulfilment::{Choice, Quarantine};
use event_schema::{Money, Timestamp};
use event_store::LoadError;
use uuid::Uuid;

use crate::runner::Owner;
use crate::status::{MoneyStatus, OutsideStatus, SagaStatus, StepStatus, StockStatus, Verdict};

/// Several sagas, a line each.
pub(super) fn list(sagas: &[SagaStatus], total: usize, now: Timestamp) -> String {
    if sagas.is_empty() {
        return "no sagas\n".into();
    }
    let head = ["order", "status", "step", "cause", "since", "for"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = vec![head];
    rows.extend(sagas.iter().map(|saga| {
        vec![
            saga.id.to_string(),
            saga.status.as_str().to_owned(),
            saga.step.map_or("-", |step| step.as_str()).to_owned(),
            saga.cause.map_or("-", |cause| cause.as_str()).to_owned(),
            moment(saga.since),
            age(saga.since, now),
        ]
    }));
    let mut out = table(&rows, "");
    if total > sagas.len() {
        _ = writeln!(
            out,
            "and {} more; ask for one status at a time",
            total - sagas.len()
        );
    }
    out
}

/// One saga in full.
pub(super) fn show(
    saga: &SagaStatus,
    owner: Option<&Owner>,
    events: Option<u64>,
    choices: &[Choice],
    now: Timestamp,
) -> String {
    let mut out = String::new();
    _ = writeln!(
        out,
        "order {}   {}   since {} ({})",
        saga.id,
        verdict(saga.status),
        moment(saga.since),
        age(saga.since, now)
    );
    if let Some(cause) = saga.cause {
        let step = saga
            .step
            .map_or_else(String::new, |step| format!("{step}: "));
        _ = writeln!(
            out,
            "cause    {step}{}",
            with_detail(cause.as_str(), saga.detail.as_deref())
        );
    } else if saga.status == Verdict::Closed {
        let by_whom = saga.detail.as_deref().unwrap_or("no reason given");
        let left: Vec<&str> = saga.left_due.iter().map(|step| step.as_str()).collect();
        let left = match left.as_slice() {
            [] => "nothing".to_owned(),
            left => left.join(", "),
        };
        _ = writeln!(
            out,
            "because  closed by an operator: {by_whom}; left due: {left}"
        );
    } else if let Some(reason) = &saga.reason {
        _ = writeln!(
            out,
            "because  {}",
            with_detail(reason, saga.detail.as_deref())
        );
    }
    _ = writeln!(out, "runs as  {}", runs_as(saga, owner, events));
    _ = writeln!(out);
    out.push_str(&steps(&saga.steps));
    _ = writeln!(out);
    let called_off = saga.reason.is_some();
    _ = writeln!(
        out,
        "money    {}",
        money(&saga.money, saga.status, called_off)
    );
    for (index, line) in saga.stock.iter().enumerate() {
        let label = if index == 0 { "stock    " } else { "         " };
        _ = writeln!(out, "{label}{}", stock(line, saga.status));
    }
    if let Some(deadline) = saga.deadline.filter(|_| !saga.status.is_end()) {
        let step = saga.step.map_or("it", |step| step.as_str());
        _ = writeln!(
            out,
            "next     {step} is looked at by itself at {} at the latest",
            moment(deadline)
        );
    }
    if !choices.is_empty() {
        _ = writeln!(out, "you may  {}", may(choices));
    }
    out
}

/// One saga in sentences.
pub(super) fn explain(saga: &SagaStatus, sentences: &[String], choices: &[Choice]) -> String {
    let mut out = String::new();
    _ = writeln!(out, "order {}   {}", saga.id, verdict(saga.status));
    for sentence in sentences {
        _ = writeln!(out, "{sentence}");
    }
    for (index, choice) in choices.iter().enumerate() {
        if index == 0 {
            _ = writeln!(out, "You may order:");
        }
        _ = writeln!(out, "  {}: it would {}", name(choice), choice.would);
    }
    out
}

/// A saga that its owner has set aside, in a sentence.
pub(super) fn set_aside(quarantine: &Quarantine, since: Timestamp, now: Timestamp) -> String {
    format!(
        "It is set aside since {} ({} ago), because handling it kept failing: {} ({}). The other sagas go on; what comes \
         about this one meanwhile is kept in its history, in order. Nothing happens by itself; retry takes it up again.",
        moment(since),
        age(since, now),
        quarantine.cause.as_str(),
        quarantine.detail
    )
}

/// A saga whose history cannot be read, in sentences.
pub(super) fn unreadable(last: &SagaStatus, error: &LoadError, now: Timestamp) -> Vec<String> {
    let mut sentences = vec![format!("Its history cannot be read: {error}.")];
    if let Some(step) = last.step {
        sentences.push(format!(
            "When it was last read, {} was open.",
            step.as_str()
        ));
    }
    sentences.push(format!(
        "It is set aside since {} ({} ago). The other sagas go on; what comes about this one meanwhile is kept in its \
         history, in order. Nothing happens by itself.",
        moment(last.since),
        age(last.since, now)
    ));
    sentences.push(
        "No command can act on it before its history can be read: start a build that can read it, or restore the log \
         from a copy; it is then taken up again."
            .to_owned(),
    );
    sentences
}

/// What became of an operator's command.
pub(super) struct Told<'a> {
    pub(super) would: &'a [String],
    pub(super) dry_run: bool,
    pub(super) repeated: bool,
    pub(super) position: Option<u64>,
    pub(super) command_id: Uuid,
    pub(super) status: Verdict,
}

/// What an operator's command does, or would do.
pub(super) fn command(told: &Told<'_>) -> String {
    let mut out = String::new();
    if told.repeated && !told.dry_run {
        _ = writeln!(
            out,
            "done     before: this command was carried out already, and acts once"
        );
    } else {
        let label = if told.dry_run {
            "would    "
        } else {
            "does     "
        };
        for sentence in told.would {
            _ = writeln!(out, "{label}{sentence}");
        }
    }
    match told.position {
        Some(position) => {
            _ = writeln!(
                out,
                "recorded as command {}, log position {position}; the saga is now {}",
                told.command_id,
                verdict(told.status)
            );
        }
        None => {
            _ = writeln!(
                out,
                "nothing was changed; send it again without Dry-Run, with a Command-Id and a Reason, to do it"
            );
        }
    }
    out
}

fn verdict(verdict: Verdict) -> String {
    verdict.as_str().replace('_', " ").to_uppercase()
}

/// Each command once, in the order in which they are offered.
fn may(choices: &[Choice]) -> String {
    let mut names: Vec<String> = choices.iter().map(name).collect();
    names.dedup();
    names.join(" | ")
}

fn name(choice: &Choice) -> String {
    match choice.step {
        Some(step) => format!("{} {step}", choice.command),
        None => choice.command.to_string(),
    }
}

fn runs_as(saga: &SagaStatus, owner: Option<&Owner>, events: Option<u64>) -> String {
    let def = match saga.def.as_deref().and_then(|def| def.split_once(':')) {
        Some((version, digest)) => format!("fulfilment v{version} ({digest})"),
        None => "fulfilment".into(),
    };
    let owner = match owner.filter(|owner| !owner.instance.is_empty()) {
        Some(owner) => format!("owner {} epoch {}", owner.label(), owner.epoch),
        None => "owned by nobody now".into(),
    };
    let events = events.map_or_else(String::new, |events| format!("{events} events, "));
    format!("{def}, {owner}, {events}log position {}", saga.position)
}

fn steps(steps: &[StepStatus]) -> String {
    let head = ["step", "state", "tries", "outcome", "effect"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = vec![head];
    rows.extend(steps.iter().map(|step| {
        vec![
            step.step.as_str().to_owned(),
            if step.state == "stuck" {
                "STUCK".into()
            } else {
                step.state.replace('_', " ")
            },
            step.tries.to_string(),
            step.outcome.clone().unwrap_or_else(|| "-".into()),
            step.effect_id
                .map_or_else(|| "-".into(), |effect| effect.to_string()),
        ]
    }));
    table(&rows, "  ")
}

/// `called_off`: nothing of the money is the shop's.
fn money(money: &MoneyStatus, verdict: Verdict, called_off: bool) -> String {
    let MoneyStatus {
        authorised,
        captured,
        refunded,
        outside,
    } = money;
    let none = Money::zero(captured.currency);
    let outside = outside.unwrap_or(OutsideStatus {
        received: none,
        returned: none,
    });
    let kept = captured.minus(*refunded).unwrap_or(*captured);
    let kept = kept.plus(outside.received).unwrap_or(kept);
    let kept = kept.minus(outside.returned).unwrap_or(kept);
    let set_aside = authorised.minus(*captured).unwrap_or(none);
    let balance = match verdict {
        Verdict::Completed | Verdict::Closed if kept != none && !called_off => {
            format!("{kept} earned")
        }
        _ if kept == none && set_aside == none => "balanced".into(),
        Verdict::Running => format!("{} in hand", if kept == none { set_aside } else { kept }),
        _ if kept != none => format!("{kept} owed to the customer"),
        _ => format!("{set_aside} still set aside"),
    };
    let mut sums = format!("authorised {authorised}, captured {captured}, refunded {refunded}");
    if outside.received != none {
        _ = write!(sums, ", {} received by other means", outside.received);
    }
    if outside.returned != none {
        _ = write!(sums, ", {} returned by other means", outside.returned);
    }
    format!("{sums}   -> {balance}")
}

fn stock(line: &StockStatus, verdict: Verdict) -> String {
    let StockStatus {
        product_id,
        quantity,
        held,
        sold,
    } = line;
    let balance = match (verdict, *held, *sold) {
        (Verdict::Completed, 0, sold) if sold == *quantity => "sold",
        (_, 0, 0) => "balanced",
        (Verdict::Running, ..) => "in hand",
        (_, held, _) if held > 0 => "to be put back",
        _ => "sold",
    };
    format!("{product_id}: ordered {quantity}, held {held}, sold {sold}   -> {balance}")
}

fn with_detail(what: &str, detail: Option<&str>) -> String {
    detail.map_or_else(|| what.to_owned(), |detail| format!("{what}: {detail}"))
}

/// Columns as wide as their widest cell; the last one is left as it is.
fn table(rows: &[Vec<String>], indent: &str) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(&widths) {
            _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn moment(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if hours >= 48 {
        format!("{} days", hours / 24)
    } else {
        format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use domain::fulfilment::OperatorVerb;
    use event_schema::Currency;
    use event_schema::fulfilment::{Cause, Step};
    use event_schema::ids::{EffectId, ProductId};

    use super::*;

    fn eur(amount: i64) -> Money {
        Money::new(amount, Currency::EUR)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn stuck_refund() -> SagaStatus {
        SagaStatus {
            status: Verdict::NeedsOperator,
            step: Some(Step::Refund),
            cause: Some(Cause::RefundRefused),
            since: at(1_700_000_000),
            id: Uuid::from_u128(0x7f3a),
            position: 18_267,
            deadline: None,
            reason: Some("customer_cancelled".into()),
            detail: Some("account_closed".into()),
            left_due: vec![],
            def: Some("3:9c1e".into()),
            steps: vec![StepStatus {
                step: Step::Refund,
                state: "stuck".into(),
                tries: 4,
                outcome: Some("refused".into()),
                effect_id: Some(EffectId(Uuid::from_u128(2))),
            }],
            money: MoneyStatus {
                authorised: eur(4200),
                captured: eur(4200),
                refunded: eur(0),
                outside: None,
            },
            stock: vec![StockStatus {
                product_id: ProductId(Uuid::from_u128(17)),
                quantity: 2,
                held: 0,
                sold: 0,
            }],
            read_by: None,
        }
    }

    #[test]
    fn a_stuck_saga_says_first_that_it_needs_a_person_then_why_and_what_is_owed() {
        let owner = Owner {
            instance: "orchestrator-2".into(),
            token: "t".into(),
            epoch: 41,
            since: at(0),
        };
        let choices = [
            OperatorVerb::Retry,
            OperatorVerb::Resolve,
            OperatorVerb::Resolve,
        ]
        .map(|command| Choice {
            command,
            step: Some(Step::Refund),
            would: "do it".into(),
        });
        let text = show(
            &stuck_refund(),
            Some(&owner),
            Some(12),
            &choices,
            at(1_700_000_760),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].contains("NEEDS OPERATOR") && lines[0].contains("00:12:40"),
            "{text}"
        );
        assert_eq!(lines[1], "cause    refund: refund_refused: account_closed");
        assert_eq!(
            lines[2],
            "runs as  fulfilment v3 (9c1e), owner orchestrator-2/t epoch 41, 12 events, log position 18267"
        );
        assert!(
            text.contains("  refund  STUCK  4      refused  00000000-0000-0000-0000-000000000002"),
            "{text}"
        );
        assert!(
            text.contains(
                "captured 42.00 EUR, refunded 0.00 EUR   -> 42.00 EUR owed to the customer"
            ),
            "{text}"
        );
        assert!(
            text.contains("ordered 2, held 0, sold 0   -> balanced"),
            "{text}"
        );
        assert!(
            text.ends_with("you may  retry refund | resolve refund\n"),
            "{text}"
        );
    }

    #[test]
    fn a_closed_saga_says_by_whom_and_what_is_left_and_counts_what_was_settled_by_other_means() {
        let closed = SagaStatus {
            status: Verdict::Closed,
            cause: None,
            detail: Some("paid by bank transfer".into()),
            left_due: vec![Step::Refund],
            money: MoneyStatus {
                outside: Some(OutsideStatus {
                    received: eur(0),
                    returned: eur(4200),
                }),
                ..stuck_refund().money
            },
            ..stuck_refund()
        };
        let text = show(&closed, None, None, &[], at(1_700_000_000));
        assert!(
            text.contains("closed by an operator: paid by bank transfer; left due: refund"),
            "{text}"
        );
        assert!(
            text.contains("42.00 EUR returned by other means   -> balanced"),
            "{text}"
        );
    }

    #[test]
    fn a_dry_run_says_that_nothing_was_changed_and_a_repeat_that_it_happened_before() {
        let told = Told {
            would: &["cancel the order".into()],
            dry_run: true,
            repeated: false,
            position: None,
            command_id: Uuid::from_u128(3),
            status: Verdict::NeedsOperator,
        };
        let text = command(&told);
        assert!(
            text.starts_with("would    cancel the order\nnothing was changed"),
            "{text}"
        );
        let repeat = Told {
            dry_run: false,
            repeated: true,
            position: Some(9),
            ..told
        };
        let text = command(&repeat);
        assert!(
            text.starts_with("done     before") && text.contains("log position 9"),
            "{text}"
        );
    }

    #[test]
    fn a_list_says_how_many_it_leaves_out() {
        let text = list(&[stuck_refund()], 3, at(1_700_000_000));
        assert!(text.starts_with("order "), "{text}");
        assert!(
            text.ends_with("and 2 more; ask for one status at a time\n"),
            "{text}"
        );
    }

    #[test]
    fn no_sagas_are_said_so() {
        assert_eq!(list(&[], 0, at(0)), "no sagas\n");
    }
}

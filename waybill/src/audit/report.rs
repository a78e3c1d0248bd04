//! What the audit says: a short summary, then the offenders.

use std::fmt::Write as _;
use std::time::Duration;

use domain::fulfilment::Status;
use event_schema::{Position, Timestamp};
use serde_json::{Map, Value, json};

use super::book::{Book, Holds};

/// In the order of a saga's life.
const STATUSES: [Status; 6] = [
    Status::Running,
    Status::Unwinding,
    Status::NeedsOperator,
    Status::Completed,
    Status::Compensated,
    Status::Closed,
];

/// The result.
pub struct Report {
    book: Book,
    position: Position,
    as_of: Timestamp,
    took: Duration,
}

impl Report {
    /// Of a book that is closed.
    pub fn of(book: Book, position: Position, as_of: Timestamp, took: Duration) -> Self {
        Self {
            book,
            position,
            as_of,
            took,
        }
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        let (offenders, unnamed) = self.book.offenders();
        offenders.is_empty() && unnamed == 0
    }

    /// For people.
    pub fn as_text(&self) -> String {
        let book = &self.book;
        let how = if book.every_position() {
            "at every position"
        } else {
            "as they stand"
        };
        let mut text = format!(
            "{} events up to position {} read in {:.1} s, the balances looked at {how}",
            book.events(),
            self.position,
            self.took.as_secs_f64()
        );
        let sagas = self.sagas();
        let total: u64 = sagas.iter().map(|(_, count, _)| count).sum();
        line(&mut text, &format!("sagas   {total}"));
        for (status, count, age) in sagas.iter().filter(|(_, count, _)| *count > 0) {
            let age = age.map_or_else(String::new, |age| format!(", the oldest for {age} s"));
            line(
                &mut text,
                &format!("        {} {count}{age}", status.as_str()),
            );
        }
        let Holds {
            begun,
            committed,
            released,
        } = book.holds();
        line(
            &mut text,
            &format!(
                "holds   {begun}: {} running, {committed} sold, {released} put back",
                book.holds_running()
            ),
        );
        let (products, units) = book.stock();
        line(
            &mut text,
            &format!(
                "stock   {products} products: {} received, {} available, {} held, {} sold",
                units.received, units.available, units.held, units.sold
            ),
        );
        if book.unjudged() > 0 {
            line(
                &mut text,
                &format!(
                    "not judged, because of unreadable events: {}",
                    book.unjudged()
                ),
            );
        }
        let (offenders, unnamed) = book.offenders();
        if self.is_clean() {
            line(&mut text, "everything balances");
            return text;
        }
        line(
            &mut text,
            &format!("{} offenders", offenders.len() as u64 + unnamed),
        );
        for offender in offenders {
            line(&mut text, "");
            line(
                &mut text,
                &format!(
                    "{}, position {}: {}",
                    offender.who(),
                    offender.position,
                    offender.code()
                ),
            );
            line(&mut text, &format!("  {}", offender.what()));
            line(&mut text, &format!("  next: {}", offender.next()));
            line(&mut text, &format!("  {}", offender.show()));
        }
        if unnamed > 0 {
            line(&mut text, "");
            line(&mut text, &format!("and {unnamed} more"));
        }
        text
    }

    /// For programs.
    pub fn as_json(&self) -> Value {
        let book = &self.book;
        let by_status: Map<String, Value> = self
            .sagas()
            .into_iter()
            .map(|(status, count, age)| {
                let told = json!({ "count": count, "oldest_seconds": age });
                (status.as_str().to_owned(), told)
            })
            .collect();
        let Holds {
            begun,
            committed,
            released,
        } = book.holds();
        let (products, units) = book.stock();
        let (open, at_rest) = book.kept();
        let (offenders, unnamed) = book.offenders();
        let named: Vec<Value> = offenders
            .iter()
            .map(|offender| offender.as_json())
            .collect();
        json!({
            "clean": self.is_clean(),
            "position": self.position,
            "every_position": book.every_position(),
            "events": book.events(),
            "seconds": self.took.as_secs_f64(),
            "sagas": by_status,
            "holds": {
                "begun": begun, "running": book.holds_running(), "committed": committed, "released": released,
            },
            "stock": { "products": products, "units": units },
            "kept": { "orders": open, "orders_at_rest": at_rest },
            "unjudged": book.unjudged(),
            "offenders_total": offenders.len() as u64 + unnamed,
            "offenders": named,
        })
    }

    /// Each status with how many stand so and, in seconds, for how long the one that has stood so longest; that is not
    /// kept of sagas that have ended.
    fn sagas(&self) -> Vec<(Status, u64, Option<i64>)> {
        let sagas = self.book.sagas();
        STATUSES
            .into_iter()
            .map(|status| {
                let (count, oldest) = sagas.get(&status).copied().unwrap_or_default();
                let ended = matches!(
                    status,
                    Status::Completed | Status::Compensated | Status::Closed
                );
                let age = oldest
                    .filter(|_| !ended)
                    .map(|since| self.as_of.duration_since(since).as_secs().max(0));
                (status, count, age)
            })
            .collect()
    }
}

fn line(text: &mut String, more: &str) {
    // Writing to a string cannot fail.
    let _ = write!(text, "\n{more}");
}

//! What a bench tells: settings, figures, ratios, remarks; as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::times::{Percentiles, shown};

/// Whose figure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Waybill's.
    Ours,
    /// The server's limit without Waybill.
    Raw,
}

/// A measured figure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// For programs: stable over runs.
    pub id: String,
    /// For people.
    pub title: String,
    /// Whose it is.
    pub side: Side,
    /// Of what.
    pub unit: String,
    /// The middle of the rounds.
    pub rate: f64,
    /// Each round's figure.
    pub rounds: Vec<f64>,
    /// How many in all rounds.
    pub count: u64,
    /// How many worked at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callers: Option<usize>,
    /// How long each took, over all rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Percentiles>,
    /// What else was seen.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub also: BTreeMap<String, Value>,
}

impl Row {
    /// A row without figures yet.
    pub fn new(side: Side, id: &str, title: &str) -> Self {
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            side,
            unit: String::new(),
            rate: 0.0,
            rounds: Vec::new(),
            count: 0,
            callers: None,
            latency: None,
            also: BTreeMap::new(),
        }
    }

    /// Notes something more.
    pub fn also(&mut self, name: &str, value: impl Serialize) {
        if let Ok(value) = serde_json::to_value(value) {
            self.also.insert(name.to_owned(), value);
        }
    }
}

/// What a ratio should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Nothing was set.
    None,
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Wanted {
    fn shown(self, ratio: f64) -> String {
        let (text, met) = match self {
            Self::None => return String::new(),
            Self::AtLeast(least) => (format!("wanted ≥ {least}"), ratio >= least),
            Self::AtMost(most) => (format!("wanted ≤ {most}"), ratio <= most),
        };
        format!("{text}, {}", if met { "met" } else { "not met" })
    }
}

/// One figure against another, from the same rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    /// `<one row>/<other row>`.
    pub id: String,
    /// For people.
    pub title: String,
    /// The middle of the rounds.
    pub ratio: f64,
    /// The round in which it was lowest.
    pub lowest: f64,
    /// The round in which it was highest.
    pub highest: f64,
    /// What it should be with an optimised build on a quiet machine.
    pub wanted: Wanted,
}

/// All that a bench tells.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which bench.
    pub bench: &'static str,
    /// On what, and how.
    pub settings: BTreeMap<String, Value>,
    /// The figures.
    pub rows: Vec<Row>,
    /// Ours against the limits.
    pub ratios: Vec<Ratio>,
    /// What to know when reading it.
    pub remarks: Vec<String>,
}

impl Report {
    /// A report without figures yet.
    pub fn new(bench: &'static str) -> Self {
        Self {
            bench,
            settings: BTreeMap::new(),
            rows: Vec::new(),
            ratios: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Notes a setting.
    pub fn set(&mut self, name: &str, value: impl Serialize) {
        if let Ok(value) = serde_json::to_value(value) {
            self.settings.insert(name.to_owned(), value);
        }
    }

    /// For programs.
    pub fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!("waybill bench {}\n", self.bench);
        let settings: Vec<String> = self
            .settings
            .iter()
            .map(|(name, value)| format!("{} {}", name.replace('_', " "), plain(value)))
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}\n", wrapped(&settings.join(" · ")));
        text.push_str(&table(&self.figures()));
        if !self.ratios.is_empty() {
            text.push('\n');
            text.push_str(&table(&self.compared()));
        }
        for remark in &self.remarks {
            let _ = write!(text, "\n{}", wrapped(remark));
        }
        text.trim_end().to_owned()
    }

    fn figures(&self) -> Vec<Vec<String>> {
        let heads = ["", "rate", "", "p50", "p90", "p99", "max", "rounds"];
        let mut lines = vec![heads.map(str::to_owned).to_vec()];
        for row in &self.rows {
            let mut line = vec![row.title.clone(), number(row.rate), row.unit.clone()];
            line.extend(match row.latency {
                Some(times) => [times.p50_us, times.p90_us, times.p99_us, times.max_us].map(shown),
                None => Default::default(),
            });
            let rounds: Vec<String> = row.rounds.iter().map(|rate| number(*rate)).collect();
            line.push(rounds.join(", "));
            lines.push(line);
            for (name, value) in &row.also {
                lines.push(vec![format!(
                    "    {} {}",
                    name.replace('_', " "),
                    plain(value)
                )]);
            }
        }
        lines
    }

    fn compared(&self) -> Vec<Vec<String>> {
        let heads = [
            "ours : raw, of the same rounds",
            "ratio",
            "lowest to highest",
            "",
        ];
        let mut lines = vec![heads.map(str::to_owned).to_vec()];
        for ratio in &self.ratios {
            lines.push(vec![
                ratio.title.clone(),
                format!("{:.2}", ratio.ratio),
                format!("{:.2} to {:.2}", ratio.lowest, ratio.highest),
                ratio.wanted.shown(ratio.ratio),
            ]);
        }
        lines
    }
}

/// Columns as wide as their widest cell; a line with one cell runs over all of them.
fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter(|line| line.len() > 1);
        cells
            .filter_map(|line| Some(line.get(column)?.chars().count()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut shown = String::new();
        for (column, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            // Names to the left, figures to the right.
            let numeric = (1..columns.saturating_sub(1)).contains(&column) && column != 2;
            let cell = if numeric {
                format!("{pad}{cell}")
            } else {
                format!("{cell}{pad}")
            };
            shown.push_str(&cell);
            shown.push_str("  ");
        }
        let _ = writeln!(text, "{}", shown.trim_end());
    }
    text
}

/// Thousands apart: `12 345`; small ones with decimals.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(amount) => match amount.as_f64() {
            Some(amount) if amount.fract() != 0.0 => format!("{amount:.2}"),
            Some(amount) => number(amount).trim_end_matches(".0").to_owned(),
            None => amount.to_string(),
        },
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{} {}", name.replace('_', " "), plain(value)))
                .collect();
            fields.join(", ")
        }
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

const LINE_CHARS_MAX: usize = 110;

fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > LINE_CHARS_MAX {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("append");
        report.set("fsync", true);
        let mut row = Row::new(Side::Ours, "ours.64", "ours, 64 callers");
        row.unit = "commands/s".into();
        row.rate = 12_345.6;
        row.rounds = vec![12_000.0, 12_345.6];
        row.latency = Some(Percentiles {
            samples: 10,
            p50_us: 4_200.0,
            p90_us: 5_000.0,
            p99_us: 9_000.0,
            max_us: 12_000.0,
        });
        row.also("events_per_second", 7);
        report.rows.push(row);
        report.ratios.push(Ratio {
            id: "ours.64/raw.64".into(),
            title: "ours : raw".into(),
            ratio: 2.5,
            lowest: 2.0,
            highest: 3.0,
            wanted: Wanted::AtLeast(2.0),
        });
        report
    }

    #[test]
    fn a_person_reads_the_figure_its_times_and_whether_it_is_enough() {
        let text = report().to_text();
        for wanted in [
            "12 346",
            "commands/s",
            "4.2 ms",
            "2.50",
            "2.00 to 3.00",
            "wanted ≥ 2, met",
            "events per second 7",
            "fsync true",
        ] {
            assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_program_reads_the_same_by_names_that_stay() {
        let json: Value = serde_json::from_str(&report().to_json().unwrap()).unwrap();
        assert_eq!(json["rows"][0]["id"], "ours.64");
        assert_eq!(json["rows"][0]["side"], "ours");
        assert_eq!(json["rows"][0]["latency"]["p99_us"], 9_000.0);
        assert_eq!(json["ratios"][0]["wanted"]["at_least"], 2.0);
        assert_eq!(json["settings"]["fsync"], true);
    }
}

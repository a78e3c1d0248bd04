//! One page with charts of a load: rate, latency, lag. Nothing in it is fetched from anywhere.

use std::fmt::Write as _;

use super::report::{Report, SecondTold};
use crate::bench::shown;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 80.0;
const TOP: f64 = 24.0;

/// One line of a chart.
struct Line<'a> {
    name: &'a str,
    color: &'a str,
    /// One value a second; a gap where there is none.
    values: Vec<Option<f64>>,
}

/// The page.
pub fn page(report: &Report) -> String {
    let values =
        |of: fn(&SecondTold) -> Option<f64>| report.seconds.iter().map(of).collect::<Vec<_>>();
    let rate = [
        Line {
            name: "sent",
            color: "#888",
            values: values(|s| Some(s.sent as f64)),
        },
        Line {
            name: "taken",
            color: "#2a7",
            values: values(|s| Some(s.placed as f64)),
        },
    ];
    let latency = [
        Line {
            name: "p50",
            color: "#27a",
            values: values(|s| s.p50_us),
        },
        Line {
            name: "p99",
            color: "#c33",
            values: values(|s| s.p99_us),
        },
    ];
    let lag = [Line {
        name: "lag",
        color: "#a5a",
        values: values(|s| s.lag.map(|lag| lag as f64)),
    }];
    let plain = |value: f64| format!("{value:.0}");
    let mut charts = chart("orders a second", &rate, report, plain);
    charts += &chart("from arrival to answer", &latency, report, shown);
    charts += &chart(
        "events that the slowest read model is behind",
        &lag,
        report,
        plain,
    );
    let text = escaped(&report.to_text());
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>waybill load {}</title>\n\
         <style>body{{font:14px sans-serif;margin:24px}}svg{{display:block;margin:12px 0}}\
         text{{font:12px sans-serif}}</style>\n<h1>waybill load {}</h1>\n{charts}<pre>{text}</pre>\n</html>\n",
        report.profile, report.profile
    )
}

fn chart(title: &str, lines: &[Line<'_>], report: &Report, unit: fn(f64) -> String) -> String {
    let all = lines.iter().flat_map(|line| line.values.iter().flatten());
    let most = all.copied().fold(1.0_f64, f64::max);
    let across = (report.seconds.len().max(2) - 1) as f64;
    let x = |second: f64| LEFT + second / across * (WIDTH - LEFT);
    let y = |value: f64| TOP + HEIGHT - value / most * HEIGHT;
    let (bottom, whole) = (TOP + HEIGHT, TOP + HEIGHT + 24.0);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {whole}\" width=\"{WIDTH}\" role=\"img\"><title>{title}</title>\
         <text x=\"{LEFT}\" y=\"14\">{title}</text>\
         <rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{HEIGHT}\" fill=\"#fafafa\" stroke=\"#ccc\"/>\
         <text x=\"4\" y=\"{}\">{}</text><text x=\"4\" y=\"{bottom}\">0</text>",
        WIDTH - LEFT,
        TOP + 10.0,
        unit(most)
    );
    let mut begin = 0.0;
    for phase in &report.phases {
        // Writing to a text cannot fail.
        let _ = write!(
            svg,
            "<line x1=\"{0}\" x2=\"{0}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{0}\" y=\"{1}\">{2:.0} s {3}</text>",
            x(begin),
            bottom + 16.0,
            begin,
            phase.name
        );
        begin += phase.seconds;
    }
    for (number, line) in lines.iter().enumerate() {
        let points = points(&line.values, &x, &y);
        let _ = write!(
            svg,
            "<path d=\"{points}\" fill=\"none\" stroke=\"{0}\" stroke-width=\"1.5\"/>\
             <text x=\"{1}\" y=\"14\" fill=\"{0}\">{2}</text>",
            line.color,
            WIDTH - 60.0 * (lines.len() - number) as f64,
            line.name
        );
    }
    svg + "</svg>\n"
}

fn points(values: &[Option<f64>], x: &impl Fn(f64) -> f64, y: &impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for (second, value) in values.iter().enumerate() {
        if let Some(value) = value {
            let step = if is_down { 'L' } else { 'M' };
            let _ = write!(path, "{step}{:.1} {:.1} ", x(second as f64), y(*value));
        }
        is_down = value.is_some();
    }
    path
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

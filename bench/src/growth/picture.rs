//! Draws the growth as an SVG: a panel for each series, both axes logarithmic.

use std::fmt::Write as _;

use super::series::Expected;
use super::{Growth, ms};

const PANEL_WIDTH: f64 = 420.0;
const PANEL_HEIGHT: f64 = 260.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 40.0;
const COLUMNS: usize = 2;
const NOTES_HEIGHT: f64 = 44.0;
const NOTES: [&str; 2] = [
    "A build in which everything is cached: medians in milliseconds, lines from the fastest to the slowest.",
    "Dashed: flat, or in proportion from the first point on.",
];

/// Readable on white and on black, where a page shows it.
const STYLE: &str = "\
text { font: 11px system-ui, sans-serif; fill: #57606a; }
.title { font-size: 13px; font-weight: 600; fill: #24292f; }
.value { font-size: 10px; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.expected { stroke: #afb8c1; stroke-width: 1.5; stroke-dasharray: 4 4; fill: none; }
.range { stroke: #0969da; stroke-width: 1.5; opacity: 0.5; }
.line { stroke: #0969da; stroke-width: 2; fill: none; }
.point { fill: #0969da; }
";

/// The whole picture.
pub(super) fn picture(all: &[Growth]) -> String {
    let rows = all.len().div_ceil(COLUMNS);
    let (width, height) = (PANEL_WIDTH * COLUMNS as f64, PANEL_HEIGHT * rows as f64 + NOTES_HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"Time of a warm build\">\n<style>\n{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (at, growth) in all.iter().enumerate() {
        let (x, y) = ((at % COLUMNS) as f64 * PANEL_WIDTH, (at / COLUMNS) as f64 * PANEL_HEIGHT);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        panel(&mut svg, growth);
        svg += "</g>\n";
    }
    for (line, note) in NOTES.iter().enumerate() {
        let y = height - NOTES_HEIGHT + 12.0 + line as f64 * 16.0;
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{y:.0}\">{note}</text>");
    }
    svg += "</svg>\n";
    svg
}

/// A logarithmic axis between two powers of ten.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min).max(0.001).log10().floor();
        let high = values.fold(f64::NEG_INFINITY, f64::max).max(0.001).log10().ceil();
        Self { low, high: high.max(low + 1.0), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(0.001).log10() - self.low) / (self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    fn powers(&self) -> impl Iterator<Item = f64> + use<> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power))
    }
}

fn panel(svg: &mut String, growth: &Growth) {
    let points = &growth.points;
    let Some(first) = points.first() else { return };
    let x = Axis::new(points.iter().map(|point| point.count as f64), LEFT, PANEL_WIDTH - RIGHT);
    let times = points.iter().flat_map(|point| [ms(point.fastest), ms(point.slowest)]);
    let y = Axis::new(times, PANEL_HEIGHT - BOTTOM, TOP);
    let _ = writeln!(svg, "<text class=\"title\" x=\"{LEFT}\" y=\"24\">{}</text>", growth.series.what);
    grid(svg, &x, &y);
    let last = points.last().unwrap_or(first);
    expected(
        svg,
        growth.series.expected,
        (first.count as f64, ms(first.median)),
        last.count as f64,
        (&x, &y),
    );
    let mut line = String::new();
    for (at, point) in points.iter().enumerate() {
        let (px, py) = (x.at(point.count as f64), y.at(ms(point.median)));
        let _ = write!(line, "{}{px:.1} {py:.1} ", if at == 0 { "M" } else { "L" });
        let (fastest, slowest) = (y.at(ms(point.fastest)), y.at(ms(point.slowest)));
        let _ = writeln!(
            svg,
            "<line class=\"range\" x1=\"{px:.1}\" y1=\"{fastest:.1}\" x2=\"{px:.1}\" y2=\"{slowest:.1}\"/>\n\
             <circle class=\"point\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3.5\"/>\n\
             <text class=\"value\" text-anchor=\"{}\" x=\"{px:.1}\" y=\"{:.1}\">{}</text>",
            if at + 1 == points.len() { "end" } else { "middle" },
            slowest.min(py) - 7.0,
            value(ms(point.median)),
        );
    }
    let _ = writeln!(svg, "<path class=\"line\" d=\"{}\"/>", line.trim_end());
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    let (bottom, right) = (PANEL_HEIGHT - BOTTOM, PANEL_WIDTH - RIGHT);
    for power in x.powers() {
        let at = x.at(power);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>\n\
             <text text-anchor=\"middle\" x=\"{at:.1}\" y=\"{:.0}\">{}</text>",
            bottom + 16.0,
            value(power)
        );
    }
    for power in y.powers() {
        let at = y.at(power);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>\n\
             <text text-anchor=\"end\" x=\"{:.0}\" y=\"{:.1}\">{} ms</text>",
            LEFT - 6.0,
            at + 4.0,
            value(power)
        );
    }
}

/// From the first point on: flat, or by as much for each one more as the last point says.
fn expected(
    svg: &mut String,
    expected: Expected,
    (count, time): (f64, f64),
    last: f64,
    (x, y): (&Axis, &Axis),
) {
    let mut line = format!("M{:.1} {:.1}", x.at(count), y.at(time));
    match expected {
        Expected::Constant => {
            let _ = write!(line, " L{:.1} {:.1}", x.at(last), y.at(time));
        }
        Expected::Linear => {
            let top = (time * last / count).log10().min(y.high);
            let end = count * 10_f64.powf(top) / time;
            let _ = write!(line, " L{:.1} {:.1}", x.at(end), y.at(10_f64.powf(top)));
        }
    }
    let _ = writeln!(svg, "<path class=\"expected\" d=\"{line}\"/>");
}

/// A number with as many digits as mean something, and `k` and `M` for large ones.
fn value(number: f64) -> String {
    match number {
        _ if number >= 1e6 => format!("{:.0}M", number / 1e6),
        _ if number >= 1e4 => format!("{:.0}k", number / 1e3),
        _ if number >= 100.0 => format!("{number:.0}"),
        _ if number >= 10.0 || number.fract() == 0.0 => format!("{number:.0}"),
        _ => format!("{number:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Memory, Point, SERIES};
    use super::*;

    #[test]
    fn a_panel_has_a_point_for_each_measurement() {
        let point = |count, ms| {
            let time = Duration::from_millis(ms);
            let memory = Memory { cold_bytes: 1, warm_bytes: 1 };
            Point { count, median: time, fastest: time, slowest: time * 2, memory }
        };
        let growth =
            Growth { series: &SERIES[0], points: vec![point(100, 3), point(1_000, 4), point(10_000, 3)] };
        let svg = picture(&[growth]);
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("records in the store"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [1.0, 2.34, 12.6, 123.4, 10_000.0, 1e6].map(value);
        assert_eq!(shown, ["1", "2.3", "13", "123", "10k", "1M"]);
    }
}

//! The timeline of a build: a row for each step, and who waited for whom.

use std::collections::BTreeMap;

use engine::report::{BuildReport, ReportedStep, StepResult};

use super::shape::Drawing;
use super::text::{cut, result, time};
use crate::output::size_fixed;

const LABEL_WIDTH: f64 = 360.0;
const LABEL_CHARS: usize = 52;
const BARS_WIDTH: f64 = 700.0;
/// Room for the time behind the last bar.
const RIGHT: f64 = 90.0;
const ROW: f64 = 22.0;
const BAR: f64 = 12.0;
/// Narrower than this, nobody sees a bar.
const BAR_WIDTH_MIN: f64 = 2.0;
const AXIS: f64 = 24.0;
/// Lines of the grid, at most.
const TICKS_MAX: u64 = 8;

/// The picture.
pub(super) fn timeline(report: &BuildReport) -> String {
    let steps: Vec<&ReportedStep> = report.steps.iter().filter(|step| step.began_us.is_some()).collect();
    let scale = Scale::new(report.duration_us);
    let rows: BTreeMap<u32, usize> = steps.iter().enumerate().map(|(row, step)| (step.number, row)).collect();
    let height = AXIS + ROW * steps.len() as f64 + 6.0;
    let mut drawing = Drawing::default();
    grid(&mut drawing, &scale, height);
    for (row, step) in steps.iter().enumerate() {
        add_wait(&mut drawing, report, step, row, &rows, &scale);
    }
    for (row, step) in steps.iter().enumerate() {
        add_step(&mut drawing, report, step, row, &scale);
    }
    drawing.finish("Timeline of the steps", (LABEL_WIDTH + BARS_WIDTH + RIGHT, height))
}

struct Scale {
    duration_us: u64,
}

impl Scale {
    fn new(duration_us: u64) -> Self {
        Self { duration_us: duration_us.max(1) }
    }

    fn x(&self, us: u64) -> f64 {
        LABEL_WIDTH + us.min(self.duration_us) as f64 / self.duration_us as f64 * BARS_WIDTH
    }

    /// The time between two lines of the grid: 1, 2 or 5 times a power of ten.
    fn tick_us(&self) -> u64 {
        let mut tick = 1;
        loop {
            for factor in [1, 2, 5] {
                if self.duration_us / (tick * factor) < TICKS_MAX {
                    return tick * factor;
                }
            }
            tick *= 10;
        }
    }
}

fn grid(drawing: &mut Drawing, scale: &Scale, height: f64) {
    let tick = scale.tick_us();
    for us in (0..=scale.duration_us).step_by(usize::try_from(tick).unwrap_or(usize::MAX)) {
        let x = scale.x(us);
        drawing.line("grid", (x, AXIS - 6.0), (x, height));
        drawing.text("tick", (x + 3.0, AXIS - 10.0), &time(us));
    }
}

fn middle(row: usize) -> f64 {
    AXIS + ROW * row as f64 + ROW / 2.0
}

/// A line from the end of the step that was waited for.
fn add_wait(
    drawing: &mut Drawing,
    report: &BuildReport,
    step: &ReportedStep,
    row: usize,
    rows: &BTreeMap<u32, usize>,
    scale: &Scale,
) {
    let waited = step.waited_for.and_then(|number| report.step(number));
    let (Some(waited), Some(began)) = (waited, step.began_us) else { return };
    let (Some(ended), Some(from)) = (waited.ended_us, rows.get(&waited.number)) else { return };
    let is_critical = is_critical(report, step) && is_critical(report, waited);
    let class = if is_critical { "wait critical" } else { "wait" };
    let (x, y) = (scale.x(ended), middle(row));
    drawing.path(class, &format!("M{x:.1} {:.1} V{y:.1} H{:.1}", middle(*from), scale.x(began)));
}

fn is_critical(report: &BuildReport, step: &ReportedStep) -> bool {
    report.critical_path.contains(&step.number)
}

fn add_step(drawing: &mut Drawing, report: &BuildReport, step: &ReportedStep, row: usize, scale: &Scale) {
    let began = step.began_us.unwrap_or(0);
    let ended = step.ended_us.unwrap_or(report.duration_us);
    let y = middle(row);
    let mut class = format!("step {}", result(step.result));
    if is_critical(report, step) {
        class += " critical";
    }
    drawing.open(&class, &title(step));
    drawing.text("label", (0.0, y + 4.0), &cut(&step.name, LABEL_CHARS));
    let mut bar = |class: &str, from: u64, to: u64, min: f64| {
        let x = scale.x(from);
        let width = (scale.x(to) - x).max(min);
        if width > 0.0 {
            drawing.rectangle(class, (x, y - BAR / 2.0), (width, BAR));
        }
    };
    bar("bar", began, ended, BAR_WIDTH_MIN);
    let mut at = began.saturating_sub(step.hash_us);
    for (class, us) in
        [("hash", step.hash_us), ("queue", step.queue_us), ("run", step.run_us), ("commit", step.commit_us)]
    {
        // Sources and jobs have one part.
        if step.result != StepResult::Source && us > 0 {
            bar(class, at, (at + us).min(ended.max(began)), 0.0);
        }
        at += us;
    }
    let text = match step.result {
        StepResult::Cached => "cached".to_owned(),
        _ => time(step.duration_us()),
    };
    drawing.text("time", (scale.x(ended) + 6.0, y + 4.0), &text);
    drawing.close();
}

/// What the pointer shows.
fn title(step: &ReportedStep) -> String {
    let mut parts = vec![step.name.clone(), format!("{}, {}", result(step.result), time(step.duration_us()))];
    let measured =
        [("queue", step.queue_us), ("hash", step.hash_us), ("run", step.run_us), ("commit", step.commit_us)];
    parts.extend(
        measured.into_iter().filter(|(_, us)| *us > 0).map(|(name, us)| format!("{name} {}", time(us))),
    );
    if let Some(usage) = &step.usage {
        let (cpu, peak) = (time(usage.cpu_us), size_fixed(usage.memory_peak_bytes));
        parts.push(format!("processors {cpu}, memory {peak} at most"));
    }
    parts.extend(step.layer_bytes.map(|bytes| format!("layer {}", size_fixed(bytes))));
    parts.extend(step.reasons.iter().map(|reason| format!("not cached: {}", reason.text)));
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_few_lines_at_round_times() {
        for (duration, tick) in [(0, 1), (7, 1), (8, 2), (39, 5), (40, 10), (1_234_567, 200_000)] {
            assert_eq!(Scale::new(duration).tick_us(), tick, "{duration}");
        }
    }
}

//! The graph of a build: a column for each stage, time goes down.

use std::collections::{BTreeMap, BTreeSet};

use engine::report::{BuildReport, ReportedStep, StepResult};

use super::shape::Drawing;
use super::text::{cut, result, stage, time};
use crate::output::size_fixed;

const BOX_WIDTH: f64 = 250.0;
const BOX_HEIGHT: f64 = 40.0;
const COLUMN: f64 = 290.0;
const ROW: f64 = 62.0;
const TOP: f64 = 26.0;
const LABEL_CHARS: usize = 35;
/// The stage of contexts, which stand to the left of all that read them.
const INTERNAL: &str = "internal";

/// The picture: all steps that are connected with others.
pub(super) fn graph(report: &BuildReport) -> String {
    let layout = Layout::new(report);
    let mut drawing = Drawing::default();
    for (stage, column) in &layout.columns {
        drawing.text("stage", (*column as f64 * COLUMN + 2.0, 14.0), stage);
    }
    for (number, place) in &layout.places {
        let step = report.step(*number).expect("a place is of a step");
        for input in step.inputs.iter().filter_map(|input| Some((*input, *layout.places.get(input)?))) {
            add_edge(&mut drawing, report, (input.0, input.1), (*number, *place));
        }
    }
    for (number, place) in &layout.places {
        add_box(&mut drawing, report, report.step(*number).expect("a place is of a step"), *place);
    }
    let (columns, rows) = layout.size();
    drawing.finish("Graph of the steps", (columns as f64 * COLUMN, TOP + rows as f64 * ROW))
}

/// Column and row, from 0.
type Place = (usize, usize);

/// Invariant: no two steps are at one place, and every edge goes down or to the right.
struct Layout<'a> {
    places: BTreeMap<u32, Place>,
    columns: BTreeMap<&'a str, usize>,
}

impl<'a> Layout<'a> {
    fn new(report: &'a BuildReport) -> Self {
        let mut layout = Self { places: BTreeMap::new(), columns: BTreeMap::new() };
        let mut next_rows: Vec<usize> = Vec::new();
        let has_readers: BTreeSet<u32> = report.steps.iter().flat_map(|step| step.inputs.clone()).collect();
        let is_connected =
            |step: &&ReportedStep| !step.inputs.is_empty() || has_readers.contains(&step.number);
        if report.steps.iter().filter(is_connected).any(|step| stage(&step.name) == INTERNAL) {
            layout.columns.insert(INTERNAL, 0);
        }
        for step in report.steps.iter().filter(is_connected) {
            let new = layout.columns.len();
            let column = match layout.last_column(step) {
                // A job of the engine's own continues what it is about.
                Some(column) if stage(&step.name).is_empty() && !step.name.starts_with('[') => column,
                _ => *layout.columns.entry(stage(&step.name)).or_insert(new),
            };
            next_rows.resize(layout.columns.len(), 0);
            let below = step.inputs.iter().filter_map(|input| layout.places.get(input));
            let row = below.map(|(at, row)| row + usize::from(*at >= column)).max().unwrap_or(0);
            let row = row.max(next_rows[column]);
            next_rows[column] = row + 1;
            layout.places.insert(step.number, (column, row));
        }
        layout
    }

    fn last_column(&self, step: &ReportedStep) -> Option<usize> {
        step.inputs.first().and_then(|input| self.places.get(input)).map(|(column, _)| *column)
    }

    fn size(&self) -> (usize, usize) {
        let rows = self.places.values().map(|(_, row)| row + 1).max().unwrap_or(0);
        (self.columns.len().max(1), rows)
    }
}

fn corner((column, row): Place) -> (f64, f64) {
    (column as f64 * COLUMN + 2.0, TOP + row as f64 * ROW)
}

fn add_edge(
    drawing: &mut Drawing,
    report: &BuildReport,
    (input, from): (u32, Place),
    (step, to): (u32, Place),
) {
    let is_waited_for = report.step(step).and_then(|step| step.waited_for) == Some(input);
    let is_critical =
        is_waited_for && [input, step].iter().all(|number| report.critical_path.contains(number));
    let class = if is_critical { "edge critical" } else { "edge" };
    let ((x1, y1), (x2, y2)) = (corner(from), corner(to));
    let commands = if from.0 == to.0 {
        let x = x1 + BOX_WIDTH / 2.0;
        format!("M{x:.1} {:.1} V{y2:.1}", y1 + BOX_HEIGHT)
    } else {
        let (x1, y1, y2) = (x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2.0, y2 + BOX_HEIGHT / 2.0);
        let (x1, x2) = if x1 <= x2 { (x1, x2) } else { (x1 - BOX_WIDTH, x2 + BOX_WIDTH) };
        let bend = (x1 + x2) / 2.0;
        format!("M{x1:.1} {y1:.1} C{bend:.1} {y1:.1} {bend:.1} {y2:.1} {x2:.1} {y2:.1}")
    };
    drawing.path(class, &commands);
}

fn add_box(drawing: &mut Drawing, report: &BuildReport, step: &ReportedStep, place: Place) {
    let (x, y) = corner(place);
    let mut class = format!("box {}", result(step.result));
    if report.critical_path.contains(&step.number) {
        class += " critical";
    }
    drawing.open(&class, &step.name);
    drawing.rectangle("frame", (x, y), (BOX_WIDTH, BOX_HEIGHT));
    drawing.rectangle("mark", (x, y), (5.0, BOX_HEIGHT));
    drawing.text("name", (x + 12.0, y + 16.0), &cut(&step.name, LABEL_CHARS));
    let mut facts = vec![result(step.result).replace('-', " ")];
    if step.result != StepResult::Cached && step.began_us.is_some() {
        facts.push(time(step.duration_us()));
    }
    facts.extend(step.layer_bytes.map(size_fixed));
    drawing.text("facts", (x + 12.0, y + 32.0), &facts.join(" · "));
    drawing.close();
}

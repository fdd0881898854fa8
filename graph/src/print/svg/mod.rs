//! Graphs as pictures, see <https://www.w3.org/TR/SVG11/>: one file that needs no other.

mod layout;

use std::fmt::Write;

use super::{describe, one_line};
use crate::{BuildGraph, Op, Vertex, VertexId};
use layout::{LABEL_LINES_MAX, Layout, Place};

/// A character of the font, pixels.
const CHAR_WIDTH: usize = 7;
const LINE_HEIGHT: usize = 16;
/// Around the text of a box, and around the boxes of a stage.
const PADDING: usize = 12;
const BOX_HEIGHT: usize = LABEL_LINES_MAX * LINE_HEIGHT + PADDING;
const BOX_WIDTH_MIN: usize = 110;
/// Between two boxes of a column.
const ROW_GAP: usize = 30;
/// Between two columns; edges run there.
const COLUMN_GAP: usize = 4 * PADDING + 2 * LANES * LANE_WIDTH;
/// Above the first row, for the name of the stage.
const HEAD_HEIGHT: usize = 44;
const MARGIN: usize = 24;
/// Edges that share a gap run side by side, this many of them.
const LANES: usize = 6;
const LANE_WIDTH: usize = 4;

const STYLE: &str = "\
text{font:12px ui-monospace,monospace;fill:#1f2328}\
.stage{fill:#f6f8fa;stroke:#d1d9e0}\
.head{font-weight:bold}\
.box{stroke:#59636e}\
.source{fill:#ddf4ff}.file{fill:#dafbe1}.run{fill:#fff1e5}\
.target{stroke:#1a7f37;stroke-width:3}\
.edge{fill:none;stroke:#59636e}\
.reads{stroke-dasharray:5 3}";

/// Draws a graph.
pub(super) fn render(graph: &BuildGraph, target: VertexId) -> String {
    let drawing = Drawing::new(graph);
    let (width, height) = drawing.size();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#59636e\"/></marker></defs>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    drawing.stages(&mut out);
    // Edges lie below the boxes.
    for (id, vertex) in graph.vertices() {
        for (place, input) in vertex.inputs.iter().enumerate() {
            drawing.edge(*input, id, place, &mut out);
        }
    }
    for (id, vertex) in graph.vertices() {
        drawing.vertex(id, vertex, id == target, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

/// A layout with sizes.
struct Drawing {
    layout: Layout,
    /// Left edges of the columns.
    lefts: Vec<usize>,
    widths: Vec<usize>,
}

impl Drawing {
    fn new(graph: &BuildGraph) -> Self {
        let layout = Layout::new(graph);
        let width = |chars: usize| (chars * CHAR_WIDTH + 2 * PADDING).max(BOX_WIDTH_MIN);
        let widths: Vec<usize> = layout
            .columns
            .iter()
            .map(|column| width(column.label_chars.max(column.stage.chars().count())))
            .collect();
        let lefts = widths.iter().scan(MARGIN + PADDING + LANES * LANE_WIDTH, |left, width| {
            let this = *left;
            *left += width + COLUMN_GAP;
            Some(this)
        });
        Self { lefts: lefts.collect(), widths, layout }
    }

    fn size(&self) -> (usize, usize) {
        let right = self.lefts.last().zip(self.widths.last()).map_or(MARGIN, |(left, width)| left + width);
        (right + PADDING + MARGIN, self.top(self.layout.rows) + MARGIN)
    }

    /// The upper edge of a row.
    fn top(&self, row: usize) -> usize {
        MARGIN + HEAD_HEIGHT + row * (BOX_HEIGHT + ROW_GAP)
    }

    /// A frame around each stage, with its name.
    fn stages(&self, out: &mut String) {
        for (index, column) in self.layout.columns.iter().enumerate().filter(|(_, it)| !it.stage.is_empty()) {
            let (left, width) = (self.lefts[index] - PADDING, self.widths[index] + 2 * PADDING);
            let rows = self.layout.places.iter().filter(|place| place.column == index).map(|place| place.row);
            let bottom = self.top(rows.max().unwrap_or(0)) + BOX_HEIGHT + PADDING;
            let height = bottom - MARGIN;
            let _ = writeln!(
                out,
                "<rect class=\"stage\" x=\"{left}\" y=\"{MARGIN}\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n\
                 <text class=\"head\" x=\"{}\" y=\"{}\">{}</text>",
                self.lefts[index],
                MARGIN + 24,
                escaped(&one_line(&column.stage))
            );
        }
    }

    fn vertex(&self, id: VertexId, vertex: &Vertex, is_target: bool, out: &mut String) {
        let place = self.layout.places[id.index()];
        let (left, top, width) = (self.lefts[place.column], self.top(place.row), self.widths[place.column]);
        let (class, corner) = match vertex.op {
            Op::Scratch | Op::Image(_) | Op::Context(_) | Op::Http(_) | Op::Git(_) => {
                ("source", BOX_HEIGHT / 2)
            }
            Op::File(_) => ("file", 3),
            Op::Run(_) => ("run", 3),
        };
        let target = if is_target { " target" } else { "" };
        let details = describe(&vertex.op).join("\n");
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect class=\"box {class}{target}\" x=\"{left}\" y=\"{top}\" width=\"{width}\" \
             height=\"{BOX_HEIGHT}\" rx=\"{corner}\"/>",
            escaped(&format!("{}\n{details}", one_line(&vertex.label.name)))
        );
        let lines = layout::lines(&vertex.label.name);
        // The lines together stand in the middle; 4 is what a letter reaches below its line.
        let first = top + (BOX_HEIGHT - lines.len() * LINE_HEIGHT) / 2 + LINE_HEIGHT - 4;
        for (number, line) in lines.iter().enumerate() {
            let y = first + number * LINE_HEIGHT;
            let middle = left + width / 2;
            let _ = writeln!(
                out,
                "<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                escaped(line)
            );
        }
        out.push_str("</g>\n");
    }

    /// An arrow from an input to what is made of it; dashed where files are only read.
    fn edge(&self, from: VertexId, to: VertexId, place: usize, out: &mut String) {
        let (start, end) = (self.layout.places[from.index()], self.layout.places[to.index()]);
        let class = if place == 0 { "edge" } else { "edge reads" };
        let lane = from.index() % LANES * LANE_WIDTH;
        let path = if start.column == end.column {
            self.down(start, end, lane)
        } else {
            self.right(start, end, lane)
        };
        let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\" marker-end=\"url(#tip)\"/>");
    }

    /// Down a column: straight when nothing stands between, else around the boxes.
    fn down(&self, start: Place, end: Place, lane: usize) -> String {
        let (left, width) = (self.lefts[start.column], self.widths[start.column]);
        let is_between =
            |place: &Place| place.column == start.column && (start.row + 1..end.row).contains(&place.row);
        if !self.layout.places.iter().any(is_between) {
            let middle = left + width / 2;
            return format!("M{middle} {}V{}", self.top(start.row) + BOX_HEIGHT, self.top(end.row));
        }
        let [from, to] = [start, end].map(|place| self.top(place.row) + BOX_HEIGHT / 2);
        format!("M{left} {from}H{}V{to}H{left}", left - PADDING - lane)
    }

    /// To another column: in a lane below the boxes of the row, then in one beside the boxes of the column.
    fn right(&self, start: Place, end: Place, lane: usize) -> String {
        let from = self.lefts[start.column] + self.widths[start.column];
        let to = self.lefts[end.column];
        let [start_middle, end_middle] = [start, end].map(|place| self.top(place.row) + BOX_HEIGHT / 2);
        let behind = from + PADDING + lane;
        let before = to - PADDING - lane;
        if end.column == start.column + 1 || start.row == end.row && self.is_free(start, end) {
            return format!("M{from} {start_middle}H{before}V{end_middle}H{to}");
        }
        let below = self.top(start.row) + BOX_HEIGHT + LANE_WIDTH + lane;
        format!("M{from} {start_middle}H{behind}V{below}H{before}V{end_middle}H{to}")
    }

    /// Whether nothing stands in a row between two places of it.
    fn is_free(&self, start: Place, end: Place) -> bool {
        let between = start.column + 1..end.column;
        !self.layout.places.iter().any(|place| place.row == start.row && between.contains(&place.column))
    }
}

/// A text of the language. Characters that XML has not are shown as what they are not.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_controls_are_no_markup() {
        assert_eq!(escaped("a<b>&\u{1}\u{1b}\n\"é"), "a&lt;b&gt;&amp;\u{fffd}\u{fffd}\n\"é");
    }
}

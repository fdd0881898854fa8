//! Answers as text, laid out as BuildKit does.

use std::fmt::Write;

use super::Lines;

/// Above and below the lines of an excerpt.
const RULER: &str = "--------------------";

/// Lines shown around a single line, and around several.
const CONTEXT_LINES: (usize, usize) = (4, 2);

/// Rows with aligned columns; the last one is not padded.
pub(super) fn table(rows: &[Vec<String>], padding: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default() + padding
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = if column + 1 == row.len() { 0 } else { widths[column] };
            let _ = write!(out, "{cell:width$}");
        }
        out.push('\n');
    }
    out
}

/// Some of all lines of a source with a few around them, marked.
pub(super) fn excerpt(name: &str, all: &[&str], lines: &Lines) -> String {
    let (first, last) = (*lines.start(), (*lines.end()).min(all.len()));
    if first == 0 || first > all.len() {
        return String::new();
    }
    let (start, end) = widened(first, last, all.len());
    let mut out = format!("{name}:{first}\n{RULER}\n");
    for line in start..=end {
        let mark = if (first..=last).contains(&line) { ">>>" } else { "   " };
        let text = all[line - 1].trim_end_matches('\r');
        let _ = writeln!(out, " {line:3} | {mark} {text}");
    }
    out.push_str(RULER);
    out.push('\n');
    out
}

/// Takes lines in front and behind, in turn, until there are enough.
fn widened(first: usize, last: usize, count: usize) -> (usize, usize) {
    let wanted = if first == last { CONTEXT_LINES.0 } else { CONTEXT_LINES.1 };
    let (mut start, mut end, mut taken) = (first, last, 0);
    while taken < wanted {
        if start > 1 {
            start -= 1;
            taken += 1;
        }
        if end < count {
            end += 1;
            taken += 1;
        }
        // At the end of the text there may be nothing to take.
        taken += 1;
    }
    (start, end)
}

//! The last output of running steps, as a terminal would show it.
//!
//! Programs draw bars with carriage returns and cursor movements; only a terminal knows what is left of them.

use std::collections::BTreeMap;
use std::num::NonZero;

use engine::StepId;

/// Lines of output that a running step shows.
const ROWS_SHOWN: usize = 6;
/// One more: after a line, the cursor stands in a row that is still blank.
const ROWS: NonZero<u16> = NonZero::new(7).expect("seven is not zero");
/// Columns before the size of the real terminal is known.
const COLUMNS_INITIAL: NonZero<u16> = NonZero::new(80).expect("eighty is not zero");

/// A small terminal for each running step that writes.
#[derive(Default)]
pub(super) struct Windows {
    terminals: BTreeMap<StepId, vt100::Parser>,
}

impl Windows {
    pub(super) fn write(&mut self, step: StepId, bytes: &[u8]) {
        let new = || vt100::Parser::new(ROWS, COLUMNS_INITIAL, 0);
        let terminal = self.terminals.entry(step).or_insert_with(new);
        // A step's output has no terminal that would return the carriage at the end of a line.
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    terminal.process(text);
                    terminal.process(b"\r\n");
                }
                None => terminal.process(line),
            }
        }
    }

    /// The step has ended; its output is of interest only if it failed, which is shown otherwise.
    pub(super) fn close(&mut self, step: StepId) {
        self.terminals.remove(&step);
    }

    /// The last `rows_max` rows of a step that are not blank.
    pub(super) fn rows(&mut self, step: StepId, columns: usize, rows_max: usize) -> Vec<String> {
        let Some(terminal) = self.terminals.get_mut(&step) else { return Vec::new() };
        let columns = NonZero::new(u16::try_from(columns).unwrap_or(u16::MAX)).unwrap_or(NonZero::<u16>::MIN);
        terminal.screen_mut().set_size(ROWS, columns);
        let mut rows: Vec<String> = terminal.screen().rows(0, columns.get()).collect();
        rows.retain(|row| !row.trim().is_empty());
        rows.drain(..rows.len().saturating_sub(rows_max.min(ROWS_SHOWN)));
        rows
    }
}

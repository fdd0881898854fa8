//! Times what a chore does, and shows it as a table.

use std::fmt;
use std::time::{Duration, Instant};

/// What was done, how long it took, and what there is to say about it.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    took: Duration,
    remark: String,
}

impl Table {
    /// Does `work` and keeps its time with the remark that it returns.
    pub(crate) fn time<T, E>(
        &mut self,
        what: &str,
        work: impl FnOnce() -> Result<(T, String), E>,
    ) -> Result<T, E> {
        let start = Instant::now();
        let (value, remark) = work()?;
        self.rows.push(Row { what: what.to_owned(), took: start.elapsed(), remark });
        Ok(value)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
        for Row { what, took, remark } in &self.rows {
            writeln!(out, "{}", format!("{what:width$}  {:>10}  {remark}", seconds(*took)).trim_end())?;
        }
        Ok(())
    }
}

/// A time with the unit in which a person would say it.
pub(crate) fn seconds(time: Duration) -> String {
    match time {
        short if short < Duration::from_secs(1) => format!("{:.1} ms", short.as_secs_f64() * 1e3),
        long => format!("{:.1} s", long.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_times_have_a_unit() {
        let row =
            |what: &str, took, remark: &str| Row { what: what.to_owned(), took, remark: remark.to_owned() };
        let table = Table {
            rows: vec![
                row("build", Duration::from_millis(21_240), "9 steps"),
                row("run the image", Duration::from_micros(14_050), ""),
            ],
        };
        assert_eq!(
            table.to_string(),
            "build              21.2 s  9 steps\n\
             run the image     14.1 ms\n"
        );
    }
}

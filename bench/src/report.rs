//! The results as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::builder::Absent;
use crate::count::Counts;
use crate::measure::Sample;
use crate::transfer::TransferRow;
use crate::trial::TrialRow;
use crate::work::{Target, Work};

/// What was measured on one piece of work.
pub(crate) struct Row {
    pub(crate) work: &'static Work,
    /// Ours first.
    pub(crate) samples: Vec<Sample>,
    pub(crate) counts: Counts,
}

/// All results of one run.
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) transfers: Vec<TransferRow>,
    pub(crate) trials: Vec<TrialRow>,
    pub(crate) absent: Vec<Absent>,
    pub(crate) rounds: u64,
}

impl Report {
    /// A Markdown table of medians, with what was fastest and slowest, and how many times ours the others took.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        self.add_rows(&mut text);
        self.add_transfers(&mut text);
        self.add_trials(&mut text);
        text
    }

    fn add_transfers(&self, text: &mut String) {
        let Some(first) = self.transfers.first() else { return };
        let mut header = vec!["Transfer".to_owned()];
        header.extend(first.samples.iter().map(|sample| sample.builder.clone()));
        if !text.is_empty() {
            text.push('\n');
        }
        line(text, &header);
        line(text, &vec!["---".to_owned(); header.len()]);
        for row in &self.transfers {
            let mut cells = vec![format!("{}: {}", row.transfer.id(), row.transfer.title())];
            cells.extend(times(&row.samples));
            line(text, &cells);
        }
        writeln!(text, "\nMedian of {} rounds (fastest - slowest), in turn.", self.rounds).expect(IN_MEMORY);
    }

    fn add_trials(&self, text: &mut String) {
        if self.trials.is_empty() {
            return;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        line(text, &["What", "Target", "Measured"].map(str::to_owned));
        line(text, &["---"; 3].map(str::to_owned));
        for row in &self.trials {
            for finding in &row.findings {
                let what = format!("{}: {}", row.trial.id(), finding.what);
                line(text, &[what, finding.target(), finding.amount.to_string()]);
            }
        }
    }

    fn add_rows(&self, text: &mut String) {
        let Some(first) = self.rows.first() else { return };
        let mut header = vec!["Work".to_owned(), "Target".to_owned()];
        header.extend(first.samples.iter().map(|sample| sample.builder.clone()));
        header.extend(["System calls", "Forks", "Syncs", "Written"].map(str::to_owned));
        line(text, &header);
        line(text, &vec!["---".to_owned(); header.len()]);
        for row in &self.rows {
            line(text, &row.cells());
        }
        writeln!(text, "\n{}", self.conditions()).expect(IN_MEMORY);
        for absent in &self.absent {
            writeln!(text, "Not measured: {}, since {}.", absent.name, absent.why).expect(IN_MEMORY);
        }
    }

    fn conditions(&self) -> String {
        format!(
            "Median of {} rounds (fastest - slowest), the builders in turn; the factor is the time divided by \
             Slipway's. System calls, forks, syncs and bytes written to files are Slipway's, those of the steps included. Linux {}, {} cores.",
            self.rounds,
            kernel(),
            cores()
        )
    }

    /// All numbers, times in milliseconds.
    pub(crate) fn json(&self) -> Value {
        let absent = self.absent.iter().map(|absent| json!({"name": absent.name, "why": absent.why}));
        json!({
            "kernel": kernel(),
            "cores": cores(),
            "rounds": self.rounds,
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "transfers": self.transfers.iter().map(transfer_json).collect::<Vec<_>>(),
            "trials": self.trials.iter().map(TrialRow::json).collect::<Vec<_>>(),
            "absent": absent.collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn ours(&self) -> Duration {
        self.samples.first().expect("our own builder is always measured").median()
    }

    fn cells(&self) -> Vec<String> {
        let Self { work, samples, counts } = self;
        let target = match work.target {
            Target::Milliseconds(ms) => format!("{ms} ms"),
            Target::WrittenPerByte { most, .. } => format!("{most} B/B"),
        };
        let mut cells = vec![format!("{}: {}", work.id, work.title), target];
        cells.extend(times(samples));
        cells.extend([counts.system_calls, counts.forks, counts.syncs].map(|count| count.to_string()));
        let megabytes = format!("{:.1} MB", counts.written_bytes as f64 / 1e6);
        cells.push(match self.written_per_byte() {
            Some(ratio) => format!("{megabytes}, {ratio:.2} B/B"),
            None => megabytes,
        });
        cells
    }

    /// Bytes written for each byte of new content, where the target is about them.
    fn written_per_byte(&self) -> Option<f64> {
        match self.work.target {
            Target::WrittenPerByte { content_bytes, .. } => {
                Some(self.counts.written_bytes as f64 / content_bytes as f64)
            }
            Target::Milliseconds(_) => None,
        }
    }

    fn json(&self) -> Value {
        let Self { work, samples, counts } = self;
        let samples = samples.iter().filter(|sample| sample.is_measured()).map(|sample| {
            json!({
                "builder": sample.builder,
                "median_ms": as_ms(sample.median()),
                "fastest_ms": as_ms(sample.fastest()),
                "slowest_ms": as_ms(sample.slowest()),
                "factor": sample.median().as_secs_f64() / self.ours().as_secs_f64(),
            })
        });
        let (target_ms, written_target) = match work.target {
            Target::Milliseconds(ms) => (Some(ms), None),
            Target::WrittenPerByte { most, .. } => (None, Some(most)),
        };
        json!({
            "id": work.id,
            "title": work.title,
            "target_ms": target_ms,
            "written_per_byte": self.written_per_byte(),
            "written_per_byte_target": written_target,
            "written_bytes": counts.written_bytes,
            "samples": samples.collect::<Vec<_>>(),
            "system_calls": counts.system_calls,
            "forks": counts.forks,
            "syncs": counts.syncs,
        })
    }
}

fn transfer_json(row: &TransferRow) -> Value {
    let samples = row.samples.iter().map(|sample| {
        json!({
            "mover": sample.builder,
            "median_ms": as_ms(sample.median()),
            "fastest_ms": as_ms(sample.fastest()),
            "slowest_ms": as_ms(sample.slowest()),
        })
    });
    json!({
        "id": row.transfer.id(),
        "title": row.transfer.title(),
        "samples": samples.collect::<Vec<_>>(),
    })
}

/// A cell for each sample; the first one is ours, and what the others are compared with.
fn times(samples: &[Sample]) -> Vec<String> {
    let ours = samples.first().map_or(0.0, |sample| sample.median().as_secs_f64());
    let cell = |(at, sample): (usize, &Sample)| {
        if !sample.is_measured() {
            return "-".to_owned();
        }
        let range =
            format!("{} ({} - {}) ms", ms(sample.median()), ms(sample.fastest()), ms(sample.slowest()));
        let factor = sample.median().as_secs_f64() / ours;
        if at == 0 { range } else { format!("{range}, {factor:.1}x") }
    };
    samples.iter().enumerate().map(cell).collect()
}

const IN_MEMORY: &str = "writing to a string cannot fail";

fn line(text: &mut String, cells: &[String]) {
    writeln!(text, "| {} |", cells.join(" | ")).expect(IN_MEMORY);
}

fn as_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Milliseconds with as many digits as mean something.
fn ms(time: Duration) -> String {
    match as_ms(time) {
        short if short < 100.0 => format!("{short:.1}"),
        long => format!("{long:.0}"),
    }
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{Amount, Finding};
    use crate::work::WORK;

    fn report() -> Report {
        let sample = |builder: &str, times: &[u64]| {
            Sample::new(builder, times.iter().copied().map(Duration::from_millis).collect())
        };
        Report {
            rows: vec![Row {
                work: &WORK[0],
                samples: vec![sample("ours", &[4, 5, 9]), sample("theirs", &[100, 120, 1000])],
                counts: Counts { system_calls: 700, forks: 0, syncs: 0, written_bytes: 40_000 },
            }],
            transfers: Vec::new(),
            trials: Vec::new(),
            absent: vec![Absent { name: "other", why: "`other` is missing".to_owned() }],
            rounds: 3,
        }
    }

    #[test]
    fn a_row_shows_medians_ratios_and_counts() {
        let markdown = report().markdown();
        let row = markdown.lines().nth(2).expect("a row below the header");
        assert_eq!(
            row,
            "| P1: fully cached rebuild, 12 steps, small context | 8 ms | 5.0 (4.0 - 9.0) ms | \
             120 (100 - 1000) ms, 24.0x | 700 | 0 | 0 | 0.0 MB |"
        );
        assert!(markdown.ends_with("Not measured: other, since `other` is missing.\n"));
    }

    #[test]
    fn transfers_have_a_table_of_their_own() {
        let sample = |name: &str, seconds| Sample::new(name, vec![Duration::from_secs(seconds)]);
        let transfer = crate::transfer::Transfer::Pull;
        let row = TransferRow { transfer, samples: vec![sample("ours", 2), sample("theirs", 5)] };
        let report = Report {
            rows: Vec::new(),
            transfers: vec![row],
            trials: Vec::new(),
            absent: Vec::new(),
            rounds: 1,
        };
        let markdown = report.markdown();
        assert!(markdown.starts_with("| Transfer | ours | theirs |\n"), "{markdown}");
        assert!(markdown.contains("2000 (2000 - 2000) ms | 5000 (5000 - 5000) ms, 2.5x |"), "{markdown}");
    }

    #[test]
    fn trials_have_a_line_for_each_finding() {
        let findings = vec![
            Finding::time("a build", Duration::from_millis(4))
                .at_most(Amount::Time(Duration::from_millis(5))),
            Finding::bytes("its memory", 64_000_000),
        ];
        let trials = vec![TrialRow { trial: crate::trial::Trial::Memory, findings }];
        let report =
            Report { rows: Vec::new(), transfers: Vec::new(), trials, absent: Vec::new(), rounds: 1 };
        assert_eq!(
            report.markdown(),
            "| What | Target | Measured |\n| --- | --- | --- |\n| P11: a build | 5.0 ms | 4.0 ms |\n\
             | P11: its memory | - | 64.0 MB |\n"
        );
        assert_eq!(report.json()["trials"][0]["findings"][1]["bytes"], 64_000_000);
    }

    #[test]
    fn json_has_the_same_numbers() {
        let json = report().json();
        assert_eq!(json["rows"][0]["samples"][1]["factor"], 24.0);
        assert_eq!(json["rows"][0]["samples"][1]["median_ms"], 120.0);
        assert_eq!(json["rows"][0]["system_calls"], 700);
    }
}

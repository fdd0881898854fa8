//! `--report` and `--trace`: files that tell how a build went.

mod graph;
mod page;
mod shape;
mod summary;
mod text;
mod timeline;
mod trace_events;

pub(crate) use text::escape;

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use engine::report::{BuildReport, Reporting};
use engine::{Event, Progress};

use crate::files::{self, Durability};
use crate::report::Report;

/// The files that the user wants.
#[derive(Debug)]
pub(crate) struct ReportFiles {
    files: Vec<(PathBuf, Form)>,
    report: Arc<Mutex<Option<Box<BuildReport>>>>,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Everything, see `docs/report.md`.
    Json,
    /// A page for a browser, which needs no other file.
    Page,
    /// Chrome's trace events.
    Trace,
    /// Some lines of Markdown.
    Summary,
    /// The same, behind what others have written to the file.
    AddedSummary,
}

impl ReportFiles {
    /// `--report`, a page if its name ends as the name of one, and `--trace`.
    pub(crate) fn new(reports: &[PathBuf], trace: Option<&Path>) -> Self {
        let is_page = |path: &Path| {
            path.extension().and_then(OsStr::to_str).is_some_and(|it| matches!(it, "html" | "htm"))
        };
        let reports = reports.iter().map(|path| {
            let form = if is_page(path) { Form::Page } else { Form::Json };
            (path.clone(), form)
        });
        let traces = trace.map(|path| (path.to_owned(), Form::Trace));
        Self { files: reports.chain(traces).collect(), report: Arc::default() }
    }

    /// And `--summary`, with a file that CI systems show.
    pub(crate) fn with_summaries(mut self, own: Option<&Path>, shown: Option<&Path>) -> Self {
        self.files.extend(own.map(|path| (path.to_owned(), Form::Summary)));
        self.files.extend(shown.map(|path| (path.to_owned(), Form::AddedSummary)));
        self
    }

    /// Whether the engine has to report.
    pub(crate) fn reporting(&self) -> Reporting {
        if self.files.is_empty() { Reporting::Off } else { Reporting::On }
    }

    /// Passes events on, and keeps the report among them.
    pub(crate) fn listen(&self, progress: Progress) -> Progress {
        if self.files.is_empty() {
            return progress;
        }
        let kept = self.report.clone();
        Arc::new(move |event| match event {
            Event::Reported(report) => {
                *kept.lock().expect("no holder of the lock panics") = Some(report);
            }
            event => progress(event),
        })
    }

    /// Writes the files. A build that ended before it had steps, or was interrupted, has none.
    pub(crate) fn write(&self) -> Result<(), Report> {
        let report = self.report.lock().expect("no holder of the lock panics").take();
        let Some(report) = report else { return Ok(()) };
        self.files.iter().try_for_each(|(path, form)| {
            let text = form.text(&report);
            if *form == Form::AddedSummary {
                return add(path, &text).map_err(|error| Report::file(path, &error));
            }
            files::replace(path, Durability::Fast, |file| {
                file.write_all(text.as_bytes()).map_err(|error| Report::file(path, &error))
            })
        })
    }
}

impl Form {
    fn text(self, report: &BuildReport) -> String {
        match self {
            Self::Json => json(report) + "\n",
            Self::Page => page::page(report),
            Self::Trace => trace_events::trace(report),
            Self::Summary | Self::AddedSummary => summary::summary(report),
        }
    }
}

fn add(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

fn json(report: &BuildReport) -> String {
    serde_json::to_string_pretty(report).expect("texts and numbers are JSON")
}

//! Messages of the libraries: warnings always, everything with `--debug`.

use std::fmt::{self, Write as _};
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Takes a finished line.
type Sink = Box<dyn Fn(String) + Send>;

/// Where lines go while something draws on the terminal.
static SINK: Mutex<Option<Sink>> = Mutex::new(None);

/// Begins to show messages.
pub(crate) fn install(debug: bool) {
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::WARN };
    // Fails only when it is done twice, and then the first one stays.
    let _ = tracing::subscriber::set_global_default(Messages { level });
}

/// Sends messages through `sink` from now on, or to standard error again.
pub(crate) fn redirect(sink: Option<Sink>) {
    *SINK.lock().expect("no holder of the lock panics") = sink;
}

/// The subscriber: one line an event, no spans.
struct Messages {
    level: LevelFilter,
}

impl Subscriber for Messages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_ours = metadata.level() <= &Level::WARN || is_ours(metadata.target());
        *metadata.level() <= self.level && metadata.is_event() && is_ours
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Spans are never enabled, so that this is only called for `Span::none` and its like.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let Line { message, fields } = line;
        let text = format!("{}: {message}{fields}\n", event.metadata().level());
        match &*SINK.lock().expect("no holder of the lock panics") {
            Some(sink) => sink(text),
            None => crate::console::print_error(&text),
        }
    }
}

/// Whether a message is from one of our own crates; those of others are for their developers.
fn is_ours(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    matches!(
        name,
        "slipway" | "engine" | "cache" | "executor" | "solver" | "frontend" | "registry" | "daemon"
    )
}

/// The text of an event.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("memory takes every byte");
    }
}

//! `slipway events`.

use std::io::{self, Write};

use engine::containers::parse_moment;
use engine::events::{Event, EventFilters, EventOptions};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::arguments::Global;
use crate::output::Format;
use crate::report::{Exit, Report};
use crate::store;
use crate::template::Value;

/// The whole event.
const JSON: &str = "{{json .}}";
/// Docker's format of times.
const TIME: &str = "%Y-%m-%dT%H:%M:%S.%9f%:z";

/// Get real time events from the store
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway events [OPTIONS]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway system events, slipway events"
)]
pub(crate) struct Args {
    /// Filter output based on conditions provided (container, event, image, label, network, type, volume)
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    #[arg(long, value_name = "FORMAT", help = super::FORMAT_HELP)]
    format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
}

/// Shows what happens, until the end that was asked for.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let filters = EventFilters::parse(args.filter.iter().map(String::as_str))?;
    let form = args.format.as_deref().map(Form::parse).transpose()?;
    let options = EventOptions { since: args.since, until: args.until, filters };
    let mut events = store::open(global)?.events(options);
    let watch = events.watch();
    loop {
        // Asked before the events are read: what happens until then is read below.
        let is_over = args.until.is_some_and(|until| until <= Timestamp::now());
        let mut shown = Ok(String::new());
        let read = events.read(&mut |event| append(&mut shown, &event, form.as_ref()));
        read.map_err(|error| Report::new(Exit::Machine, format!("cannot read the events: {error}")))?;
        let mut out = io::stdout().lock();
        match out.write_all(shown?.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::BrokenPipe),
            Err(error) => {
                return Err(Report::new(Exit::Machine, format!("cannot write the events: {error}")));
            }
            Ok(()) if is_over => return Ok(Exit::Success),
            Ok(()) => watch.wait(),
        }
    }
}

/// How an event is shown that is not shown as a line for people.
struct Form {
    format: Format,
    /// Whether it is the whole event, which has other names as JSON than in a template.
    is_json: bool,
}

impl Form {
    fn parse(source: &str) -> Result<Self, Report> {
        let is_json = source == "json" || source.split_whitespace().eq(JSON.split_whitespace());
        Ok(Self { format: Format::parse(source, JSON)?, is_json })
    }

    fn show(&self, event: &Event) -> Result<String, Report> {
        let value = if self.is_json { value(event) } else { fields(event) };
        Ok(self.format.render(&[value], &[])?)
    }
}

/// Adds an event to what is shown, unless something was wrong with one before it.
fn append(shown: &mut Result<String, Report>, event: &Event, form: Option<&Form>) {
    let Ok(text) = shown else { return };
    match form.map_or_else(|| Ok(line(event)), |form| form.show(event)) {
        Ok(line) => *text += &line,
        Err(error) => *shown = Err(error),
    }
}

/// The event with the names that Docker's templates know.
fn fields(event: &Event) -> Value {
    let text = |text: &str| Value::from(text.to_owned());
    let fields = [
        ("Action", text(&event.action)),
        ("Actor", value(&event.actor)),
        ("From", text(&event.from)),
        ("ID", text(&event.id)),
        ("Scope", text(&event.scope)),
        ("Status", text(&event.status)),
        ("Time", value(&event.time)),
        ("TimeNano", value(&event.time_nano)),
        ("Type", text(event.kind.name())),
    ];
    Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn value(of: &impl serde::Serialize) -> Value {
    let json = serde_json::to_value(of).expect("an event has only text as keys");
    serde_json::from_value(json).expect("what is JSON is a value")
}

/// `TIME TYPE ACTION ID (NAME=VALUE, ...)`.
fn line(event: &Event) -> String {
    let time = Timestamp::from_nanosecond(i128::from(event.time_nano)).unwrap_or_default();
    let time = time.to_zoned_datetime(TimeZone::system()).strftime(TIME).to_string();
    let attributes: Vec<String> =
        event.actor.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let attributes =
        if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
    format!("{time} {} {} {}{attributes}\n", event.kind.name(), event.action, event.actor.id)
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_moment(text, Timestamp::now()).ok_or_else(|| format!("`{text}` is neither a time nor an age"))
}

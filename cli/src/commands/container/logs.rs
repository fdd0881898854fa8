//! `slipway logs`.

use std::io::{self, BufWriter, Write};

use engine::containers::{LogEntry, LogOptions, Stream, parse_moment};
use jiff::Timestamp;

use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// How many entries are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tail(Option<u64>);

/// Fetch the logs of a container
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway logs [OPTIONS] CONTAINER",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container logs, slipway logs"
)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,
    /// Show extra details provided to logs (here there are none)
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "NUMBER", default_value = "all", hide_default_value = true)]
    #[arg(value_parser = parse_tail, allow_hyphen_values = true)]
    tail: Tail,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
}

/// Shows what a container has written.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    let Args { since, until, follow, .. } = *args;
    let options = LogOptions { tail: args.tail.0, since, until, follow };
    let mut logs = engine.container_logs(&args.container, &options)?;
    let watch = args.follow.then(|| logs.watch());
    loop {
        // Asked before the log is read: what is written until then is read below.
        let may_grow = logs.may_grow();
        let mut out = Out::new(args.timestamps);
        logs.read(&mut |entry| out.put(&entry))?;
        match out.finish() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::BrokenPipe),
            Err(error) => return Err(Report::new(Exit::Machine, format!("cannot write the log: {error}"))),
            Ok(()) => {}
        }
        let is_over = args.until.is_some_and(|until| until <= Timestamp::now());
        match &watch {
            Some(watch) if may_grow && !is_over => watch.wait(),
            _ => return Ok(Exit::Success),
        }
    }
}

/// Standard output and standard error, and the first thing that went wrong with them.
struct Out {
    stdout: BufWriter<io::Stdout>,
    stderr: BufWriter<io::Stderr>,
    with_time: bool,
    result: io::Result<()>,
}

impl Out {
    fn new(with_time: bool) -> Self {
        let stdout = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
        let stderr = BufWriter::with_capacity(BUFFER_BYTES, io::stderr());
        Self { stdout, stderr, with_time, result: Ok(()) }
    }

    fn put(&mut self, entry: &LogEntry) {
        if self.result.is_err() {
            return;
        }
        let to: &mut dyn Write =
            if entry.stream == Stream::Stderr { &mut self.stderr } else { &mut self.stdout };
        let time = if self.with_time { format!("{} ", entry.time) } else { String::new() };
        self.result = to.write_all(time.as_bytes()).and_then(|()| to.write_all(entry.log.as_bytes()));
    }

    fn finish(mut self) -> io::Result<()> {
        self.result?;
        self.stdout.flush()?;
        self.stderr.flush()
    }
}

/// A number, or `all`; a negative number is all, as in Docker.
fn parse_tail(text: &str) -> Result<Tail, String> {
    match text.parse::<i64>() {
        Ok(number) => Ok(Tail(u64::try_from(number).ok())),
        Err(_) if text == "all" => Ok(Tail(None)),
        Err(_) => Err("expected a number or all".to_owned()),
    }
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_moment(text, Timestamp::now()).ok_or_else(|| format!("`{text}` is neither a time nor an age"))
}

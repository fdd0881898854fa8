//! What a live view of a build shows, as lines: a pure function of the build, the clock and the size.

use std::time::{Duration, SystemTime};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::trace::{Ending, Part, StepState, Trace};
use super::windows::Windows;
use crate::output::size_fixed;

/// Times below this are shown as zero.
const TIME_SHOWN_MIN: Duration = Duration::from_millis(50);
/// A line with fewer columns for the name is left out.
const NAME_COLUMNS_MIN: usize = 12;
/// Columns of a bar between its brackets.
const BAR_COLUMNS: usize = 20;
/// Lines that are not for steps: the heading, and the line on which the cursor stands.
const OTHER_LINES: usize = 2;

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// One line of the view, no wider than the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

/// How a line is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Done,
    Warning,
    Error,
    Faint,
}

/// Whether the view is the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// It will be replaced, so it has to fit.
    Live,
    /// It stays, so everything is shown.
    Last,
}

/// The lines of the view.
pub(super) fn lines(
    trace: &Trace,
    windows: &mut Windows,
    now: SystemTime,
    size: Size,
    view: View,
) -> Vec<Line> {
    // The last column stays free: a terminal that reaches it may or may not begin a new line.
    let columns = size.columns.saturating_sub(1);
    let mut groups: Vec<Group> = trace.begun().map(|state| Group::of(state, now, columns)).collect();
    if view == View::Live {
        let room = size.rows.saturating_sub(OTHER_LINES);
        fit(&mut groups, room);
        let free = room.saturating_sub(groups.iter().map(|group| group.lines.len()).sum());
        add_windows(&mut groups, trace, windows, columns, free);
    }
    let mut lines = vec![heading(trace, now, columns, view)];
    lines.extend(groups.into_iter().flat_map(|group| group.lines));
    lines
}

fn heading(trace: &Trace, now: SystemTime, columns: usize, view: View) -> Line {
    let (ended, announced) = trace.counts();
    // In a build that went well, what has not begun was not needed: the result of a later step was there.
    let all = if view == View::Last && trace.is_good() { ended } else { announced };
    let finished = if view == View::Last && ended == all && all > 0 { " FINISHED" } else { "" };
    let text = format!("[+] Building {:.1}s ({ended}/{all}){finished}", trace.elapsed(now).as_secs_f64());
    Line { text: cut(&text, columns), style: Style::Plain }
}

/// A step with its parts.
struct Group {
    step: engine::StepId,
    is_running: bool,
    lines: Vec<Line>,
}

impl Group {
    fn of(state: &StepState, now: SystemTime, columns: usize) -> Self {
        let name = one_line(&state.step.name);
        let (prefix, style) = match state.ending() {
            None => ("", Style::Plain),
            Some(Ending::Done) => ("", Style::Done),
            Some(Ending::Cached { .. }) => ("CACHED ", Style::Done),
            Some(Ending::Canceled) => ("CANCELED ", Style::Warning),
            Some(Ending::Failed(_)) => ("ERROR ", Style::Error),
        };
        let mut lines = Vec::new();
        let age = state.ending().and_then(Ending::age).unwrap_or_default();
        lines.extend(timed(&format!(" => {prefix}{name}"), &age, state.elapsed(now), columns, style));
        lines.extend(reason_line(&state.reasons, columns));
        lines.extend(state.parts.iter().filter_map(|part| part_line(part, columns, now)));
        Self { step: state.step.id, is_running: state.ending().is_none(), lines }
    }
}

/// Why a step is not cached: the first reason, and how many there are.
fn reason_line(reasons: &[String], columns: usize) -> Option<Line> {
    let more = match reasons.len() {
        0 => return None,
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let text = format!(" => => not cached: {}{more}", one_line(&reasons[0]));
    Some(Line { text: cut(&text, columns), style: Style::Faint })
}

fn part_line(part: &Part, columns: usize, now: SystemTime) -> Option<Line> {
    let end = if part.is_done { part.updated } else { now };
    let elapsed = end.duration_since(part.since).unwrap_or_default();
    let style = if part.is_done { Style::Done } else { Style::Plain };
    let name = format!(" => => {}", one_line(&part.name));
    let amount = amount(part.current, part.total);
    let room = columns.saturating_sub(name.width() + " 9999.9s".len());
    let status = with_bar(part.current, part.total.filter(|_| !part.is_done), amount, room);
    timed(&name, &status, elapsed, columns, style)
}

/// A line for a job without steps: `importing [==>   ] 1.05MB / 2.10MB`.
pub(super) fn measured(name: &str, current: u64, total: Option<u64>, columns: usize) -> String {
    let name = one_line(name);
    let room = columns.saturating_sub(name.width());
    cut(&format!("{name} {}", with_bar(current, total, amount(current, total), room)), columns)
}

/// `1.05MB / 2.10MB`
fn amount(current: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 => format!("{} / {}", size_fixed(current), size_fixed(total)),
        _ if current > 0 => size_fixed(current),
        _ => String::new(),
    }
}

/// A bar before the amount, where its end is known and there is room.
fn with_bar(current: u64, total: Option<u64>, amount: String, room: usize) -> String {
    let needed = amount.len() + BAR_COLUMNS + " [] ".len();
    match total {
        Some(total) if total > 0 && needed <= room => format!("{} {amount}", bar(current, total)),
        _ => amount,
    }
}

/// `[=====>     ]`
fn bar(current: u64, total: u64) -> String {
    let share = (current as f64 / total as f64).clamp(0.0, 1.0);
    let filled = (share * BAR_COLUMNS as f64) as usize;
    let head = if filled < BAR_COLUMNS { ">" } else { "" };
    format!("[{:<BAR_COLUMNS$}]", "=".repeat(filled) + head)
}

/// A line with its time at the right edge; none if the terminal is too narrow for it.
fn timed(name: &str, status: &str, elapsed: Duration, columns: usize, style: Style) -> Option<Line> {
    let elapsed = if elapsed < TIME_SHOWN_MIN { Duration::ZERO } else { elapsed };
    let time = format!(" {:.1}s", elapsed.as_secs_f64());
    let room = columns.checked_sub(time.len()).filter(|room| *room >= NAME_COLUMNS_MIN)?;
    let with_status = room.saturating_sub(status.width() + 1);
    let left = if status.is_empty() || with_status < NAME_COLUMNS_MIN {
        cut(name, room)
    } else {
        format!("{} {status}", cut(name, with_status))
    };
    let gap = room.saturating_sub(left.width());
    Some(Line { text: format!("{left}{}{time}", " ".repeat(gap)), style })
}

/// Leaves out the oldest steps that have ended, then the oldest of all, until the rest fits.
fn fit(groups: &mut Vec<Group>, room: usize) {
    let mut excess = groups.iter().map(|group| group.lines.len()).sum::<usize>().saturating_sub(room);
    for leaves_running in [false, true] {
        groups.retain(|group| {
            let keep = excess == 0 || (group.is_running && !leaves_running);
            if !keep {
                excess = excess.saturating_sub(group.lines.len());
            }
            keep
        });
    }
}

/// Shows the last output of running steps in the lines that are free.
fn add_windows(groups: &mut [Group], trace: &Trace, windows: &mut Windows, columns: usize, mut free: usize) {
    for group in groups.iter_mut().filter(|group| group.is_running) {
        let Some(state) = trace.step(group.step) else { continue };
        let prefix = " => => # ";
        let rows = windows.rows(state.step.id, columns.saturating_sub(prefix.len()), free);
        free = free.saturating_sub(rows.len());
        let line = |row: String| Line { text: cut(&format!("{prefix}{row}"), columns), style: Style::Faint };
        group.lines.extend(rows.into_iter().map(line));
    }
}

/// No control character of a name reaches the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// As much of a text as fits.
fn cut(text: &str, columns: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= columns
    };
    text.chars().take_while(fits).collect()
}

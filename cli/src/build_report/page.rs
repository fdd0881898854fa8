//! The page: everything in one file, for a browser without a network.

use std::fmt::Write as _;

use engine::report::{BuildReport, ReportedStep, StepResult};

use super::text::{escape, result, time};
use super::{graph, json, timeline};
use crate::output::{age, rfc3339, size_fixed};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Layers in the list of the biggest.
const LAYERS_MAX: usize = 10;
const NANOSECONDS: i64 = 1_000_000_000;

/// The colors of the timeline and what they mean.
const LEGEND: [(&str, &str); 7] = [
    ("hash", "digesting what it reads"),
    ("queue", "waiting for its turn"),
    ("run", "running"),
    ("commit", "making a layer of it"),
    ("cached-color", "cached"),
    ("source-color", "source"),
    ("critical-color", "critical path"),
];

/// The whole page.
pub(super) fn page(report: &BuildReport) -> String {
    let title = report.tags.first().map_or(report.context.as_str(), String::as_str);
    // In a script only `<` could end it.
    let data = json(report).replace('<', "\\u003c");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}: build report</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}{}{}{}{}{}\
         <script type=\"application/json\" id=\"report\">\n{data}\n</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        heading(report),
        section(
            "Timeline",
            &format!("{}<div class=\"scroll\">{}</div>", legend(), timeline::timeline(report))
        ),
        critical_path(report),
        section("Graph", &format!("<div class=\"scroll fit\">{}</div>", graph::graph(report))),
        layers(report),
        steps(report),
        title = escape(title),
    )
}

fn section(title: &str, content: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{content}</section>\n")
}

fn heading(report: &BuildReport) -> String {
    let title = match report.tags.as_slice() {
        [] => format!("Build of {}", report.context),
        tags => tags.join(", "),
    };
    let target = report.target.as_ref().map_or(String::new(), |target| format!(", target {target}"));
    let began = rfc3339(report.began_unix_ns / NANOSECONDS);
    let mut text = format!("<h1>{}</h1>\n", escape(&title));
    let _ = writeln!(
        text,
        "<p class=\"faint\">context <code>{}</code>{}, {}, begun {began}, build <code>{}</code></p>",
        escape(&report.context),
        escape(&target),
        escape(&report.platform),
        escape(&report.build)
    );
    match (&report.image, &report.error) {
        (Some(image), _) => {
            let _ = writeln!(text, "<p class=\"faint\">image <code>{}</code></p>", escape(image));
        }
        (None, error) => {
            let error = error.as_deref().unwrap_or("the build failed");
            let _ = writeln!(text, "<p class=\"error\">{}</p>", escape(error));
        }
    }
    let count = |wanted| report.steps.iter().filter(|step| step.result == wanted).count().to_string();
    let numbers = [
        ("total", time(report.duration_us)),
        ("ran", count(StepResult::Ran)),
        ("cached", count(StepResult::Cached)),
        ("failed", count(StepResult::Failed)),
        ("in layers", size_fixed(report.steps.iter().filter_map(|step| step.layer_bytes).sum())),
        (
            "most memory",
            size_fixed(
                usage(report, |step| step.usage.map_or(0, |it| it.memory_peak_bytes)).max().unwrap_or(0),
            ),
        ),
        ("processor time", time(usage(report, |step| step.usage.map_or(0, |it| it.cpu_us)).sum())),
    ];
    text += "<div class=\"numbers\">\n";
    for (name, value) in numbers {
        let _ = writeln!(text, "<div><b>{value}</b>{name}</div>");
    }
    text + "</div>\n"
}

fn usage<'a>(
    report: &'a BuildReport,
    value: impl Fn(&ReportedStep) -> u64 + 'a,
) -> impl Iterator<Item = u64> + 'a {
    report.steps.iter().map(value)
}

fn legend() -> String {
    let entry = |(class, text): &(&str, &str)| format!("<span><i class=\"{class}\"></i>{text}</span>");
    format!("<div class=\"legend faint\">{}</div>\n", LEGEND.iter().map(entry).collect::<String>())
}

/// Where the time went that the build took.
fn critical_path(report: &BuildReport) -> String {
    let steps = || report.critical_path.iter().filter_map(|number| report.step(*number));
    if steps().next().is_none() {
        return String::new();
    }
    let mut rows = String::new();
    for step in steps() {
        rows += &bar_row(&step.name, &time(step.duration_us()), step.duration_us(), report.duration_us);
    }
    let total: u64 = steps().map(ReportedStep::duration_us).sum();
    let lead = format!(
        "<p class=\"faint\">These steps waited for one another, {} of {}. To be faster, make one of them faster.</p>\n",
        time(total),
        time(report.duration_us)
    );
    section("Critical path", &format!("{lead}<table><tbody>\n{rows}</tbody></table>\n"))
}

fn bar_row(name: &str, value: &str, part: u64, whole: u64) -> String {
    let share = part as f64 / whole.max(1) as f64 * 100.0;
    format!(
        "<tr><td class=\"name\">{}</td><td>{value}</td><td>{share:.0}%</td>\
         <td class=\"bar\"><div style=\"width: {:.1}%\"></div></td></tr>\n",
        escape(name),
        share.min(100.0)
    )
}

/// What makes the image large.
fn layers(report: &BuildReport) -> String {
    let mut layers: Vec<_> = report.steps.iter().filter_map(|step| Some((step.layer_bytes?, step))).collect();
    layers.retain(|(bytes, _)| *bytes > 0);
    layers.sort_by_key(|(bytes, step)| (std::cmp::Reverse(*bytes), step.number));
    let all: u64 = layers.iter().map(|(bytes, _)| bytes).sum();
    let rows = layers.iter().take(LAYERS_MAX);
    let rows: String =
        rows.map(|(bytes, step)| bar_row(&step.name, &size_fixed(*bytes), *bytes, all)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let lead = "<p class=\"faint\">Sizes of the files, before compression.</p>\n";
    section("Biggest layers", &format!("{lead}<table><tbody>\n{rows}</tbody></table>\n"))
}

/// Every number of every step.
fn steps(report: &BuildReport) -> String {
    let heads = [
        "#",
        "Step",
        "Result",
        "Queue",
        "Hash",
        "Run",
        "Commit",
        "CPU",
        "Peak memory",
        "Read",
        "Written",
        "Layer",
    ];
    let head = |(at, name): (usize, &&str)| match at {
        1 => format!("<th class=\"name\">{name}</th>"),
        2 => format!("<th>{name}</th>"),
        _ => format!("<th data-sort=\"up\">{name}</th>"),
    };
    let heads: String = heads.iter().enumerate().map(head).collect();
    let rows: String = report.steps.iter().map(step_row).collect();
    let table = format!("<table><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table>\n");
    section("Steps", &format!("<div class=\"scroll\">{table}</div>"))
}

fn step_row(step: &ReportedStep) -> String {
    let why = |text: &str| format!("<span class=\"why\">{}</span>", escape(text));
    let mut name = escape(&step.name);
    name += &step.reasons.iter().map(|reason| why(&reason.text)).collect::<String>();
    name += &step.error.as_deref().map_or(String::new(), why);
    let class = result(step.result);
    let how = match step.age_s {
        Some(age_s) => {
            let age = age(std::time::Duration::from_secs(age_s)).to_lowercase();
            format!("{class}<span class=\"why\">{age} old</span>")
        }
        None => class.replace('-', " "),
    };
    let number = |value: u64, text: String| format!("<td data-value=\"{value}\">{text}</td>");
    let duration = |us: u64| number(us, if us == 0 { String::new() } else { time(us) });
    let bytes = |bytes: Option<u64>| number(bytes.unwrap_or(0), bytes.map_or(String::new(), size_fixed));
    let used = |value: fn(&engine::report::StepUsage) -> u64| step.usage.as_ref().map(value);
    let mut row = format!("<tr class=\"{class}\">{}", number(step.number.into(), step.number.to_string()));
    let _ = write!(row, "<td class=\"name\">{name}</td><td>{how}</td>");
    for us in [step.queue_us, step.hash_us, step.run_us, step.commit_us] {
        row += &duration(us);
    }
    row += &duration(used(|usage| usage.cpu_us).unwrap_or(0));
    row += &bytes(used(|usage| usage.memory_peak_bytes));
    row += &bytes(used(|usage| usage.read_bytes));
    row += &bytes(used(|usage| usage.written_bytes));
    row += &bytes(step.layer_bytes);
    row + "</tr>\n"
}

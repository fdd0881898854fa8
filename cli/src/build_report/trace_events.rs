//! Chrome's trace events: what `chrome://tracing`, Perfetto and speedscope show.
//!
//! The format is Google's "Trace Event Format", in its form as an object. A step is a complete event (`X`) with its
//! parts inside; steps that run at the same time are on rows of their own; arrows (`s`, `f`) lead from the step that was
//! waited for.

use engine::report::{BuildReport, ReportedStep};
use serde_json::{Value, json};

use super::text::result;

const PROCESS: u32 = 1;

/// The file.
pub(super) fn trace(report: &BuildReport) -> String {
    let mut events =
        vec![metadata("process_name", 0, &report.tags.first().cloned().unwrap_or(report.build.clone()))];
    let rows = rows(report);
    let count = rows.iter().flatten().max().map_or(0, |row| row + 1);
    events.extend((0..count).map(|row| metadata("thread_name", row, &format!("steps {}", row + 1))));
    for (step, row) in report.steps.iter().zip(&rows) {
        if let (Some(began), Some(row)) = (step.began_us, *row) {
            events.extend(step_events(report, step, began, row, &rows));
        }
    }
    let other = json!({"build": report.build, "context": report.context, "image": report.image});
    json!({"traceEvents": events, "displayTimeUnit": "ms", "otherData": other}).to_string() + "\n"
}

fn metadata(name: &str, row: usize, value: &str) -> Value {
    json!({"ph": "M", "name": name, "pid": PROCESS, "tid": row, "args": {"name": value}})
}

/// The lowest row that is free, for each step that began.
fn rows(report: &BuildReport) -> Vec<Option<usize>> {
    let mut order: Vec<_> =
        report.steps.iter().enumerate().filter(|(_, step)| step.began_us.is_some()).collect();
    order.sort_by_key(|(_, step)| (step.began_us, step.number));
    let mut free_at: Vec<u64> = Vec::new();
    let mut rows = vec![None; report.steps.len()];
    for (at, step) in order {
        let began = step.began_us.unwrap_or(0);
        let row = free_at.iter().position(|free| *free <= began).unwrap_or(free_at.len());
        free_at.resize(free_at.len().max(row + 1), 0);
        free_at[row] = began + step.duration_us();
        rows[at] = Some(row);
    }
    rows
}

fn step_events(
    report: &BuildReport,
    step: &ReportedStep,
    began: u64,
    row: usize,
    rows: &[Option<usize>],
) -> Vec<Value> {
    let complete = |name: &str, ts: u64, dur: u64, args: Value| {
        json!({
            "ph": "X", "name": name, "cat": result(step.result), "pid": PROCESS, "tid": row,
            "ts": ts, "dur": dur, "args": args,
        })
    };
    let mut events = vec![complete(&step.name, began, step.duration_us(), arguments(step))];
    let mut at = began;
    for (name, us) in [("queue", step.queue_us), ("run", step.run_us), ("commit", step.commit_us)] {
        let us = us.min((began + step.duration_us()).saturating_sub(at));
        if us > 0 {
            events.push(complete(name, at, us, json!({})));
        }
        at += us;
    }
    let waited = step.waited_for.and_then(|number| Some((number, report.step(number)?.ended_us?)));
    if let Some((number, ended)) = waited
        && let Some(from) = rows[number as usize - 1]
    {
        let arrow = |ph: &str, ts: u64, tid: usize| {
            json!({
                "ph": ph, "name": "waited for", "cat": "input", "id": step.number, "pid": PROCESS,
                "tid": tid, "ts": ts, "bp": "e",
            })
        };
        events.extend([arrow("s", ended, from), arrow("f", began, row)]);
    }
    events
}

fn arguments(step: &ReportedStep) -> Value {
    json!({
        "number": step.number,
        "result": step.result,
        "hash_us": step.hash_us,
        "digest_us": step.digest_us,
        "layer_bytes": step.layer_bytes,
        "usage": step.usage,
        "reasons": step.reasons.iter().map(|reason| &reason.text).collect::<Vec<_>>(),
    })
}

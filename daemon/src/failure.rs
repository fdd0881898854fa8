//! What went wrong, as clients of BuildKit read it: a status with typed details.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{BuildError, Place};
use prost::Message as _;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::feed::Feed;
use crate::proto::{Any, rpc};

/// What goes before the name of a detail's type; its value is JSON.
const TYPES: &str = "github.com/moby/buildkit/errdefs";
/// How a rendered diagnostic begins.
const ERROR: &str = "error: ";

/// Lines that are shown before and after those that a status is about.
const EXCERPT_LINES: u64 = 3;

/// The Dockerfile of a build, to be quoted.
#[derive(Debug, Clone)]
pub(crate) struct SourceText {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // A transparent error says what its cause says.
        if !text.ends_with(&cause_text) {
            text += &format!(": {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The status of a build that failed.
pub(crate) fn status(error: &BuildError, source: Option<&SourceText>, feed: &Feed) -> Status {
    let place = error.excerpts().into_iter().find_map(Place::of);
    let message = match error {
        BuildError::Dockerfile { rendered } => dockerfile_message(rendered, place),
        error => chain(error),
    };
    let mut details = Vec::new();
    if let Some(digest) = feed.failed_step() {
        details.push(detail("Vertex", &json!({ "digest": digest })));
    }
    if let (Some(source), Some(place)) = (source, place) {
        let position = json!({ "line": place.line });
        let info = json!({
            "filename": source.name,
            "data": STANDARD.encode(&source.text),
            "language": "Dockerfile",
        });
        let ranges = json!([{ "start": position, "end": position }]);
        details.push(detail("Source", &json!({ "info": info, "ranges": ranges })));
    }
    // Clients show any other code, and BuildKit has none.
    with_details(Code::Unknown, message, details)
}

/// A question that nobody knows.
pub(crate) fn unknown_subrequest(name: &str) -> Status {
    let details = vec![detail("Subrequest", &json!({ "name": name }))];
    with_details(Code::Unimplemented, format!("unsupported subrequest {name}"), details)
}

fn with_details(code: Code, message: String, details: Vec<Any>) -> Status {
    let status = rpc::Status { code: code as i32, message: message.clone(), details };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// The lines that a status is about, with those around them, as BuildKit's clients show them.
pub(crate) fn excerpt(status: &Status) -> Option<String> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let found = details.iter().find(|detail| detail.type_url == format!("{TYPES}.Source+json"))?;
    let source: Value = serde_json::from_slice(&found.value).ok()?;
    let text = String::from_utf8(STANDARD.decode(source["info"]["data"].as_str()?).ok()?).ok()?;
    let ranges: Vec<(u64, u64)> = source["ranges"]
        .as_array()?
        .iter()
        .filter_map(|range| {
            let line = |end: &str| range[end]["line"].as_u64();
            Some((line("start")?, line("end")?))
        })
        .collect();
    let first = ranges.iter().map(|(start, _)| *start).min()?;
    let last = ranges.iter().map(|(_, end)| *end).max()?;
    let around = first.saturating_sub(EXCERPT_LINES)..=last.saturating_add(EXCERPT_LINES);
    let rule = "-".repeat(20);
    let mut shown = format!("{}:{first}\n{rule}\n", source["info"]["filename"].as_str().unwrap_or_default());
    for (number, line) in (1..).zip(text.lines()).filter(|(number, _)| around.contains(number)) {
        let is_it = ranges.iter().any(|(start, end)| (*start..=*end).contains(&number));
        shown += &format!(" {number:3} | {} {line}\n", if is_it { ">>>" } else { "   " });
    }
    Some(shown + &rule + "\n")
}

fn detail(name: &str, value: &serde_json::Value) -> Any {
    Any { type_url: format!("{TYPES}.{name}+json"), value: value.to_string().into_bytes() }
}

/// The first mistake, in BuildKit's words.
fn dockerfile_message(rendered: &[String], place: Option<Place>) -> String {
    let first = rendered.first().and_then(|text| text.lines().next()).unwrap_or_default();
    let message = first.strip_prefix(ERROR).unwrap_or(first);
    // Scripts look for it.
    let unknown = message.strip_prefix("unknown instruction `").and_then(|rest| rest.strip_suffix('`'));
    let message = unknown.map_or(message.to_owned(), |name| format!("unknown instruction: {name}"));
    match place {
        Some(Place { line, .. }) => format!("dockerfile parse error on line {line}: {message}"),
        None => message,
    }
}

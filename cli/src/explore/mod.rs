//! Shows what each layer of an image did: as a tree, as JSON, as a page.

mod page;
mod tree;

use engine::images::{ChangeKind, Exploration, ExploredLayer, FileChange};

pub(crate) use page::page;
pub(crate) use tree::text;

use crate::template::Value;

/// For programs.
pub(crate) fn json(exploration: &Exploration) -> String {
    let layers: Vec<_> = exploration.layers.iter().map(layer).collect();
    let fields = vec![
        ("Image".to_owned(), Value::from(exploration.id.to_string())),
        ("Size".to_owned(), bytes(exploration.size_bytes())),
        ("Wasted".to_owned(), bytes(exploration.wasted_bytes())),
        ("Layers".to_owned(), Value::List(layers)),
    ];
    Value::Record(fields).to_json() + "\n"
}

fn layer(layer: &ExploredLayer) -> Value {
    Value::Record(vec![
        ("Digest".to_owned(), Value::from(layer.diff_id.to_string())),
        ("CreatedBy".to_owned(), Value::from(layer.created_by.clone())),
        ("Size".to_owned(), bytes(layer.size_bytes())),
        ("Wasted".to_owned(), bytes(layer.wasted_bytes())),
        ("Files".to_owned(), Value::List(layer.changes.iter().map(change).collect())),
    ])
}

fn change(change: &FileChange) -> Value {
    Value::Record(vec![
        ("Path".to_owned(), Value::from(format!("/{}", change.path))),
        ("Change".to_owned(), Value::from(word(change.kind).to_owned())),
        ("Size".to_owned(), bytes(change.size_bytes)),
        ("Wasted".to_owned(), bytes(change.wasted_bytes)),
    ])
}

fn bytes(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Removed => "removed",
    }
}

/// The sign of a change, as in a diff.
fn sign(kind: ChangeKind) -> char {
    match kind {
        ChangeKind::Added => '+',
        ChangeKind::Changed => '~',
        ChangeKind::Removed => '-',
    }
}

/// The instruction of a layer on one line, as people wrote it.
fn instruction(layer: &ExploredLayer) -> String {
    let text = layer.created_by.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.strip_prefix("RUN /bin/sh -c ").map_or(text.clone(), |command| format!("RUN {command}"));
    if text.is_empty() { "(nobody told how it was made)".to_owned() } else { text }
}

/// Part of a whole, in percent.
fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

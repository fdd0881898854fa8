//! Graphs for Graphviz, see <https://graphviz.org/doc/info/lang.html>.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::one_line;
use crate::{BuildGraph, Op, Vertex, VertexId};

/// Longest label, characters: a command of a screen's height is no label.
const LABEL_CHARS_MAX: usize = 80;

pub(super) fn render(graph: &BuildGraph, target: VertexId) -> String {
    let mut out = String::from("digraph build {\n");
    out.push_str("  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];\n");
    let mut stages: BTreeMap<&str, Vec<(VertexId, &Vertex)>> = BTreeMap::new();
    for (id, vertex) in graph.vertices() {
        stages.entry(&vertex.label.stage).or_default().push((id, vertex));
    }
    for (index, (stage, vertices)) in stages.iter().enumerate() {
        let indent = if stage.is_empty() { "  " } else { "    " };
        if !stage.is_empty() {
            let _ = writeln!(out, "  subgraph cluster_{index} {{\n    label={};", quoted(stage));
        }
        for (id, vertex) in vertices {
            let _ = writeln!(out, "{indent}v{} [{}];", id.index(), attributes(vertex, *id == target));
        }
        out.push_str(if stage.is_empty() { "" } else { "  }\n" });
    }
    for (id, vertex) in graph.vertices() {
        for (place, input) in vertex.inputs.iter().enumerate() {
            let style = if place == 0 { "" } else { " [style=dashed]" };
            let _ = writeln!(out, "  v{} -> v{}{style};", input.index(), id.index());
        }
    }
    out.push_str("}\n");
    out
}

fn attributes(vertex: &Vertex, is_target: bool) -> String {
    let label = one_line(&vertex.label.name);
    let short: String = label.chars().take(LABEL_CHARS_MAX).collect();
    let label = if short.len() < label.len() { format!("{short}...") } else { short };
    let shape = match vertex.op {
        Op::Scratch | Op::Image(_) | Op::Context(_) | Op::Http(_) | Op::Git(_) => ", shape=ellipse",
        Op::File(_) => ", shape=note",
        Op::Run(_) => "",
    };
    let border = if is_target { ", peripheries=2" } else { "" };
    format!("label={}{shape}{border}", quoted(&label))
}

/// A string of the language: backslashes would be escapes of labels.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

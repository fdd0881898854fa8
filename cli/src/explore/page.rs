//! The image as a page: everything in one file, for a browser without a network.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use engine::images::{ChangeKind, Exploration, ExploredLayer};

use super::tree::Node;
use super::{instruction, percent, sign, word};
use crate::build_report::escape;
use crate::output::size_fixed;

const STYLE: &str = include_str!("page.css");
/// Lines of one directory; what is smaller is one line.
const LINES_MAX: usize = 200;
/// Files in the list of the most wasteful.
const WASTED_MAX: usize = 20;

/// The whole page.
pub(crate) fn page(exploration: &Exploration, name: &str) -> String {
    let title = escape(name);
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}: layers</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<p class=\"faint\">image <code>{}</code></p>\n",
        exploration.id
    );
    numbers(&mut text, exploration);
    wasted(&mut text, exploration);
    text += "<section>\n<h2>Layers</h2>\n";
    let largest = exploration.layers.iter().map(ExploredLayer::size_bytes).max().unwrap_or(0);
    for (index, explored) in exploration.layers.iter().enumerate() {
        layer(&mut text, index + 1, explored, largest);
    }
    text + "</section>\n</body>\n</html>\n"
}

fn numbers(text: &mut String, exploration: &Exploration) {
    let (size, wasted) = (exploration.size_bytes(), exploration.wasted_bytes());
    let efficiency = 100 - percent(wasted, size);
    let numbers = [
        ("in all layers", size_fixed(size)),
        ("layers", exploration.layers.len().to_string()),
        ("hidden by later layers", size_fixed(wasted)),
        ("to be seen", format!("{efficiency}%")),
    ];
    *text += "<div class=\"numbers\">\n";
    for (name, value) in numbers {
        let _ = writeln!(text, "<div><b>{value}</b>{name}</div>");
    }
    *text += "</div>\n";
}

/// The paths whose bytes are in the image for nothing.
fn wasted(text: &mut String, exploration: &Exploration) {
    let mut by_path: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for change in exploration.layers.iter().flat_map(|layer| &layer.changes) {
        let (bytes, times) = by_path.entry(&change.path).or_default();
        *bytes += change.wasted_bytes;
        *times += usize::from(change.wasted_bytes > 0);
    }
    let mut found: Vec<_> = by_path.into_iter().filter(|(_, (bytes, _))| *bytes > 0).collect();
    if found.is_empty() {
        return;
    }
    found.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
    *text += "<section>\n<h2>Hidden</h2>\n<table>\n<tr><th>Bytes</th><th>Times</th><th>Path</th></tr>\n";
    for (path, (bytes, times)) in found.into_iter().take(WASTED_MAX) {
        let path = escape(path);
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{times}</td><td><code>/{path}</code></td></tr>",
            size_fixed(bytes)
        );
    }
    *text += "</table>\n</section>\n";
}

fn layer(text: &mut String, number: usize, layer: &ExploredLayer, largest: u64) {
    let root = Node::of(layer);
    let count = |kind| format!("<span class=\"{0}\">{1} {0}</span>", word(kind), layer.count(kind));
    let _ = writeln!(
        text,
        "<details class=\"layer\"><summary><span class=\"bar\"><i style=\"width:{}%\"></i></span>\
         <b>{}</b> <code>{number} {}</code><br><span class=\"faint\">{} {} {}</span></summary>",
        percent(layer.size_bytes(), largest),
        escape(&root.sizes()),
        escape(&instruction(layer)),
        count(ChangeKind::Added),
        count(ChangeKind::Changed),
        count(ChangeKind::Removed),
    );
    branches(text, &root);
    *text += "</details>\n";
}

fn branches(text: &mut String, node: &Node) {
    let children = node.sorted();
    *text += "<ul>\n";
    for (name, child) in children.iter().take(LINES_MAX) {
        let class = child.change.map_or("", word);
        let mark = child.change.map_or(' ', sign);
        let (name, sizes) = (escape(name), escape(&child.sizes()));
        if child.children.is_empty() {
            let _ = writeln!(text, "<li class=\"{class}\"><code>{mark} {name}</code> {sizes}</li>");
        } else {
            let _ = writeln!(
                text,
                "<li class=\"{class}\"><details><summary><code>{mark} {name}/</code> {sizes}</summary>"
            );
            branches(text, child);
            *text += "</details></li>\n";
        }
    }
    if let Some(rest) = children.get(LINES_MAX..).filter(|rest| !rest.is_empty()) {
        let bytes = rest.iter().map(|(_, child)| child.size_bytes).sum();
        let _ = writeln!(text, "<li class=\"faint\">{} more, {}</li>", rest.len(), size_fixed(bytes));
    }
    *text += "</ul>\n";
}

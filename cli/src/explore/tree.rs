//! The changes of a layer as a tree, for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use engine::images::{ChangeKind, Exploration, ExploredLayer, FileChange};

use super::{instruction, percent, sign};
use crate::output::{ellipsis, size_fixed, truncate_id};

/// Lines of one directory before the small ones become one line.
const LINES_MAX: usize = 12;
/// A directory with a smaller part of its layer, in percent, is not opened.
const OPENED_PERCENT_MIN: u64 = 2;
/// Columns of an instruction.
const INSTRUCTION_COLUMNS: usize = 100;

/// A directory or a file with what happened beneath it.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) change: Option<ChangeKind>,
    pub(super) size_bytes: u64,
    pub(super) wasted_bytes: u64,
    /// Changes in and beneath it.
    pub(super) count: usize,
    pub(super) children: BTreeMap<String, Node>,
}

impl Node {
    /// The changes of a layer as a tree.
    pub(super) fn of(layer: &ExploredLayer) -> Self {
        let mut root = Self::default();
        for change in &layer.changes {
            root.add(change);
        }
        root
    }

    fn add(&mut self, change: &FileChange) {
        let mut node = self;
        node.count(change);
        for name in change.path.split('/').filter(|name| !name.is_empty()) {
            node = node.children.entry(name.to_owned()).or_default();
            node.count(change);
        }
        node.change = Some(change.kind);
    }

    fn count(&mut self, change: &FileChange) {
        self.size_bytes += change.size_bytes;
        self.wasted_bytes += change.wasted_bytes;
        self.count += 1;
    }

    /// The children, those with most bytes first; equal ones by name.
    pub(super) fn sorted(&self) -> Vec<(&String, &Self)> {
        let mut children: Vec<_> = self.children.iter().collect();
        children.sort_by_key(|(_, node)| std::cmp::Reverse(node.weight()));
        children
    }

    /// What it takes, there or in the layers below.
    pub(super) fn weight(&self) -> u64 {
        self.size_bytes + self.wasted_bytes
    }

    /// Its sizes in words.
    pub(super) fn sizes(&self) -> String {
        let wasted = format!(", hides {}", size_fixed(self.wasted_bytes));
        format!("{}{}", size_fixed(self.size_bytes), if self.wasted_bytes > 0 { &wasted } else { "" })
    }
}

/// The image as text; with `whole`, every path has a line.
pub(crate) fn text(exploration: &Exploration, whole: bool) -> String {
    let (size, wasted) = (exploration.size_bytes(), exploration.wasted_bytes());
    let mut text = format!(
        "{}: {} in {} layers, {} ({}%) of it hidden\n",
        truncate_id(&exploration.id.to_string()),
        size_fixed(size),
        exploration.layers.len(),
        size_fixed(wasted),
        percent(wasted, size)
    );
    for (index, layer) in exploration.layers.iter().enumerate() {
        let root = Node::of(layer);
        let _ = writeln!(
            text,
            "\n{} {}\n  {} added, {} changed, {} removed: {}",
            index + 1,
            ellipsis(&instruction(layer), INSTRUCTION_COLUMNS),
            layer.count(ChangeKind::Added),
            layer.count(ChangeKind::Changed),
            layer.count(ChangeKind::Removed),
            root.sizes()
        );
        branches(&mut text, &root, "  ", root.weight(), whole);
    }
    text
}

fn branches(text: &mut String, node: &Node, indent: &str, layer_bytes: u64, whole: bool) {
    let children = node.sorted();
    // One line more says nothing less than how many there are.
    let shown = if whole || children.len() <= LINES_MAX + 1 { children.len() } else { LINES_MAX };
    let rest = &children[shown..];
    for (index, (name, child)) in children[..shown].iter().enumerate() {
        let is_last = index + 1 == shown && rest.is_empty();
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let mark = child.change.map_or(' ', sign);
        let slash = if child.children.is_empty() { "" } else { "/" };
        let name = name.escape_debug();
        let _ = writeln!(text, "{indent}{branch}{mark} {name}{slash}  {}", child.sizes());
        if whole || percent(child.weight(), layer_bytes) >= OPENED_PERCENT_MIN {
            branches(text, child, &format!("{indent}{below}"), layer_bytes, whole);
        }
    }
    if !rest.is_empty() {
        let bytes = rest.iter().map(|(_, child)| child.size_bytes).sum();
        let _ = writeln!(text, "{indent}└─   … {} more  {}", rest.len(), size_fixed(bytes));
    }
}

//! Finds operations among the records of a cache.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use graph::VertexId;
use image::Digest;

use super::node::Edge;
use super::{Foreign, ForeignRecord};

/// The records of one cache, with what was found among them.
#[derive(Default)]
pub(in crate::remote_cache) struct Lookup {
    by_key: HashMap<Digest, Vec<u32>>,
    /// The records of each operation that was looked for.
    found: Mutex<HashMap<usize, Vec<u32>>>,
}

impl Lookup {
    pub(in crate::remote_cache) fn new(records: &[ForeignRecord]) -> Self {
        let mut by_key: HashMap<Digest, Vec<u32>> = HashMap::new();
        for (at, record) in (0..).zip(records) {
            by_key.entry(record.key).or_default().push(at);
        }
        Self { by_key, found: Mutex::default() }
    }

    /// The newest result of a vertex, by its place. Reads files of build contexts where it depends on them.
    pub(in crate::remote_cache) fn find(
        &self,
        records: &[ForeignRecord],
        foreign: &Foreign,
        vertex: VertexId,
    ) -> Option<usize> {
        let place = foreign.place(vertex)?;
        // Nobody changes what was found, so whoever comes at the same time finds the same.
        let mut found = self.found.lock().expect("no holder of the lock panics");
        let others = foreign.others();
        for node in needed(foreign, &found, place) {
            let all = self.records_of(records, foreign, &found, node);
            found.insert(node, if others.contains(&node) { Vec::new() } else { all });
        }
        let results = found.get(&place)?.iter().map(|at| *at as usize);
        results.filter(|at| records[*at].layer.is_some()).max_by_key(|at| records[*at].created)
    }

    fn records_of(
        &self,
        records: &[ForeignRecord],
        foreign: &Foreign,
        found: &HashMap<usize, Vec<u32>>,
        node: usize,
    ) -> Vec<u32> {
        let of = &foreign.nodes[node];
        let named = of.keys.iter().filter_map(|key| self.by_key.get(key)).flatten();
        let fits = |at: &&u32| {
            let record = &records[**at as usize];
            record.inputs.len() == of.inputs.len()
                && of.inputs.iter().enumerate().all(|(input, edge)| {
                    let known = found.get(&edge.from).map(Vec::as_slice).unwrap_or_default();
                    is_input(record, (input, edge), known)
                        || foreign
                            .content(node, input)
                            .into_iter()
                            .any(|content| is_content(records, record, input, content))
                })
        };
        named.filter(fits).copied().collect()
    }
}

/// Operations whose records have to be known before those of this one are, itself included, lowest first.
fn needed(foreign: &Foreign, found: &HashMap<usize, Vec<u32>>, place: usize) -> BTreeSet<usize> {
    let (mut needed, mut left) = (BTreeSet::new(), vec![place]);
    while let Some(next) = left.pop() {
        if !found.contains_key(&next) && needed.insert(next) {
            left.extend(foreign.nodes[next].inputs.iter().map(|edge| edge.from));
        }
    }
    needed
}

/// Whether one of the records of the input's operation is an input of the record.
fn is_input(record: &ForeignRecord, (input, edge): (usize, &Edge), known: &[u32]) -> bool {
    record.inputs[input]
        .iter()
        .any(|link| edge.selectors.contains(&link.selector) && known.contains(&link.record))
}

/// Whether the record was made from this content.
fn is_content(records: &[ForeignRecord], record: &ForeignRecord, input: usize, content: Digest) -> bool {
    record.inputs[input].iter().any(|link| {
        let of = &records[link.record as usize];
        link.selector.is_none() && of.key == content && of.inputs.is_empty()
    })
}

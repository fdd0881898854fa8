//! Makes the records under which BuildKit finds what a build came to.

use std::collections::{BTreeSet, HashMap};

use graph::VertexId;
use image::Digest;

use super::node::Edge;
use super::{Foreign, ForeignLink, ForeignRecord};

/// A result by the place of its topmost layer in the catalogue, and when it was made, in nanoseconds since 1970.
pub(in crate::remote_cache) type Result = (Option<u32>, i64);

impl Foreign {
    /// The records of these results, and of all that they were made from, each after what it was made from. Reads the files
    /// of build contexts on which they depend.
    pub(in crate::remote_cache) fn records(&self, results: &HashMap<VertexId, Result>) -> Vec<ForeignRecord> {
        let by_place: HashMap<usize, Result> =
            results.iter().filter_map(|(vertex, result)| Some((self.place(*vertex)?, *result))).collect();
        let others = self.others();
        let mut writing = Writing::default();
        for place in self.needed(by_place.keys().copied()) {
            let node = &self.nodes[place];
            if others.contains(&place) {
                continue;
            }
            let links = node
                .inputs
                .iter()
                .enumerate()
                .map(|(input, edge)| writing.links(edge, self.content(place, input)));
            let inputs: Vec<Vec<ForeignLink>> = links.collect();
            if inputs.iter().any(Vec::is_empty) {
                continue;
            }
            // What has no inputs comes from elsewhere.
            let result = by_place.get(&place).filter(|_| !node.is_image);
            let (layer, created) = result.copied().unwrap_or((None, 0));
            for key in &node.keys {
                let record = ForeignRecord { key: *key, inputs: inputs.clone(), layer, created };
                writing.add(place, record);
            }
        }
        writing.records
    }

    /// These operations and what they were made from, lowest first.
    fn needed(&self, places: impl Iterator<Item = usize>) -> BTreeSet<usize> {
        let (mut needed, mut left) = (BTreeSet::new(), places.collect::<Vec<_>>());
        while let Some(next) = left.pop() {
            if needed.insert(next) {
                left.extend(self.nodes[next].inputs.iter().map(|edge| edge.from));
            }
        }
        needed
    }
}

/// Records in the making.
#[derive(Default)]
struct Writing {
    records: Vec<ForeignRecord>,
    /// Those of each operation, by their places.
    of: HashMap<usize, Vec<u32>>,
    contents: HashMap<Digest, u32>,
}

impl Writing {
    fn push(&mut self, record: ForeignRecord) -> u32 {
        let at = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        self.records.push(record);
        at
    }

    fn add(&mut self, place: usize, record: ForeignRecord) {
        let at = self.push(record);
        self.of.entry(place).or_default().push(at);
    }

    /// The records that an input may be: those of its operation, and that of what is read of it.
    fn links(&mut self, edge: &Edge, contents: Vec<Digest>) -> Vec<ForeignLink> {
        let of = self.of.get(&edge.from).cloned().unwrap_or_default();
        let mut links = Vec::new();
        for selector in &edge.selectors {
            links.extend(of.iter().map(|record| ForeignLink { selector: *selector, record: *record }));
        }
        for key in contents {
            let record = match self.contents.get(&key) {
                Some(known) => *known,
                None => {
                    let record = ForeignRecord { key, inputs: Vec::new(), layer: None, created: 0 };
                    let at = self.push(record);
                    self.contents.insert(key, at);
                    at
                }
            };
            links.push(ForeignLink { selector: None, record });
        }
        links
    }
}

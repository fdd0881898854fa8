//! One graph for several targets: what they have in common is in it once.

use std::collections::HashMap;

use crate::{BuildGraph, OpDigest, VertexId};

/// Puts graphs together. A vertex that does the same on the same inputs as one that is there already is not added again.
#[derive(Debug, Default)]
pub struct Merge {
    graph: BuildGraph,
    known: HashMap<(OpDigest, Vec<VertexId>, bool), VertexId>,
}

impl Merge {
    /// Without vertices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all vertices of a graph; where each of them is now, by its place in the graph that it comes from.
    pub fn add(&mut self, graph: &BuildGraph) -> Vec<VertexId> {
        let mut places: Vec<VertexId> = Vec::with_capacity(graph.len());
        for (_, vertex) in graph.vertices() {
            let mut vertex = vertex.clone();
            for input in &mut vertex.inputs {
                *input = places[input.index()];
            }
            let key = (vertex.op.digest(), vertex.inputs.clone(), vertex.no_cache);
            // The digest leaves out what is in no key, such as proxies: those have to be equal as well.
            let same = self.known.get(&key).copied().filter(|id| self.graph.vertex(*id).op == vertex.op);
            places.push(same.unwrap_or_else(|| {
                let id = self.graph.add(vertex);
                self.known.insert(key, id);
                id
            }));
        }
        places
    }

    /// The whole.
    pub fn finish(self) -> BuildGraph {
        self.graph
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContextSource, Label, Op, Vertex};

    fn vertex(op: Op, inputs: Vec<VertexId>) -> Vertex {
        Vertex { op, inputs, label: Label::default(), no_cache: false }
    }

    fn context(name: &str) -> Op {
        Op::Context(ContextSource { name: name.to_owned() })
    }

    #[test]
    fn common_vertices_are_there_once() {
        let graph = |name: &str| {
            let mut graph = BuildGraph::new();
            graph.add(vertex(Op::Scratch, Vec::new()));
            graph.add(vertex(context(name), Vec::new()));
            graph
        };
        let mut merge = Merge::new();
        let (first, second) = (merge.add(&graph("a")), merge.add(&graph("b")));
        assert_eq!(first[0], second[0]);
        assert_ne!(first[1], second[1]);
        assert_eq!(merge.finish().len(), 3);
    }
}

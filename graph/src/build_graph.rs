//! The graph: vertices in an order in which they could run.

use std::ops::Range;

use crate::Op;

/// A vertex of one graph, by its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VertexId(u32);

impl VertexId {
    /// The place of the vertex in its graph, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One operation, its inputs, and what people see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// What happens.
    pub op: Op,
    /// On what: input 0 is continued, the others are read.
    pub inputs: Vec<VertexId>,
    /// What people see of it. In no key.
    pub label: Label,
    /// Run even when a result is known (`--no-cache`). In no key.
    pub no_cache: bool,
}

/// What people see of a vertex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// As Docker shows it: `[build 2/5] RUN make`.
    pub name: String,
    /// The stage that it belongs to, for grouping.
    pub stage: String,
    /// Where it comes from.
    pub location: Option<Location>,
}

/// Lines of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Byte range of the instruction in the text.
    pub span: Range<usize>,
    /// First line, from 1.
    pub line: u32,
}

/// A directed acyclic graph of operations.
///
/// Invariant: a vertex names only vertices added before it. The graph is therefore acyclic, and insertion
/// order is a topological order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildGraph {
    vertices: Vec<Vertex>,
}

impl BuildGraph {
    /// A graph without vertices.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a vertex.
    ///
    /// # Panics
    ///
    /// When an input is not a vertex of this graph yet.
    pub fn add(&mut self, vertex: Vertex) -> VertexId {
        let id = VertexId(u32::try_from(self.vertices.len()).expect("a graph has fewer than 2^32 vertices"));
        assert!(vertex.inputs.iter().all(|input| input.0 < id.0), "input from another graph");
        self.vertices.push(vertex);
        id
    }

    /// The vertex with this id.
    ///
    /// # Panics
    ///
    /// When the id comes from another, larger graph.
    pub fn vertex(&self, id: VertexId) -> &Vertex {
        &self.vertices[id.index()]
    }

    /// All vertices, inputs before those that use them.
    pub fn vertices(&self) -> impl DoubleEndedIterator<Item = (VertexId, &Vertex)> + ExactSizeIterator {
        self.vertices.iter().enumerate().map(|(index, vertex)| {
            (VertexId(u32::try_from(index).expect("a graph has fewer than 2^32 vertices")), vertex)
        })
    }

    /// Number of vertices.
    pub fn len(&self) -> usize {
        self.vertices.len()
    }

    /// Whether there is no vertex.
    pub fn is_empty(&self) -> bool {
        self.vertices.is_empty()
    }
}

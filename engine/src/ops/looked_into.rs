//! Which results of a build are looked into by the build itself.
//!
//! A layer that is only part of the image need not be a directory: that costs more than its bytes do, and can be done when
//! somebody runs the image.

use std::collections::BTreeSet;

use graph::{BuildGraph, VertexId};

use crate::Output;

/// Vertices that others continue or read from.
pub(crate) struct LookedInto {
    inputs: BTreeSet<VertexId>,
    /// The files of the image are wanted.
    all: bool,
}

impl LookedInto {
    pub(crate) fn new(graph: &BuildGraph, outputs: &[Output]) -> Self {
        let inputs = graph.vertices().flat_map(|(_, vertex)| vertex.inputs.iter().copied()).collect();
        Self { inputs, all: outputs.iter().any(|output| output.form().is_none()) }
    }

    pub(crate) fn contains(&self, id: VertexId) -> bool {
        self.all || self.inputs.contains(&id)
    }
}

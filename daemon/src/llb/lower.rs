//! From operations to the graph of a build.

use std::collections::{BTreeSet, HashMap};

use engine::operations::{
    BuildGraph, Change, Copy, CopyRules, File, FileAction, Label, Op, Vertex, VertexId,
};
use image::{Platform, Reference};

use super::read::{Operation, Read, read};
use super::source::{Local, Unnamed};
use super::{CAPS, LlbError, exec, file, label, source};
use crate::proto::pb::{self, op};

/// A definition as a graph, and what of it is not in the graph.
#[derive(Debug, Clone)]
pub(crate) struct Lowered {
    pub(crate) graph: BuildGraph,
    /// The vertex of the result.
    pub(crate) target: VertexId,
    /// Directories of clients, by the names of their contexts.
    pub(crate) locals: Vec<(String, Local)>,
    /// Images that no registry has, by what the graph calls them.
    pub(crate) unnamed: Vec<(Reference, Unnamed)>,
    /// Images that are looked for in their registries in any case.
    pub(crate) pulled: BTreeSet<Reference>,
    /// For which platform the result is.
    pub(crate) platform: Platform,
    /// The text that the definition was made from, and its name.
    pub(crate) source: Option<(String, String)>,
    /// The control group above those of all steps.
    pub(crate) cgroup_parent: Option<String>,
}

/// Makes the graph of a definition; `platform` is what operations are for that do not say it.
pub(crate) fn lower(definition: &pb::Definition, platform: &Platform) -> Result<Lowered, LlbError> {
    let Read { operations, result } = read(definition)?;
    let source = definition.source.as_ref();
    let platform = result
        .and_then(|(place, _)| operations[place].op.platform.as_ref())
        .map_or_else(|| platform.clone(), of_message);
    let mut lowering = Lowering::new(platform);
    for operation in &operations {
        check_caps(operation)?;
        lowering.label = label::label(operation, source);
        lowering.no_cache = operation.metadata.ignore_cache;
        let made = lowering.operation(operation)?;
        lowering.made.push(made);
    }
    let target = match result {
        Some((place, index)) => {
            let by = &operations[place].digest;
            let made = lowering.made[place].get(&index).copied();
            made.ok_or_else(|| out_of_range(by, "output", index))?
        }
        None => lowering.scratch(),
    };
    lowering.label = Label { name: "copy the files of the client".to_owned(), ..Label::default() };
    let target = lowering.layers(target);
    lowering.out.target = target;
    lowering.out.source = source.and_then(label::text);
    Ok(Lowered { graph: lowering.graph, ..lowering.out })
}

/// A platform of the messages.
pub(crate) fn of_message(platform: &pb::Platform) -> Platform {
    let pb::Platform { architecture, os, variant, .. } = platform;
    let variant = Some(variant.clone()).filter(|variant| !variant.is_empty());
    Platform { os: os.clone(), architecture: architecture.clone(), variant }.normalized()
}

pub(super) fn out_of_range(operation: &str, what: &'static str, index: i64) -> LlbError {
    LlbError::OutOfRange { operation: operation.to_owned(), what, index }
}

fn check_caps(operation: &Operation) -> Result<(), LlbError> {
    let unknown =
        operation.metadata.caps.iter().find(|(id, needed)| **needed && !CAPS.contains(&id.as_str()));
    match unknown {
        Some((id, _)) => Err(unsupported(operation, "capability", id)),
        None => Ok(()),
    }
}

pub(super) fn unsupported(operation: &Operation, what: &'static str, name: &str) -> LlbError {
    LlbError::Unsupported { operation: operation.digest.clone(), what, name: name.to_owned() }
}

pub(super) fn wrong(operation: &Operation, name: &str, value: &str, expected: &'static str) -> LlbError {
    LlbError::Value {
        operation: operation.digest.clone(),
        name: name.to_owned(),
        value: value.to_owned(),
        expected,
    }
}

/// The vertices of an operation's outputs.
pub(super) type Outputs = HashMap<i64, VertexId>;

/// A graph in the making.
pub(super) struct Lowering {
    graph: BuildGraph,
    /// What the operations so far have become.
    made: Vec<Outputs>,
    scratch: Option<VertexId>,
    /// Contexts as layers.
    copied: HashMap<VertexId, VertexId>,
    /// Vertices that are the difference of two.
    changes: HashMap<VertexId, (VertexId, VertexId)>,
    /// Of the operation that becomes vertices.
    label: Label,
    no_cache: bool,
    pub(super) out: Lowered,
}

impl Lowering {
    fn new(platform: Platform) -> Self {
        let mut graph = BuildGraph::new();
        let scratch = graph.add(vertex(Op::Scratch, Vec::new(), Label::default()));
        let out = Lowered {
            graph: BuildGraph::new(),
            target: scratch,
            locals: Vec::new(),
            unnamed: Vec::new(),
            pulled: BTreeSet::new(),
            platform,
            source: None,
            cgroup_parent: None,
        };
        Self {
            graph,
            made: Vec::new(),
            scratch: Some(scratch),
            copied: HashMap::new(),
            changes: HashMap::new(),
            label: Label::default(),
            no_cache: false,
            out,
        }
    }

    fn operation(&mut self, operation: &Operation) -> Result<Outputs, LlbError> {
        let unknown = || LlbError::UnknownOperation { operation: operation.digest.clone() };
        let op = operation.op.op.as_ref().ok_or_else(unknown)?;
        match op {
            op::Op::Source(op) => {
                let vertex = source::lower(self, operation, op)?;
                only(operation, vertex)
            }
            op::Op::Exec(op) => {
                let outputs = operation.used.iter();
                outputs.map(|index| Ok((*index, exec::lower(self, operation, op, *index)?))).collect()
            }
            op::Op::File(op) => file::lower(self, operation, op),
            op::Op::Merge(op) => {
                let vertex = self.merge(operation, op)?;
                only(operation, vertex)
            }
            op::Op::Diff(op) => {
                let vertex = self.diff(operation, op)?;
                only(operation, vertex)
            }
            op::Op::Build(_) => Err(unsupported(operation, "operation", "build")),
        }
    }

    /// Adds a vertex of the present operation.
    pub(super) fn add(&mut self, op: Op, inputs: Vec<VertexId>) -> VertexId {
        let no_cache = self.no_cache;
        self.graph.add(Vertex { no_cache, ..vertex(op, inputs, self.label.clone()) })
    }

    pub(super) fn scratch(&mut self) -> VertexId {
        let graph = &mut self.graph;
        *self.scratch.get_or_insert_with(|| graph.add(vertex(Op::Scratch, Vec::new(), Label::default())))
    }

    /// An input of an operation; -1 is the empty file system.
    pub(super) fn input(&mut self, operation: &Operation, index: i64) -> Result<VertexId, LlbError> {
        if index == -1 {
            return Ok(self.scratch());
        }
        let missing = || out_of_range(&operation.digest, "input", index);
        let place = usize::try_from(index).ok().and_then(|index| operation.inputs.get(index));
        let (place, output) = *place.ok_or_else(missing)?;
        self.made[place]
            .get(&output)
            .copied()
            .ok_or_else(|| out_of_range(&operation.digest, "output", output))
    }

    /// The same, as layers.
    pub(super) fn input_layers(&mut self, operation: &Operation, index: i64) -> Result<VertexId, LlbError> {
        let vertex = self.input(operation, index)?;
        Ok(self.layers(vertex))
    }

    /// What is no layer yet, the files of a client, as one.
    pub(super) fn layers(&mut self, id: VertexId) -> VertexId {
        if !matches!(self.graph.vertex(id).op, Op::Context(_)) {
            return id;
        }
        if let Some(copied) = self.copied.get(&id) {
            return *copied;
        }
        let scratch = self.scratch();
        let rules = CopyRules { keep_symlink: true, ..CopyRules::default() };
        let copy = Copy {
            input: 1,
            sources: vec!["/".to_owned()],
            destination: "/".to_owned(),
            rules,
            ..Copy::default()
        };
        let label = self.graph.vertex(id).label.clone();
        let op = Op::File(File { actions: vec![FileAction::Copy(copy)] });
        let copied = self.graph.add(vertex(op, vec![scratch, id], label));
        self.copied.insert(id, copied);
        copied
    }

    /// The files of all inputs, those of later ones over those of earlier ones. Of a difference, what is gone goes as well.
    fn merge(&mut self, operation: &Operation, op: &pb::MergeOp) -> Result<VertexId, LlbError> {
        let mut vertices = Vec::new();
        for input in &op.inputs {
            vertices.push(self.input_layers(operation, input.input)?);
        }
        let Some((base, others)) = vertices.split_first() else {
            return Err(LlbError::Missing { operation: operation.digest.clone(), what: "inputs" });
        };
        let (mut inputs, mut actions) = (vec![*base], Vec::new());
        for other in others {
            let nothing = self.scratch();
            let (from, to) = self.changes.get(other).copied().unwrap_or((nothing, *other));
            inputs.extend([from, to]);
            actions.push(FileAction::Change(Change { from: inputs.len() - 2, to: inputs.len() - 1 }));
        }
        Ok(self.add(Op::File(File { actions }), inputs))
    }

    /// What differs between two inputs.
    fn diff(&mut self, operation: &Operation, op: &pb::DiffOp) -> Result<VertexId, LlbError> {
        let from = self.input_layers(operation, op.lower.map_or(-1, |lower| lower.input))?;
        let to = self.input_layers(operation, op.upper.map_or(-1, |upper| upper.input))?;
        let actions = vec![FileAction::Change(Change { from: 1, to: 2 })];
        let scratch = self.scratch();
        let made = self.add(Op::File(File { actions }), vec![scratch, from, to]);
        self.changes.insert(made, (from, to));
        Ok(made)
    }
}

fn vertex(op: Op, inputs: Vec<VertexId>, label: Label) -> Vertex {
    Vertex { op, inputs, label, no_cache: false }
}

/// The outputs of an operation that has one.
fn only(operation: &Operation, vertex: VertexId) -> Result<Outputs, LlbError> {
    match operation.used.iter().find(|index| **index != 0) {
        Some(index) => Err(out_of_range(&operation.digest, "output", *index)),
        None => Ok(HashMap::from([(0, vertex)])),
    }
}

//! Puts definitions together, as producers of LLB do.

use bollard_buildkit_proto::pb::{
    Definition, ExecOp, FileAction, FileActionCopy, FileActionMkDir, FileActionMkFile, FileActionRm,
    FileActionSymlink, FileOp, Input, Meta, Mount, MountType, Op, OpMetadata, SourceOp, file_action, op,
};
use image::Digest;
use prost::Message as _;

/// A definition in the making.
#[derive(Default)]
pub(crate) struct Marshal {
    definition: Definition,
}

/// An output of an operation.
#[derive(Clone)]
pub(crate) struct State(pub(crate) Input);

impl State {
    pub(crate) fn output(&self, index: i64) -> Self {
        Self(Input { index, ..self.0.clone() })
    }
}

impl Marshal {
    /// Adds an operation; its first output.
    pub(crate) fn add(&mut self, op: op::Op, inputs: &[&State]) -> State {
        let inputs = inputs.iter().map(|state| state.0.clone()).collect();
        let bytes = Op { inputs, op: Some(op), ..Op::default() }.encode_to_vec();
        let digest = Digest::of(&bytes).to_string();
        self.definition.def.push(bytes);
        State(Input { digest, index: 0 })
    }

    pub(crate) fn source(&mut self, identifier: &str, attributes: &[(&str, &str)]) -> State {
        let attrs =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.add(op::Op::Source(SourceOp { identifier: identifier.to_owned(), attrs }), &[])
    }

    /// A process on the first of the inputs.
    pub(crate) fn exec(&mut self, script: &str, inputs: &[&State], mounts: Vec<Mount>) -> State {
        self.add(op::Op::Exec(sh(script, mounts)), inputs)
    }

    pub(crate) fn file(&mut self, actions: Vec<FileAction>, inputs: &[&State]) -> State {
        self.add(op::Op::File(FileOp { actions }), inputs)
    }

    pub(crate) fn metadata(&mut self, state: &State) -> &mut OpMetadata {
        self.definition.metadata.entry(state.0.digest.clone()).or_default()
    }

    /// The definition of a result.
    pub(crate) fn finish(mut self, result: &State) -> Vec<u8> {
        let end = Op { inputs: vec![result.0.clone()], ..Op::default() };
        self.definition.def.push(end.encode_to_vec());
        self.definition.encode_to_vec()
    }
}

/// A shell's script; the root is the first input, and the first output.
pub(crate) fn sh(script: &str, mounts: Vec<Mount>) -> ExecOp {
    let args = ["/bin/sh", "-ec", script].map(str::to_owned).to_vec();
    let root = Mount { dest: "/".to_owned(), ..Mount::default() };
    ExecOp {
        meta: Some(Meta { args, cwd: "/".to_owned(), ..Meta::default() }),
        mounts: [root].into_iter().chain(mounts).collect(),
        ..ExecOp::default()
    }
}

/// A mount of an input, -1 for an empty one, whose changes are an output, -1 for none.
pub(crate) fn bind(dest: &str, input: i64, output: i64) -> Mount {
    Mount { dest: dest.to_owned(), input, output, ..Mount::default() }
}

/// A mount of something else.
pub(crate) fn special(dest: &str, kind: MountType) -> Mount {
    Mount { mount_type: kind as i32, ..bind(dest, -1, -1) }
}

/// Actions: the first on the first input or on nothing, each other on what the action before left, whose result is output 0 if it is the last.
pub(crate) fn actions(input_count: i64, actions: Vec<(file_action::Action, i64)>) -> Vec<FileAction> {
    let count = actions.len();
    let numbered = actions.into_iter().enumerate();
    numbered
        .map(|(place, (action, secondary_input))| FileAction {
            input: match place {
                0 if input_count == 0 => -1,
                0 => 0,
                place => input_count + i64::try_from(place).unwrap() - 1,
            },
            secondary_input,
            output: if place + 1 == count { 0 } else { -1 },
            action: Some(action),
        })
        .collect()
}

pub(crate) fn mkfile(path: &str, data: &str) -> (file_action::Action, i64) {
    let (path, data) = (path.to_owned(), data.as_bytes().to_vec());
    let made = FileActionMkFile { path, data, mode: 0o640, timestamp: -1, ..FileActionMkFile::default() };
    (file_action::Action::Mkfile(made), -1)
}

pub(crate) fn mkdir(path: &str, make_parents: bool) -> (file_action::Action, i64) {
    let path = path.to_owned();
    let made =
        FileActionMkDir { path, mode: 0o750, make_parents, timestamp: -1, ..FileActionMkDir::default() };
    (file_action::Action::Mkdir(made), -1)
}

pub(crate) fn rm(path: &str, allow_wildcard: bool, allow_not_found: bool) -> (file_action::Action, i64) {
    let path = path.to_owned();
    (file_action::Action::Rm(FileActionRm { path, allow_not_found, allow_wildcard }), -1)
}

pub(crate) fn symlink(old: &str, new: &str) -> (file_action::Action, i64) {
    let (oldpath, newpath) = (old.to_owned(), new.to_owned());
    let made =
        FileActionSymlink { oldpath, newpath, timestamp: 7_000_000_000, ..FileActionSymlink::default() };
    (file_action::Action::Symlink(made), -1)
}

/// A copy as producers make it that ask for nothing special.
pub(crate) fn copy(src: &str, dest: &str) -> FileActionCopy {
    let (src, dest) = (src.to_owned(), dest.to_owned());
    FileActionCopy { src, dest, mode: -1, timestamp: -1, ..FileActionCopy::default() }
}

pub(crate) fn copied(copy: FileActionCopy, from: i64) -> (file_action::Action, i64) {
    (file_action::Action::Copy(copy), from)
}

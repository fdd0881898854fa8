use std::collections::BTreeMap;

use engine::operations::{FileAction, Kept, KeptMount, Op};
use image::Digest;

use super::*;
use crate::proto::pb::{
    DiffOp, ExecOp, FileActionCopy, FileOp, Input, LowerDiffInput, MergeInput, MergeOp, Meta, Mount,
    SourceOp, UpperDiffInput, file_action, op,
};

/// Operations, each linked to those before it.
struct Linked(Vec<pb::Op>);

impl Linked {
    fn new(operations: Vec<(op::Op, Vec<(usize, i64)>)>) -> Self {
        let mut digests: Vec<String> = Vec::new();
        let linked = operations.into_iter().map(|(op, inputs)| {
            let input = |(of, index): (usize, i64)| Input { digest: digests[of].clone(), index };
            let op =
                pb::Op { op: Some(op), inputs: inputs.into_iter().map(input).collect(), ..pb::Op::default() };
            digests.push(Digest::of(&op.encode_to_vec()).to_string());
            op
        });
        Self(linked.collect())
    }

    /// With the output of the last operation as the result.
    fn definition(&self, output: i64) -> pb::Definition {
        let mut def: Vec<Vec<u8>> = self.0.iter().map(pb::Op::encode_to_vec).collect();
        let digest = Digest::of(def.last().expect("there is one")).to_string();
        let end = pb::Op { inputs: vec![Input { digest, index: output }], ..pb::Op::default() };
        def.push(end.encode_to_vec());
        pb::Definition { def, ..pb::Definition::default() }
    }
}

fn image(name: &str) -> op::Op {
    op::Op::Source(SourceOp { identifier: format!("docker-image://{name}"), attrs: BTreeMap::new() })
}

fn exec(mounts: Vec<Mount>) -> op::Op {
    let root = Mount { dest: "/".to_owned(), ..Mount::default() };
    let meta = Meta { args: vec!["true".to_owned()], env: vec!["A=1".to_owned()], ..Meta::default() };
    let mounts = [root].into_iter().chain(mounts).collect();
    op::Op::Exec(ExecOp { meta: Some(meta), mounts, ..ExecOp::default() })
}

/// One of each kind.
fn all() -> Linked {
    let copy = FileActionCopy { src: "/a".to_owned(), dest: "/b".to_owned(), mode: -1, ..Default::default() };
    let action = file_action::Action::Copy(copy);
    let action = pb::FileAction { input: 0, secondary_input: 1, output: 0, action: Some(action) };
    let local = SourceOp { identifier: "local://src".to_owned(), attrs: BTreeMap::new() };
    Linked::new(vec![
        (image("base"), vec![]),
        (op::Op::Source(local), vec![]),
        (
            exec(vec![Mount { dest: "/out".to_owned(), input: -1, output: 1, ..Mount::default() }]),
            vec![(0, 0)],
        ),
        (op::Op::File(FileOp { actions: vec![action] }), vec![(2, 1), (1, 0)]),
        (
            op::Op::Diff(DiffOp {
                lower: Some(LowerDiffInput { input: 0 }),
                upper: Some(UpperDiffInput { input: 1 }),
            }),
            vec![(0, 0), (2, 0)],
        ),
        (
            op::Op::Merge(MergeOp { inputs: vec![MergeInput { input: 0 }, MergeInput { input: 1 }] }),
            vec![(3, 0), (4, 0)],
        ),
    ])
}

#[test]
fn each_used_output_of_a_process_is_a_vertex() {
    let lowered = lower(&all().definition(0), &Platform::host()).unwrap();
    let runs = lowered.graph.vertices().filter_map(|(_, vertex)| match &vertex.op {
        Op::Run(run) => Some(run.kept.clone()),
        _ => None,
    });
    let mount = KeptMount { root: 1, target: "/out".to_owned(), path: "/".to_owned() };
    let kept = Kept::Mount(Box::new(mount));
    assert_eq!(runs.collect::<Vec<_>>(), [Kept::Root, kept]);
    // What is merged of a difference is what differs.
    let merged = lowered.graph.vertex(lowered.target);
    let Op::File(file) = &merged.op else { panic!("{:?}", merged.op) };
    let [FileAction::Change(change)] = &*file.actions else { panic!("{file:?}") };
    let [from, to] = [change.from, change.to].map(|input| &lowered.graph.vertex(merged.inputs[input]).op);
    assert!(matches!((from, to), (Op::Image(_), Op::Run(_))), "{from:?} {to:?}");
    assert_eq!(lowered.locals.len(), 1);
}

#[test]
fn limits_are_kept() {
    let refused = |definition: &pb::Definition| lower(definition, &Platform::host()).unwrap_err().to_string();
    let many = pb::Definition { def: vec![Vec::new(); 20_001], ..pb::Definition::default() };
    assert_eq!(refused(&many), "the definition has more than 20000 operations");
    assert_eq!(refused(&pb::Definition::default()), "the definition has no operations");
    let chain = (0..10_002).map(|place: usize| match place {
        0 => (image("base"), vec![]),
        place => (exec(vec![]), vec![(place - 1, 0)]),
    });
    let deep = Linked::new(chain.collect()).definition(0);
    assert_eq!(refused(&deep), "the definition has more than 10000 operations that need one another");
    let mounts = vec![Mount { dest: "/m".to_owned(), input: -1, output: -1, ..Mount::default() }; 1024];
    let wide = Linked::new(vec![(image("base"), vec![]), (exec(mounts), vec![(0, 0)])]).definition(0);
    assert_eq!(refused(&wide), "the definition has more than 1024 mounts of one process");
}

#[test]
fn no_byte_of_a_definition_is_trusted() {
    let operations = all();
    for place in 0..operations.0.len() {
        let bytes = operations.0[place].encode_to_vec();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 8, bytes[at].wrapping_add(8)] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let Ok(op) = pb::Op::decode(changed.as_slice()) else { continue };
                // The others are linked to what became of it.
                let mut all = operations.0.to_vec();
                all[place] = op;
                relink(&operations.0, &mut all, place);
                let definition = Linked(all).definition(0).encode_to_vec();
                let first = check(&definition).map_err(|error| error.to_string());
                assert_eq!(check(&definition).map_err(|error| error.to_string()), first);
            }
        }
    }
}

/// Gives those behind a place the digests that their inputs have now.
fn relink(old: &[pb::Op], new: &mut [pb::Op], place: usize) {
    let digest = |op: &pb::Op| Digest::of(&op.encode_to_vec()).to_string();
    let old: Vec<String> = old.iter().map(digest).collect();
    for at in place + 1..new.len() {
        let before: Vec<String> = new[..at].iter().map(digest).collect();
        for input in &mut new[at].inputs {
            if let Some(of) = old.iter().position(|known| *known == input.digest) {
                input.digest.clone_from(&before[of]);
            }
        }
    }
}

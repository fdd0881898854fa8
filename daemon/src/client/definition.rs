//! Definitions of builds, as BuildKit has them, for people.

use std::fmt::Write as _;
use std::io;

use image::Digest;
use prost::Message as _;
use serde_json::{Value, json};

use super::ClientError;
use crate::proto::pb::{Definition, ExecOp, FileAction, Op, file_action, op};

/// The operations of a definition, each with its digest.
#[derive(Debug, Clone)]
pub struct Described {
    operations: Vec<(Digest, Op)>,
}

/// Reads a definition.
///
/// # Errors
///
/// When the bytes are none.
pub fn describe_definition(bytes: &[u8]) -> Result<Described, ClientError> {
    let wrong = |error: prost::DecodeError| ClientError::Offer {
        what: "a definition".to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    };
    let definition = Definition::decode(bytes).map_err(wrong)?;
    let decoded = definition.def.iter().map(|bytes| Ok((Digest::of(bytes), Op::decode(bytes.as_slice())?)));
    Ok(Described { operations: decoded.collect::<Result<_, _>>().map_err(wrong)? })
}

impl Described {
    /// An object a line.
    pub fn json(&self) -> String {
        let mut text = String::new();
        for (digest, operation) in &self.operations {
            let inputs =
                operation.inputs.iter().map(|input| json!({ "digest": input.digest, "index": input.index }));
            let platform = operation.platform.as_ref().map(|platform| {
                json!({ "Architecture": platform.architecture, "OS": platform.os, "Variant": platform.variant })
            });
            let described = json!({
                "Digest": digest.to_string(),
                "Op": { "inputs": inputs.collect::<Vec<_>>(), "Op": content(operation), "platform": platform },
            });
            writeln!(text, "{described}").expect("a text takes all");
        }
        text
    }

    /// A graph in the language of Graphviz.
    pub fn dot(&self) -> String {
        let mut text = "digraph {\n".to_owned();
        for (digest, operation) in &self.operations {
            let (label, shape) = label(digest, operation);
            writeln!(text, "  {:?} [label={label:?} shape={shape:?}];", digest.to_string())
                .expect("a text takes all");
        }
        for (digest, operation) in &self.operations {
            for (index, input) in (0..).zip(&operation.inputs) {
                let place = match &operation.op {
                    Some(op::Op::Exec(exec)) => mounted_at(exec, index),
                    _ => "",
                };
                writeln!(text, "  {:?} -> {:?} [label={place:?}];", input.digest, digest.to_string())
                    .expect("a text takes all");
            }
        }
        text + "}\n"
    }
}

fn mounted_at(exec: &ExecOp, input: i64) -> &str {
    let mut mounts = exec.mounts.iter().rev();
    mounts.find(|mount| mount.input == input && mount.dest != "/").map_or("", |mount| mount.dest.as_str())
}

fn content(operation: &Op) -> Value {
    match &operation.op {
        Some(op::Op::Source(source)) => {
            json!({ "source": { "identifier": source.identifier, "attrs": source.attrs.iter().collect::<std::collections::BTreeMap<_, _>>() } })
        }
        Some(op::Op::Exec(exec)) => {
            let mounts = exec.mounts.iter().map(|mount| {
                json!({
                    "input": mount.input, "selector": mount.selector, "dest": mount.dest, "output": mount.output,
                    "readonly": mount.readonly, "mountType": mount.mount_type().as_str_name(),
                })
            });
            let meta = exec.meta.as_ref().map(
                |meta| json!({ "args": meta.args, "env": meta.env, "cwd": meta.cwd, "user": meta.user }),
            );
            json!({ "exec": {
                "meta": meta, "mounts": mounts.collect::<Vec<_>>(), "network": exec.network().as_str_name(),
                "security": exec.security().as_str_name(),
            } })
        }
        Some(op::Op::File(file)) => {
            let actions = file.actions.iter().map(|it| {
                json!({ "input": it.input, "secondaryInput": it.secondary_input, "output": it.output, "action": action(it) })
            });
            json!({ "file": { "actions": actions.collect::<Vec<_>>() } })
        }
        Some(op::Op::Build(_)) => json!({ "build": {} }),
        Some(op::Op::Merge(merge)) => {
            json!({ "merge": { "inputs": merge.inputs.iter().map(|input| input.input).collect::<Vec<_>>() } })
        }
        Some(op::Op::Diff(diff)) => json!({ "diff": {
            "lower": diff.lower.as_ref().map(|it| it.input), "upper": diff.upper.as_ref().map(|it| it.input),
        } }),
        None => Value::Null,
    }
}

fn action(action: &FileAction) -> String {
    match &action.action {
        Some(file_action::Action::Copy(copy)) => format!("copy{{src={}, dest={}}}", copy.src, copy.dest),
        Some(file_action::Action::Mkfile(file)) => format!("mkfile{{path={}}}", file.path),
        Some(file_action::Action::Mkdir(directory)) => format!("mkdir{{path={}}}", directory.path),
        Some(file_action::Action::Rm(rm)) => format!("rm{{path={}}}", rm.path),
        Some(file_action::Action::Symlink(link)) => {
            format!("symlink{{oldpath={}, newpath={}}}", link.oldpath, link.newpath)
        }
        None => String::new(),
    }
}

fn label(digest: &Digest, operation: &Op) -> (String, &'static str) {
    match &operation.op {
        Some(op::Op::Source(source)) => (source.identifier.clone(), "ellipse"),
        Some(op::Op::Exec(exec)) => {
            (exec.meta.as_ref().map(|meta| meta.args.join(" ")).unwrap_or_default(), "box")
        }
        Some(op::Op::Build(_)) => ("build".to_owned(), "box3d"),
        Some(op::Op::Merge(_)) => ("merge".to_owned(), "invtriangle"),
        Some(op::Op::Diff(_)) => ("diff".to_owned(), "doublecircle"),
        Some(op::Op::File(file)) => (file.actions.iter().map(action).collect::<Vec<_>>().join(","), "note"),
        None => (digest.to_string(), "plaintext"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::pb::{Input, Meta, Mount, SourceOp};

    #[test]
    fn operations_are_shown_as_lines_and_as_a_graph() {
        let source = SourceOp { identifier: "docker-image://a".to_owned(), ..SourceOp::default() };
        let source = Op { op: Some(op::Op::Source(source)), ..Op::default() }.encode_to_vec();
        let digest = Digest::of(&source).to_string();
        let exec = ExecOp {
            meta: Some(Meta { args: vec!["echo".to_owned(), "\"hi\"".to_owned()], ..Meta::default() }),
            mounts: vec![Mount { dest: "/src".to_owned(), ..Mount::default() }],
            ..ExecOp::default()
        };
        let inputs = vec![Input { digest: digest.clone(), index: 0 }];
        let exec = Op { inputs, op: Some(op::Op::Exec(exec)), ..Op::default() }.encode_to_vec();
        let definition = Definition { def: vec![source, exec.clone()], ..Definition::default() };
        let described = describe_definition(&definition.encode_to_vec()).unwrap();
        let lines = described.json();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["Op"]["Op"]["source"]["identifier"], "docker-image://a");
        assert_eq!(lines[1]["Op"]["Op"]["exec"]["mounts"][0]["dest"], "/src");
        assert_eq!(lines[1]["Op"]["inputs"][0]["digest"], digest.as_str());
        let expected = format!(
            "digraph {{\n  \"{digest}\" [label=\"docker-image://a\" shape=\"ellipse\"];\n  \"{0}\" [label=\"echo \\\"hi\\\"\" shape=\"box\"];\n  \"{digest}\" -> \"{0}\" [label=\"/src\"];\n}}\n",
            Digest::of(&exec)
        );
        assert_eq!(described.dot(), expected);
        assert!(describe_definition(b"\xff\xff").is_err());
    }
}

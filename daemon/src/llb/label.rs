//! What people see of an operation: its name, and the lines that it comes from.

use engine::operations::{Label, Location};

use super::read::Operation;
use crate::proto::pb::{self, file_action, op};

/// The description in which clients put the name.
const CUSTOM_NAME: &str = "llb.customname";
/// Longer names are cut: nobody reads more.
const NAME_BYTES_MAX: usize = 4096;
/// The text that places are in is the first of a definition.
const TEXT: i32 = 0;

/// The label of a vertex.
pub(super) fn label(operation: &Operation, source: Option<&pb::Source>) -> Label {
    let name = operation.metadata.description.get(CUSTOM_NAME).cloned();
    let mut name = name.unwrap_or_else(|| default_name(&operation.op));
    if name.len() > NAME_BYTES_MAX {
        let end = (0..=NAME_BYTES_MAX).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        name.truncate(end);
    }
    Label {
        name,
        stage: String::new(),
        location: source.and_then(|source| location(&operation.digest, source)),
    }
}

fn default_name(op: &pb::Op) -> String {
    match &op.op {
        Some(op::Op::Source(source)) => source.identifier.clone(),
        Some(op::Op::Exec(exec)) => exec.meta.as_ref().map(|meta| meta.args.join(" ")).unwrap_or_default(),
        Some(op::Op::File(file)) => file.actions.iter().map(action).collect::<Vec<_>>().join(", "),
        Some(op::Op::Merge(_)) => "merge".to_owned(),
        Some(op::Op::Diff(_)) => "diff".to_owned(),
        Some(op::Op::Build(_)) => "build".to_owned(),
        None => String::new(),
    }
}

fn action(action: &pb::FileAction) -> String {
    match &action.action {
        Some(file_action::Action::Copy(copy)) => format!("copy {} {}", copy.src, copy.dest),
        Some(file_action::Action::Mkfile(file)) => format!("mkfile {}", file.path),
        Some(file_action::Action::Mkdir(directory)) => format!("mkdir {}", directory.path),
        Some(file_action::Action::Rm(remove)) => format!("rm {}", remove.path),
        Some(file_action::Action::Symlink(link)) => format!("symlink {} -> {}", link.newpath, link.oldpath),
        None => String::new(),
    }
}

/// The text of a definition, and its name.
pub(super) fn text(source: &pb::Source) -> Option<(String, String)> {
    let info = source.infos.first()?;
    Some((info.filename.clone(), String::from_utf8(info.data.clone()).ok()?))
}

fn location(digest: &str, source: &pb::Source) -> Option<Location> {
    let (_, text) = text(source)?;
    let places = &source.locations.get(digest)?.locations;
    let range = places.iter().filter(|it| it.source_index == TEXT).find_map(|it| it.ranges.first())?;
    let line = |position: &Option<pb::Position>| u32::try_from(position.as_ref()?.line).ok();
    let (first, last) = (line(&range.start)?.max(1), line(&range.end)?);
    let mut at = 0;
    let mut span: Option<std::ops::Range<usize>> = None;
    for (number, text) in (1..).zip(text.split_inclusive('\n')) {
        if (first..=last.max(first)).contains(&number) {
            let end = at + text.trim_end_matches(['\r', '\n']).len();
            span = Some(span.map_or(at..end, |span| span.start..end));
        }
        at += text.len();
    }
    Some(Location { span: span?, line: first })
}

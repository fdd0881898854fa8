//! Files that are copied, made and removed.

use std::collections::{BTreeSet, HashMap};

use engine::operations::{
    Copy, CopyRules, File, FileAction, MakeDirectory, MakeFile, MakeSymlink, Op, Remove, VertexId,
};

use super::LlbError;
use super::lower::{Lowering, Outputs, out_of_range, unsupported, wrong};
use super::mounts::path;
use super::read::Operation;
use crate::proto::pb::{
    self, ChownOpt, FileActionCopy, FileActionMkDir, FileActionMkFile, FileActionRm, FileActionSymlink,
    FileOp, UserOpt, file_action, user_opt,
};

/// Actions of one operation.
const ACTIONS_MAX: usize = 2_000;
/// Patterns of one copy.
const PATTERNS_MAX: usize = 4_096;

/// The vertices of the outputs that are used. Actions that follow one another make one layer.
pub(super) fn lower(
    lowering: &mut Lowering,
    operation: &Operation,
    op: &FileOp,
) -> Result<Outputs, LlbError> {
    if op.actions.len() > ACTIONS_MAX {
        return Err(LlbError::TooMany { what: "actions of one operation", max: ACTIONS_MAX });
    }
    let mut outputs = HashMap::new();
    for index in &operation.used {
        let is_it = |action: &pb::FileAction| action.output == *index && *index >= 0;
        let place = op.actions.iter().rposition(is_it);
        outputs.insert(place.ok_or_else(|| out_of_range(&operation.digest, "output", *index))?, *index);
    }
    let mut actions = Actions { operation, actions: &op.actions, made: HashMap::new() };
    let mut needed: BTreeSet<usize> = outputs.keys().copied().collect();
    for place in 0..op.actions.len() {
        if let Some(file_action::Action::Copy(_)) = &op.actions[place].action
            && let From::Action(of) = actions.origin(place, op.actions[place].secondary_input)?
        {
            needed.insert(of);
        }
    }
    let mut found = Outputs::new();
    // What an action reads of others comes before it.
    for place in needed {
        let vertex = actions.vertex(lowering, place)?;
        actions.made.insert(place, vertex);
        if let Some(index) = outputs.get(&place) {
            found.insert(*index, vertex);
        }
    }
    Ok(found)
}

/// Where an action begins, or what it reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// An input of the operation; -1 is the empty file system.
    Input(i64),
    /// What an earlier action has left.
    Action(usize),
}

struct Actions<'a> {
    operation: &'a Operation,
    actions: &'a [pb::FileAction],
    /// What actions have left that others read.
    made: HashMap<usize, VertexId>,
}

impl Actions<'_> {
    /// Numbers beyond the inputs are those of earlier actions.
    fn origin(&self, place: usize, number: i64) -> Result<From, LlbError> {
        let inputs = i64::try_from(self.operation.inputs.len()).unwrap_or(i64::MAX);
        if (-1..inputs).contains(&number) {
            return Ok(From::Input(number));
        }
        let earlier = usize::try_from(number.saturating_sub(inputs)).ok().filter(|earlier| *earlier < place);
        earlier.map(From::Action).ok_or_else(|| out_of_range(&self.operation.digest, "input", number))
    }

    /// What is left after an action, and those that it continues.
    fn vertex(&self, lowering: &mut Lowering, place: usize) -> Result<VertexId, LlbError> {
        let mut chain = vec![place];
        let base = loop {
            let at = *chain.last().expect("it begins with one");
            match self.origin(at, self.actions[at].input)? {
                From::Input(number) => break number,
                // What was made a vertex already, for somebody who reads it, is continued.
                From::Action(earlier) => chain.push(earlier),
            }
        };
        let mut inputs = vec![lowering.input_layers(self.operation, base)?];
        let mut actions = Vec::new();
        for place in chain.into_iter().rev() {
            self.action(lowering, place, base, (&mut inputs, &mut actions))?;
        }
        Ok(lowering.add(Op::File(File { actions }), inputs))
    }

    fn action(
        &self,
        lowering: &mut Lowering,
        place: usize,
        base: i64,
        (inputs, actions): (&mut Vec<VertexId>, &mut Vec<FileAction>),
    ) -> Result<(), LlbError> {
        let action = &self.actions[place];
        let missing = || LlbError::UnknownOperation { operation: self.operation.digest.clone() };
        match action.action.as_ref().ok_or_else(missing)? {
            file_action::Action::Copy(copy) => {
                let read = match self.origin(place, action.secondary_input)? {
                    From::Input(number) => lowering.input(self.operation, number)?,
                    From::Action(earlier) => self.made[&earlier],
                };
                inputs.push(read);
                self.copy(copy, inputs.len() - 1, base, actions)
            }
            file_action::Action::Mkfile(file) => self.make_file(file, base, actions),
            file_action::Action::Mkdir(directory) => self.make_directory(directory, base, actions),
            file_action::Action::Rm(remove) => self.remove(remove, actions),
            file_action::Action::Symlink(link) => self.symlink(link, base, actions),
        }
    }

    fn copy(
        &self,
        copy: &FileActionCopy,
        input: usize,
        base: i64,
        actions: &mut Vec<FileAction>,
    ) -> Result<(), LlbError> {
        if copy.include_patterns.len() + copy.exclude_patterns.len() > PATTERNS_MAX {
            return Err(LlbError::TooMany { what: "patterns of one copy", max: PATTERNS_MAX });
        }
        if let Some(required) = copy.required_paths.first() {
            return Err(unsupported(self.operation, "required path", required));
        }
        let source = path(self.operation, "source", &copy.src)?;
        let source = if copy.allow_wildcard { source } else { escaped(&source) };
        if !copy.create_dest_path {
            self.expect_parent(&copy.dest, actions)?;
        }
        let mode = match (copy.mode_str.as_str(), copy.mode) {
            ("", -1) => None,
            ("", mode) => Some(format!("{:o}", self.mode(mode)?)),
            (text, _) => Some(text.to_owned()),
        };
        let rules = CopyRules {
            keep_directory: !copy.dir_copy_contents,
            keep_symlink: !copy.follow_symlink,
            include: copy.include_patterns.clone(),
            replace: copy.always_replace_existing_dest_paths,
            must_match: !(copy.allow_wildcard && copy.allow_empty_wildcard),
            mtime_ns: time(copy.timestamp),
        };
        actions.push(FileAction::Copy(Copy {
            input,
            sources: vec![source],
            destination: self.destination(&copy.dest)?,
            owner: self.owner(copy.owner.as_ref(), base)?,
            mode,
            exclude: copy.exclude_patterns.clone(),
            unpack: copy.attempt_unpack_docker_compatibility,
            rules,
            ..Copy::default()
        }));
        Ok(())
    }

    fn make_file(
        &self,
        file: &FileActionMkFile,
        base: i64,
        actions: &mut Vec<FileAction>,
    ) -> Result<(), LlbError> {
        self.expect_parent(&file.path, actions)?;
        actions.push(FileAction::MakeFile(MakeFile {
            path: path(self.operation, "path", &file.path)?,
            mode: self.mode(file.mode)?,
            owner: self.owner(file.owner.as_ref(), base)?,
            content: file.data.clone(),
            mtime_ns: time(file.timestamp),
        }));
        Ok(())
    }

    fn make_directory(
        &self,
        directory: &FileActionMkDir,
        base: i64,
        actions: &mut Vec<FileAction>,
    ) -> Result<(), LlbError> {
        if !directory.make_parents {
            self.expect_parent(&directory.path, actions)?;
        }
        actions.push(FileAction::MakeDirectory(MakeDirectory {
            path: path(self.operation, "path", &directory.path)?,
            mode: self.mode(directory.mode)?,
            owner: self.owner(directory.owner.as_ref(), base)?,
            mtime_ns: time(directory.timestamp),
        }));
        Ok(())
    }

    fn remove(&self, remove: &FileActionRm, actions: &mut Vec<FileAction>) -> Result<(), LlbError> {
        actions.push(FileAction::Remove(Remove {
            path: path(self.operation, "path", &remove.path)?,
            is_pattern: remove.allow_wildcard,
            may_be_missing: remove.allow_not_found,
        }));
        Ok(())
    }

    fn symlink(
        &self,
        link: &FileActionSymlink,
        base: i64,
        actions: &mut Vec<FileAction>,
    ) -> Result<(), LlbError> {
        self.expect_parent(&link.newpath, actions)?;
        actions.push(FileAction::MakeSymlink(MakeSymlink {
            path: path(self.operation, "path", &link.newpath)?,
            target: link.oldpath.clone(),
            owner: self.owner(link.owner.as_ref(), base)?,
            mtime_ns: time(link.timestamp),
        }));
        Ok(())
    }

    /// Nothing is made on the way there.
    fn expect_parent(&self, to: &str, actions: &mut Vec<FileAction>) -> Result<(), LlbError> {
        let to = path(self.operation, "path", to)?;
        let (parent, _) = to.rsplit_once('/').unwrap_or_default();
        if !parent.is_empty() {
            actions.push(FileAction::Expect(parent.to_owned()));
        }
        Ok(())
    }

    /// A slash at the end says that it is a directory.
    fn destination(&self, dest: &str) -> Result<String, LlbError> {
        let clean = path(self.operation, "destination", dest)?;
        let is_directory = dest.ends_with('/') && clean != "/";
        Ok(if is_directory { clean + "/" } else { clean })
    }

    fn mode(&self, mode: i32) -> Result<u32, LlbError> {
        let known = u32::try_from(mode).ok().filter(|mode| *mode <= 0o7777);
        known.ok_or_else(|| wrong(self.operation, "mode", &mode.to_string(), "permission bits"))
    }

    /// An owner as instructions write it. Names are looked up where the files go.
    fn owner(&self, owner: Option<&ChownOpt>, base: i64) -> Result<Option<String>, LlbError> {
        let Some(ChownOpt { user, group }) = owner else { return Ok(None) };
        let (user, group) = (self.account(user.as_ref(), base)?, self.account(group.as_ref(), base)?);
        Ok(match (user, group) {
            (None, None) => None,
            (user, None) => user,
            (user, Some(group)) => Some(format!("{}:{group}", user.unwrap_or_default())),
        })
    }

    fn account(&self, account: Option<&UserOpt>, base: i64) -> Result<Option<String>, LlbError> {
        match account.and_then(|account| account.user.as_ref()) {
            None => Ok(None),
            Some(user_opt::User::ById(id)) => Ok(Some(id.to_string())),
            Some(user_opt::User::ByName(name)) => {
                let is_same = |index: i64| {
                    let of = |index| usize::try_from(index).ok().and_then(|it| self.operation.inputs.get(it));
                    index == base || (of(index).is_some() && of(index) == of(base))
                };
                match is_same(name.input) {
                    true if name.name.contains([':', '\0', '\n']) => {
                        Err(wrong(self.operation, "owner", &name.name, "a name"))
                    }
                    true => Ok(Some(name.name.clone())),
                    false => Err(unsupported(self.operation, "owner by a name of another input", &name.name)),
                }
            }
        }
    }
}

/// A time that is set; before 1970 is none.
fn time(timestamp: i64) -> Option<i64> {
    (timestamp >= 0).then_some(timestamp)
}

/// A path as a pattern that means nothing else. Without characters of patterns it is none, and stays as it is.
fn escaped(path: &str) -> String {
    if !path.contains(['*', '?', '[']) {
        return path.to_owned();
    }
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '*' | '?' | '[' => pattern.extend(['[', c, ']']),
            '\\' => pattern.push_str("\\\\"),
            c => pattern.push(c),
        }
    }
    pattern
}

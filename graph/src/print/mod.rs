//! Graphs as people and programs read them: text, JSON, DOT, SVG.
//!
//! None of them is a format to read back, and none holds what [`Run::proxy_env`] holds, nor passwords of URLs.

mod dot;
mod json;
mod svg;

use std::fmt::Write;

use crate::{
    BuildGraph, CacheSharing, Change, Device, FileAction, GitSource, GitTimes, HttpSource, Kept, KeptMount,
    Mount, MountSource, Network, Op, Run, SecretEnv, Security, Surroundings, VertexId, redacted,
};

impl BuildGraph {
    /// One vertex a line, with its inputs, and what it does in the lines below:
    ///
    /// ```text
    ///   0  FROM docker.io/library/debian:12
    ///        image docker.io/library/debian:12 for linux/amd64
    /// * 1  [2/2] RUN make
    ///        on 0
    ///        run /bin/sh -c make
    /// ```
    ///
    /// The star is at the target. Ends with a line feed unless the graph is empty.
    pub fn to_text(&self, target: VertexId) -> String {
        let width = self.len().saturating_sub(1).to_string().len();
        let mut out = String::new();
        for (id, vertex) in self.vertices() {
            let star = if id == target { '*' } else { ' ' };
            let _ = writeln!(out, "{star} {:>width$}  {}", id.index(), one_line(&vertex.label.name));
            let mut details = Vec::new();
            if let Some((first, others)) = vertex.inputs.split_first() {
                let read: Vec<_> = others.iter().map(|input| input.index().to_string()).collect();
                let read =
                    if read.is_empty() { String::new() } else { format!(", reads {}", read.join(", ")) };
                details.push(format!("on {}{read}", first.index()));
            }
            details.extend(describe(&vertex.op));
            if vertex.no_cache {
                details.push("always runs".to_owned());
            }
            for detail in details {
                let _ = writeln!(out, "  {:width$}    {detail}", "");
            }
        }
        out
    }

    /// A JSON object with the vertices in order, two blanks for each level; without a line feed at the end.
    pub fn to_json(&self, target: VertexId) -> String {
        json::render(self, target)
    }

    /// A directed graph for Graphviz (`dot -Tsvg`), stages as clusters, the target with a double border. An
    /// arrow goes from an input to the vertex that continues it; it is dashed where files are only read.
    pub fn to_dot(&self, target: VertexId) -> String {
        dot::render(self, target)
    }

    /// A picture in one file: a column for each stage, sources to the left, the target with a thick border. An arrow
    /// goes from an input to the vertex that continues it; it is dashed where files are only read. What a vertex does
    /// shows when the mouse is on it.
    pub fn to_svg(&self, target: VertexId) -> String {
        svg::render(self, target)
    }
}

/// What an operation does, in lines.
fn describe(op: &Op) -> Vec<String> {
    match op {
        Op::Scratch => vec!["the empty file system".to_owned()],
        Op::Image(source) => vec![format!("image {} for {}", source.reference, source.platform)],
        Op::Context(source) => vec![format!("files of {}", source.name)],
        Op::Http(source) => vec![describe_http(source)],
        Op::Git(source) => vec![describe_git(source)],
        Op::Run(run) => describe_run(run),
        Op::File(file) => file.actions.iter().map(describe_action).collect(),
    }
}

fn describe_http(source: &HttpSource) -> String {
    let HttpSource { url, checksum, filename, mode, owner } = source;
    let mut line = format!("file of {}", one_line(&redacted(url)));
    line.extend(filename.as_ref().map(|name| format!(", named {}", one_line(name))));
    line.extend(mode.map(|mode| format!(", mode {mode:o}")));
    line.extend(owner.map(|(uid, gid)| format!(", owner {uid}:{gid}")));
    line.extend(checksum.map(|checksum| format!(", must be {checksum}")));
    line
}

fn describe_git(source: &GitSource) -> String {
    let GitSource {
        remote,
        reference,
        checksum,
        subdirectory,
        keep_git_dir,
        submodules,
        fetch_by_commit,
        times,
    } = source;
    let mut line = format!("repository {}", one_line(&redacted(remote)));
    let texts = [("at", Some(reference)), ("directory", Some(subdirectory)), ("must be", checksum.as_ref())];
    for (what, text) in texts {
        let text = text.filter(|text| !text.is_empty());
        line.extend(text.map(|text| format!(", {what} {}", one_line(text))));
    }
    let switches = [
        (*keep_git_dir, ", with .git"),
        (!submodules, ", without submodules"),
        (*fetch_by_commit, ", fetched by its commit"),
        (*times == GitTimes::Checkout, ", with the time of the checkout"),
    ];
    line.extend(switches.iter().filter(|(is_on, _)| *is_on).map(|(_, name)| *name));
    line
}

fn describe_run(run: &Run) -> Vec<String> {
    let argv: Vec<_> = run.argv.iter().map(|argument| one_line(argument)).collect();
    let user = if run.user.is_empty() { String::new() } else { format!(" as {}", run.user) };
    let mut lines = vec![format!("run {}", argv.join(" ")), format!("in {}{user}", run.cwd)];
    lines.extend(run.env.iter().map(|(name, value)| {
        let kind = if run.build_args.contains(name) { "arg" } else { "env" };
        format!("{kind} {name}={}", one_line(value))
    }));
    if run.network != Network::Default {
        lines.push(format!("network {}", run.network.name()));
    }
    if run.security != Security::Sandbox {
        lines.push(format!("security {}", run.security.name()));
    }
    lines.extend(run.mounts.iter().map(|mount| format!("mount {}", describe_mount(mount))));
    lines.extend(
        run.devices.iter().map(|Device { name, required }| format!("device {name}{}", needed(*required))),
    );
    lines.extend(
        run.secret_env.iter().map(|SecretEnv { name, id, required }| {
            format!("env {name} from secret {id}{}", needed(*required))
        }),
    );
    lines.extend(run.hostname.iter().map(|name| format!("host name {name}")));
    let Surroundings { extra_hosts, shm_size_bytes, ulimits } = &run.surroundings;
    lines.extend(extra_hosts.iter().map(|(name, address)| format!("host {name} at {address}")));
    lines.extend(shm_size_bytes.iter().map(|size| format!("/dev/shm of {size} bytes")));
    lines.extend(ulimits.iter().map(|limit| format!("ulimit {}", limit.written())));
    lines.extend(run.exit_codes.iter().map(|code| format!("may exit with {code}")));
    lines.extend(run.read_only_root.then(|| "on a read-only root".to_owned()));
    if let Kept::Mount(mount) = &run.kept {
        let KeptMount { root, target, path } = &**mount;
        lines.push(format!("on input {root}, keeping what changes in {target} from {path} of input 0"));
    }
    lines
}

/// What a mount brings and where, in words: every field of it.
pub(crate) fn describe_mount(mount: &Mount) -> String {
    let Mount { target, source } = mount;
    match source {
        MountSource::Input { input, path, read_only } => {
            format!("{target} from {path} of input {input}{}", if *read_only { "" } else { ", writable" })
        }
        MountSource::Tmpfs { size_bytes, read_only } => {
            let limit = size_bytes.map(|size| format!(" of {size} bytes")).unwrap_or_default();
            format!("{target} in memory{limit}{}", protected(*read_only))
        }
        MountSource::Cache { id, base, path, sharing, uid, gid, mode, read_only } => {
            let sharing = match sharing {
                CacheSharing::Shared => String::new(),
                other => format!(", {}", other.name()),
            };
            let base = base.as_ref().map(|base| format!(", at first {} of input {}", base.path, base.input));
            let protected = protected(*read_only);
            let number =
                |what: &str, id: &Option<u32>| id.map_or(String::new(), |id| format!(", {what} {id}"));
            let owner = number("user", uid) + &number("group", gid);
            let mode = mode.map_or(String::new(), |mode| format!(", mode {mode:o}"));
            let base = base.unwrap_or_default();
            let part = if path == "/" { String::new() } else { format!("{path} of ") };
            format!("{target} from {part}cache {id}{sharing}{base}{owner}{mode}{protected}")
        }
        MountSource::Secret { id, owner, mode, required } => {
            format!("{target} from secret {id}{}{}", held(*owner, *mode), needed(*required))
        }
        MountSource::Agent { id, owner, mode, required } => {
            format!("{target} from agent {id}{}{}", held(*owner, *mode), needed(*required))
        }
    }
}

/// Who has it, and what others may do with it.
fn held((uid, gid): (u32, u32), mode: u32) -> String {
    format!(", owner {uid}:{gid}, mode {mode:o}")
}

fn protected(read_only: bool) -> &'static str {
    if read_only { ", read-only" } else { "" }
}

fn needed(required: bool) -> &'static str {
    if required { ", required" } else { "" }
}

fn describe_action(action: &FileAction) -> String {
    let owned = |owner: &Option<String>| owner.as_ref().map(|owner| format!(", owner {owner}"));
    match action {
        FileAction::Copy(copy) => {
            let mode = copy.mode.as_ref().map(|mode| format!(", mode {mode}"));
            let mut line =
                format!("copy {} of input {} to {}", copy.sources.join(" "), copy.input, copy.destination);
            line.extend(owned(&copy.owner).into_iter().chain(mode));
            line.extend(copy.exclude.iter().map(|pattern| format!(", without {pattern}")));
            let rules = &copy.rules;
            line.extend(rules.include.iter().map(|pattern| format!(", only {pattern}")));
            let switches = [
                (copy.parents, "parents"),
                (copy.link, "link"),
                (copy.unpack, "unpack"),
                (rules.keep_directory, "directories as themselves"),
                (rules.keep_symlink, "symlinks as themselves"),
                (rules.replace, "replacing"),
                (rules.must_match, "at least one"),
            ];
            line.extend(switches.iter().filter(|(is_on, _)| *is_on).map(|(_, name)| format!(", {name}")));
            line
        }
        FileAction::MakeDirectory(make) => {
            let owner = owned(&make.owner).unwrap_or_default();
            format!("make directory {}, mode {:o}{owner}", make.path, make.mode)
        }
        FileAction::MakeFile(make) => {
            let owner = owned(&make.owner).unwrap_or_default();
            format!("make file {} of {} bytes, mode {:o}{owner}", make.path, make.content.len(), make.mode)
        }
        FileAction::MakeSymlink(make) => {
            let owner = owned(&make.owner).unwrap_or_default();
            format!("make symlink {} to {}{owner}", one_line(&make.path), one_line(&make.target))
        }
        FileAction::Remove(remove) => format!("remove {}", one_line(&remove.path)),
        FileAction::Change(Change { from, to }) => {
            format!("make the changes from input {from} to input {to}")
        }
        FileAction::Expect(path) => format!("expect directory {}", one_line(path)),
    }
}

/// A text without line feeds and other control characters.
fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests;

//! `RUN` as an operation of BuildKit.

use graph::{CacheSharing, Kept, Mount, MountSource, Network, Run, Security, Vertex};
use image::Platform;

use super::Lowering;
use super::json::{Dialect, Object, list, quoted};
use super::node::{Content, Edge, Node, Selector, digest_of_list, without_nested};
use super::owner::owner_by_id;

/// The input or the output that there is not.
const NONE: i64 = -1;
/// Where a cache mount with an owner of its own begins.
const CACHE_DIRECTORY: &str = "/cache";
/// What a directory has for permissions.
const PERMISSIONS: u32 = 0o777;
/// Permissions of a directory of which nothing is said.
const DIRECTORY_MODE: u32 = 0o755;

/// Follows every path.
const LAST: &str = "\u{10ffff}";

/// Types of mounts by their numbers.
const SECRET: i64 = 1;
const AGENT: i64 = 2;
const CACHE: i64 = 3;
const TMPFS: i64 = 4;

/// A mount before it has the number of its input.
struct Mounted<'a> {
    mount: &'a Mount,
    /// The operation that is mounted, and which part of it.
    input: Option<(usize, String)>,
}

impl Lowering<'_> {
    pub(super) fn run(&mut self, vertex: &Vertex, run: &Run, platform: &Platform) -> Node {
        if !run.devices.is_empty() {
            return Node::unknown("it has devices");
        }
        if run.kept != Kept::Root || run.read_only_root || !run.exit_codes.is_empty() {
            return Node::unknown("no Dockerfile can say what it does");
        }
        let mut mounted = Vec::new();
        for mount in &run.mounts {
            match self.mounted(vertex, mount) {
                Ok(input) => mounted.push(Mounted { mount, input }),
                Err(why) => return Node::unknown(why),
            }
        }
        // Secrets and agents follow the others, which are in the order of their targets.
        mounted.sort_by(|one, other| one.order().cmp(&other.order()));
        let root = self.of[vertex.inputs[0].index()];
        let mut inputs: Vec<(usize, Vec<String>)> = Vec::new();
        root.into_iter().for_each(|root| inputs.push((root, vec!["/".to_owned()])));
        let mut numbers = Vec::new();
        for mounted in &mounted {
            numbers.push(match &mounted.input {
                Some((from, path)) => number(&mut inputs, *from, path),
                None => NONE,
            });
        }
        let root = if root.is_some() { 0 } else { NONE };
        let written = Dialect::ALL.map(|dialect| {
            let mounts = mounts(dialect, run, root, mounted.iter().zip(&numbers));
            written(run, &mounts, platform)
        });
        let mut edges: Vec<Edge> =
            inputs.into_iter().map(|(from, paths)| self.mount_edge(from, paths)).collect();
        let somebodys = mounted.iter().filter(|mounted| mounted.order().0 > 0).count();
        if let (0, Some(edge)) = (root, edges.first_mut()) {
            // Secrets and agents had the number of the root once, so that their paths counted among its.
            edge.selectors.push(Some(digest_of_list(&vec!["/"; somebodys + 1])));
            edge.selectors.dedup();
        }
        Node::new(written, edges)
    }

    /// The operation that a mount mounts, with the path in it.
    fn mounted(&mut self, vertex: &Vertex, mount: &Mount) -> Result<Option<(usize, String)>, &'static str> {
        match &mount.source {
            MountSource::Input { input, path, .. } => Ok(self.mounted_input(vertex.inputs[*input], path)),
            MountSource::Cache { base: None, uid: None, gid: None, mode: None, .. } => Ok(None),
            MountSource::Cache { base: None, uid, gid, mode, .. } => {
                let node =
                    cache_directory((uid.unwrap_or(0), gid.unwrap_or(0)), mode.unwrap_or(DIRECTORY_MODE));
                Ok(Some((self.push(node), CACHE_DIRECTORY.to_owned())))
            }
            MountSource::Cache { base: Some(base), uid: None, gid: None, mode: None, .. } => {
                Ok(self.mounted_input(vertex.inputs[base.input], &base.path))
            }
            MountSource::Cache { .. } => Err("its cache mount has an owner and files to begin with"),
            MountSource::Tmpfs { .. } | MountSource::Secret { .. } | MountSource::Agent { .. } => Ok(None),
        }
    }

    /// A build context is mounted as it is, without the vertex that makes the files of it which are needed.
    fn mounted_input(&self, input: graph::VertexId, path: &str) -> Option<(usize, String)> {
        let context = self.mountable(input).unwrap_or(input);
        Some((self.of[context.index()]?, path.to_owned()))
    }

    fn mount_edge(&self, from: usize, paths: Vec<String>) -> Edge {
        let all = Some(digest_of_list(&paths));
        let is_everything = paths.iter().any(|path| path == "/");
        let selectors = match is_everything {
            true => vec![Selector::everything()],
            false => without_nested(paths).iter().map(|path| Selector::path(path)).collect(),
        };
        let content = self.contexts.get(&from).map(|context| Content { context: *context, selectors });
        Edge { from, selectors: vec![all], content }
    }
}

impl Mounted<'_> {
    fn order(&self) -> (usize, &str) {
        match self.mount.source {
            MountSource::Secret { .. } => (1, ""),
            MountSource::Agent { .. } => (2, ""),
            _ => (0, &self.mount.target),
        }
    }
}

/// The number of an input of which one more path is mounted.
fn number(inputs: &mut Vec<(usize, Vec<String>)>, from: usize, path: &str) -> i64 {
    let at = inputs.iter().position(|(other, _)| *other == from).unwrap_or_else(|| {
        inputs.push((from, Vec::new()));
        inputs.len() - 1
    });
    inputs[at].1.push(path.to_owned());
    i64::try_from(at).unwrap_or(NONE)
}

/// A directory that a cache mount begins as.
fn cache_directory((user, group): (u32, u32), mode: u32) -> Node {
    let written = Dialect::ALL.map(|dialect| {
        let action = Object::new()
            .text("path", CACHE_DIRECTORY)
            .number("mode", i64::from(mode & PERMISSIONS))
            .object("owner", Some(owner_by_id(dialect, user, group)))
            .number("timestamp", NONE);
        super::file::written(&[action.finish()], &[(NONE, NONE)])
    });
    Node::new(written, Vec::new())
}

fn written(run: &Run, mounts: &[String], platform: &Platform) -> String {
    let env = run.env.iter().map(|(name, value)| quoted(&format!("{name}={value}")));
    let hosts = run.surroundings.extra_hosts.iter().map(|(name, _)| {
        let host = Object::new().text("Host", name);
        host.finish()
    });
    let limit = |limit: Option<u64>| limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let ulimits = run.surroundings.ulimits.iter().map(|ulimit| {
        let written = Object::new().text("Name", &ulimit.name).number("Soft", limit(ulimit.soft));
        written.number("Hard", limit(ulimit.hard)).finish()
    });
    let secrets = run.secret_env.iter().map(|secret| {
        let written = Object::new().text("ID", &secret.id).text("name", &secret.name);
        written.flag("optional", !secret.required).finish()
    });
    let meta = Object::new()
        .list("args", &run.argv.iter().map(|arg| quoted(arg)).collect::<Vec<_>>())
        .list("env", &env.collect::<Vec<_>>())
        .text("cwd", &run.cwd)
        .text("user", &run.user)
        .list("extraHosts", &hosts.collect::<Vec<_>>())
        .text("hostname", run.hostname.as_deref().unwrap_or_default())
        .list("ulimit", &ulimits.collect::<Vec<_>>())
        .flag("removeMountStubsRecursive", true);
    let network = match run.network {
        Network::Default => 0,
        Network::Host => 1,
        Network::None => 2,
    };
    let exec = Object::new()
        .object("meta", Some(meta))
        .list("mounts", mounts)
        .number("network", network)
        .number("security", i64::from(run.security == Security::Insecure))
        .list("secretenv", &secrets.collect::<Vec<_>>());
    let platform = platform.normalized();
    Object::new()
        .text("Type", "buildkit.exec.v0")
        .object("Exec", Some(exec))
        .always("OS", quoted(&platform.os))
        .always("Arch", quoted(&platform.architecture))
        .text("Variant", platform.variant.as_deref().unwrap_or_default())
        .finish()
}

/// All mounts; none when there is only the root.
fn mounts<'a>(
    dialect: Dialect,
    run: &Run,
    root: i64,
    others: impl Iterator<Item = (&'a Mounted<'a>, &'a i64)>,
) -> Vec<String> {
    let root = Object::new().index(dialect, "input", root).text("dest", "/").index(dialect, "output", 0);
    let mut written = vec![(String::new(), root.finish())];
    written.extend(others.map(|(mounted, number)| {
        let Mount { target, .. } = mounted.mount;
        // Secrets and agents stay behind all others.
        let target = if mounted.order().0 == 0 { target } else { LAST };
        (target.to_owned(), mount(dialect, mounted.mount, *number))
    }));
    if let Some(size_bytes) = run.surroundings.shm_size_bytes {
        let size = Object::new().number("size", i64::try_from(size_bytes).unwrap_or(i64::MAX));
        let shm = opened(dialect, "/dev/shm", NONE, NONE).number("mountType", TMPFS);
        let at = written.iter().position(|(target, _)| target.as_str() > "/dev/shm").unwrap_or(written.len());
        written.insert(at, ("/dev/shm".to_owned(), shm.object("TmpfsOpt", Some(size)).finish()));
    }
    if written.len() == 1 { Vec::new() } else { written.into_iter().map(|(_, json)| json).collect() }
}

fn opened(dialect: Dialect, target: &str, input: i64, output: i64) -> Object {
    Object::new().index(dialect, "input", input).text("dest", target).index(dialect, "output", output)
}

fn mount(dialect: Dialect, mount: &Mount, input: i64) -> String {
    let without_output = |read_only| opened(dialect, &mount.target, input, NONE).flag("readonly", read_only);
    // What is no file system of an operation had a number all the same.
    let of_somebody = || match dialect {
        Dialect::Early => opened(dialect, &mount.target, 0, 0),
        Dialect::Late => opened(dialect, &mount.target, NONE, 0),
    };
    let written = match &mount.source {
        MountSource::Input { read_only, .. } => without_output(*read_only),
        MountSource::Tmpfs { size_bytes, read_only } => {
            let size = size_bytes.map_or(0, |size| i64::try_from(size).unwrap_or(i64::MAX));
            let size = Object::new().number("size", size);
            without_output(*read_only).number("mountType", TMPFS).object("TmpfsOpt", Some(size))
        }
        MountSource::Cache { id, sharing, read_only, .. } => {
            let options = cache_options(id, *sharing, &mount.target);
            without_output(*read_only).number("mountType", CACHE).object("cacheOpt", Some(options))
        }
        MountSource::Secret { id, owner, mode, required } => {
            let options = options_of(id, *owner, *mode, *required);
            of_somebody().number("mountType", SECRET).object("secretOpt", Some(options))
        }
        MountSource::Agent { id, owner, mode, required } => {
            let options = options_of(id, *owner, *mode, *required);
            of_somebody().number("mountType", AGENT).object("SSHOpt", Some(options))
        }
    };
    written.finish()
}

/// The name and the sharing of a cache count only when they are those which a Dockerfile gives to its target.
fn cache_options(id: &str, sharing: CacheSharing, target: &str) -> Object {
    match id == target && sharing == CacheSharing::Shared {
        true => Object::new().text("ID", &format!("/{id}")),
        false => Object::new(),
    }
}

fn options_of(id: &str, (user, group): (u32, u32), mode: u32, required: bool) -> Object {
    Object::new()
        .text("ID", id)
        .number("uid", i64::from(user))
        .number("gid", i64::from(group))
        .number("mode", i64::from(mode))
        .flag("optional", !required)
}

/// A merge of an operation and one that stands on nothing.
pub(super) fn merged(base: usize, upper: usize) -> Node {
    let written = Dialect::ALL.map(|dialect| {
        let input = |number| Object::new().index(dialect, "input", number).finish();
        let merge = Object::new().always("inputs", list(&[input(0), input(1)]));
        Object::new().text("Type", "buildkit.merge.v0").object("Merge", Some(merge)).finish()
    });
    let edge = |from| Edge { from, selectors: vec![None], content: None };
    Node::new(written, vec![edge(base), edge(upper)])
}

//! Which store a command works on.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io};

use engine::networks::Founder;
use engine::space::{Ceiling, Share, ShareError};
use engine::{BuildRequest, Engine};

use crate::arguments::Global;
use crate::report::Report;

/// The store of root, as with Docker's `/var/lib/docker`.
const ROOT_OF_ROOT: &str = "/var/lib/slipway";

/// What the build cache may take of the disk, in bytes or percent.
pub(crate) const MAX_USED_SPACE: &str = "SLIPWAY_MAX_USED_SPACE";
/// What of the build cache stays in any case.
pub(crate) const RESERVED_SPACE: &str = "SLIPWAY_RESERVED_SPACE";
/// What of the disk is kept free.
pub(crate) const MIN_FREE_SPACE: &str = "SLIPWAY_MIN_FREE_SPACE";

/// Limits of the build cache that go before those of the environment: the names of variables, with values.
pub(crate) type Limits = Vec<(&'static str, String)>;

/// The directory of the store.
pub(crate) fn root(global: &Global) -> Result<PathBuf, Report> {
    if let Some(root) = &global.root {
        // A relative path would change its meaning with the working directory.
        return std::path::absolute(root).map_err(|error| Report::file(root, &error));
    }
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let is_root = rustix::process::geteuid().is_root();
    default_root(is_root, variable("XDG_DATA_HOME"), variable("HOME")).ok_or_else(|| {
        Report::mistake("neither HOME nor XDG_DATA_HOME says where your files are")
            .hint("name a directory for the store with `--root DIR`")
    })
}

fn default_root(is_root: bool, data_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if is_root {
        return Some(PathBuf::from(ROOT_OF_ROOT));
    }
    let data_home = data_home.or_else(|| Some(home?.join(".local/share")))?;
    Some(data_home.join("slipway"))
}

/// Opens the store, as root of a user namespace unless the process is root already.
///
/// The process must have a single thread.
pub(crate) fn open(global: &Global) -> Result<Engine, Report> {
    // Found before the namespace makes an ordinary user look like root.
    let root = root(global)?;
    engine::sandbox::become_root()?;
    open_at(root, Limits::new())
}

/// The same for a build, which may need more than the store soon.
pub(crate) fn open_to_build(global: &Global, request: &BuildRequest) -> Result<Engine, Report> {
    let root = root(global)?;
    engine::sandbox::become_root()?;
    engine::sandbox::expect_step(&root, request);
    open_at(root, Limits::new())
}

/// The same with limits of the build cache.
pub(crate) fn open_with_limits(global: &Global, limits: Limits) -> Result<Engine, Report> {
    let root = root(global)?;
    engine::sandbox::become_root()?;
    open_at(root, limits)
}

/// The same for a command that joins networks that somebody made, or namespaces of other containers.
pub(crate) fn open_with_networks(global: &Global, neighbours: &[String]) -> Result<Engine, Report> {
    let root = root(global)?;
    let founder = Founder::become_root(&root, neighbours)?;
    Ok(open_at(root, Limits::new())?.with_founder(founder))
}

/// The same for a command that starts containers that are there.
pub(crate) fn open_to_start(global: &Global, containers: &[String]) -> Result<Engine, Report> {
    let neighbours = engine::containers::neighbours(&root(global)?, containers);
    open_with_networks(global, &neighbours)
}

fn open_at(root: PathBuf, limits: Limits) -> Result<Engine, Report> {
    let ceiling = ceiling(&limits)?;
    let engine = Engine::open(&root).map_err(|error| Report::of_store(&error))?;
    Ok(engine.with_ceiling(ceiling, Box::new(move || start_collection(&root, &limits))))
}

/// The limits that are given, or that the environment sets.
fn ceiling(limits: &Limits) -> Result<Ceiling, Report> {
    let default = Ceiling::default();
    Ok(Ceiling {
        max_used: share(limits, MAX_USED_SPACE)?.unwrap_or(default.max_used),
        reserved: share(limits, RESERVED_SPACE)?.unwrap_or(default.reserved),
        min_free: share(limits, MIN_FREE_SPACE)?.unwrap_or(default.min_free),
    })
}

fn share(limits: &Limits, variable: &str) -> Result<Option<Share>, Report> {
    let given = limits.iter().find(|(name, _)| *name == variable).map(|(_, text)| OsString::from(text));
    let text = given.or_else(|| env::var_os(variable)).filter(|text| !text.is_empty());
    let Some(text) = text else { return Ok(None) };
    let parsed = text.to_string_lossy().parse();
    parsed.map(Some).map_err(|error: ShareError| Report::mistake(format!("{variable}: {error}")))
}

/// Starts `slipway builder gc` with the settings of this process, and leaves it alone: it outlives us, and nobody
/// waits for it.
fn start_collection(root: &Path, limits: &Limits) -> io::Result<()> {
    let ours = std::process::id().to_string();
    let mut collection = Command::new("/proc/self/exe");
    collection
        .arg("--root")
        .arg(root)
        .args(["builder", "gc", "--for-parent", &ours])
        .envs(limits.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .process_group(0);
    collection.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop)
}

/// Opens the store for a question that can be answered without it; none when there is none, or it cannot be
/// opened.
pub(crate) fn open_existing(global: &Global) -> Option<Engine> {
    let root = root(global).ok()?;
    if !root.is_dir() {
        return None;
    }
    let opened = open(global);
    opened.inspect_err(|report| tracing::debug!("answering without the store: {}", report.text())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_the_user() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(default_root(true, path("/data"), path("/root")), path("/var/lib/slipway"));
        assert_eq!(default_root(false, path("/data"), path("/home/u")), path("/data/slipway"));
        assert_eq!(default_root(false, None, path("/home/u")), path("/home/u/.local/share/slipway"));
        assert_eq!(default_root(false, None, None), None);
    }
}

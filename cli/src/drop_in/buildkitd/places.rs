//! Where BuildKit has its files when nobody says so.

use std::env;
use std::path::PathBuf;

use crate::report::Report;

const CONFIG: &str = "/etc/buildkit/buildkitd.toml";
const ROOT: &str = "/var/lib/buildkit";
const ADDRESS: &str = "unix:///run/buildkit/buildkitd.sock";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The file, which need not be there.
pub(super) fn config() -> Option<PathBuf> {
    if is_root() {
        return Some(CONFIG.into());
    }
    let home = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    home.map(|home| home.join("buildkit/buildkitd.toml"))
}

/// The store.
pub(super) fn root() -> Result<PathBuf, Report> {
    if let Some(root) = variable("SLIPWAY_ROOT") {
        return Ok(root);
    }
    if is_root() {
        return Ok(ROOT.into());
    }
    let home = variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
    home.map(|home| home.join("buildkit")).ok_or_else(|| {
        Report::mistake("neither HOME nor XDG_DATA_HOME says where your files are")
            .hint("name a directory for the store with `--root DIR`")
    })
}

/// The address.
pub(crate) fn address() -> String {
    match variable("XDG_RUNTIME_DIR").filter(|_| !is_root()) {
        Some(directory) => format!("unix://{}/buildkit/buildkitd.sock", directory.display()),
        None => ADDRESS.to_owned(),
    }
}

//! Programs of Debian's next release, which this one has not or only in an old version: unpacked beside the build, and not
//! installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::{process, workspace};

/// Debian 13.
const SUITE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// A client of BuildKit's API, as people have it.
const BUILDX: (&str, &str) = ("docker-buildx", "usr/libexec/docker/cli-plugins/docker-buildx");

/// The client `buildx`: that of this machine, else Debian's.
///
/// # Errors
///
/// When it is neither here nor to be had.
pub(crate) fn buildx() -> Result<PathBuf, Error> {
    let (package, path) = BUILDX;
    let installed = Path::new("/").join(path);
    if installed.exists() {
        return Ok(installed);
    }
    let unpacked = directory().join("root").join(path);
    if !unpacked.exists() {
        fetch(package)?;
    }
    Ok(unpacked)
}

fn directory() -> PathBuf {
    workspace::target().join("next-release")
}

/// Downloads a package from where this system has its own, and unpacks it.
fn fetch(package: &str) -> Result<(), Error> {
    let directory = directory();
    let file_error = |source| Error::File { path: directory.clone(), source };
    for name in ["lists/partial", "cache/archives/partial", "download"] {
        fs::create_dir_all(directory.join(name)).map_err(file_error)?;
    }
    let mut targets = Command::new("apt-get");
    let targets = process::output(targets.args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(ORIGIN)",
        "Created-By: Packages",
    ]))?;
    let missing =
        || Error::MissingFact { command: "apt-get indextargets".to_owned(), fact: "archive of Debian" };
    let archives = targets.lines().filter_map(|line| line.split_once(' ')).map(|(uri, _)| uri);
    let archive = archives
        .into_iter()
        .find(|uri| uri.trim_end_matches('/').ends_with("/debian"))
        .ok_or_else(missing)?;
    let here = directory.display();
    let sources = format!("deb [signed-by={KEYRING}] {archive} {SUITE} main\n");
    let settings = format!(
        "Dir::Etc::sourcelist \"{here}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::State::lists \"{here}/lists\";\nDir::Cache \"{here}/cache\";\n"
    );
    fs::write(directory.join("sources.list"), sources).map_err(file_error)?;
    fs::write(directory.join("apt.conf"), settings).map_err(file_error)?;
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", directory.join("apt.conf")).current_dir(directory.join("download"));
        command
    };
    process::run(apt().args(["update", "--quiet"]))?;
    process::run(apt().args(["download", "--quiet", package]))?;
    let downloaded = fs::read_dir(directory.join("download")).map_err(file_error)?.flatten();
    let package =
        downloaded.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|it| it == "deb"));
    let package = package.ok_or_else(missing)?;
    process::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(directory.join("root")))
}

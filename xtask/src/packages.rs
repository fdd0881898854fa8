//! The Debian packages that the chores need: the only list of them.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::elf;
use crate::error::Error;
use crate::process;

/// How to see that a package is there.
///
/// We look for what the package brings, not for the package: another system names it otherwise.
enum Brings {
    /// An executable in `PATH` or in a directory for the administrator.
    Program(&'static str),
    /// An executable that runs where there is no other file.
    StaticProgram(&'static str),
    File(&'static str),
}

use Brings::{File, Program, StaticProgram};

struct Package {
    name: &'static str,
    brings: Brings,
    needed_for: &'static [Chore],
}

/// What a package can be needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chore {
    Demo,
    Corpus,
    Test,
    Bench,
    Fuzz,
    Torture,
}

use Chore::{Bench, Corpus, Demo, Fuzz, Test, Torture};

/// Executables that an ordinary user's `PATH` leaves out.
const ADMINISTRATOR_PATHS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

#[rustfmt::skip]
const PACKAGES: &[Package] = &[
    // The base image of the demo and the corpus, its keys, and its user namespace when an ordinary user makes it.
    Package { name: "mmdebstrap", brings: Program("mmdebstrap"), needed_for: &[Demo, Corpus] },
    Package { name: "debian-archive-keyring", brings: File(DEBIAN_KEYRING), needed_for: &[Demo, Corpus] },
    Package { name: "uidmap", brings: Program("newuidmap"), needed_for: &[Demo, Corpus, Test, Bench] },
    // The base image of the tests and benchmarks.
    Package { name: "busybox-static", brings: StaticProgram("busybox"), needed_for: &[Test, Bench, Torture] },
    // Other people's tools, which judge what we write.
    Package { name: "skopeo", brings: Program("skopeo"), needed_for: &[Test, Bench] },
    Package { name: "podman", brings: Program("podman"), needed_for: &[Test] },
    Package { name: "docker-registry", brings: Program("docker-registry"), needed_for: &[Test, Bench] },
    Package { name: "openssl", brings: Program("openssl"), needed_for: &[Test] },
    Package { name: "umoci", brings: Program("umoci"), needed_for: &[Test] },
    Package { name: "tar", brings: Program("tar"), needed_for: &[Test, Bench, Torture] },
    Package { name: "attr", brings: Program("setfattr"), needed_for: &[Test] },
    // Servers for the builds to fetch from.
    Package { name: "python3", brings: Program("python3"), needed_for: &[Test] },
    Package { name: "openssl", brings: Program("openssl"), needed_for: &[Test] },
    Package { name: "git", brings: Program("git"), needed_for: &[Test] },
    Package { name: "strace", brings: Program("strace"), needed_for: &[Bench, Torture] },
    Package { name: "tmux", brings: Program("tmux"), needed_for: &[Test] },
    // They install object stores to keep caches in.
    Package { name: "python3-pip", brings: Program("pip3"), needed_for: &[Test] },
    Package { name: "npm", brings: Program("npm"), needed_for: &[Test] },
    // It judges the units that we write.
    Package { name: "systemd", brings: Program("systemd-analyze"), needed_for: &[Test] },
    // A browser that shows the report of a build.
    Package { name: "chromium", brings: Program("chromium"), needed_for: &[Test] },
    // Agents, on both sides of a step.
    Package { name: "openssh-client", brings: Program("ssh-agent"), needed_for: &[Test] },
    Package { name: "openssh-server", brings: Program("sshd"), needed_for: &[Test] },
    // Calls the kernel with any numbers, from inside a sandbox.
    Package { name: "perl-base", brings: Program("perl"), needed_for: &[Test, Torture] },
    // Disks that lose their power.
    Package { name: "e2fsprogs", brings: Program("mkfs.ext4"), needed_for: &[Torture] },
    Package { name: "mount", brings: Program("mount"), needed_for: &[Test, Torture] },
    Package { name: "util-linux", brings: Program("unshare"), needed_for: &[Test, Torture] },
    // libFuzzer is C++.
    Package { name: "g++", brings: Program("g++"), needed_for: &[Fuzz] },
    // A pretended host with an Internet, and what connects an ordinary user's sandbox with it.
    Package { name: "iproute2", brings: Program("ip"), needed_for: &[Test] },
    Package { name: "nftables", brings: Program("nft"), needed_for: &[Test] },
    Package { name: "iptables", brings: Program("iptables"), needed_for: &[Test] },
    Package { name: "passt", brings: Program("pasta"), needed_for: &[Test] },
    Package { name: "slirp4netns", brings: Program("slirp4netns"), needed_for: &[Test] },
    // The builder to compare with, in what it makes and in how long it takes, and its runtime.
    Package { name: "buildah", brings: Program("buildah"), needed_for: &[Test, Bench] },
    Package { name: "runc", brings: Program("runc"), needed_for: &[Test, Bench] },
];

/// Makes sure that all packages for `chore` are there.
///
/// As root on Debian the missing ones are installed. Anywhere else nothing is changed.
///
/// # Errors
///
/// The names of what is missing and the command that installs it.
pub(crate) fn ensure(chore: Chore) -> Result<(), Error> {
    let missing = missing(chore);
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || !Path::new("/etc/debian_version").exists() {
        let names = missing.join(" ");
        let install = format!("sudo apt-get install --no-install-recommends {names}");
        return Err(Error::MissingPackages { names, install });
    }
    process::run(Command::new("apt-get").args(["update", "--quiet"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(missing);
    process::run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn missing(chore: Chore) -> Vec<&'static str> {
    let needed = PACKAGES.iter().filter(|package| package.needed_for.contains(&chore));
    needed.filter(|package| !is_there(&package.brings)).map(|package| package.name).collect()
}

fn is_there(brings: &Brings) -> bool {
    match brings {
        File(path) => Path::new(path).exists(),
        Program(name) => find_program(name).is_some(),
        StaticProgram(name) => find_program(name).is_some_and(|path| elf::is_static(&path).unwrap_or(false)),
    }
}

/// The executable that a shell, or the administrator's shell, finds as `name`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(ADMINISTRATOR_PATHS.iter().map(PathBuf::from));
    directories.map(|directory| directory.join(name)).find(|candidate| candidate.is_file())
}

/// Whether we are root, seen from where we are; the owner of our own `/proc` entry is our effective user.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

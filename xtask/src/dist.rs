//! Makes what a user installs: one static binary, its completions and its man pages.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::elf;
use crate::error::Error;
use crate::{process, workspace};

/// A larger binary costs a user on a slow line, and somebody should ask why.
const BINARY_SIZE_BYTES_MAX: u64 = 20 * 1_000_000;

/// The C library is linked in, and at a fixed address.
///
/// A static-pie binary relocates itself at each start, which a command of a few milliseconds would feel;
/// `docs/decisions.md` has the numbers.
const RUSTFLAGS: [&str; 2] = ["-Ctarget-feature=+crt-static", "-Crelocation-model=static"];

/// Functions that are the same are one: 3% of the binary. Only the linker that Rust brings can do that, and it brings it
/// for this architecture.
#[cfg(target_arch = "x86_64")]
const LINKER_FLAGS: &[&str] = &["-Clink-arg=-Wl,--icf=all"];
#[cfg(not(target_arch = "x86_64"))]
const LINKER_FLAGS: &[&str] = &[];

/// What is generated beside the binary.
const GENERATED: [&str; 2] = ["completions", "man1"];

/// How `CARGO_ENCODED_RUSTFLAGS` separates its flags.
pub(crate) const FLAG_SEPARATOR: &str = "\u{1f}";

/// Makes everything, and says where it is.
pub(crate) fn run() -> Result<(), Error> {
    let binary = binary()?;
    generate(&directory())?;
    println!("{} ({:.1} MB)", binary.display(), size_bytes(&binary)? as f64 / 1e6);
    for kind in GENERATED {
        println!("{}", directory().join(kind).display());
    }
    Ok(())
}

/// Builds the static binary and returns where it is.
///
/// # Errors
///
/// When it does not compile, needs a dynamic linker or is too large.
pub(crate) fn binary() -> Result<PathBuf, Error> {
    let target = host_target()?;
    let mut build = process::cargo();
    build.args(["build", "--release", "--package", "slipway", "--bin", "slipway", "--target", &target]);
    // Cargo reads this before any other source of flags. With `--target` it does not reach build scripts.
    let flags = [&RUSTFLAGS[..], LINKER_FLAGS].concat();
    build.env("CARGO_ENCODED_RUSTFLAGS", flags.join(FLAG_SEPARATOR)).env_remove("RUSTFLAGS");
    process::run(build.arg("--target-dir").arg(workspace::target()))?;

    let built = workspace::target().join(&target).join("release/slipway");
    check(&built)?;
    publish(&built, &directory())
}

/// Where the results are put.
fn directory() -> PathBuf {
    workspace::target().join("dist")
}

/// The target that the compiler makes programs for by default.
pub(crate) fn host_target() -> Result<String, Error> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = process::output(Command::new(&rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Error::MissingFact { command: rustc.to_string_lossy().into_owned(), fact: "host" })
}

fn check(binary: &Path) -> Result<(), Error> {
    let refuse = |problem| Err(Error::Binary { path: binary.to_owned(), problem });
    if !elf::is_static(binary)? {
        return refuse("needs a dynamic linker".to_owned());
    }
    match size_bytes(binary)? {
        size if size > BINARY_SIZE_BYTES_MAX => {
            refuse(format!("has {size} bytes, more than {BINARY_SIZE_BYTES_MAX}"))
        }
        _ => Ok(()),
    }
}

fn size_bytes(path: &Path) -> Result<u64, Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(metadata.len())
}

/// Copies by rename: a `slipway` that runs from there keeps its file.
fn publish(built: &Path, directory: &Path) -> Result<PathBuf, Error> {
    let published = directory.join("slipway");
    let staging = directory.join(format!(".slipway.{}", std::process::id()));
    let copy = || {
        fs::create_dir_all(directory)?;
        fs::copy(built, &staging)?;
        fs::rename(&staging, &published)
    };
    copy().map_err(|source| Error::File { path: published.clone(), source })?;
    Ok(published)
}

/// Has the command line write its own completions and man pages, so that they cannot differ from it.
///
/// The binary that users get cannot do that: they would carry the code for it and never need it. This one is
/// built as the tests are, whose crates are compiled by then.
fn generate(directory: &Path) -> Result<(), Error> {
    process::run(process::cargo().args(["build", "--workspace", "--bins", "--all-features"]))?;
    for kind in GENERATED {
        remove(&directory.join(kind))?;
    }
    let generator = workspace::target().join("debug/slipway");
    process::run(Command::new(generator).arg("__generate").arg(directory))
}

/// Pages of commands that are gone must go.
fn remove(directory: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(|source| Error::File { path: directory.to_owned(), source }),
    }
}

//! Looks for texts and layers that break us, with libFuzzer and the stable compiler.

mod definition;
mod seeds;
mod tar;

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use crate::error::Error;
use crate::packages::{self, Chore};
use crate::{dist, process, workspace};

/// What libFuzzer needs of the compiler; the same flags as cargo-fuzz, without a sanitizer: our code is safe Rust, and
/// the sanitizer asks for a nightly compiler.
const RUSTFLAGS: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "--cfg=fuzzing",
];

/// How long one target runs unless the user says otherwise.
const SECONDS_DEFAULT: u64 = 60;

/// An input that takes longer is a finding. S27 promises a second; a busy machine and the instrumentation take theirs.
const INPUT_SECONDS_MAX: u64 = 25;

/// Memory that makes an input a finding, MiB; S27 promises 100 MB over the input, the corpus itself takes as much.
const MEMORY_MIB_MAX: u64 = 512;

/// A fuzz target: a file of `fuzz/fuzz_targets`.
struct Target {
    name: &'static str,
    /// Longest input that is made, bytes.
    input_bytes_max: u64,
    /// Its words, in `fuzz/dictionaries`.
    dictionary: Option<&'static str>,
    /// A feature of the fuzz workspace that it needs.
    feature: Option<&'static str>,
}

/// The targets that are quick to compile, which CI runs, and the others.
const TARGETS: [Target; 13] = [
    Target { name: "dockerfile", input_bytes_max: 4096, dictionary: Some("dockerfile.dict"), feature: None },
    Target { name: "expand", input_bytes_max: 512, dictionary: None, feature: None },
    Target { name: "ignore", input_bytes_max: 256, dictionary: None, feature: None },
    Target { name: "remote", input_bytes_max: 256, dictionary: Some("remote.dict"), feature: None },
    Target { name: "manifest", input_bytes_max: 4096, dictionary: None, feature: Some("registry") },
    Target { name: "registry_headers", input_bytes_max: 512, dictionary: None, feature: Some("registry") },
    Target { name: "packages", input_bytes_max: 4096, dictionary: None, feature: Some("packages") },
    Target { name: "catalogue", input_bytes_max: 4096, dictionary: None, feature: Some("packages") },
    Target { name: "definition", input_bytes_max: 8192, dictionary: None, feature: Some("daemon") },
    Target { name: "layer_apply", input_bytes_max: 8192, dictionary: None, feature: Some("layers") },
    Target { name: "copy_archive", input_bytes_max: 8192, dictionary: None, feature: Some("copies") },
    Target { name: "seccomp_profile", input_bytes_max: 4096, dictionary: None, feature: Some("networks") },
    Target { name: "name_query", input_bytes_max: 512, dictionary: None, feature: Some("networks") },
];

/// What the user asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Names of targets; none means those that need no feature.
    targets: Vec<String>,
    seconds: u64,
}

impl Request {
    /// Reads the arguments of the chore.
    pub(crate) fn new(arguments: &[String]) -> Option<Self> {
        let mut request = Self { targets: Vec::new(), seconds: SECONDS_DEFAULT };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--seconds" => request.seconds = rest.next()?.parse().ok()?,
                name if TARGETS.iter().any(|target| target.name == name) => {
                    request.targets.push(name.to_owned());
                }
                _ => return None,
            }
        }
        Some(request)
    }

    fn targets(&self) -> Vec<&'static Target> {
        let is_wanted = |target: &&Target| match self.targets.as_slice() {
            [] => target.feature.is_none(),
            names => names.iter().any(|name| name == target.name),
        };
        TARGETS.iter().filter(is_wanted).collect()
    }
}

/// Compiles the targets, and runs as many at a time as there are processors: each has one thread. What they learn stays
/// for the next time.
pub(crate) fn run(request: &Request) -> Result<(), Error> {
    packages::ensure(Chore::Fuzz)?;
    let targets = request.targets();
    let binaries = compile(&targets)?;
    let at_once = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    for together in targets.chunks(at_once) {
        thread::scope(|scope| {
            let start = |target: &&'static Target| {
                let (target, binary) = (*target, binaries.join(target.name));
                scope.spawn(move || fuzz(target, &binary, request.seconds))
            };
            let started: Vec<_> = together.iter().map(start).collect();
            started.into_iter().try_for_each(|running| running.join().expect("a thread that only waits"))
        })?;
    }
    Ok(())
}

fn directory() -> PathBuf {
    workspace::target().join("fuzz")
}

/// Compiles the targets; returns the directory of the binaries.
fn compile(targets: &[&Target]) -> Result<PathBuf, Error> {
    // Build scripts and macros are not instrumented: with a target they are compiled for themselves.
    let host = dist::host_target()?;
    let mut build = process::cargo();
    build.current_dir(workspace::root().join("fuzz"));
    build.args(["build", "--release", "--no-default-features", "--target", &host]);
    build.arg("--target-dir").arg(directory());
    for feature in targets.iter().filter_map(|target| target.feature).collect::<BTreeSet<_>>() {
        build.args(["--features", feature]);
    }
    for target in targets {
        build.args(["--bin", target.name]);
    }
    let flags = RUSTFLAGS.join(dist::FLAG_SEPARATOR);
    process::run(build.env("CARGO_ENCODED_RUSTFLAGS", flags).env_remove("RUSTFLAGS"))?;
    Ok(directory().join(host).join("release"))
}

fn fuzz(target: &Target, binary: &Path, seconds: u64) -> Result<(), Error> {
    let made = |kind: &str| -> Result<PathBuf, Error> {
        let path = directory().join(kind).join(target.name);
        fs::create_dir_all(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        Ok(path)
    };
    let (corpus, seeds, findings) = (made("corpus")?, made("seeds")?, made("findings")?);
    seeds::write(target.name, &seeds)?;
    let mut fuzzer = std::process::Command::new(binary);
    fuzzer.arg(&corpus).arg(&seeds);
    fuzzer.arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-max_len={}", target.input_bytes_max));
    fuzzer.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    fuzzer.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
    // The name of a finding begins with this, so it ends in a slash.
    fuzzer.arg(format!("-artifact_prefix={}/", findings.display()));
    fuzzer.args(["-print_final_stats=1", "-verbosity=0"]);
    if let Some(dictionary) = target.dictionary {
        let path = workspace::root().join("fuzz/dictionaries").join(dictionary);
        fuzzer.arg(format!("-dict={}", path.display()));
    }
    process::run(&mut fuzzer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arguments: &[&str]) -> Option<Request> {
        Request::new(&arguments.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn without_names_the_quick_ones_run() {
        let names = |request: &Request| request.targets().iter().map(|it| it.name).collect::<Vec<_>>();
        let all = request(&[]).expect("no arguments are fine");
        assert_eq!(
            (names(&all), all.seconds),
            (vec!["dockerfile", "expand", "ignore", "remote"], SECONDS_DEFAULT)
        );
        let one = request(&["layer_apply", "--seconds", "5"]).expect("these too");
        assert_eq!((names(&one), one.seconds), (vec!["layer_apply"], 5));
        assert_eq!(request(&["nothing"]), None);
        assert_eq!(request(&["--seconds"]), None);
    }

    #[test]
    fn every_target_is_known() {
        let directory = workspace::root().join("fuzz/fuzz_targets");
        let files =
            fs::read_dir(directory).expect("there are targets").map(|it| it.expect("an entry").path());
        let names: BTreeSet<_> =
            files.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
        assert_eq!(names, TARGETS.iter().map(|target| target.name.to_owned()).collect());
    }
}

//! The daemon behind BuildKit's API: what builds in which nothing has changed cost, its memory, and its next start after it was
//! killed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Amount, Finding};
use crate::base;
use crate::builder::{self, Builder, Setup};
use crate::error::Error;
use crate::measure::Sample;
use crate::process;
use crate::work::{Context, WORK, Work};

/// What the daemon needs for a build in which all steps are cached.
const CACHED_MOST: Amount = Amount::Time(Duration::from_millis(15));
/// The same with a context of 10k files, of which none has changed.
const CONTEXT_MOST: Amount = Amount::Time(Duration::from_millis(60));
/// What it may have of the memory with a context of 100k files.
const MEMORY_MOST: Amount = Amount::Bytes(256 << 20);
/// How long it takes to serve again after it was killed in the middle of builds.
const START_MOST: Amount = Amount::Time(Duration::from_millis(50));
/// Builds in the middle of which it is killed.
const BUILDS: u64 = 10;
/// The kernel tells the processor time of others in these; see sysconf(3), `_SC_CLK_TCK`.
const TICK: Duration = Duration::from_millis(10);
/// So many builds that a tick does not matter.
const ROUNDS_MIN: u64 = 20;
/// What a client says of a context, and then how much of it has come, if anything has.
const TRANSFER: &str = "transferring context: ";
/// A client of others, where there is one.
const BUILDX: &str = "SLIPWAY_BUILDX";

pub(super) fn measure(setup: &Setup, rounds: u64) -> Result<Vec<Finding>, Error> {
    fs::create_dir_all(&setup.directory).map_err(Error::at(&setup.directory))?;
    // It has the base image in its store from now on.
    let builder = builder::ours(setup)?;
    let rounds = rounds.max(ROUNDS_MIN);
    let mut findings = Vec::new();
    let daemon = Daemon::start(setup)?;
    for (id, most) in [("P1", CACHED_MOST), ("P2", CONTEXT_MOST)] {
        let context = Context::new(work(id), &setup.directory)?;
        cached(&daemon, &context, rounds, most, &mut findings)?;
    }
    let context = Context::new(work("P2b"), &setup.directory)?;
    daemon.build(&context)?;
    daemon.build(&context)?;
    let what = "daemon: peak memory after two builds with a context of 100k files";
    findings.push(Finding::bytes(what, daemon.peak_bytes()?).at_most(MEMORY_MOST));
    drop(context);
    findings.push(killed(setup, daemon)?);
    drop::<Box<dyn Builder>>(builder);
    Ok(findings)
}

fn work(id: &str) -> &'static Work {
    WORK.iter().find(|work| work.id == id).expect("it is one of them")
}

/// Builds in which nothing is new.
fn cached(
    daemon: &Daemon,
    context: &Context<'_>,
    rounds: u64,
    most: Amount,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let (id, title) = (context.work().id, context.work().title);
    daemon.build(context)?;
    let mut times = Vec::new();
    let before = daemon.processor_time()?;
    for _ in 0..rounds {
        let begin = Instant::now();
        let shown = daemon.build(context)?;
        times.push(begin.elapsed());
        if let Some(line) = shown.lines().find(|line| is_transfer(line)) {
            return Err(Error::Output { command: "buildctl build", problem: format!("{id}: {line}") });
        }
    }
    let of_daemon = (daemon.processor_time()? - before) / u32::try_from(rounds).unwrap_or(u32::MAX);
    findings.push(Finding::time(format!("{title}: processor time of the daemon"), of_daemon).at_most(most));
    let whole = Sample::new("", times).median();
    findings.push(Finding::time(format!("{title}: buildctl, from its start to its end"), whole));
    if let Some(whole) = daemon.buildx(context, rounds)? {
        findings.push(Finding::time(format!("{title}: buildx, from its start to its end"), whole));
    }
    Ok(())
}

/// Whether a line tells of bytes, and not of nothing but the time.
fn is_transfer(line: &str) -> bool {
    let first = line.split_once(TRANSFER).and_then(|(_, rest)| rest.split(' ').next());
    first.is_some_and(|word| word.ends_with('B'))
}

/// Kills the daemon in the middle of builds; how long the next one takes until it serves.
fn killed(setup: &Setup, mut daemon: Daemon) -> Result<Finding, Error> {
    let mut builds = Vec::new();
    for number in 0..BUILDS {
        let directory = setup.directory.join(format!("sleeping{number}"));
        fs::create_dir_all(&directory).map_err(Error::at(&directory))?;
        let path = directory.join("Dockerfile");
        let text = format!("FROM {}\nRUN echo begun {number} && sleep 600\n", base::NAME);
        fs::write(&path, text).map_err(Error::at(path))?;
        let mut client = daemon.client(&directory);
        client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child =
            client.spawn().map_err(|source| Error::Start { command: "buildctl".to_owned(), source })?;
        builds.push(Killed(child));
    }
    for build in &mut builds {
        let lines = BufReader::new(build.0.stderr.take().expect("it is a pipe"));
        let begun = |line: &str| line.contains(" begun ") && !line.contains("RUN");
        let has_begun = lines.lines().map_while(Result::ok).any(|line| begun(&line));
        if !has_begun {
            return Err(Error::Output { command: "buildctl build", problem: "no step has begun".to_owned() });
        }
    }
    daemon.kill();
    let begin = Instant::now();
    let next = Daemon::start(setup)?;
    let took = begin.elapsed();
    let context = Context::new(work("P1"), &setup.directory)?;
    if !next.build(&context)?.contains("CACHED") {
        return Err(Error::Output { command: "buildctl build", problem: "nothing is cached".to_owned() });
    }
    let what = format!("daemon: until it serves, after it was killed in the middle of {BUILDS} builds");
    Ok(Finding::time(what, took).at_most(START_MOST))
}

/// A process that is killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Daemon {
    process: Killed,
    slipway: PathBuf,
    directory: PathBuf,
    address: String,
}

impl Daemon {
    /// Returns when clients can connect.
    fn start(setup: &Setup) -> Result<Self, Error> {
        let address = format!("unix://{}", setup.directory.join("socket").display());
        let mut command = Command::new(&setup.slipway);
        command.arg("--root").arg(setup.directory.join("slipway")).args(["daemon", "--addr", &address]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let failed = |source| Error::Start { command: "slipway daemon".to_owned(), source };
        let mut process = Killed(command.spawn().map_err(failed)?);
        let mut lines = BufReader::new(process.0.stderr.take().expect("it is a pipe"));
        let mut told = String::new();
        while !told.contains("listening at ") {
            if lines.read_line(&mut told).map_err(failed)? == 0 {
                return Err(Error::Output { command: "slipway daemon", problem: told });
            }
        }
        // Somebody has to read what it says later.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let (slipway, directory) = (setup.slipway.clone(), setup.directory.clone());
        Ok(Self { process, slipway, directory, address })
    }

    fn client(&self, context: &Path) -> Command {
        let local = |name: &str| format!("{name}={}", context.display());
        let mut command = Command::new(&self.slipway);
        command.arg0("buildctl").args(["--addr", &self.address, "build", "--frontend", "dockerfile.v0"]);
        command.args(["--local", &local("context"), "--local", &local("dockerfile"), "--progress", "plain"]);
        command
    }

    /// Builds; what the client shows.
    fn build(&self, context: &Context<'_>) -> Result<String, Error> {
        let mut command = self.client(context.enter(0)?);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|source| Error::Start { command: "buildctl".to_owned(), source })?;
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.success() {
            true => Ok(shown),
            false => Err(Error::Status {
                command: "buildctl build".to_owned(),
                status: output.status,
                output: shown,
            }),
        }
    }

    /// The same by a client that knows nothing of us, where there is one.
    fn buildx(&self, context: &Context<'_>, rounds: u64) -> Result<Option<Duration>, Error> {
        let Some(buildx) = std::env::var_os(BUILDX) else { return Ok(None) };
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&buildx);
            command.args(arguments).env("HOME", &self.directory).env("BUILDX_BUILDER", "bench");
            command.env("DOCKER_HOST", "unix:///nonexistent");
            command
        };
        if !self.directory.join(".docker/buildx/instances/bench").exists() {
            let create = ["create", "--name", "bench", "--driver", "remote", &self.address];
            process::run(&mut command(&create))?;
        }
        let path = context.enter(0)?.display().to_string();
        let time = |_| process::time(&mut command(&["build", "--progress=plain", &path]));
        process::run(&mut command(&["build", "--progress=plain", &path]))?;
        let times = (0..rounds).map(time).collect::<Result<_, _>>()?;
        Ok(Some(Sample::new("", times).median()))
    }

    fn of_kernel(&self, name: &str) -> Result<String, Error> {
        let path = PathBuf::from(format!("/proc/{}/{name}", self.process.0.id()));
        fs::read_to_string(&path).map_err(Error::at(path))
    }

    /// Of all of its threads so far, in the kernel and outside.
    fn processor_time(&self) -> Result<Duration, Error> {
        let text = self.of_kernel("stat")?;
        // The name in parentheses may have blanks; see proc_pid_stat(5).
        let fields = text.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>());
        let ticks = |at: usize| fields.as_ref().and_then(|fields| fields.get(at)?.parse::<u32>().ok());
        let both = ticks(11).zip(ticks(12)).map(|(user, system)| TICK * (user + system));
        both.ok_or(Error::Output { command: "/proc/PID/stat", problem: text })
    }

    /// The most memory that it has had.
    fn peak_bytes(&self) -> Result<u64, Error> {
        let text = self.of_kernel("status")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        let kilobytes = kilobytes.ok_or(Error::Output { command: "/proc/PID/status", problem: text })?;
        Ok(kilobytes << 10)
    }

    fn kill(&mut self) {
        // A daemon that has ended by itself is what we want.
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::is_transfer;

    #[test]
    fn only_bytes_are_a_transfer() {
        assert!(is_transfer("#5 transferring context: 6B 0.0s done"));
        assert!(is_transfer("#5 transferring context: 1.20kB / 3.4MB"));
        assert!(!is_transfer("#5 transferring context: 0.0s done"));
        assert!(!is_transfer("#1 transferring dockerfile: 22B done"));
    }
}

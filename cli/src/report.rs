//! What a user is told when something went wrong: the advice and the exit code of every error.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use engine::containers::{ContainerError, FilterError};
use engine::images::ImageError;
use engine::networks::{NetworkError, NetworkFault, OwnerError};
use engine::registries::{RegistriesError, RegistryError};
use engine::sandbox::{NamespaceError, SandboxError};
use engine::volumes::{MountError, VolumeError};
use engine::{
    AgentError, BuildError, DeviceError, DiskState, Fault, FetchError, GitError, HttpError, SecretError,
};

use crate::console::print_error;
use crate::progress::NoTerminal;
use crate::template::TemplateError;

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Success,
    /// The user's mistake, or a step of a build that failed.
    Failure,
    /// A template that is none, as in Docker.
    Template,
    /// The network's fault, EX_UNAVAILABLE of sysexits.h.
    Network,
    /// Our own mistake, EX_SOFTWARE.
    Software,
    /// The machine's: a call that the kernel refused, a full disk. EX_OSERR.
    Machine,
    /// `run` did not come to start a container.
    NotStarted,
    /// The command of `run` cannot be executed.
    NotExecutable,
    /// The command of `run` is not in the image.
    NotFound,
    /// Ctrl-C or a signal to end.
    Interrupted,
    /// Nobody reads our output any more, as if SIGPIPE had ended us.
    BrokenPipe,
    /// What the command of `run` ended with.
    Command(u8),
}

/// Every code with its meaning, for the help.
const CODES: [(Exit, &str); 9] = [
    (Exit::Success, "success"),
    (
        Exit::Failure,
        "a mistake in the arguments or the Dockerfile, something that is not there, or a failing step",
    ),
    (Exit::Template, "a mistake in the template of --format"),
    (Exit::Network, "the network's fault"),
    (Exit::Software, "a mistake in slipway"),
    (Exit::Machine, "the machine refused: a full disk, no user namespaces, a store that cannot be used"),
    (Exit::NotStarted, "`run`: the container was not started"),
    (
        Exit::NotExecutable,
        "`run`: the command cannot be executed (127: it is not in the image); else its own code",
    ),
    (Exit::Interrupted, "interrupted by Ctrl-C or SIGTERM"),
];

impl Exit {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Template => 64,
            Self::Network => 69,
            Self::Software => 70,
            Self::Machine => 71,
            Self::NotStarted => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Interrupted => 130,
            Self::BrokenPipe => 141,
            Self::Command(code) => code,
        }
    }

    /// The table of exit codes, and where to read on.
    pub(crate) fn help() -> String {
        let mut text = "Exit codes:\n".to_owned();
        for (exit, meaning) in CODES {
            text += &format!("  {:<4} {meaning}\n", exit.code());
        }
        text + "\nRun 'slipway COMMAND --help' for more information on a command."
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What to do about a full disk, on which nothing more can be evicted.
const ROOM: &str = "make room, for example with `slipway image prune`, or put the store elsewhere with `--root DIR`; nothing that was finished is lost";

/// An error as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    exit: Exit,
    /// Places in the user's files, with what is wrong there.
    excerpts: Vec<String>,
    message: String,
    hints: Vec<String>,
}

impl Report {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, excerpts: Vec::new(), message: message.into(), hints: Vec::new() }
    }

    /// A mistake of the user's.
    pub(crate) fn mistake(message: impl Into<String>) -> Self {
        Self::new(Exit::Failure, message)
    }

    /// A file of the user's that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::mistake(format!("`{}`: {error}", path.display()))
    }

    fn of(exit: Exit, error: &dyn Error) -> Self {
        Self::new(exit, chain(error))
    }

    /// What the machine refuses.
    pub(crate) fn machine(error: &dyn Error) -> Self {
        Self::of(Exit::Machine, error)
    }

    /// Somebody at the other end of a connection who is not there.
    pub(crate) fn unavailable(error: &dyn Error) -> Self {
        Self::of(Exit::Network, error)
    }

    /// A mistake of the user's that a library has found.
    pub(crate) fn mistake_of(error: &dyn Error) -> Self {
        Self::of(Exit::Failure, error)
    }

    /// The same with words before the message.
    pub(crate) fn with_prefix(mut self, words: &str) -> Self {
        self.message.insert_str(0, words);
        self
    }

    /// Says what the user can do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Shows a place in the user's files before the message.
    pub(crate) fn excerpt(mut self, rendered: impl Into<String>) -> Self {
        self.excerpts.push(rendered.into());
        self
    }

    /// As part of `run`, where the codes below 125 belong to the command.
    pub(crate) fn of_run(mut self) -> Self {
        if matches!(self.exit, Exit::Failure | Exit::Machine | Exit::Software | Exit::Network) {
            self.exit = Exit::NotStarted;
        }
        self
    }

    /// The text on standard error.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for excerpt in self.excerpts.iter().filter(|excerpt| !excerpt.is_empty()) {
            text += excerpt.trim_end_matches('\n');
            text += "\n\n";
        }
        if !self.message.is_empty() {
            text += &format!("ERROR: {}\n", self.message);
        }
        for hint in &self.hints {
            text += &format!("hint: {hint}\n");
        }
        text
    }

    /// Tells the user.
    pub(crate) fn print(&self) -> Exit {
        print_error(&self.text());
        self.exit
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // A transparent error says what its cause says.
        if !text.ends_with(&cause_text) {
            text += &format!(": {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl From<BuildError> for Report {
    fn from(error: BuildError) -> Self {
        let base = || Self::of(Exit::Failure, &error);
        match &error {
            BuildError::NoDockerfile { .. } => base().hint("name the Dockerfile with `--file PATH`, or pass another directory"),
            BuildError::Dockerfile { rendered } | BuildError::IgnoreFile { rendered, .. } => rendered.iter().fold(base(), |report, text| report.excerpt(text)),
            BuildError::NoImage { reference, rendered } => base().excerpt(rendered).hint(format!(
                "let it be pulled, without `--pull=never`, or put it there first: `slipway import ROOTFS.tar {name}`, `slipway load -i IMAGE.tar`, or a build with `-t {name}`",
                name = reference.familiar()
            )),
            BuildError::Pull { rendered, source, .. } => {
                let exit = if source.is_network() { Exit::Network } else { Exit::Failure };
                let hints = Self::from_image(source).hints;
                Self { hints, ..Self::of(exit, &error) }.excerpt(rendered)
            }
            BuildError::WrongPlatform { found, rendered, .. } => {
                base().excerpt(rendered).hint(format!("build for it with `--platform {found}`, or use another base image"))
            }
            BuildError::Step(failure) => {
                let report = base().excerpt(&failure.rendered);
                let report = match failure.disk {
                    DiskState::Full => report.hint(ROOM),
                    DiskState::HasRoom => report,
                };
                match &failure.log {
                    Some(log) => report.hint(format!("all of its output is in `{}`", log.display())),
                    None => report,
                }
            }
            BuildError::Copy { rendered, .. } => base().excerpt(rendered),
            BuildError::NotAllowed { entitlement, rendered } => {
                base().excerpt(rendered).hint(format!("allow it if you trust the Dockerfile: `--allow {entitlement}`"))
            }
            BuildError::Device { rendered, error: device } => {
                let report = base().excerpt(rendered);
                match device {
                    DeviceError::NotAllowed { name } => {
                        report.hint(format!("allow it if you trust the Dockerfile: `--allow device={name}`"))
                    }
                    DeviceError::NotRegistered { .. } => {
                        report.hint("files in `/etc/cdi` and `/var/run/cdi` describe devices; `--device=NAME` without `required` does without")
                    }
                    DeviceError::Invalid { name } => {
                        report.hint(format!("if that is a name of yours: `--allow device=VENDOR/CLASS=NAME,alias={name}`"))
                    }
                    DeviceError::Unsupported { .. } => report,
                }
            }
            BuildError::Secret { id, rendered, source: SecretError::Missing } => base()
                .excerpt(rendered)
                .hint(format!("give it to the build: `--secret id={id},src=FILE` or `--secret id={id},env=VARIABLE`")),
            BuildError::Secret { rendered, .. } => {
                base().excerpt(rendered).hint("mount it as a file, without `env`")
            }
            BuildError::Agent { id, rendered, source } => {
                let report = base().excerpt(rendered);
                match source {
                    AgentError::Missing => report.hint(format!("give it to the build: `--ssh {id}`")),
                    AgentError::Start { .. } => report.hint("install OpenSSH's client, or use an agent that runs"),
                    AgentError::Key { .. } => report.hint(format!(
                        "a key with a passphrase needs an agent that runs: `ssh-add KEY`, then `--ssh {id}`"
                    )),
                }
            }
            BuildError::Fetch { rendered, source } => Self::of_fetch(source).excerpt(rendered),
            BuildError::Sandbox { rendered, source, .. } => base().excerpt(rendered).way_out(source),
            BuildError::Store(source) if source.is_too_deep() => {
                base().hint("build the base image with `--max-layers 100`, or with `--squash`")
            }
            BuildError::Store(source) => Self::of_store(source),
            BuildError::Export(source) => Self::from_image(source),
            BuildError::CacheExport { source, .. } => {
                let exit = if source.is_network() { Exit::Network } else { Exit::Failure };
                Self::of(exit, &error).hint("without `ignore-error=false` the build goes on")
            }
            BuildError::Tree { .. } => Self::of_store(&error),
            _ => base(),
        }
    }
}

impl From<VolumeError> for Report {
    fn from(error: VolumeError) -> Self {
        match &error {
            VolumeError::Store(source) => Self::of_store(source),
            VolumeError::NotThere { .. } => {
                Self::of(Exit::Failure, &error).hint("`slipway volume ls` lists the volumes that there are")
            }
            VolumeError::Facts { .. } => Self::of_store(&error).hint(
                "its files are untouched; a newer slipway may know it, and `slipway volume rm` removes it",
            ),
            _ => Self::of(Exit::Failure, &error),
        }
    }
}

impl From<NetworkError> for Report {
    fn from(error: NetworkError) -> Self {
        match &error {
            NetworkError::Store(source) => Self::of_store(source),
            NetworkError::File { .. } => Self::of_store(&error),
            NetworkError::Sandbox(
                engine::SandboxNetworkError::Taken { .. }
                | engine::SandboxNetworkError::OutOfRange { .. }
                | engine::SandboxNetworkError::Full { .. },
            ) => Self::of(Exit::Failure, &error),
            NetworkError::Sandbox(_) => {
                Self::of(Exit::Machine, &error).hint("`slipway doctor` says what this machine lacks")
            }
            NetworkError::NotFound { .. } => {
                Self::of(Exit::Failure, &error).hint("`slipway network ls` lists the networks that there are")
            }
            NetworkError::PortPrivileged { port, .. } => Self::of(Exit::Failure, &error).hint(format!(
                "choose a port from 1024 on, or, as root, `sysctl net.ipv4.ip_unprivileged_port_start={port}`"
            )),
            _ => Self::of(Exit::Failure, &error),
        }
    }
}

impl From<OwnerError> for Report {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Network(error) => error.into(),
            OwnerError::Namespace(error) => error.into(),
        }
    }
}

impl From<MountError> for Report {
    fn from(error: MountError) -> Self {
        match error {
            MountError::Volume(error) => error.into(),
            MountError::Copy { .. } => Self::of_store(&error),
            MountError::NotShared { .. } => Self::of(Exit::Failure, &error)
                .hint("as root, make it one: `mount --bind DIR DIR`, then `mount --make-shared DIR`"),
            _ => Self::of(Exit::Failure, &error),
        }
    }
}

impl From<ContainerError> for Report {
    fn from(error: ContainerError) -> Self {
        let error = match error {
            ContainerError::Mount(error) => return error.into(),
            ContainerError::Membership(error) => return error.into(),
            other => other,
        };
        match &error {
            ContainerError::Image(source) => Self::from_image(source),
            ContainerError::Store(source) => Self::of_store(source),
            ContainerError::NoCommand { image } => Self::of(Exit::Failure, &error)
                .hint(format!("say what to run: `slipway run {image} COMMAND`")),
            ContainerError::Sandbox(source)
            | ContainerError::Exec { source }
            | ContainerError::Freeze { source }
            | ContainerError::Update { source } => Self::of(
                match source.exit_code() {
                    Some(127) => Exit::NotFound,
                    Some(126) => Exit::NotExecutable,
                    _ => Exit::Failure,
                },
                &error,
            )
            .way_out(source),
            ContainerError::NoSuchContainer { .. } => {
                Self::of(Exit::Failure, &error).hint("`slipway ps -a` lists the containers that there are")
            }
            ContainerError::Network { fault: NetworkFault::NotFound, .. } => {
                Self::of(Exit::Failure, &error).hint("`slipway network ls` lists the networks that there are")
            }
            ContainerError::Network { fault: NetworkFault::Machine, .. } => {
                Self::of(Exit::Machine, &error).hint("`slipway doctor` says what this machine lacks")
            }
            ContainerError::Monitor { .. } => Self::of(Exit::Machine, &error),
            ContainerError::File { .. } => Self::of_store(&error),
            ContainerError::Damaged { id, .. } => {
                Self::of_store(&error).hint(format!("`slipway rm {id}` removes what is left of it"))
            }
            _ => Self::of(Exit::Failure, &error),
        }
    }
}

impl From<FilterError> for Report {
    fn from(error: FilterError) -> Self {
        Self::of(Exit::Failure, &error)
    }
}

impl Report {
    /// What to do about a sandbox that did not start, if something can be done.
    fn way_out(self, error: &SandboxError) -> Self {
        match error {
            SandboxError::ForeignArchitecture { .. } => self.hint(
                "install an emulator on this machine: the package `qemu-user-static`, which registers itself; `slipway doctor` lists those that are known",
            ),
            SandboxError::Kernel { .. } => self.hint("`slipway doctor` says what this machine lacks"),
            _ => self,
        }
    }

    /// Of the store, which everything needs.
    pub(crate) fn of_store(error: &(dyn Error + 'static)) -> Self {
        let report = Self::of(Exit::Machine, error);
        match io_kind(error) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => report.hint(ROOM),
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                report.hint("use a store of your own with `--root DIR` or SLIPWAY_ROOT")
            }
            _ => report,
        }
    }

    fn of_fetch(error: &FetchError) -> Self {
        if let FetchError::Store(source) = error {
            return Self::of_store(source);
        }
        let exit = match error.fault() {
            Fault::User => Exit::Failure,
            Fault::Network => Exit::Network,
            Fault::Machine => Exit::Machine,
        };
        let report = Self::of(exit, error);
        match error {
            FetchError::Http(HttpError::Checksum { actual, .. }) => {
                report.hint(format!("if the file is the right one, write `--checksum={actual}`"))
            }
            FetchError::Git(GitError::NotInstalled { .. }) => report.hint("install it, for example with `apt install git`"),
            FetchError::Git(GitError::Refused { remote, .. }) if remote.starts_with("http") => report.hint(
                "if it is private, give the build a token: `--secret id=GIT_AUTH_TOKEN,env=VARIABLE`",
            ),
            FetchError::Git(GitError::Refused { .. }) => report.hint(
                "if it is private, give the build an agent with `--ssh default`; the server must be in ~/.ssh/known_hosts",
            ),
            FetchError::Http(HttpError::Certificate { .. }) => {
                report.hint("a certificate of your own is trusted when SSL_CERT_FILE names its file")
            }
            _ => report,
        }
    }

    fn from_image(error: &ImageError) -> Self {
        let report = Self::of(Exit::Failure, error);
        match error {
            ImageError::NoSuchImage { .. } => report.hint("`slipway images` lists the images that there are"),
            ImageError::StillNamed { references, .. } => {
                let names: Vec<_> = references.iter().map(image::Reference::familiar).collect();
                report.hint(format!("remove its names ({}), or all of them with `--force`", names.join(", ")))
            }
            ImageError::NameInUse { .. } | ImageError::InUse { is_running: false, .. } => {
                report.hint("remove its containers with `slipway rm`, or force it with `--force`")
            }
            ImageError::InUse { .. } => report.hint("`slipway rm -f` ends and removes a container"),
            ImageError::DeleteHere { .. } => report.hint("name a directory of its own with `dest=DIRECTORY`"),
            ImageError::Program { program, source } if source.kind() == std::io::ErrorKind::NotFound => {
                report.hint(format!("install `{program}`, through which slipway reaches that store"))
            }
            ImageError::Daemon { .. } => report.hint("`DOCKER_HOST` names the socket of the daemon"),
            ImageError::Store(source) => Self::of_store(source),
            ImageError::Registry(source) => Self::of_registry(source),
            _ => report,
        }
    }

    fn of_registry(error: &RegistryError) -> Self {
        let exit = if error.is_network() { Exit::Network } else { Exit::Failure };
        let report = Self::of(exit, error);
        match error {
            RegistryError::Unauthorized { host, .. } => {
                report.hint(format!("log in with other credentials: `slipway login {host}`"))
            }
            RegistryError::ForeignRealm { host, realm } => report.hint(format!(
                "if you trust `{realm}`, write `token-hosts = [\"{realm}\"]` for `{host}` into registries.toml"
            )),
            RegistryError::Unreachable { host, .. } if has_certificate_error(error) => report.hint(format!(
                "put the certificate that signs the registry's into /etc/docker/certs.d/{host}/ca.crt, or use `--tls-verify=false`"
            )),
            _ => report,
        }
    }
}

/// Whether the other side could not prove who it is.
fn has_certificate_error(error: &RegistryError) -> bool {
    chain(error).contains("invalid peer certificate")
}

impl From<RegistryError> for Report {
    fn from(error: RegistryError) -> Self {
        Self::of_registry(&error)
    }
}

impl From<RegistriesError> for Report {
    fn from(error: RegistriesError) -> Self {
        Self::of(Exit::Failure, &error)
    }
}

/// The kind of the input or output error at the root of an error.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

impl From<ImageError> for Report {
    fn from(error: ImageError) -> Self {
        Self::from_image(&error)
    }
}

/// Files by which a process knows that it is in a container of Docker or of Podman.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

impl From<NamespaceError> for Report {
    fn from(error: NamespaceError) -> Self {
        let report = Self::new(Exit::Machine, format!("cannot create a user namespace: {}", chain(&error)));
        let is_in_container = CONTAINER_MARKS.iter().any(|path| std::path::Path::new(path).exists());
        let allow = if is_in_container {
            "this container forbids them: start it with `--security-opt seccomp=unconfined`, as Docker and Podman call it"
        } else {
            "run as root, or allow user namespaces: `sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000`"
        };
        report.hint(format!("{allow}; `slipway doctor` says what else is missing"))
    }
}

impl From<TemplateError> for Report {
    fn from(error: TemplateError) -> Self {
        let exit = if matches!(error, TemplateError::Syntax { .. }) { Exit::Template } else { Exit::Failure };
        Self::new(exit, format!("template parsing error: {error}"))
    }
}

impl From<NoTerminal> for Report {
    fn from(error: NoTerminal) -> Self {
        Self::of(Exit::Failure, &error).hint("use `--progress plain`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_comes_with_advice() {
        let report = Report::of_store(&io::Error::from_raw_os_error(28));
        insta::assert_snapshot!(report.text(), @r"
        ERROR: No space left on device (os error 28)
        hint: make room, for example with `slipway image prune`, or put the store elsewhere with `--root DIR`; nothing that was finished is lost
        ");
        assert_eq!(report.exit.code(), 71);
    }

    #[test]
    fn excerpts_come_before_the_error() {
        let rendered = vec!["error: no stage named `biuld`\n --> Dockerfile:7:13\n".to_owned()];
        let report = Report::from(BuildError::Dockerfile { rendered });
        insta::assert_snapshot!(report.text(), @r"
        error: no stage named `biuld`
         --> Dockerfile:7:13

        ERROR: the Dockerfile has 1 error
        ");
    }

    #[test]
    fn codes_of_run_leave_those_of_the_command_alone() {
        let error = || ContainerError::NoCommand { image: "x".into() };
        assert_eq!(Report::from(error()).of_run().exit.code(), 125);
        assert_eq!(Report::mistake("x").of_run().exit.code(), 125);
    }

    #[test]
    fn the_help_names_every_code_once() {
        let mut codes: Vec<u8> = CODES.iter().map(|(exit, _)| exit.code()).collect();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert!(codes.is_sorted());
    }
}

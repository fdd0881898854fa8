//! What is said of what comes from elsewhere, or goes there: files, repositories, images.

use engine::images::ImageError;
use engine::registries::{RegistriesError, RegistryError};
use engine::{Fault, FetchError, GitError, HttpError};

use super::{Exit, Report, chain};

impl Report {
    pub(super) fn of_fetch(error: &FetchError) -> Self {
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

    pub(super) fn from_image(error: &ImageError) -> Self {
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

    pub(super) fn of_registry(error: &RegistryError) -> Self {
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

impl From<ImageError> for Report {
    fn from(error: ImageError) -> Self {
        Self::from_image(&error)
    }
}

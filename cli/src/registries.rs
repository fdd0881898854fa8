//! How registries are reached, from arguments, environment and files.

use std::env;
use std::path::PathBuf;

use engine::registries::{Credentials, RegistriesFile, Settings, TlsVerify};

use crate::report::Report;

/// Where Docker keeps its settings, beneath the home directory.
const DOCKER_DIRECTORY: &str = ".docker";
/// The settings of all users.
const SYSTEM_FILE: &str = "/etc/slipway/registries.toml";
/// Certificates of all users, as Docker and podman have them.
const SYSTEM_CERTIFICATES: [&str; 2] = ["/etc/docker/certs.d", "/etc/containers/certs.d"];

/// What every command that talks to registries understands.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RegistryArgs {
    /// File with the credentials for registries (default "$DOCKER_CONFIG/config.json", "~/.docker/config.json")
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE", hide_env_values = true)]
    authfile: Option<PathBuf>,
    /// Require HTTPS and verify certificates when contacting registries
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "true", default_missing_value = "true", hide_default_value = true)]
    tls_verify: bool,
}

impl RegistryArgs {
    /// Of a command line that says nothing.
    pub(crate) fn unsaid() -> Self {
        let authfile = env::var_os("REGISTRY_AUTH_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { authfile, tls_verify: true }
    }

    /// The settings. Credentials are read when a registry asks for them.
    pub(crate) fn settings(self) -> Result<Settings, Report> {
        let credentials = self.authfile.or_else(docker_config).map(Credentials::in_file);
        let file = env::var_os("SLIPWAY_REGISTRIES").map(PathBuf::from).unwrap_or_else(registries_file);
        let own = config_home().map(|config| config.join("docker/certs.d"));
        Ok(Settings {
            registries: RegistriesFile::read(&file)?,
            certificate_directories: SYSTEM_CERTIFICATES.map(PathBuf::from).into_iter().chain(own).collect(),
            tls_verify: if self.tls_verify { TlsVerify::Required } else { TlsVerify::Skipped },
            credentials: credentials.unwrap_or_else(Credentials::none),
            ..Settings::default()
        })
    }
}

/// Credentials that nobody was told of: those of Docker's file.
pub(crate) fn own_credentials() -> Credentials {
    docker_config().map_or_else(Credentials::none, Credentials::in_file)
}

/// Docker's file with credentials.
fn docker_config() -> Option<PathBuf> {
    let directory = env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let directory = directory.or_else(|| Some(home()?.join(DOCKER_DIRECTORY)));
    Some(directory?.join("config.json"))
}

/// The user's own file, if there is one, else that of all users.
fn registries_file() -> PathBuf {
    let own = config_home().map(|config| config.join("slipway/registries.toml"));
    own.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(SYSTEM_FILE))
}

fn config_home() -> Option<PathBuf> {
    let named = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| Some(home()?.join(".config")))
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute())
}

//! What is said of a build that failed.

use engine::{AgentError, BuildError, DeviceError, DiskState, SecretError};

use super::{Exit, ROOM, Report};

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

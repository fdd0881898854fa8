//! One more command in a container that runs.

use executor::{Spec, WindowSize};

use super::ask::ask;
use super::config::set_variables;
use super::error::ContainerError;
use super::session::Session;
use super::start::refusal;
use super::wire::{Reply, Request, Streams};
use crate::Engine;
use crate::run::files;

/// `TERM` of a command with a terminal, as in Docker.
const TERM_DEFAULT: &str = "xterm";

/// What to run, and how it differs from the command of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to the container's environment, in order.
    pub env: Vec<(String, String)>,
    /// Replaces the container's working directory.
    pub working_dir: Option<String>,
    /// Replaces the container's user.
    pub user: Option<String>,
    /// Whether nothing is taken away that is no namespace.
    pub is_privileged: bool,
    /// A terminal of its own.
    pub tty: Option<WindowSize>,
    /// What the caller is connected with.
    pub streams: Streams,
}

impl Engine {
    /// Starts a command in a container that runs. Returns when the program was executed.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NotRunning`], [`ContainerError::Paused`], and [`ContainerError::Exec`] when the command cannot be
    /// executed.
    pub fn exec_container(&self, name: &str, wanted: &ExecRequest) -> Result<Session, ContainerError> {
        let home = self.home(name)?;
        let config = home.config()?;
        let settings = &config.settings;
        let mut env = config.env.clone();
        env.retain(|(name, _)| settings.tty || name != "TERM");
        if wanted.tty.is_some() && !env.iter().any(|(name, _)| name == "TERM") {
            env.push(("TERM".to_owned(), TERM_DEFAULT.to_owned()));
        }
        set_variables(&mut env, wanted.env.iter().cloned());
        let working_dir = wanted.working_dir.as_ref().unwrap_or(&config.working_dir);
        let spec = Spec {
            env,
            cwd: if working_dir.is_empty() { "/".to_owned() } else { working_dir.clone() },
            user: wanted.user.as_ref().unwrap_or(&config.user).clone(),
            groups: settings.groups.clone(),
            rlimits: files::rlimits(&settings.surroundings),
            ..Spec::new(executor::Rootfs::Directory("/".into()), wanted.argv.clone())
        };
        let spec = settings.privileges.apply(spec)?;
        let spec = Box::new(if wanted.is_privileged { spec.privileged() } else { spec });
        let request = Request::Exec { spec, tty: wanted.tty, streams: wanted.streams };
        match ask(&home, &request)? {
            None => Err(ContainerError::NotRunning { id: home.id }),
            Some((session, Reply::Started { .. })) => Ok(session),
            Some((_, reply)) => Err(refusal(&config, reply, |source| ContainerError::Exec { source })),
        }
    }
}

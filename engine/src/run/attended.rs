//! A process that somebody talks with while it runs, on the files of an image. What it changes is thrown away.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use cache::{LayerId, Store};
use executor::{Exit, Handle, Io, Mount, Outcome, SandboxError, Spec};
use graph::{Network, Security};
use image::ImageId;
use tokio::sync::watch;

use super::cancel::Cancel;
use super::files::{HOSTNAME_OF_BUILDS, hosts};
use super::rootfs::{lowers, rootfs};
use super::stacking::{self, StartError};
use crate::blocking::blocking;
use crate::containers::signal;
use crate::network::{Dns, HOST_GATEWAY, grant};
use crate::{BuildError, Engine, Secret, Stream};

/// Takes what a process writes, in the thread that waits for it. While it does not return, the process blocks once its pipe
/// is full.
pub type TakeOutput = Box<dyn FnMut(Stream, &[u8]) + Send>;

/// Such a process.
#[derive(Debug, Clone)]
pub struct Attended {
    /// What people call it.
    pub name: String,
    /// Whose files it sees.
    pub image: ImageId,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment, in order.
    pub env: Vec<(String, String)>,
    /// Absolute working directory.
    pub cwd: String,
    /// `USER` as written.
    pub user: String,
    /// What it sees of the network.
    pub network: Network,
    /// Its name for this machine; empty is that of build steps.
    pub hostname: String,
    /// Names and addresses in its `/etc/hosts`.
    pub extra_hosts: Vec<(String, String)>,
    /// How far the machine itself is out of reach.
    pub security: Security,
    /// Whether it may not write to its root.
    pub read_only_root: bool,
    /// What else it sees, in this order.
    pub mounts: Vec<AttendedMount>,
    /// Who signals it.
    pub steering: Steering,
}

/// Something that such a process sees beside its image.
#[derive(Debug, Clone)]
pub enum AttendedMount {
    /// Files of another image.
    Image {
        /// Whose.
        image: ImageId,
        /// The directory or file of it that is meant; empty is all of it.
        subpath: String,
        /// Where.
        target: String,
        /// Whether writing is refused. What is written is thrown away.
        read_only: bool,
    },
    /// Nothing yet, in memory.
    Tmpfs {
        /// Where.
        target: String,
        /// How much may be in it.
        size_bytes: Option<u64>,
        /// Whether writing is refused.
        read_only: bool,
    },
    /// A secret.
    Secret {
        /// Its bytes.
        secret: Secret,
        /// Where.
        target: String,
        /// Permissions.
        mode: u32,
        /// User and group id.
        owner: (u32, u32),
    },
}

/// Permissions of a directory in memory, as of `/tmp`.
const TMPFS_MODE: u32 = 0o1777;

/// Signals a process once it runs, from any thread.
#[derive(Debug, Clone)]
pub struct Steering(watch::Sender<Option<Handle>>);

impl Default for Steering {
    fn default() -> Self {
        Self(watch::channel(None).0)
    }
}

impl Steering {
    /// Returns when the process runs; never, when it does not come to that.
    pub async fn started(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Sends a signal, by its name or number. False when there is none of this name, or no process yet.
    pub fn signal(&self, name: &str) -> bool {
        match (signal::parse(name), self.0.borrow().as_ref()) {
            (Some(number), Some(process)) => {
                process.signal(number);
                true
            }
            _ => false,
        }
    }
}

impl Attended {
    /// A process of root, with nothing but the files of an image.
    pub fn new(name: String, image: ImageId, argv: Vec<String>) -> Self {
        Self {
            name,
            image,
            argv,
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: String::new(),
            network: Network::Default,
            hostname: String::new(),
            extra_hosts: Vec::new(),
            security: Security::Sandbox,
            read_only_root: false,
            mounts: Vec::new(),
            steering: Steering::default(),
        }
    }
}

/// How an attended process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttendedExit {
    /// With this code.
    Code(i32),
    /// By a signal, or because the machine has no room.
    Killed,
}

impl Engine {
    /// Runs a process that reads `stdin`. Dropping the future kills it.
    ///
    /// # Errors
    ///
    /// When its image is not here, or it cannot be started.
    pub async fn attend(
        &self,
        process: Attended,
        stdin: OwnedFd,
        output: TakeOutput,
    ) -> Result<AttendedExit, BuildError> {
        let missing = || BuildError::NoResult { context: process.name.clone(), platform: String::new() };
        let layers = self.store.image(&process.image)?.ok_or_else(missing)?.layers;
        let mounts = process.mounts.iter().map(|mount| self.mount(&process.name, mount));
        let mounts = mounts.collect::<Result<Vec<_>, _>>()?;
        let cancel = Cancel::new();
        let _kill_when_dropped = cancel.guard();
        let (store, thread_cancel, name) = (self.store.clone(), cancel.clone(), process.name.clone());
        let ended =
            blocking(move || run(&store, (&layers, mounts), process, (stdin, output), &thread_cancel)).await;
        match ended {
            Ok(Outcome { exit: Exit::Code(code), .. }) => Ok(AttendedExit::Code(code)),
            Ok(_) => Ok(AttendedExit::Killed),
            Err(StartError::Store(error)) => Err(error.into()),
            Err(StartError::Sandbox(source)) => {
                Err(BuildError::Sandbox { step: name, rendered: String::new(), source })
            }
        }
    }
}

impl Engine {
    fn mount(&self, name: &str, mount: &AttendedMount) -> Result<Mount, BuildError> {
        Ok(match mount.clone() {
            AttendedMount::Image { image, subpath, target, read_only } => {
                let missing = || BuildError::NoResult { context: name.to_owned(), platform: String::new() };
                let layers = self.store.image(&image)?.ok_or_else(missing)?.layers;
                Mount::Overlay { lowers: lowers(&self.store, &layers)?, subpath, target, read_only }
            }
            AttendedMount::Tmpfs { target, size_bytes, read_only } => {
                Mount::Tmpfs { target, size_bytes, mode: TMPFS_MODE, read_only }
            }
            AttendedMount::Secret { secret, target, mode, owner: (uid, gid) } => {
                Mount::File { target, content: secret.bytes().to_vec().into(), mode, uid, gid }
            }
        })
    }
}

fn run(
    store: &Arc<Store>,
    (layers, mounts): (&[LayerId], Vec<Mount>),
    process: Attended,
    (stdin, output): (OwnedFd, TakeOutput),
    cancel: &Cancel,
) -> Result<Outcome, StartError> {
    let layer = store.begin_layer()?;
    let Attended { argv, env, cwd, user, network, hostname, extra_hosts, security, steering, .. } = process;
    let granted = grant(network);
    let hostname = if hostname.is_empty() { HOSTNAME_OF_BUILDS.to_owned() } else { hostname };
    let extra = granted.extra_hosts(&extra_hosts).map_err(|error| SandboxError::BadField {
        field: "hosts".to_owned(),
        value: HOST_GATEWAY.to_owned(),
        problem: error.to_string(),
    })?;
    let spec = Spec {
        env,
        cwd,
        user,
        hosts: hosts(&hostname) + &extra,
        hostname,
        resolv_conf: granted.resolv_conf(&Dns::default()),
        network: granted.network,
        mounts,
        read_only_root: process.read_only_root,
        ..Spec::new(rootfs(store, layers, &layer)?, argv)
    };
    let spec = match security {
        Security::Sandbox => spec,
        Security::Insecure => spec.privileged(),
    };
    let output = Arc::new(Mutex::new(output));
    let (child, _copies) = stacking::start(store, &spec, &layer, || {
        let output = output.clone();
        let take = Box::new(move |stream, bytes: &[u8]| {
            let stream = match stream {
                executor::Stream::Stdout => Stream::Stdout,
                executor::Stream::Stderr => Stream::Stderr,
            };
            (output.lock().expect("no holder of the lock panics"))(stream, bytes);
        });
        let stdin = stdin.try_clone().map_err(|error| SandboxError::BadField {
            field: "stdin".to_owned(),
            value: "its descriptor".to_owned(),
            problem: error.to_string(),
        });
        Ok::<_, StartError>(Io::Pipes { stdin: Some(stdin?), output: take })
    })?;
    // The process alone reads it.
    drop(stdin);
    cancel.watch(child.handle());
    steering.0.send_replace(Some(child.handle()));
    Ok(child.wait()?)
}

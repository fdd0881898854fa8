//! A process that somebody talks with while it runs, on the files of an image. What it changes is thrown away.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use cache::{LayerId, Store};
use executor::{Exit, Io, Outcome, SandboxError, Spec};
use graph::Network;
use image::ImageId;

use super::cancel::Cancel;
use super::files::{HOSTNAME_OF_BUILDS, hosts};
use super::rootfs::rootfs;
use super::stacking::{self, StartError};
use crate::blocking::blocking;
use crate::network::{Dns, grant};
use crate::{BuildError, Engine, Stream};

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
        let cancel = Cancel::new();
        let _kill_when_dropped = cancel.guard();
        let (store, thread_cancel, name) = (self.store.clone(), cancel.clone(), process.name.clone());
        let ended = blocking(move || run(&store, &layers, process, (stdin, output), &thread_cancel)).await;
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

fn run(
    store: &Arc<Store>,
    layers: &[LayerId],
    process: Attended,
    (stdin, output): (OwnedFd, TakeOutput),
    cancel: &Cancel,
) -> Result<Outcome, StartError> {
    let layer = store.begin_layer()?;
    let Attended { argv, env, cwd, user, network, .. } = process;
    let granted = grant(network);
    let spec = Spec {
        env,
        cwd,
        user,
        hostname: HOSTNAME_OF_BUILDS.to_owned(),
        hosts: hosts(HOSTNAME_OF_BUILDS),
        resolv_conf: granted.resolv_conf(&Dns::default()),
        network: granted.network,
        ..Spec::new(rootfs(store, layers, &layer)?, argv)
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
    Ok(child.wait()?)
}

//! RUN: one process on top of the layers below.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use cache::{ActiveLayer, Layer, Store, WorkingCopy};
use executor::{Child, Exit, Io, Outcome, Remains, SandboxError, Seccomp, Spec};
use graph::{Kept, Run, Security, Vertex, VertexId};

use super::mount::Mounts;
use super::recorder::Recorder;
use super::{BuildWorker, Output, prepare_helper, secret};
use crate::agent::Forwarding;
use crate::blocking::blocking;
use crate::cdi::DeviceEdits;
use crate::network::{Dns, HOST_GATEWAY, grant, grant_to_step};
use crate::outlet;
use crate::report::StepUsage;
use crate::run::cancel::Cancel;
use crate::run::files::{HOSTNAME_OF_BUILDS, hosts, rlimits};
use crate::run::rootfs::rootfs;
use crate::run::stacking::{self, Copies, StartError};
use crate::space::has_no_room;
use crate::{BuildError, DiskState};

pub(super) async fn execute(
    worker: &BuildWorker,
    id: VertexId,
    vertex: &Vertex,
    run: &Run,
    inputs: &[Output],
) -> Result<Layer, BuildError> {
    let mounts = Mounts::new(worker, vertex, run, inputs).await?;
    let secret_env = secret::variables(worker, vertex, run)?;
    let secretive = secret::hide(worker, run);
    let layer = worker.store.begin_layer()?;
    let kept = KeptMount::new(worker, run, inputs, &layer)?;
    let root = kept.as_ref().map_or(&layer, |kept| &kept.root);
    let mut spec = specification(worker, run, inputs, root, &mounts, secret_env)?;
    if let Some(kept) = &kept {
        spec.mounts.insert(0, kept.mount.clone());
    }
    if let Some(DeviceEdits { env, mounts }) = worker.devices.get(&id) {
        spec.env.retain(|(name, _)| !env.iter().any(|(given, _)| given == name));
        spec.env.extend(env.iter().cloned());
        spec.mounts.extend(mounts.iter().cloned());
    }
    let recorder = Arc::new(Mutex::new(Recorder::new(worker, worker.step(id), secretive)));
    let cancel = Cancel::new();
    let _kill_when_dropped = cancel.guard();
    let more_to_come = worker.ahead.started(id);
    let clamp = worker.source_date_epoch;
    let network = run.network;
    let extra_hosts = run.surroundings.extra_hosts.clone();
    let exit_codes = run.exit_codes.clone();
    let (thread_recorder, thread_cancel, store) = (recorder.clone(), cancel.clone(), worker.store.clone());
    // The layer goes along: when nobody waits any more, it is thrown away after the process is gone.
    let meter = worker.meter.clone();
    let remains_of_steps = worker.remains.clone();
    let (ended, committed, disk) = blocking(move || {
        let begin = Instant::now();
        remains_of_steps.settle();
        let started =
            connect(store.root(), spec, network, &extra_hosts).map_err(StartError::from).and_then(|spec| {
                let root = kept.as_ref().map_or(&layer, |kept| &kept.root);
                start(&store, &spec, root, &thread_recorder)
            });
        if more_to_come {
            prepare_helper();
        }
        let (ended, copies) = match started {
            Ok((child, copies)) => (run_to_end(child, &thread_cancel, mounts.agents()), copies),
            Err(StartError::Sandbox(error)) => (Err(error), Copies::default()),
            Err(StartError::Store(error)) => {
                return (Err(StartError::Store(error)), None, DiskState::HasRoom);
            }
        };
        crate::network::tell_of_step();
        if matches!(ended, Err(SandboxError::Network(_))) {
            outlet::forget(store.root());
        }
        meter.since(id, begin, |measured| &mut measured.run);
        let (ended, remains) = match ended {
            Ok((outcome, remains)) => (Ok(outcome), Some(remains)),
            Err(error) => (Err(error), None),
        };
        if let Ok(outcome) = &ended {
            meter.add(id, |measured| measured.usage = Some(StepUsage::of(outcome)));
        }
        let ended = ended.map_err(StartError::from);
        if ended.as_ref().is_ok_and(|outcome| is_success(&outcome.exit, &exit_codes)) {
            let begin = Instant::now();
            let changed = match kept {
                None => copies.keep_changes(),
                Some(kept) => kept.copy.map_or(Ok(()), WorkingCopy::keep_changes),
            };
            let committed = changed.and_then(|()| layer.commit_summarized(clamp));
            remains_of_steps.add(remains);
            meter.since(id, begin, |measured| &mut measured.commit);
            return (ended, Some(committed), DiskState::HasRoom);
        }
        // Before the layer is thrown away.
        let disk = if has_no_room(&store) { DiskState::Full } else { DiskState::HasRoom };
        (ended, None, disk)
    })
    .await;
    recorder.lock().expect("no holder of the lock panics").end();
    if let Some(committed) = committed {
        return Ok(committed?);
    }
    match ended {
        Ok(outcome) => {
            let mut recorder = recorder.lock().expect("no holder of the lock panics");
            Err(recorder.failure(worker, vertex, run, outcome, disk))
        }
        Err(StartError::Store(error)) => Err(error.into()),
        Err(StartError::Sandbox(source)) => {
            let rendered = worker.render(vertex, &format!("this step could not be started: {source}"), None);
            Err(BuildError::Sandbox { step: vertex.label.name.clone(), rendered, source })
        }
    }
}

fn is_success(exit: &Exit, codes: &[u8]) -> bool {
    match exit {
        Exit::Code(code) if codes.is_empty() => *code == 0,
        Exit::Code(code) => codes.iter().any(|known| i32::from(*known) == *code),
        _ => false,
    }
}

/// A mount whose changes become the layer, in place of those of the root.
struct KeptMount {
    /// Takes the changes of the root, which nobody wants.
    root: ActiveLayer,
    mount: executor::Mount,
    /// What the mount begins with; nothing is an empty directory.
    copy: Option<WorkingCopy>,
}

impl KeptMount {
    fn new(
        worker: &BuildWorker,
        run: &Run,
        inputs: &[Output],
        layer: &ActiveLayer,
    ) -> Result<Option<Self>, BuildError> {
        let Kept::Mount(kept) = &run.kept else { return Ok(None) };
        let graph::KeptMount { target, path, .. } = &**kept;
        let below = inputs[0].layers().expect("what is continued has layers");
        let copy = match below.ids.is_empty() {
            true => None,
            // Overlays over overlays are not possible everywhere, copies are.
            false => Some(worker.store.working_copy(&worker.store.lower_paths(&below.ids)?, layer)?),
        };
        let mount = executor::Mount::Bind {
            source: layer.fs_path(),
            subpath: path.clone(),
            target: target.clone(),
            read_only: false,
            binding: executor::Binding::default(),
        };
        Ok(Some(Self { root: worker.store.begin_layer()?, mount, copy }))
    }
}

/// Says which network a step gets; waits until that is known.
fn connect(
    root: &Path,
    spec: Spec,
    wanted: graph::Network,
    extra_hosts: &[(String, String)],
) -> Result<Spec, SandboxError> {
    let is_host_wanted = extra_hosts.iter().any(|(_, address)| address == HOST_GATEWAY);
    // No filter, no questions about sockets.
    let can_wait = spec.seccomp == Seccomp::Default && !is_host_wanted;
    let granted = if can_wait { grant_to_step(root, wanted) } else { grant(wanted) };
    let extra = granted.extra_hosts(extra_hosts).map_err(|error| SandboxError::BadField {
        field: "hosts".to_owned(),
        value: HOST_GATEWAY.to_owned(),
        problem: error.to_string(),
    })?;
    Ok(Spec {
        hosts: hosts(&spec.hostname) + &extra,
        resolv_conf: granted.resolv_conf(&Dns::default()),
        network: granted.network,
        ..spec
    })
}

fn start(
    store: &Store,
    spec: &Spec,
    layer: &ActiveLayer,
    recorder: &Arc<Mutex<Recorder>>,
) -> Result<(Child, Copies), StartError> {
    stacking::start(store, spec, layer, || {
        let recorder = recorder.clone();
        let output = Box::new(move |stream, bytes: &[u8]| {
            recorder.lock().expect("no holder of the lock panics").take(stream, bytes);
        });
        Ok(Io::Pipes { stdin: None, output })
    })
}

fn run_to_end(
    mut child: Child,
    cancel: &Cancel,
    agents: &[PathBuf],
) -> Result<(Outcome, Remains), SandboxError> {
    cancel.watch(child.handle());
    let _forwarding = Forwarding::start(child.take_listeners(), agents);
    child.wait_for_command()
}

fn specification(
    worker: &BuildWorker,
    run: &Run,
    inputs: &[Output],
    layer: &ActiveLayer,
    mounts: &Mounts,
    secret_env: Vec<(String, String)>,
) -> Result<Spec, BuildError> {
    let below = inputs[run.kept.root()].layers().expect("a step runs on layers");
    let rootfs = rootfs(&worker.store, &below.ids, layer)?;
    let mut env = run.env.clone();
    env.extend(run.proxy_env.iter().cloned());
    // Of two variables with one name a process may see either.
    env.retain(|(name, _)| !secret_env.iter().any(|(secret, _)| secret == name));
    env.extend(secret_env);
    let spec = Spec {
        env,
        cwd: run.cwd.clone(),
        user: run.user.clone(),
        hostname: run.hostname.clone().unwrap_or_else(|| HOSTNAME_OF_BUILDS.to_owned()),
        shm_size_bytes: run.surroundings.shm_size_bytes.unwrap_or(executor::SHM_SIZE_BYTES_DEFAULT),
        rlimits: rlimits(&run.surroundings),
        resources: worker.resources.clone(),
        mounts: mounts.specs(),
        read_only_root: run.read_only_root,
        ..Spec::new(rootfs, run.argv.clone())
    };
    Ok(match run.security {
        Security::Sandbox => spec,
        Security::Insecure => spec.privileged(),
    })
}

//! Starts a command on layers: stacked where the kernel does that, copied where it does not.

use std::path::PathBuf;
use std::sync::Once;

use cache::{ActiveLayer, LayerCopy, Store, StoreError, WorkingCopy};
use executor::{Attachment, Binding, Child, Io, Mount, Processes, Rootfs, SandboxError, Spec};

/// Why a command did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What has to be there for as long as the command runs.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    root: Option<WorkingCopy>,
    _mounts: Vec<LayerCopy>,
}

impl Copies {
    /// Makes the layer what an overlay would have made it. Before it is committed, after the command has ended.
    pub(crate) fn keep_changes(self) -> Result<(), StoreError> {
        self.root.map_or(Ok(()), WorkingCopy::keep_changes)
    }
}

/// Starts a command whose changes go to `layer`. `io` is asked for a second time if the kernel refuses to stack the layers,
/// which is found out once.
pub(crate) fn start<E: From<StartError>>(
    store: &Store,
    spec: &Spec,
    layer: &ActiveLayer,
    io: impl Fn() -> Result<Io, E>,
) -> Result<(Child, Copies), E> {
    start_in(store, spec, layer, io, None)
}

/// The same in a network that the command has joined.
pub(crate) fn start_in<E: From<StartError>>(
    store: &Store,
    spec: &Spec,
    layer: &ActiveLayer,
    io: impl Fn() -> Result<Io, E>,
    attachment: Option<&Attachment>,
) -> Result<(Child, Copies), E> {
    let failed = |error: SandboxError| E::from(StartError::from(error));
    if !store.copies_layers() {
        match executor::spawn_in(spec, io()?, attachment) {
            Ok(child) => return Ok((told(child), Copies::default())),
            Err(SandboxError::NoOverlay { call, source }) => {
                store.copy_layers_from_now_on(&format!("{call}: {source}"));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let (spec, copies) = copied(store, spec, layer).map_err(|error| E::from(StartError::from(error)))?;
    Ok((told(executor::spawn_in(&spec, io()?, attachment).map_err(failed)?), copies))
}

/// Says once what a sandbox does not isolate here.
fn told(child: Child) -> Child {
    if child.processes() == Processes::All {
        tell_processes();
    }
    child
}

/// Says once that sandboxes see more than their own processes.
pub(crate) fn tell_processes() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!("steps see the names of the processes around them: this container's /proc is covered in part; `slipway doctor` says more");
    });
}

/// The same command with copies in place of overlays.
fn copied(store: &Store, spec: &Spec, layer: &ActiveLayer) -> Result<(Spec, Copies), StoreError> {
    let mut copies = Copies::default();
    let rootfs = match &spec.rootfs {
        Rootfs::Overlay { lowers, .. } => {
            copies.root = Some(store.working_copy(lowers, layer)?);
            Rootfs::Directory(layer.fs_path())
        }
        Rootfs::Directory(directory) => Rootfs::Directory(directory.clone()),
    };
    let mut mounts = Vec::with_capacity(spec.mounts.len());
    for mount in &spec.mounts {
        mounts.push(match mount {
            Mount::Overlay { lowers, subpath, target, read_only } => {
                let copy = store.layer_copy(lowers)?;
                let source: PathBuf = copy.path().to_owned();
                copies._mounts.push(copy);
                let (subpath, target, read_only) = (subpath.clone(), target.clone(), *read_only);
                Mount::Bind { source, subpath, target, read_only, binding: Binding::default() }
            }
            other => other.clone(),
        });
    }
    Ok((Spec { rootfs, mounts, ..spec.clone() }, copies))
}

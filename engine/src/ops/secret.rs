//! The secrets of a step: found, given to it, and hidden in what it writes.

use graph::{Mount, MountSource, Run, SecretEnv, Vertex};

use super::BuildWorker;
use crate::redact::Secretive;
use crate::secrets::Secret;
use crate::{BuildError, SecretError};

/// Longest text of one variable that the kernel passes on, name and both ends included (`MAX_ARG_STRLEN`, see
/// execve(2)).
const VARIABLE_BYTES_MAX: usize = 128 << 10;

/// The secret that a step asks for. `None` when the user gave none, which is an error if the step needs it.
pub(super) fn find<'w>(
    worker: &'w BuildWorker,
    vertex: &Vertex,
    id: &str,
    required: bool,
) -> Result<Option<&'w Secret>, BuildError> {
    match worker.secrets.get(id) {
        None if required => Err(unusable(worker, vertex, id, SecretError::Missing)),
        found => Ok(found),
    }
}

/// The secrets that a step gets as variables.
pub(super) fn variables(
    worker: &BuildWorker,
    vertex: &Vertex,
    run: &Run,
) -> Result<Vec<(String, String)>, BuildError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for SecretEnv { name, id, required } in &run.secret_env {
        let Some(secret) = find(worker, vertex, id, *required)? else { continue };
        let value = text(name, secret).map_err(|error| unusable(worker, vertex, id, error))?;
        variables.retain(|(known, _)| known != name);
        variables.push((name.clone(), value));
    }
    Ok(variables)
}

/// A secret as the kernel passes it on in an environment.
fn text(name: &str, secret: &Secret) -> Result<String, SecretError> {
    let text = std::str::from_utf8(secret.bytes()).map_err(|_| SecretError::NotUtf8)?;
    if text.contains('\0') {
        return Err(SecretError::ZeroByte);
    }
    if name.len() + "=\0".len() + text.len() > VARIABLE_BYTES_MAX {
        return Err(SecretError::TooLongForVariable { bytes_max: VARIABLE_BYTES_MAX });
    }
    Ok(text.to_owned())
}

/// What finds the secrets of a step in what it writes.
pub(super) fn hide(worker: &BuildWorker, run: &Run) -> Option<Secretive> {
    let file = |mount: &Mount| match &mount.source {
        MountSource::Secret { id, .. } => Some(id.clone()),
        MountSource::Input { .. }
        | MountSource::Tmpfs { .. }
        | MountSource::Cache { .. }
        | MountSource::Agent { .. } => None,
    };
    let files = run.mounts.iter().filter_map(file);
    let ids = files.chain(run.secret_env.iter().map(|secret| secret.id.clone()));
    let secrets: Vec<&Secret> = ids.filter_map(|id| worker.secrets.get(&id)).collect();
    Secretive::new(secrets.into_iter().map(Secret::bytes))
}

fn unusable(worker: &BuildWorker, vertex: &Vertex, id: &str, source: SecretError) -> BuildError {
    let rendered = worker.render(vertex, &format!("this step needs the secret `{id}`"), None);
    BuildError::Secret { id: id.to_owned(), rendered, source }
}

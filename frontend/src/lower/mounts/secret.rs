//! `RUN --mount=type=secret`: a file, a variable, or both.

use graph::{Mount, MountSource, SecretEnv};

use super::{Options, Surroundings, Wrong, target};
use crate::lower::stage::StageState;

/// Where secrets are unless a target says otherwise, as in BuildKit.
const DIRECTORY: &str = "/run/secrets";
/// Mode of a secret, as in BuildKit.
const MODE: u32 = 0o400;
/// The bits of `mode` that count for a file.
const PERMISSIONS: u32 = 0o777;

type Result<T> = std::result::Result<T, Wrong>;

/// A secret with `env` and without `target` is only a variable.
pub(super) fn lower(state: &StageState, options: &Options, surroundings: &mut Surroundings) -> Result<()> {
    let id = id(options)?;
    let required = options.required;
    if let Some(name) = &options.env {
        if name.is_empty() || name.contains('=') {
            return Err(Wrong::new(format!("`{name}` cannot be the name of a variable (`env={name}`)")));
        }
        surroundings.secret_env.push(SecretEnv { name: name.clone(), id: id.clone(), required });
    }
    let target = match (options.target.as_str(), &options.env) {
        ("", Some(_)) => return Ok(()),
        ("", None) => format!("{DIRECTORY}/{}", file_name(&id)?),
        (written, _) => target(state, written)?,
    };
    let owner = (options.owner.0.unwrap_or(0), options.owner.1.unwrap_or(0));
    let mode = options.mode.unwrap_or(MODE) & PERMISSIONS;
    let source = MountSource::Secret { id, owner, mode, required };
    surroundings.mounts.push(Mount { target, source });
    Ok(())
}

/// `source` is another name of `id`; without either the last name of the target says which secret it is.
fn id(options: &Options) -> Result<String> {
    match (options.id.as_str(), options.source.as_str(), options.target.as_str()) {
        ("", "", "") => Err(Wrong::new("a secret mount needs an `id`, or a `target` that ends with it")
            .known_as("invalid secret mount. one of source, target required")),
        ("", "", target) => file_name(target).map(str::to_owned),
        (id, "", _) => Ok(id.to_owned()),
        ("", source, _) => Ok(source.to_owned()),
        (..) => Err(Wrong::new("`source` and `id` of a secret mount are the same: give one of them")
            .known_as("both source and id can't be set")),
    }
}

/// The last name of a path, which then is the name of a file.
fn file_name(path: &str) -> Result<&str> {
    match path.trim_end_matches('/').rsplit('/').next() {
        None | Some("" | "." | "..") => {
            Err(Wrong::new(format!("`{path}` does not end with the name of a file: add a `target`")))
        }
        Some(name) => Ok(name),
    }
}

//! `RUN --mount=type=ssh`: a socket of an agent.

use graph::{Mount, MountSource};

use super::{Options, Surroundings, Wrong, target};
use crate::lower::stage::StageState;
use crate::lower::taken::DEFAULT_AGENT;

/// Mode of a socket, as in BuildKit.
const MODE: u32 = 0o600;
/// The bits of `mode` that count for a socket.
const PERMISSIONS: u32 = 0o777;

pub(super) fn lower(
    state: &StageState,
    options: &Options,
    surroundings: &mut Surroundings,
) -> Result<(), Wrong> {
    let id = if options.id.is_empty() { DEFAULT_AGENT } else { &options.id };
    let target = match options.target.as_str() {
        // Numbered in the order of the instruction, as in BuildKit.
        "" => format!("/run/buildkit/ssh_agent.{}", surroundings.agents.len()),
        written => target(state, written)?,
    };
    surroundings.agents.push(target.clone());
    let source = MountSource::Agent {
        id: id.to_owned(),
        owner: (options.owner.0.unwrap_or(0), options.owner.1.unwrap_or(0)),
        mode: options.mode.unwrap_or(MODE) & PERMISSIONS,
        required: options.required,
    };
    surroundings.mounts.push(Mount { target, source });
    Ok(())
}

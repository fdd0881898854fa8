//! What processes see beside their root.

use engine::operations::{CacheBase, CacheSharing, Mount, MountSource, VertexId};

use super::LlbError;
use super::lower::{Lowering, unsupported, wrong};
use super::read::Operation;
use crate::proto::pb::{self, CacheSharingOpt, MountType};

/// Longest path that the kernel takes, see path_resolution(7).
const PATH_BYTES_MAX: usize = 4096;
/// What BuildKit gives secrets and agents without a mode.
const SECRET_MODE: u32 = 0o400;
const AGENT_MODE: u32 = 0o600;
const AGENT: &str = "default";

/// An absolute path without `.`, `..` and needless slashes.
pub(super) fn path(operation: &Operation, what: &'static str, path: &str) -> Result<String, LlbError> {
    if path.len() > PATH_BYTES_MAX || path.contains('\0') {
        return Err(wrong(operation, what, path.get(..64).unwrap_or_default(), "a path"));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Where something is mounted.
pub(super) fn target(operation: &Operation, dest: &str) -> Result<String, LlbError> {
    match path(operation, "mount point", dest)?.as_str() {
        "/" => Err(wrong(operation, "mount point", dest, "a path beneath the root")),
        target => Ok(target.to_owned()),
    }
}

pub(super) fn kind_name(mount: &pb::Mount) -> &'static str {
    MountType::try_from(mount.mount_type).map_or("unknown", |kind| kind.as_str_name())
}

/// A mount; what it is of becomes an input.
pub(super) fn lower(
    lowering: &mut Lowering,
    operation: &Operation,
    mount: &pb::Mount,
    inputs: &mut Vec<VertexId>,
) -> Result<Mount, LlbError> {
    let read_only = mount.readonly;
    let selected = path(operation, "selector", &mount.selector)?;
    let missing = |what| LlbError::Missing { operation: operation.digest.clone(), what };
    let source = match MountType::try_from(mount.mount_type) {
        Ok(MountType::Bind) => {
            inputs.push(lowering.input_layers(operation, mount.input)?);
            MountSource::Input { input: inputs.len() - 1, path: selected, read_only }
        }
        Ok(MountType::Cache) => {
            let cache = mount.cache_opt.as_ref().ok_or_else(|| missing("name of a cache"))?;
            let (base, path) = match mount.input {
                -1 => (None, selected),
                index => {
                    inputs.push(lowering.input_layers(operation, index)?);
                    (Some(CacheBase { input: inputs.len() - 1, path: selected }), "/".to_owned())
                }
            };
            let sharing = match CacheSharingOpt::try_from(cache.sharing) {
                Ok(CacheSharingOpt::Shared) => CacheSharing::Shared,
                Ok(CacheSharingOpt::Private) => CacheSharing::Private,
                Ok(CacheSharingOpt::Locked) => CacheSharing::Locked,
                Err(_) => {
                    return Err(unsupported(operation, "sharing of a cache", &cache.sharing.to_string()));
                }
            };
            let id = cache.id.clone();
            MountSource::Cache { id, base, path, sharing, uid: None, gid: None, mode: None, read_only }
        }
        Ok(MountType::Tmpfs) => {
            let size = mount.tmpfs_opt.map_or(0, |tmpfs| tmpfs.size);
            let size =
                u64::try_from(size).map_err(|_| wrong(operation, "size", &size.to_string(), "bytes"))?;
            MountSource::Tmpfs { size_bytes: Some(size).filter(|size| *size > 0), read_only }
        }
        Ok(MountType::Secret) => {
            let secret = mount.secret_opt.as_ref().ok_or_else(|| missing("name of a secret"))?;
            MountSource::Secret {
                id: secret.id.clone(),
                owner: (secret.uid, secret.gid),
                mode: or(secret.mode, SECRET_MODE),
                required: !secret.optional,
            }
        }
        Ok(MountType::Ssh) => {
            let agent = mount.ssh_opt.clone().unwrap_or_default();
            MountSource::Agent {
                id: if agent.id.is_empty() { AGENT.to_owned() } else { agent.id },
                owner: (agent.uid, agent.gid),
                mode: or(agent.mode, AGENT_MODE),
                required: !agent.optional,
            }
        }
        Err(_) => return Err(unsupported(operation, "kind of mount", &mount.mount_type.to_string())),
    };
    Ok(Mount { target: target(operation, &mount.dest)?, source })
}

fn or(mode: u32, default: u32) -> u32 {
    if mode == 0 { default } else { mode & 0o7777 }
}

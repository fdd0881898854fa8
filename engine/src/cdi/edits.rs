//! From what a file says of a device to what a step gets.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use super::file::{self, Mount, Node};

/// What a step gets with its devices.
#[derive(Debug, Default)]
pub(crate) struct DeviceEdits {
    pub(crate) env: Vec<(String, String)>,
    pub(crate) mounts: Vec<executor::Mount>,
}

/// Options of mounts that say what is so anyway: nothing of a step's mounts is seen outside, and device files on them
/// do not work.
const OPTIONS_OF_ALL: [&str; 13] = [
    "bind", "rbind", "rw", "nosuid", "nodev", "private", "rprivate", "slave", "rslave", "relatime",
    "noatime", "exec", "defaults",
];

impl DeviceEdits {
    /// Adds what one file says; the error is what cannot be done.
    pub(super) fn add(&mut self, edits: &file::Edits) -> Result<(), String> {
        let impossible = [
            (!edits.hooks.is_empty(), "hooks, which would run outside of the sandbox"),
            (!edits.net_devices.is_empty(), "network devices"),
            (!edits.additional_gids.is_empty(), "additional groups"),
            (edits.intel_rdt.is_some(), "Intel RDT"),
        ];
        if let Some((_, what)) = impossible.iter().find(|(is_wanted, _)| *is_wanted) {
            return Err((*what).to_owned());
        }
        for pair in &edits.env {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| format!("the variable `{pair}` without a value"))?;
            self.env.push((name.to_owned(), value.to_owned()));
        }
        for device in &edits.device_nodes {
            self.mounts.push(node(device)?);
        }
        for directory in &edits.mounts {
            self.mounts.push(mount(directory)?);
        }
        Ok(())
    }
}

fn node(node: &Node) -> Result<executor::Mount, String> {
    let Node { path, host_path, kind, major, minor, file_mode, permissions, uid, gid } = node;
    let source = PathBuf::from(host_path.as_ref().unwrap_or(path));
    // A step has no rights of its own to device files: what can be opened can be read and written.
    if let Some(permissions) =
        permissions.as_deref().filter(|text| !(text.contains('r') && text.contains('w')))
    {
        return Err(format!("`{path}` with the permissions `{permissions}` alone"));
    }
    // The device is the host's file, which has to be what it is said to be.
    let host = fs::metadata(&source).map_err(|error| format!("`{}`: {error}", source.display()))?;
    let is_kind = match kind.as_deref() {
        None => true,
        Some("b") => host.file_type().is_block_device(),
        Some("c" | "u") => host.file_type().is_char_device(),
        Some(_) => false,
    };
    let is_number = |said: &Option<u32>, found| said.is_none_or(|said| said == found);
    let numbers = (rustix::fs::major(host.rdev()), rustix::fs::minor(host.rdev()));
    if !is_kind || !is_number(major, numbers.0) || !is_number(minor, numbers.1) {
        return Err(format!("`{}` to be another device than it is", source.display()));
    }
    let owner = (uid.is_some() || gid.is_some()).then(|| (uid.unwrap_or(0), gid.unwrap_or(0)));
    Ok(executor::Mount::Device { source, target: path.clone(), owner, mode: *file_mode })
}

fn mount(mount: &Mount) -> Result<executor::Mount, String> {
    let Mount { host_path, container_path, options, kind } = mount;
    if let Some(kind) = kind.as_deref().filter(|kind| !matches!(*kind, "" | "bind" | "none")) {
        return Err(format!("a file system `{kind}` at `{container_path}`"));
    }
    let is_known = |option: &&String| *option == "ro" || OPTIONS_OF_ALL.contains(&option.as_str());
    if let Some(option) = options.iter().find(|option| !is_known(option)) {
        return Err(format!("`{container_path}` mounted with `{option}`"));
    }
    Ok(executor::Mount::Bind {
        source: PathBuf::from(host_path),
        subpath: String::new(),
        target: container_path.clone(),
        read_only: options.iter().any(|option| option == "ro"),
        binding: executor::Binding::default(),
    })
}

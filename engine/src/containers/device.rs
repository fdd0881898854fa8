//! Device files of the host that a container has.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use executor::Mount;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::error::ContainerError;

/// What can be done with a device, as in Docker: all of it.
pub(super) const PERMISSIONS: &str = "rwm";

/// One `--device`: a device file of the host, or a directory with some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: String,
}

/// `HOST[:CONTAINER][:rwm]`. A device that may not be both read and written is refused: nothing here could see to that.
impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let is_permissions =
            |part: &str| !part.is_empty() && part.chars().all(|letter| PERMISSIONS.contains(letter));
        let (source, target, permissions) = match parts.as_slice() {
            [source] => (*source, *source, PERMISSIONS),
            [source, permissions] if is_permissions(permissions) => (*source, *source, *permissions),
            [source, target] => (*source, *target, PERMISSIONS),
            [source, target, permissions] if is_permissions(permissions) => (*source, *target, *permissions),
            _ => return Err("expected HOST[:CONTAINER][:rwm]".to_owned()),
        };
        if let Some(path) = [source, target].into_iter().find(|path| !path.starts_with('/')) {
            return Err(format!("{path} is not an absolute path"));
        }
        if !(permissions.contains('r') && permissions.contains('w')) {
            return Err(format!("permissions `{permissions}` alone are not supported: only `rw` and `rwm`"));
        }
        Ok(Self { source: PathBuf::from(source), target: target.to_owned() })
    }
}

impl Device {
    /// What is mounted for it; several of a directory.
    pub(super) fn mounts(&self) -> Result<Vec<Mount>, ContainerError> {
        let failed = |source| ContainerError::Device { path: self.source.clone(), source };
        // Names such as those below /dev/disk are links.
        let source = fs::canonicalize(&self.source).map_err(failed)?;
        let device = |source: &Path, target: String| Mount::Device {
            source: source.to_owned(),
            target,
            owner: None,
            mode: None,
        };
        if !fs::metadata(&source).map_err(failed)?.is_dir() {
            return Ok(vec![device(&source, self.target.clone())]);
        }
        let mut mounts = Vec::new();
        for entry in WalkDir::new(&source).sort_by_file_name() {
            let entry = entry.map_err(|error| failed(error.into()))?;
            let kind = entry.file_type();
            let below = entry.path().strip_prefix(&source).ok().and_then(Path::to_str);
            if let Some(below) = below.filter(|_| kind.is_char_device() || kind.is_block_device()) {
                mounts.push(device(entry.path(), format!("{}/{below}", self.target.trim_end_matches('/'))));
            }
        }
        Ok(mounts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_docker_reads_them() {
        for (text, source, target) in [
            ("/dev/a", "/dev/a", "/dev/a"),
            ("/dev/a:/dev/b", "/dev/a", "/dev/b"),
            ("/dev/a:rw", "/dev/a", "/dev/a"),
            ("/dev/a:/dev/b:mrw", "/dev/a", "/dev/b"),
        ] {
            let expected = Device { source: source.into(), target: target.to_owned() };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for wrong in ["", "dev/a", "/dev/a:b", "/dev/a:r", "/dev/a:/dev/b:x", "/dev/a:/dev/b:rw:m"] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }
}

//! Overlays: layers stacked to one tree, see the kernel's `filesystems/overlayfs`.

use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, MountFlags, mount};

use crate::devices::Scratch;
use crate::error::{OrKernel, SandboxError};
use crate::mounting::{Depth, Parameter, clone_mount, flags, mount_new, restrict};
use crate::rootfs::open_directory;
use crate::spec::LOWERS_MAX;

/// Longest string that fsconfig(2) takes, with its end.
const FSCONFIG_STRING_BYTES_MAX: usize = 256;

/// Longest options that mount(2) takes, with their end: a page.
const MOUNT_OPTIONS_BYTES_MAX: usize = 4096;

/// What the host's defaults must not decide, since it shows in a layer. Redirects and metadata-only copies are off
/// with `userxattr`.
const FIXED: [Parameter<'static>; 4] = [
    Parameter::Flag("userxattr"),
    Parameter::Text("index", "off"),
    Parameter::Text("nfs_export", "off"),
    Parameter::Text("xino", "off"),
];

/// The writable part of an overlay.
pub(crate) struct OverlayUpper<'a> {
    pub(crate) upper: &'a Path,
    pub(crate) work: &'a Path,
    pub(crate) volatile: bool,
}

/// A mount of layers, topmost first, to be attached somewhere. One layer without an upper directory is a read-only
/// bind mount.
pub(crate) fn overlay(
    scratch: &Scratch,
    lowers: &[PathBuf],
    upper: Option<&OverlayUpper<'_>>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, SandboxError> {
    if lowers.is_empty() || lowers.len() > LOWERS_MAX {
        return Err(bad_lowers(lowers.len(), &format!("an overlay has 1 to {LOWERS_MAX} layers")));
    }
    match (lowers, upper) {
        ([only], None) => {
            let mount = clone_mount(CWD, only, Depth::One)?;
            restrict(&mount, attributes | flags::READ_ONLY, Depth::One)?;
            Ok(mount)
        }
        (_, None) => mount_layers(scratch, lowers, None, attributes | flags::READ_ONLY),
        (_, Some(upper)) => mount_layers(scratch, lowers, Some(upper), attributes),
    }
    .map_err(refusal)
}

/// Tells an overlay that is refused from a layer that is missing.
fn refusal(error: SandboxError) -> SandboxError {
    match error {
        SandboxError::Kernel { call, source } if REFUSALS.contains(&source.0) => {
            SandboxError::NoOverlay { call, source }
        }
        other => other,
    }
}

/// What kernels, file systems and those who watch over them say of an overlay that they do not mount.
const REFUSALS: [i32; 6] =
    [libc::EPERM, libc::EACCES, libc::ENODEV, libc::ENOSYS, libc::EINVAL, libc::EOPNOTSUPP];

/// Whether the kernel mounts an overlay as a sandbox needs it, with layers and a writable directory on the file system
/// of `directory`. What is mounted is attached nowhere. Returns what is known of it.
pub(crate) fn probe_overlay(directory: &Path) -> Result<&'static str, SandboxError> {
    let place = directory.join(format!(".overlay-{}", std::process::id()));
    let made = ["lower-1", "lower-2", "upper", "work"].map(|name| place.join(name));
    let make = || made.iter().try_for_each(std::fs::create_dir_all);
    let mounted = make().or_kernel(|| format!("mkdir({place:?})")).and_then(|()| {
        let [one, two, upper, work] = &made;
        let mut parameters = FIXED.to_vec();
        parameters.extend([one, two].map(|lower| Parameter::Path("lowerdir+", lower)));
        parameters.push(Parameter::Path("upperdir", upper));
        parameters.push(Parameter::Path("workdir", work));
        parameters.push(Parameter::Flag("volatile"));
        mount_new("overlay", &parameters, flags::NO_DEVICES)
    });
    // Best effort: its name says whose it is.
    let result = mounted.map(drop);
    let _ = std::fs::remove_dir_all(&place);
    result.map(|()| "any number of layers, without syncs")
}

fn bad_lowers(count: usize, problem: &str) -> SandboxError {
    SandboxError::BadField {
        field: String::from("lowers"),
        value: format!("{count} layers"),
        problem: problem.to_string(),
    }
}

fn mount_layers(
    scratch: &Scratch,
    lowers: &[PathBuf],
    upper: Option<&OverlayUpper<'_>>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, SandboxError> {
    let names = lowers.iter().map(|lower| Name::new(lower)).collect::<Result<Vec<_>, _>>()?;
    let above = upper.map(|upper| Ok((Name::new(upper.upper)?, Name::new(upper.work)?))).transpose()?;
    let mut parameters = FIXED.to_vec();
    parameters.extend(names.iter().map(|name| Parameter::Path("lowerdir+", name.path())));
    if let Some((upper, work)) = &above {
        parameters.push(Parameter::Path("upperdir", upper.path()));
        parameters.push(Parameter::Path("workdir", work.path()));
    }
    if upper.is_some_and(|upper| upper.volatile) {
        parameters.push(Parameter::Flag("volatile"));
    }
    match mount_new("overlay", &parameters, attributes) {
        // Linux before 6.7 does not know `lowerdir+`. The call has other reasons to say the same.
        Err(SandboxError::Kernel { call, source }) if source.0 == libc::EINVAL => {
            match mount_classic(scratch, lowers, upper, attributes) {
                Err(SandboxError::Kernel { source: again, .. }) if again == source => {
                    Err(SandboxError::Kernel { call, source })
                }
                result => result,
            }
        }
        result => result,
    }
}

/// A directory as overlayfs takes it: its own path, or one through a descriptor if that path is too long or has
/// characters that overlayfs gives a meaning to.
struct Name {
    path: PathBuf,
    /// Keeps the number in `path` valid.
    _open: Option<OwnedFd>,
}

impl Name {
    fn new(path: &Path) -> Result<Self, SandboxError> {
        let bytes = path.as_os_str().as_bytes();
        let is_plain =
            bytes.len() < FSCONFIG_STRING_BYTES_MAX && !bytes.iter().any(|byte| b"\\,:".contains(byte));
        if is_plain { Ok(Self { path: path.to_path_buf(), _open: None }) } else { Self::short(path) }
    }

    /// A name of at most two dozen bytes.
    fn short(path: &Path) -> Result<Self, SandboxError> {
        let open = open_directory(path)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        Ok(Self { path, _open: Some(open) })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// The same with mount(2), which takes all options in one page: enough for some two hundred layers.
fn mount_classic(
    scratch: &Scratch,
    lowers: &[PathBuf],
    upper: Option<&OverlayUpper<'_>>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, SandboxError> {
    let names = lowers.iter().map(|lower| Name::short(lower)).collect::<Result<Vec<_>, _>>()?;
    let mut options = OsString::from("userxattr,index=off,nfs_export=off,xino=off,lowerdir=");
    for (index, name) in names.iter().enumerate() {
        options.push(if index == 0 { "" } else { ":" });
        options.push(name.path());
    }
    let above = upper.map(|upper| Ok((Name::short(upper.upper)?, Name::short(upper.work)?))).transpose()?;
    if let Some((upper, work)) = &above {
        options.push(",upperdir=");
        options.push(upper.path());
        options.push(",workdir=");
        options.push(work.path());
    }
    if upper.is_some_and(|upper| upper.volatile) {
        options.push(",volatile");
    }
    if options.len() >= MOUNT_OPTIONS_BYTES_MAX {
        return Err(bad_lowers(lowers.len(), "this kernel takes about two hundred at most"));
    }
    let target = scratch.place()?;
    let path = format!("/proc/self/fd/{}", target.directory.as_raw_fd());
    let call = || format!("mount(\"overlay\", {:?}, {options:?})", target.name);
    let data = CString::new(options.clone().into_vec()).expect("names of descriptors have no zero byte");
    mount("overlay", &*path, "overlay", MountFlags::empty(), data.as_c_str()).or_kernel(call)?;
    let mounted = scratch.open(&target.name)?;
    restrict(&mounted, attributes, Depth::One)?;
    Ok(mounted)
}

//! `/dev`, and the small files in memory that are mounted elsewhere.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::error::{OrKernel, SandboxError};
use crate::mounting::{
    Depth, Parameter, attach, attach_over_root, clone_host, clone_mount, flags, mount_new, restrict,
};
use crate::privileged;
use crate::sharing::Whose;
use crate::spec::{Confinement, Spec, WindowSize};
use crate::tree::{Kind, Tree};

/// Device files of the host that every container has. They are bind-mounted, since a user namespace may not make
/// any; that also allows a `/dev` on which no other device file can be opened.
const NODES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev`, as every distribution has them.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// Size limit of the file system with `/dev` and the small files.
const SCRATCH_SIZE: &str = "67108864";

/// Group `tty` of every distribution, which owns terminals.
const TTY_GROUP: &str = "5";

/// One file system in memory for everything that the sandbox itself provides, on top of the host's `/` in this mount
/// namespace. Its parts are mounted one by one in the container; what is made elsewhere first is attached in it for
/// a while, since only what is attached can be cloned before Linux 6.15. The whole is unmounted in the end.
pub(crate) struct Scratch {
    root: OwnedFd,
    /// What will be `/dev`, attached aside.
    dev: OwnedFd,
    /// The terminals in it.
    pts: OwnedFd,
    null: OwnedFd,
    /// Number of names given so far.
    names: Cell<u32>,
}

/// A directory of [`Scratch`].
pub(crate) struct ScratchDirectory {
    pub(crate) directory: OwnedFd,
    pub(crate) name: String,
}

impl Scratch {
    /// Makes it, and in it the part of `/dev` that is the same in every sandbox that is confined so.
    pub(crate) fn new(confinement: Confinement) -> Result<Self, SandboxError> {
        let parameters = [Parameter::Text("size", SCRATCH_SIZE), Parameter::Text("mode", "0755")];
        let root = mount_new("tmpfs", &parameters, flags::DATA)?;
        attach_over_root(&root)?;
        for directory in ["dev", "empty"] {
            make_directory(&root, directory)?;
        }
        let (dev, pts) = begin_dev(&root, confinement)?;
        let null = clone_host(Path::new("/dev/null"), Depth::One)?;
        Ok(Self { root, dev, pts, null, names: Cell::new(0) })
    }

    fn next_name(&self) -> String {
        self.names.set(self.names.get() + 1);
        self.names.get().to_string()
    }

    /// A new directory where no path of the host or of the container leads.
    pub(crate) fn place(&self) -> Result<ScratchDirectory, SandboxError> {
        let name = self.next_name();
        make_directory(&self.root, &name)?;
        Ok(ScratchDirectory { directory: self.open(&name)?, name })
    }

    /// Moves the file system from the host's `/` to somewhere below it, when no path of the host is needed any more.
    /// Then both can be unmounted with one call. For each such call the kernel waits until no processor looks at what it
    /// takes away, which can be milliseconds.
    pub(crate) fn uncover_root(&self) -> Result<(), SandboxError> {
        let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&self.root, c"", CWD, c"/proc", how)
            .or_kernel(|| String::from("move_mount(scratch, to \"/proc\")"))
    }

    /// What is at a name: the directory, or what is mounted on it.
    pub(crate) fn open(&self, name: &str) -> Result<OwnedFd, SandboxError> {
        rustix::fs::openat(&self.root, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .or_kernel(|| format!("openat(scratch, {name:?})"))
    }

    /// Attaches a mount in a place of its own.
    pub(crate) fn attach_aside(&self, mount: &OwnedFd) -> Result<(), SandboxError> {
        let place = self.place()?;
        attach(mount, place.directory, &place.name)
    }

    /// A detached mount of a new file with this content.
    pub(crate) fn file(
        &self,
        content: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<OwnedFd, SandboxError> {
        let call = || String::from("write(a file in memory)");
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let name = self.next_name();
        let file =
            rustix::fs::openat(&self.root, &*name, flags, Mode::from_raw_mode(0o600)).or_kernel(call)?;
        let mut rest = content;
        while !rest.is_empty() {
            rest = &rest[rustix::io::write(&file, rest).or_kernel(call)?..];
        }
        if let Some((uid, gid)) = owner {
            let (uid, gid) = (Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            rustix::fs::fchown(&file, Some(uid), Some(gid))
                .or_kernel(|| format!("fchown(a file in memory, {uid:?}, {gid:?})"))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).or_kernel(call)?;
        clone_mount(&file, Path::new(""), Depth::One)
    }

    /// Covers `path` of the container with something empty, if it exists.
    pub(crate) fn mask(&self, tree: &Tree, path: &str) -> Result<(), SandboxError> {
        let target = match tree.find(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            found => found.or_kernel(|| format!("openat2(masked path {path:?})"))?,
        };
        let kind = crate::tree::file_type(&target).or_kernel(|| format!("fstat({path:?})"))?;
        let cover = if kind.is_dir() {
            let empty = clone_mount(&self.root, Path::new("empty"), Depth::One)?;
            restrict(&empty, flags::READ_ONLY | flags::KERNEL, Depth::One)?;
            empty
        } else {
            clone_mount(&self.null, Path::new(""), Depth::One)?
        };
        tree.attach(&cover, &target, path)
    }

    /// Moves `/dev` into the tree, mounts the rest in it, and allocates a terminal if one is wanted. `memory` is the shared memory of others.
    pub(crate) fn mount_dev(
        &self,
        tree: &mut Tree,
        spec: &Spec,
        memory: Option<&OwnedFd>,
        terminal: Option<WindowSize>,
    ) -> Result<Option<Terminal>, SandboxError> {
        let Self { dev, pts, .. } = self;
        let target = tree.target("/dev", Kind::Directory)?;
        tree.attach(dev, &target, "/dev")?;
        if spec.has_shared_memory {
            let own = || mount_shm(spec.shm_size_bytes);
            let memory = memory.map_or_else(|| shared(spec, "/dev/shm", own), clone)?;
            attach_directory(dev, "shm", &memory)?;
        }
        match shared(spec, "/dev/mqueue", || mount_new("mqueue", &[], flags::KERNEL)) {
            // Those of a host that has them nowhere: a user namespace may not show them either.
            Err(SandboxError::Kernel { source, .. })
                if source.0 == libc::EPERM && spec.sharing.queues == Whose::Host => {}
            queues => attach_directory(dev, "mqueue", &queues?)?,
        }
        let Some(size) = terminal else { return Ok(None) };
        let (terminal, number) = Terminal::open(pts, size)?;
        bind_into(dev, "console", &clone_mount(pts, Path::new(&number), Depth::One)?)?;
        Ok(Some(terminal))
    }
}

/// Makes `/dev` where nobody sees it, as far as the rest of the specification does not matter. Returns it, and the terminals in it.
fn begin_dev(scratch: &OwnedFd, confinement: Confinement) -> Result<(OwnedFd, OwnedFd), SandboxError> {
    let call = || String::from("openat(scratch, \"dev\")");
    let place =
        rustix::fs::openat(scratch, "dev", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).or_kernel(call)?;
    let dev = match confinement {
        Confinement::Ordinary => clone_mount(&place, Path::new(""), Depth::One)?,
        Confinement::Privileged => privileged::new_dev()?,
    };
    attach(&dev, place, "dev")?;
    if confinement == Confinement::Privileged {
        privileged::add_nodes(&dev)?;
    }
    for (name, to) in LINKS {
        rustix::fs::symlinkat(*to, &dev, *name).or_kernel(|| format!("symlinkat({to:?}, /dev/{name})"))?;
    }
    for name in NODES {
        let host = Path::new("/dev").join(name);
        bind_into(&dev, name, &clone_host(&host, Depth::One)?)?;
    }
    let pts = mount_pts()?;
    attach_directory(&dev, "pts", &pts)?;
    Ok((dev, pts))
}

fn make_directory(parent: impl AsFd, name: &str) -> Result<(), SandboxError> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))
        .or_kernel(|| format!("mkdirat(a file system in memory, {name:?})"))
}

/// Mounts `node` on a new file `name` of `/dev`.
pub(crate) fn bind_into(dev: impl AsFd, name: &str, node: &OwnedFd) -> Result<(), SandboxError> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(0o666))
        .or_kernel(|| format!("openat(/dev, {name:?}, O_CREAT)"))?;
    attach(node, file, name)
}

fn attach_directory(dev: impl AsFd, name: &str, mount: &OwnedFd) -> Result<(), SandboxError> {
    let call = || format!("mkdirat(/dev, {name:?})");
    rustix::fs::mkdirat(&dev, name, Mode::from_raw_mode(0o755)).or_kernel(call)?;
    let target =
        rustix::fs::openat(&dev, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).or_kernel(call)?;
    attach(mount, target, name)
}

fn clone(mount: &OwnedFd) -> Result<OwnedFd, SandboxError> {
    mount.try_clone().or_kernel(|| String::from("dup(shared memory)"))
}

/// What the host has at a path, if its queues are shared and it has anything there; otherwise one's own.
fn shared(
    spec: &Spec,
    path: &str,
    own: impl FnOnce() -> Result<OwnedFd, SandboxError>,
) -> Result<OwnedFd, SandboxError> {
    if spec.sharing.queues != Whose::Host {
        return own();
    }
    match clone_host(Path::new(path), Depth::One) {
        Err(SandboxError::Kernel { source, .. }) if source.0 == libc::ENOENT => own(),
        host => {
            let host = host?;
            restrict(&host, flags::KERNEL, Depth::One)?;
            Ok(host)
        }
    }
}

fn mount_shm(size_bytes: u64) -> Result<OwnedFd, SandboxError> {
    let size = size_bytes.to_string();
    mount_new("tmpfs", &[Parameter::Text("mode", "1777"), Parameter::Text("size", &size)], flags::KERNEL)
}

/// A devpts of its own. Where only one id is mapped there is no group `tty`.
fn mount_pts() -> Result<OwnedFd, SandboxError> {
    let flags = flags::KERNEL.difference(flags::NO_DEVICES);
    let parameters = [
        Parameter::Text("ptmxmode", "0666"),
        Parameter::Text("mode", "0620"),
        Parameter::Text("gid", TTY_GROUP),
    ];
    match mount_new("devpts", &parameters, flags) {
        Err(SandboxError::Kernel { source, .. }) if source.0 == libc::EINVAL => {
            mount_new("devpts", &parameters[..2], flags)
        }
        other => other,
    }
}

/// Both ends of the container's terminal.
pub(crate) struct Terminal {
    /// For the engine.
    pub(crate) master: OwnedFd,
    /// For descriptors 0, 1 and 2.
    pub(crate) slave: OwnedFd,
}

impl Terminal {
    /// Allocates a terminal in the container's own devpts, and says which number it has there.
    pub(crate) fn open(pts: &OwnedFd, size: WindowSize) -> Result<(Self, String), SandboxError> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = rustix::fs::openat(pts, c"ptmx", flags, Mode::empty())
            .or_kernel(|| String::from("openat(/dev/pts, \"ptmx\")"))?;
        rustix::pty::unlockpt(&master).or_kernel(|| String::from("ioctl(ptmx, TIOCSPTLCK)"))?;
        let open = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, open)
            .or_kernel(|| String::from("ioctl(ptmx, TIOCGPTPEER)"))?;
        set_window_size(&slave, size)
            .or_kernel(|| format!("ioctl(terminal {}, TIOCSWINSZ, {size:?})", slave.as_raw_fd()))?;
        let name = rustix::pty::ptsname(&master, Vec::new())
            .or_kernel(|| String::from("ioctl(ptmx, TIOCGPTN)"))?
            .into_string()
            .unwrap_or_default();
        let number = name.rsplit('/').next().unwrap_or_default().to_string();
        Ok((Self { master, slave }, number))
    }
}

/// Tells a terminal its size; programs in it get SIGWINCH.
pub(crate) fn set_window_size(terminal: impl AsFd, size: WindowSize) -> Result<(), Errno> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
}

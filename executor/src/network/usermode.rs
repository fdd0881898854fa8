//! Namespaces that a program connects from user space: what an ordinary user can have.
//!
//! Each gets a process of its own, in a pid namespace under a process of ours, the *nurse*, which ends when the
//! engine lets the namespace go. With the nurse the kernel ends whatever the program has become meanwhile.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::CloneFlags;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::keeper::Namespace;
use super::veth::INSIDE;
use super::{NetworkError, OrNetwork, Outlet, PrivateNetwork};
use crate::namespace::find_program;
use crate::sys::{self, Fork};

/// The device through which these programs exchange packets with a namespace.
const TUN: &str = "/dev/net/tun";

/// Where the keeper mounts a file system of its own, in a mount namespace of its own, for the names of network
/// namespaces. The programs need nothing of what is there otherwise.
const NAMES: &str = "/tmp";

/// Most of what a program says that is passed on.
const COMPLAINT_BYTES_MAX: usize = 1024;

/// A program that connects namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Keeps the addresses of the host, and is the faster one.
    Pasta,
    /// Has been in distributions for longer.
    Slirp4netns,
}

impl Tool {
    pub(crate) fn outlet(self) -> Outlet {
        match self {
            Self::Pasta => Outlet::Pasta,
            Self::Slirp4netns => Outlet::Slirp4netns,
        }
    }

    pub(crate) fn network(self) -> PrivateNetwork {
        let name_server = match self {
            Self::Pasta => None,
            // It forwards to the host's name server, also to one that listens on the loopback interface.
            Self::Slirp4netns => Some(Ipv4Addr::new(10, 0, 2, 3)),
        };
        PrivateNetwork {
            outlet: self.outlet(),
            host: None,
            name_server,
            forwarding: Vec::new(),
            on_demand: false,
        }
    }

    /// The command for a namespace with this name, whose IPv6 leaves through an interface of this name. Otherwise the namespace is
    /// left as it is.
    fn command6(program: &Path, name: &Path, interface: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["--ipv6-only", "--config-net", "--quiet", "--ns-ifname", interface, "--no-map-gw"]);
        command.args(["--runas", "0", "-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
        command.args(["--netns-only", "--netns"]).arg(name);
        command
    }

    /// The command for a namespace with this name. Neither lets a sandbox reach what listens on the loopback
    /// interface of the host, or the other way round.
    fn command(self, program: &Path, name: &Path, ready: &OwnedFd) -> Command {
        let mut command = Command::new(program);
        match self {
            Self::Pasta => command
                .args(["--config-net", "--quiet", "--ns-ifname", INSIDE, "--no-map-gw", "--runas", "0"])
                .args(["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--netns-only", "--netns"])
                .arg(name),
            Self::Slirp4netns => command
                .args(["--configure", "--mtu=65520", "--disable-host-loopback", "--netns-type=path"])
                .arg(format!("--ready-fd={}", ready.as_raw_fd()))
                .arg(name)
                .arg(INSIDE),
        };
        command
    }
}

/// One of the programs, on a machine where it can work.
pub(crate) struct UserMode {
    tool: Tool,
    program: PathBuf,
    /// The interface of IPv6, if the program connects that alone.
    only_ipv6: Option<&'static str>,
    /// Namespaces that were given names so far.
    count: u32,
}

impl UserMode {
    /// Checks what the program will need. The error is the reason why it cannot work here.
    pub(crate) fn open(tool: Tool) -> Result<Self, String> {
        let program = find_program(tool.outlet().name()).ok_or("is not installed")?;
        File::options().read(true).write(true).open(TUN).map_err(|error| format!("`{TUN}`: {error}"))?;
        hide_names().map_err(|error| crate::error::chain(&error))?;
        Ok(Self { tool, program, only_ipv6: None, count: 0 })
    }

    /// The program that connects only IPv6, through an interface of this name beside those that are there.
    pub(crate) fn open_ipv6(interface: &'static str) -> Result<Self, String> {
        Ok(Self { only_ipv6: Some(interface), ..Self::open(Tool::Pasta)? })
    }

    /// Starts to connect a namespace. `opener` is closed when it is connected, and says why when it cannot be;
    /// the connection ends with the other end of `end`.
    pub(crate) fn connect(
        &mut self,
        namespace: &Namespace,
        opener: &OwnedFd,
        end: &OwnedFd,
    ) -> Result<(), NetworkError> {
        if self.only_ipv6.is_none() {
            // The program brings the interface itself.
            namespace.clear()?;
        }
        let name = Path::new(NAMES).join(self.count.to_string());
        self.count += 1;
        let source = format!("/proc/self/fd/{}", namespace.descriptor.as_raw_fd());
        fs::write(&name, "").or_network(|| format!("write({name:?})"))?;
        mount_bind(&source, &name).or_network(|| format!("mount({source:?}, {name:?}, MS_BIND)"))?;
        match sys::fork(libc::CLONE_NEWPID as u64).or_network(|| String::from("clone3(CLONE_NEWPID)"))? {
            Fork::Parent { .. } => Ok(()),
            Fork::Child => self.nurse(&name, opener, end),
        }
    }

    /// Starts the program, says how that went, and waits until nobody needs it.
    fn nurse(&self, name: &Path, opener: &OwnedFd, end: &OwnedFd) -> ! {
        if let Err(complaint) = self.start(name) {
            let complaint = format!("`{}`: {complaint}", self.tool.outlet().name());
            if let Ok(mut opener) = opener.try_clone().map(File::from) {
                let _ = opener.write_all(complaint.as_bytes());
            }
            std::process::exit(1);
        }
        // The program has closed its copies; with ours the gate is open.
        let _ = rustix::stdio::dup2_stdin(end);
        sys::close_from(3);
        let stdin = std::io::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::empty())];
        let _ = rustix::io::retry_on_intr(|| poll(&mut fds, None));
        std::process::exit(0)
    }

    fn start(&self, name: &Path) -> Result<(), String> {
        let log = name.with_extension("log");
        let (waiting, ready) = rustix::pipe::pipe().map_err(|errno| format!("pipe(): {errno}"))?;
        let file = File::create(&log).map_err(|error| format!("`{}`: {error}", log.display()))?;
        let mut command = match self.only_ipv6 {
            None => self.tool.command(&self.program, name, &ready),
            Some(interface) => Tool::command6(&self.program, name, interface),
        };
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(file));
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        drop(ready);
        let is_ready = match self.tool {
            // It goes into the background when it is ready.
            Tool::Pasta => child.wait().is_ok_and(|status| status.success()),
            Tool::Slirp4netns => rustix::io::read(&waiting, &mut [0u8; 1]).is_ok_and(|count| count == 1),
        };
        if is_ready {
            return Ok(());
        }
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[..text.len().min(COMPLAINT_BYTES_MAX)]).into_owned();
        Err(text.lines().filter(|line| !line.contains("syslog")).collect::<Vec<_>>().join(", "))
    }
}

/// Gives the keeper a mount namespace with an empty file system for names.
fn hide_names() -> Result<(), NetworkError> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS).or_network(|| String::from("unshare(CLONE_NEWNS)"))?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .or_network(|| String::from("mount(\"/\", MS_REC | MS_PRIVATE)"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("slipway", NAMES, "tmpfs", flags, c"mode=0755")
        .or_network(|| format!("mount({NAMES:?}, \"tmpfs\")"))
}
